"""Journeys as a profile declares them: what is a mistake, and how names are filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.core.errors import ConfigError
from harness.core.names import Names, pointed
from harness.settings import Profile, load_profile
from harness.settings.files import SCENARIOS, read_yaml
from harness.settings.journeys import Journey, JourneyRequest, find_journeys
from harness.tests.journey_world import journey


def test_a_name_that_no_earlier_request_keeps_is_a_mistake() -> None:
    steps = journey()["steps"]
    steps[2]["requests"].reverse()
    with pytest.raises(ValidationError, match="no earlier request keeps instance"):
        Journey.model_validate(journey() | {"steps": steps})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_write_cannot_be_sent_again_and_again(method: str) -> None:
    with pytest.raises(ValidationError, match="is sent once"):
        JourneyRequest.model_validate({"method": method, "path": "/", "wait": True})


def test_a_profile_names_its_journeys_or_declares_them_itself() -> None:
    named = load_profile("contabo")
    assert named.journeys == find_journeys("contabo")
    declared = {"journeys": read_yaml(SCENARIOS / "journeys/contabo.yaml")}
    told = read_yaml(SCENARIOS / "clusters/contabo.yaml") | declared
    assert Profile.model_validate(told).journeys == named.journeys


def test_journeys_that_are_not_there_or_not_valid_are_a_mistake_of_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.yaml").write_text("leftovers:\n  namespaces: [a]\n  names: [a]\n  path: b\n")
    monkeypatch.setattr("harness.settings.journeys.JOURNEYS_FOLDER", tmp_path)
    path = tmp_path / "profile.yaml"
    text = (SCENARIOS / "clusters/contabo.yaml").read_text()
    line = text.splitlines().index("journeys: contabo") + 1
    for name, says in (("nowhere", "there are: here"), ("here", "line 4: leftovers.path")):
        path.write_text(text.replace("journeys: contabo", f"journeys: {name}"))
        with pytest.raises(ConfigError, match=rf"line {line}: journeys: .*{name}") as told:
            load_profile(str(path))
        assert says in str(told.value)


def test_a_step_that_asks_nothing_is_a_mistake() -> None:
    steps: list[Any] = [{"does": "use", "within_s": 1}]
    with pytest.raises(ValidationError, match="say what is asked"):
        Journey.model_validate({"host": "api.example", "steps": steps})


def test_a_known_value_keeps_its_type_and_is_shortened_in_texts() -> None:
    names = Names()
    names.keep("user", 7)
    names.keep("instance", "1f2e3d4c-0000-4000-8000-000000000001")
    body = names.fill({"uid": "{user}", "of": ["{instance:8}", "{instance:hex}", True, "{}"]})
    assert body == {"uid": 7, "of": ["1f2e3d4c", "1f2e3d4c000040008000000000000001", True, "{}"]}
    assert names.text("{instance:hex16}") == "1f2e3d4c00004000"
    assert names.pattern("odoo-{unknown}-{instance:8}") == "odoo-*-1f2e3d4c"


def test_every_customer_is_another() -> None:
    one, other = Names(), Names()
    assert (one.customer == other.customer, one.password == other.password) == (False, False)


KEYS = st.text(st.characters(codec="utf-8"), max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
)


@given(JSON)
def test_a_pointer_leads_to_every_part_of_a_document(document: Any) -> None:
    def every(value: Any, at: str) -> None:
        assert pointed(document, at) == value
        if isinstance(value, dict):
            for key, below in value.items():
                every(below, f"{at}/{key.replace('~', '~0').replace('/', '~1')}")
        elif isinstance(value, list):
            for number, below in enumerate(value):
                every(below, f"{at}/{number}")

    every(document, "")


@given(JSON, st.text(max_size=6))
def test_a_pointer_that_leads_nowhere_says_so_and_nothing_else(document: Any, text: str) -> None:
    try:
        pointed(document, f"/{text}")
    except LookupError:
        return
    assert isinstance(document, dict | list)
