"""What a profile says of the old platform: all that is needed to judge it, and nothing odd."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.settings import Profile, Swarm, load_profile

CONTABO = load_profile("contabo")


def profile(**swarm: Any) -> Profile:
    """The real machines with another Swarm, validated anew."""
    declared = CONTABO.model_dump(mode="json", by_alias=True)
    return Profile.model_validate({**declared, "swarm": {**declared["swarm"], **swarm}})


def web(**answer: Any) -> dict[str, Any]:
    return {"web": {"replicas": 2, "answers": [{"port": 8069, **answer}]}}


def test_an_answer_is_expected_of_every_machine_unless_some_are_named() -> None:
    names = tuple(machine.name for machine in CONTABO.machines)
    swarm = profile(services=web()).cluster().swarm
    assert swarm is not None
    (answer,) = swarm.services["web"].answers
    assert (answer.machines, answer.status, answer.path) == (names, 200, "/")
    swarm = profile(services=web(machines=names[:1])).cluster().swarm
    assert swarm is not None
    assert swarm.services["web"].answers[0].at(names[0]) == f"{names[0]}:8069/"


def test_a_service_may_be_stopped_or_global_and_an_answer_have_several_statuses() -> None:
    services = {
        "stopped": {"replicas": 0},
        "agent": {"mode": "global"},
        **web(status=[302, 307], location="http://a.example/", host="a.example"),
    }
    swarm = profile(services=services).cluster().swarm
    assert swarm is not None
    assert swarm.services["stopped"].replicas == 0
    assert (swarm.services["agent"].mode, swarm.services["agent"].replicas) == ("global", None)
    (answer,) = swarm.services["web"].answers
    assert answer.statuses == (302, 307)
    assert answer.at("one") == "one:8069/ as a.example"


@pytest.mark.parametrize("named", [False, True])
def test_nobody_is_asked_on_a_machine_that_is_left_out(named: bool) -> None:
    gone, *others = (machine.name for machine in CONTABO.machines)
    services = web(machines=[gone, others[0]]) if named else web()
    swarm = profile(services=services).without(gone).cluster().swarm
    assert swarm is not None
    assert list(swarm.services["web"].answers[0].machines) == (others[:1] if named else others)


@pytest.mark.parametrize(
    ("swarm", "words"),
    [
        ({"managers": ["vmi0"]}, "`swarm:` names vmi0, which `machines:` does"),
        ({"services": web(machines=["vmi0"])}, "`swarm:` names vmi0, which `machines:` does"),
        ({"managers": []}, "at least 1 item"),
        ({"services": {}}, "at least 1 item"),
        ({"services": web(path="health")}, "path"),
        ({"services": web(port=0)}, "port"),
        ({"services": {"web": {}}}, "say how many `replicas`"),
        ({"services": {"web": {"replicas": -1}}}, "replicas"),
        ({"services": {"web": {**web()["web"], "replicas": 0}}}, "it cannot have `answers`"),
        ({"services": web(status=[])}, "status"),
        ({"services": web(status=200, location="http://a.example/")}, "`status` must be 3xx"),
        ({"services": web(host="a b")}, "host"),
        ({"instances": {"names": "odoo-*", "port": 80, "host": "a.example"}}, "host"),
        ({"instances": {"names": "odoo-*", "port": 80, "machines": ["vmi0"]}}, "names vmi0"),
    ],
)
def test_a_swarm_without_sense_is_refused(swarm: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        profile(**swarm)


def test_a_stack_whose_source_is_swarm_must_say_what_it_is() -> None:
    declared = CONTABO.model_dump(mode="json", by_alias=True)
    with pytest.raises(ValidationError, match="say in `swarm:`"):
        Profile.model_validate({**declared, "swarm": None})


def test_a_swarm_that_is_not_the_source_is_not_judged() -> None:
    stack = CONTABO.stack.model_copy(update={"source": None})
    gone = CONTABO.model_copy(update={"stack": stack}).cluster()
    assert isinstance(CONTABO.swarm, Swarm)
    assert gone.swarm is None
    assert "swarm" not in gone.parts
