"""Typed facts: to JSON and back unchanged, and one word about what does not fit the schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from harness import facts
from harness.checks.findings import items, looks
from harness.core.errors import Garbled
from harness.core.model import Outcome
from harness.facts.schema import (
    Entry,
    Fact,
    Item,
    Items,
    Known,
    OrUnknown,
    Part,
    Unknown,
    dump,
    null,
    part_of,
    read,
)
from harness.probes import PROBES
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import MACHINES, NAMES

Named = TypeVar("Named", Fact[object], Entry[object])


@dataclass(frozen=True, slots=True)
class Drive:
    path: str
    size_gb: float
    labels: tuple[str, ...]
    health: Mapping[str, Item[int]]
    firmware: str | None = None
    # "in" is a word of Python's; None is written, though it may be missing.
    is_in: Annotated[bool, Field(validation_alias="in")] = True
    slot: int | None = field(default_factory=null)


DRIVES = Fact("drives", dict[str, OrUnknown[Drive]])
SWAPPED = Entry(Fact("machine", Items), "swapped", tuple[str, ...])

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_ITEMS: st.SearchStrategy[Known[int] | Unknown] = st.one_of(
    st.builds(Known[int], st.integers()), st.builds(Unknown, _TEXTS)
)
_DRIVES = st.builds(
    Drive,
    path=_TEXTS,
    size_gb=st.floats(allow_nan=False, allow_infinity=False),
    labels=st.lists(_TEXTS, max_size=3).map(tuple),
    health=st.dictionaries(_TEXTS, _ITEMS, max_size=3),
    firmware=st.none() | _TEXTS,
    is_in=st.booleans(),
    slot=st.none() | st.integers(),
)


@given(st.dictionaries(_TEXTS, st.one_of(_DRIVES, st.builds(Unknown, _TEXTS)), max_size=3))
def test_a_fact_comes_back_from_json_as_it_was(drives: dict[str, Drive | Unknown]) -> None:
    assert read(DRIVES.kind, dump(drives)) == drives


def test_a_fact_is_written_under_its_names_in_json_and_without_what_is_optional() -> None:
    drive = Drive(path="/dev/sda", size_gb=3.5, labels=("a",), health={})
    assert dump(drive) == {
        "path": "/dev/sda",
        "size_gb": 3.5,
        "labels": ["a"],
        "health": {},
        "in": True,
        "slot": None,
    }


def test_an_item_that_is_something_else_is_unknown_and_costs_no_other() -> None:
    items: Items = {"one": Known([1, 2]), "two": Known("x"), "three": Unknown("no route")}
    assert part_of(items, Part("one", tuple[int, ...])) == Known((1, 2))
    for name, why in (
        ("two", "the value: Input should be a valid array"),
        ("three", "no route"),
        ("four", "it was not looked at"),
    ):
        found = part_of(items, Part(name, tuple[int, ...]))
        assert isinstance(found, Unknown)
        assert found.error.startswith(why)


def _drive(**changes: object) -> dict[str, object]:
    drive = {"path": "/dev/sda", "size_gb": 3, "labels": ["a"], "health": {"wear": {"value": 1}}}
    return {"one": drive | changes}


def test_a_field_of_another_version_is_passed_over() -> None:
    assert read(DRIVES.kind, _drive(colour="red")) == read(DRIVES.kind, _drive())


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"one": {"path": "/dev/sda"}}, r'^one\.size_gb: Field required, seen {"path":"/dev/sda"}'),
        (_drive(size_gb="3"), r'^one\.size_gb: Input should be a valid number, seen "3"'),
        (_drive(labels=["a", 7]), r"^one\.labels\.1: Input should be a valid string, seen 7"),
        (_drive(health={"wear": {"value": 0.5}}), r"^one\.health\.wear\.value: .* integer"),
        (_drive(health={"wear": {"value": True}}), r"^one\.health\.wear\.value: .* integer"),
        (_drive(health={"wear": {}}), r"^one\.health\.wear\.value: Field required"),
        (_drive(health={"wear": {"error": 3}}), r"^one\.health\.wear\.error: .* string, seen 3"),
        ([], r"^the value: Input should be an object, seen \[\]"),
        ({"one": "x" * 500}, r"^one: Input should be an object, seen \"x{79}…$"),
        ({"one": {1, 2}, "two": object()}, "not JSON"),
    ],
)
def test_what_does_not_fit_is_garbled_and_says_where(value: object, says: str) -> None:
    with pytest.raises(Garbled, match=says):
        read(DRIVES.kind, value)


def test_a_garbled_look_is_a_gap_at_its_place() -> None:
    seen = looks(case({"drives": {"a": _drive(), "b": _drive(path=None)}}), DRIVES, ["a", "b", "c"])
    assert set(seen.values) == {"a"}
    assert [str(gap) for gap in seen.unseen] == [
        "b: drives: one.path: Input should be a valid string, seen null",
        "c: drives did not look there",
    ]
    assert {gap.outcome for gap in seen.unseen} == {Outcome.NOT_PROVEN}


def test_items_of_a_machine_are_garbled_each_for_itself() -> None:
    machines: list[dict[str, object]] = [
        {"swapped": {"value": ["/swap"]}, "other": {"value": 3}},
        {"swapped": {"value": "/swap"}},
        {"swapped": {"error": "no answer within 10 s"}},
    ]
    seen = items(case({"machine": dict(zip(NAMES, machines, strict=True))}), SWAPPED, MACHINES)
    assert seen.values == {NAMES[0]: ("/swap",)}
    assert [str(gap) for gap in seen.unseen] == [
        f'{NAMES[1]}: swapped: the value: Input should be a valid array, seen "/swap"',
        f"{NAMES[2]}: swapped: no answer within 10 s",
    ]


def test_an_item_that_the_probe_passed_over_is_a_gap() -> None:
    seen = items(case({"machine": {NAMES[0]: {}}}), SWAPPED, MACHINES[:1])
    assert [str(gap) for gap in seen.unseen] == [f"{NAMES[0]}: swapped: machine did not look at it"]


def _declared(kind: type[Named]) -> list[Named]:
    """Every fact, or entry of one, that a module of facts declares."""
    modules = [import_module(it.name) for it in iter_modules(facts.__path__, "harness.facts.")]
    return [it for module in modules for it in vars(module).values() if isinstance(it, kind)]


def test_every_probe_reports_a_fact_of_its_name() -> None:
    assert set(PROBES) <= {fact.name for fact in _declared(Fact)}


def test_a_whole_clusters_facts_fit_their_schemas_and_come_back_unchanged() -> None:
    seen = clean()
    for fact in {fact.name: fact for fact in _declared(Fact)}.values():
        for value in seen.get(fact.name, {}).values():
            known = read(fact.kind, value)
            assert dump(read(fact.kind, dump(known))) == dump(known), fact.name


def test_a_whole_machines_items_fit_their_schemas_and_come_back_unchanged() -> None:
    seen = clean()
    entries = _declared(Entry)
    assert entries
    for entry in entries:
        for value in seen[entry.of.name].values():
            item = value.get(entry.name)
            if item is not None:
                known = read(entry.kind, item["value"])
                assert dump(read(entry.kind, dump(known))) == dump(known), entry.name
