"""Seeded defects of W7-PARITY: the old platform's front page, and a pod that serves the same."""

from __future__ import annotations

import pytest

from harness.core.waiting import until
from harness.tests.lab import objects
from harness.tests.lab.asking import ask
from harness.tests.lab.world import World

SAME = "both platforms give the same answers"
HOST = "app.lab.example"
SPACE = "test-parity"
DECLARED = f"""
parity:
  old: {{address: 10.0.0.2, port: 8080}}
  new: {{address: 10.0.0.1}}
  requests:
    front page: {{host: {HOST}, path: /}}
    no page: {{host: {HOST}, path: /none}}
  rules:
    - {{at: "header [!cl]*", because: another web server}}
    - {{at: "header last-modified", because: another file}}
    - {{requests: no page, at: "[hb]* *", because: another web server's words}}
"""


@pytest.mark.defect("both platforms give the same answers")
def test_a_page_that_changed_and_one_that_came_are_found(world: World) -> None:
    profile = world.profile_with([("\nstack:", f"{DECLARED}\nstack:")])
    get = ("curl", "--silent", "--header", f"Host: {HOST}")
    page = world.do(world.two, *get, "http://10.0.0.2:8080/")
    serve = 'mkdir /tmp/www && cd /tmp/www && printf %s "$1" > index.html && '
    serve += "exec python3 -m http.server 8080"
    with objects.namespace(world, SPACE) as space:
        space.apply(
            objects.pod(
                "web", world.one.name, "sh", "-c", serve, "sh", page, labels={"app": "web"}
            ),
            objects.service("web", {"app": "web"}, 8080),
            objects.ingress("web", HOST, "web"),
        )
        space.ready("web")
        until(
            lambda: world.do(world.one, *get, "http://10.0.0.1/") == page,
            within_s=30,
            what="the ingress leads to the pod",
        )
        outcome, reason = ask(profile, "parity", SAME)[SAME]
        assert outcome == "pass", reason

        space.run("web", "sh", "-c", "cd /tmp/www && echo other >> index.html && mkdir none")
        outcome, reason = ask(profile, "parity", SAME)[SAME]
        assert outcome == "fail", reason
        assert "front page: body line" in reason
        assert "no page: status: expected 404 as on the old platform, seen 301" in reason
