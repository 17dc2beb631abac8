"""Journeys: a platform behind real sockets that does well, and others that do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.core.errors import ConfigError, Refused
from harness.core.model import Outcome, Verdict
from harness.core.names import Names
from harness.drill import service
from harness.drill.context import Options, RunJournal
from harness.drill.service import DrillService
from harness.facts.drills import EndReason
from harness.facts.journeys import Walk
from harness.facts.schema import dump
from harness.journeys import inventory
from harness.journeys import walk as walking
from harness.journeys.inventory import Thing, new
from harness.journeys.request import cut
from harness.journeys.walk import remove_customer, walk
from harness.record.records import Kind
from harness.record.redaction import Redactor
from harness.settings import load_profile
from harness.settings.journeys import MachineCommand
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.journey_world import (
    Platform,
    PlatformKube,
    journey,
    profile,
    serving,
    without_secrets,
)
from harness.tests.probe_rig import reach
from harness.transport.network import Network

DONE, IN_TIME = "every step of the journey is done", "the instance is there in time"
MADE, GONE = "what it made is as it was asked for", "the deletion leaves nothing behind"
REMOVED = "the customer is removed again"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "_EVERY_S", 0.01)


def nothing() -> None:
    """The lock is held."""


def walked(
    *defects: str,
    tell: Callable[[str], object] = str,
    hide: Callable[[str], object] = str,
    platform: Platform | None = None,
    confirm: Callable[[], None] = nothing,
    note: Callable[[Names], object] = str,
    **changes: Any,
) -> Walk:
    there = platform or Platform(frozenset(defects))
    with serving(there) as port:
        ways = reach(kube=PlatformKube(there), outside=Network(), like=profile(port, **changes))
        return walk(ways, "customer", tell, hide, confirm, note)


def judged(it: Walk, check: str) -> Verdict:
    seen = clean()
    seen["journey-customer"] = {CLUSTER.name: json.loads(json.dumps(dump(it)))}
    del seen["journey-instance"]
    return CHECKS[check](case(seen))


def test_a_platform_in_order_passes_and_keeps_nothing_of_the_customer() -> None:
    platform = Platform()
    done = walked(platform=platform)
    for check in (DONE, IN_TIME, MADE, GONE, REMOVED):
        verdict = judged(done, check)
        assert verdict.outcome is Outcome.PASS, verdict.reason
    assert (platform.instances, platform.customers) == ({}, set())
    assert done.customer.startswith("cutover-")


def test_the_real_platforms_backups_are_found_and_removed_by_the_customers_name() -> None:
    journeys, names = load_profile("contabo").journeys, Names()
    assert journeys is not None
    assert journeys.instance is not None
    number, customer = names.text("{number}"), names.customer
    file = f"c{number}_{customer}_{customer}_20261124_120000_database.sql"
    (backups,) = (it for it in journeys.leftovers.folders if it.kept)
    (removal,) = (it for it in journeys.instance.removes if isinstance(it, MachineCommand))
    pattern = removal.command[removal.command.index("-name") + 1]
    for it in (backups.names, pattern):
        assert fnmatchcase(file, names.pattern(it))
        assert not fnmatchcase("cacme_acme_acme_20261124_120000_database.sql", names.pattern(it))


def test_the_real_platforms_database_and_its_role_are_known_by_their_names() -> None:
    journeys, names = load_profile("contabo").journeys, Names()
    assert journeys is not None
    names.keep("person", "aaaabbbb-cccc-4ddd-8eee-ffff00001111")
    names.keep("instance", "1f2e3d4c-0000-4000-8000-000000000001")
    database = "odoo_aaaabbbbcccc4ddd_1f2e3d4c"
    assert names.text("odoo_{person:hex16}_{instance:8}") == database
    for server in journeys.leftovers.databases:
        assert fnmatchcase(database, names.pattern(server.names))
        assert fnmatchcase(f"{database}_user", names.pattern(server.names))


def test_a_volume_that_its_class_retains_fails_the_deletion_and_stays() -> None:
    platform = Platform(frozenset({"retains the volume"}))
    done = walked(platform=platform)
    verdict = judged(done, GONE)
    assert (verdict.outcome, verdict.measured) == (Outcome.FAIL, {"leftovers_count": 1})
    assert "PersistentVolume pvc-" in verdict.reason
    assert platform.given_back == []


def test_a_volume_that_is_kept_as_declared_passes_and_is_given_back() -> None:
    platform = Platform(frozenset({"retains the volume"}))
    why = "deleted customers' data is kept for 30 days"
    done = walked(platform=platform, keeps_volumes=why)
    (volume,) = platform.given_back
    verdict = judged(done, GONE)
    assert verdict.outcome is Outcome.PASS, verdict.reason
    assert f"kept as declared: PersistentVolume {volume} of saasodoo/" in verdict.reason
    assert judged(done, REMOVED).outcome is Outcome.PASS
    assert platform.left == []


def test_a_volume_that_is_not_released_is_a_leftover_though_volumes_are_kept() -> None:
    platform = Platform(frozenset({"leaves the volume"}))
    why = "deleted customers' data is kept for 30 days"
    assert judged(walked(platform=platform, keeps_volumes=why), GONE).outcome is Outcome.FAIL
    assert platform.given_back == []


@pytest.mark.parametrize("pattern", ["odoo-*", "odoo-{instance:8}", "odoo-*-{backup}"])
def test_a_volume_that_may_be_another_customers_is_never_given_back(pattern: str) -> None:
    """Its pattern has no name of the journey, another one, or one that is not known."""
    names = Names()
    names.keep("instance", "1f2e3d4c-0000-4000-8000-000000000001")
    others = Thing("PersistentVolume a of saasodoo/b", "odoo-acme-5d6e7f80", (pattern,), True, "a")
    assert inventory.kept_volumes(frozenset(), frozenset({others}), names) == {}


def test_a_quota_is_seen_in_a_pod_without_python_too() -> None:
    assert judged(walked("no python3"), MADE).outcome is Outcome.PASS
    assert judged(walked("no python3", "no quota"), MADE).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("defect", "check", "says"),
    [
        (
            "provisioning fails",
            DONE,
            "create: POST http://api.example/instance/api/v1/instances/",
        ),
        ("restores nothing", DONE, 'expected “["before"]” in the answer, seen'),
        ("no quota", MADE, "expected a quota of 10 GiB, a pod sees 100 GiB"),
        ("another host", MADE, "that leads to it, seen other.example"),
        ("leaves the volume", GONE, "PersistentVolume pvc-"),
        ("deletes nothing", GONE, "delete: DELETE http://api.example/instance"),
    ],
)
def test_a_platform_that_misbehaves_fails_and_says_where(
    defect: str, check: str, says: str
) -> None:
    verdict = judged(walked(defect), check)
    assert (verdict.outcome, says in verdict.reason) == (Outcome.FAIL, True), verdict.reason


def test_a_server_that_the_journey_made_goes_with_the_removal_and_not_with_the_instance() -> None:
    *steps, delete = journey()["steps"]
    makes = steps[2]["makes"] | {"kind": "StatefulSet", "name": "odoo-instance-{instance:hex}"}
    server = steps[9] | {"within_s": 0.2, "does": "create a database server", "makes": makes}
    done = walked("leaves the volume", steps=[*steps, server, delete])
    assert judged(done, GONE).outcome is Outcome.PASS
    assert "remove it by hand: PersistentVolume pvc-" in judged(done, REMOVED).reason


def test_what_stays_is_counted_and_told_to_be_removed_by_hand() -> None:
    done = walked("leaves the volume")
    assert judged(done, GONE).measured == {"leftovers_count": 1}
    assert judged(done, REMOVED).outcome is Outcome.NOT_PROVEN
    assert "remove it by hand: PersistentVolume pvc-" in judged(done, REMOVED).reason


def test_a_limit_of_the_ingress_is_no_failure_of_the_platform() -> None:
    verdict = judged(walked("too many"), DONE)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "429" in verdict.reason


def test_what_fails_is_removed_too_as_far_as_it_is_known() -> None:
    platform = Platform(frozenset({"restores nothing"}))
    done = walked(platform=platform)
    assert (platform.instances, platform.customers) == ({}, set())
    assert judged(done, REMOVED).outcome is Outcome.PASS
    assert judged(done, GONE).outcome is Outcome.NOT_PROVEN  # the platform was not asked to


def test_a_customer_whose_answer_was_wrong_is_removed_too() -> None:
    platform = Platform(frozenset({"another status"}))
    done = walked(platform=platform)
    assert judged(done, DONE).outcome is Outcome.FAIL
    assert platform.customers == set()
    assert judged(done, REMOVED).outcome is Outcome.PASS


def test_a_customer_whose_id_no_answer_gave_is_told_and_not_taken_for_removed() -> None:
    platform = Platform(frozenset({"gives no id"}))
    done = walked(platform=platform)
    assert len(platform.customers) == 1
    verdict = judged(done, REMOVED)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert f"/auth/register gave no person: look for what it made for {done.customer}" in (
        verdict.reason
    )


def test_what_may_be_another_customers_is_not_simply_told_to_be_removed() -> None:
    names = Names()
    other = Thing("Deployment saasodoo/odoo-acme-1a2b3c4d", "odoo-acme-1a2b3c4d", ("odoo-*-{i:8}",))
    (words,) = new(frozenset(), frozenset({other}), names)
    assert words.endswith(
        "(unless it is another customer's: the journey does not know odoo-*-{i:8})"
    )
    names.keep("i", "1a2b3c4d-0000")
    assert new(frozenset(), frozenset({other}), names) == (other.words,)
    names.keep("i", "99999999-0000")
    assert new(frozenset(), frozenset({other}), names) == ()


@given(before=st.integers(0, 450), long=st.integers(401, 900))
def test_a_cut_text_holds_a_whole_secret_or_nothing_of_it(before: int, long: int) -> None:
    secret = "s3cr3t-Zq81_xY"
    text = cut(("x " * before)[:before] + f'"{secret}"' + '", "' * long)
    assert secret in text or secret[:3] not in text


def test_ctrl_c_ends_the_journey_and_removes_what_it_made() -> None:
    platform = Platform()

    def stop(says: str) -> None:
        if says.endswith("back up"):
            raise KeyboardInterrupt

    done = walked(platform=platform, tell=stop)
    assert done.stopped is not None
    assert (done.stopped.does, done.stopped.says) == ("back up", EndReason.BY_HAND)
    assert (platform.instances, platform.customers) == ({}, set())
    assert judged(done, DONE).outcome is Outcome.NOT_PROVEN


def test_a_lost_lock_ends_the_journey_before_its_next_write_and_removes_what_it_made() -> None:
    platform = Platform()

    def lost() -> None:
        if platform.instances:
            raise Refused("another harness holds the Lease")

    done = walked(platform=platform, confirm=lost)
    assert done.stopped is not None
    assert (done.stopped.says, done.stopped.at_fault) == ("another harness holds the Lease", False)
    assert (platform.instances, platform.customers) == ({}, set())
    assert not any("/actions" in it for it in platform.asked)
    assert judged(done, DONE).outcome is Outcome.NOT_PROVEN


def test_a_browser_that_does_not_end_keeps_no_customer_from_being_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextmanager
    def stuck(*_: object) -> Iterator[None]:
        yield
        raise OSError("the browser does not end")

    monkeypatch.setattr(walking, "browsing", stuck)
    platform = Platform()
    with pytest.raises(OSError, match="does not end"):
        walked("provisioning fails", platform=platform)
    assert (platform.instances, platform.customers) == ({}, set())


def test_a_write_is_sent_once_even_if_its_answer_is_wrong() -> None:
    platform = Platform(frozenset({"provisioning fails"}))
    walked(platform=platform)
    assert sum(it.endswith("/provision") for it in platform.asked) == 1


def test_nothing_is_asked_if_the_places_of_leftovers_cannot_be_looked_at() -> None:
    platform = Platform()
    with serving(platform) as port:
        ways = reach(outside=Network(), like=profile(port))
        with pytest.raises(Exception, match="no answer is prepared"):
            walk(ways, "customer", str, str, nothing, str)
    assert platform.asked == []


def test_no_secret_of_the_customer_is_recorded() -> None:
    redactor = Redactor()
    done = walked(hide=redactor.hide)
    found = json.dumps(redactor.value(dump(done)))
    assert done.customer in found
    assert without_secrets(found)


def test_a_journey_that_the_profile_does_not_declare_is_a_mistake_of_usage() -> None:
    with pytest.raises(ConfigError, match="declares no journey database"):
        walk(reach(like=profile(1)), "database", str, str, nothing, str)


class Killed(BaseException):
    """The harness ends here, and nothing of it runs afterwards."""


@pytest.mark.parametrize("at", range(12))
def test_the_customer_of_a_killed_journey_is_removed_by_its_record(
    monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    platform, recorded, begun = Platform(), [dict[str, Any]()], [0]

    def kill(_: str) -> None:
        begun[0] += 1
        if begun[0] == at + 1:
            raise Killed

    with monkeypatch.context() as dead:
        dead.setattr(walking._Way, "remove", lambda _: None)
        with pytest.raises(Killed):
            walked(platform=platform, tell=kill, note=lambda names: recorded.append(names.recorded))
    known = json.loads(json.dumps(recorded[-1]))
    assert known["customer"].startswith("cutover-")
    assert not {"password", "token"} & known.keys()
    with serving(platform) as port:
        ways = reach(kube=PlatformKube(platform), outside=Network(), like=profile(port))
        left = remove_customer(ways, "customer", known, str)
    assert (platform.instances, platform.customers) == ({}, set())
    unknown = {"person", "instance"} - known.keys()
    assert len(left) == len(unknown) or (at == 11 and not left)
    for it in left:
        assert f"look for what it made for {known['customer']}" in it


def test_a_record_without_an_answer_names_the_customer_and_no_other_ones_instance() -> None:
    platform = Platform(frozenset({"gives no id"}))
    with serving(platform) as port:
        ways = reach(kube=PlatformKube(platform), outside=Network(), like=profile(port))
        left = remove_customer(ways, "customer", {"customer": "cutover-1", "number": "1"}, str)
        gone = remove_customer(ways, "database", {"customer": "cutover-1"}, str)
    assert left == (
        "the record gave no instance: look for what it made for cutover-1",
        "the record gave no person: look for what it made for cutover-1",
    )
    assert gone == ("the profile declares no journey database: look for cutover-1",)


def test_the_customer_is_in_the_journal_before_the_first_request_and_until_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    platform = Platform()
    made: list[tuple[int, Any]] = []

    class Run:
        name = "run"

        def write(self, kind: Kind, subject: str, data: Any) -> None:
            assert (kind, subject) == (Kind.MADE, f"journey of {data['name']}")
            made.append((len(platform.asked), data))

    lock = SimpleNamespace(confirm=nothing)
    monkeypatch.setattr(service, "permitted", lambda *_, **__: nullcontext(lock))
    with serving(platform) as port:
        drilling = DrillService(
            reach=reach(kube=PlatformKube(platform), outside=Network(), like=profile(port)),
            folder=tmp_path,
            options=Options(allowed=True, seed=1),
            progress=print,
            hide=str,
        )
        done = drilling.walk("customer", cast(RunJournal, Run()))
    (asked, first), *_, (_, newest), (_, last) = made
    assert (asked, first["event"], last["event"]) == (0, "begun", "removed")
    assert set(newest["names"]) == {*first["names"], "person", "subscription", "instance", "backup"}
    assert first["names"]["customer"] == done.customer
    assert without_secrets(json.dumps([data for _, data in made]))
