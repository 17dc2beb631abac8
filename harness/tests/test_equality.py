"""W5-EQUAL: what two databases differ in, and what their comparison does not prove."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.backup.equality import catalogue
from harness.backup.equality.streams import Line, side_by_side
from harness.backup.equality.tables import unescaped
from harness.checks import CHECKS
from harness.core.errors import Unreachable
from harness.core.model import Outcome, Verdict
from harness.facts.databases import OnlyOn
from harness.facts.schema import Unknown
from harness.probes.databases import compare
from harness.settings import Profile
from harness.settings.databases import DatabaseServer, Equality, pairs_differ
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.probe_rig import PROFILE, reach

ROWS, REST = "every table holds the same rows", "everything beside the rows is the same"
AHEAD, SOUND = "no sequence is behind", "every index fits its table"
ALL = (ROWS, REST, AHEAD, SOUND)
Change = Callable[[Any], object]


def judged(check: str, change: Change = lambda _: None) -> Verdict:
    """The verdict after a change to the one database that was compared."""
    seen = clean()
    change(seen["databases"][CLUSTER.name]["billing"])
    return CHECKS[check](case(seen))


def all_judged(databases: Any) -> set[Outcome]:
    seen = clean() | {"databases": {CLUSTER.name: databases}}
    return {CHECKS[check](case(seen)).outcome for check in ALL}


def table(it: Any) -> Any:
    return it["tables"]["public.invoices"]


def differs(it: Any) -> None:
    table(it).update(
        target={"rows": 8, "sha256": "bb"},
        differing=5,
        first=[
            {"row": "id 3", "kind": "changed", "columns": ["amount", "paid"]},
            {"row": "id 4", "kind": "missing", "columns": []},
            {"row": "4c5a1e0f2b77", "kind": "added", "columns": []},
            {"row": "id 9", "kind": "missing", "columns": []},
        ],
    )


def test_equal_databases_pass() -> None:
    assert {judged(check).outcome for check in ALL} == {Outcome.PASS}
    assert judged(ROWS).reason == "7 rows of 1 tables are the same on both sides"


def test_rows_that_differ_are_named_by_key_and_column_without_a_value() -> None:
    verdict = judged(ROWS, differs)
    assert (verdict.outcome, verdict.measured) == (Outcome.FAIL, {"differences_count": 5})
    assert verdict.reason == (
        "billing, public.invoices: expected the same rows, seen 7 and 8: id 3 changed in amount "
        "and paid, id 4 missing, 4c5a1e0f2b77 added and 2 more"
    )


def test_digests_that_differ_fail_even_if_no_row_is_found_to() -> None:
    verdict = judged(ROWS, lambda it: table(it)["target"].update(sha256="bb"))
    assert (verdict.outcome, verdict.measured) == (Outcome.FAIL, {"differences_count": 1})


def test_rows_that_differ_while_the_source_is_written_to_prove_nothing() -> None:
    def change(it: Any) -> None:
        differs(it)
        it.update(source_wrote=True)

    verdict = judged(ROWS, change)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "written to meanwhile: freeze it" in verdict.reason


def test_equal_snapshots_of_a_source_that_goes_on_are_equal() -> None:
    assert judged(ROWS, lambda it: it.update(source_wrote=True)).outcome is Outcome.PASS


def test_two_empty_sides_prove_nothing() -> None:
    empty = {"rows": 0, "sha256": "ee"}
    verdict = judged(ROWS, lambda it: table(it).update(source=empty, target=empty))
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "the source has no row" in verdict.reason


def different(name: str, source: str | None, target: str | None) -> Change:
    return lambda it: it.update(
        catalogue={"value": [{"object": name, "source": source, "target": target}]}
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            different("index public.paid", "CREATE INDEX paid", None),
            "billing, index public.paid: expected it on both sides, seen on the source alone",
        ),
        (
            different("role stranger", None, "login"),
            "role stranger: expected it on both sides, seen on the target alone",
        ),
        (
            different("database", "encoding UTF8; provider c", "encoding UTF8; provider i"),
            "billing, database: expected provider c, seen provider i",
        ),
    ],
)
def test_an_object_that_differs_is_told_with_what_differs(change: Change, says: str) -> None:
    verdict = judged(REST, change)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, says)


def test_an_object_that_differs_on_purpose_passes_with_a_word() -> None:
    verdict = judged(REST, different("role notification_service", None, "login"))
    assert verdict.outcome is Outcome.PASS
    assert "but for 1 that differ on purpose" in verdict.reason


@given(*(st.one_of(st.none(), st.integers(0, 3)) for _ in range(3)))
def test_a_sequence_is_behind_when_the_next_number_exists_already(
    source: int | None, target: int | None, column: int | None
) -> None:
    numbers = {"source": source, "target": target, "column": column}
    behind = any(it is not None and (target is None or target < it) for it in (source, column))
    expected = Outcome.FAIL if behind else Outcome.PASS

    def outcome(**sequence: Any) -> Outcome:
        change = {"value": {"public.id": sequence}}
        return judged(AHEAD, lambda it: it.update(sequences=change)).outcome

    assert outcome(**numbers) is expected
    mirrored = {side: None if it is None else -it for side, it in numbers.items()}
    assert outcome(**mirrored, descending=True) is expected


def test_an_index_that_misses_rows_fails() -> None:
    says = (
        'heap tuple (0,1) from table "accounts" lacks matching index tuple within index "by_name"'
    )
    verdict = judged(SOUND, lambda it: it.update(unsound={"value": {"public.by_name": says}}))
    assert verdict.outcome is Outcome.FAIL
    assert "billing, public.by_name: expected an index that fits" in verdict.reason


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (ROWS, lambda it: it["tables"].update({"public.x": {"error": "connection lost"}})),
        (REST, lambda it: it.update(catalogue={"error": "permission denied for pg_authid"})),
        (AHEAD, lambda it: it.update(sequences={"error": "permission denied"})),
        (SOUND, lambda it: it.update(unsound={"error": "no extension amcheck"})),
        (REST, lambda it: it.update(uncompared=["definition of view public.v"])),
    ],
)
def test_what_could_not_be_compared_is_not_proven(check: str, change: Change) -> None:
    assert judged(check, change).outcome is Outcome.NOT_PROVEN


def test_a_database_of_one_side_alone_fails_and_one_that_was_not_reached_is_not_proven() -> None:
    assert all_judged({"auth": {"only_on": "source"}}) == {Outcome.FAIL}
    assert all_judged({"auth": {"error": "connection refused"}}) == {Outcome.NOT_PROVEN}
    assert all_judged({}) == {Outcome.NOT_PROVEN}


# --- how rows are compared ---

KEYS = st.lists(
    st.tuples(st.binary(max_size=2).map(lambda it: (it,)), st.sampled_from([b"a", b"b"])),
    max_size=6,
    unique_by=lambda it: it[0],
)


@given(KEYS, KEYS)
def test_two_ordered_streams_differ_in_what_two_dictionaries_differ_in(
    source: list[Line], target: list[Line]
) -> None:
    old, new = dict(source), dict(target)
    found = list(side_by_side(iter(sorted(source)), iter(sorted(target))))
    assert found == [
        (key, old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


@given(st.lists(st.sampled_from([b"x", b"y"])), st.lists(st.sampled_from([b"x", b"y"])))
def test_rows_without_a_key_are_counted_one_by_one(
    source: list[bytes], target: list[bytes]
) -> None:
    sides = [iter(sorted(((it,), b"") for it in side)) for side in (source, target)]
    found = list(side_by_side(*sides))
    assert len(found) == sum(abs(source.count(it) - target.count(it)) for it in (b"x", b"y"))


_WRITTEN = {8: b"b", 12: b"f", 10: b"n", 13: b"r", 9: b"t", 11: b"v", 92: b"\\"}


@given(st.binary())
def test_a_field_is_read_as_copy_writes_it(plain: bytes) -> None:
    written = b"".join(b"\\" + _WRITTEN[it] if it in _WRITTEN else bytes([it]) for it in plain)
    assert unescaped(written) == plain


def test_catalogues_differ_in_what_is_missing_added_or_changed() -> None:
    before, now = {"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"}
    found = catalogue.compare(before, now)
    assert [(it.object, it.source, it.target) for it in found] == [
        ("a", "1", None),
        ("c", "3", "4"),
        ("d", None, "5"),
    ]


# --- which databases of which pair ---


def pairs(tmp_path: Path, *declared: Mapping[str, object]) -> Profile:
    password = tmp_path / "password"
    password.write_text("secret\n")
    side = {"machine": "vmi2887101", "address": "127.0.0.1", "password_file": str(password)}
    equality = [Equality.model_validate({"source": side, "target": side, **it}) for it in declared]
    return PROFILE.model_copy(update={"equality": tuple(equality)})


@pytest.mark.parametrize(
    ("asked", "compares"),
    [
        ((), {"": ("auth",), "killbill": ()}),
        (("billing",), {"": ("billing",)}),
        (("killbill/accounts",), {"killbill": ("accounts",)}),
        (("killbill/accounts", "auth"), {"": ("auth",), "killbill": ("accounts",)}),
    ],
)
def test_a_database_is_chosen_by_its_full_name(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    asked: tuple[str, ...],
    compares: dict[str, tuple[str, ...]],
) -> None:
    seen = {}

    def compared(_reach: object, _tunnels: object, pair: Equality, *rest: Any) -> Any:
        seen[pair.name] = rest[0]
        return {name: OnlyOn("source") for name in rest[0]}

    monkeypatch.setattr("harness.probes.databases._compared", compared)
    named = {"kind": "mariadb", "name": "killbill"}
    found = compare(reach(like=pairs(tmp_path, {"databases": ["auth"]}, named)), asked)
    assert seen == compares
    assert set(found) == set(asked or ("auth",))


def test_a_pair_that_cannot_be_asked_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def compared(_reach: object, _tunnels: object, pair: Equality, *_: Any) -> Any:
        if pair.name:
            raise Unreachable("no route")
        return {"auth": OnlyOn("source")}

    monkeypatch.setattr("harness.probes.databases._compared", compared)
    named = {"kind": "mariadb", "name": "killbill"}
    found = compare(reach(like=pairs(tmp_path, {}, named)))
    assert found == {"auth": OnlyOn("source"), "killbill/every database": Unknown("no route")}


def test_a_reason_of_one_pair_excuses_no_other() -> None:
    there = clean()
    databases = there["databases"][CLUSTER.name]
    object = {"object": "role notification_service", "source": None, "target": "login"}
    for name in ("billing", "pool/billing"):
        databases[name] = deepcopy(databases["billing"])
        databases[name].update(catalogue={"value": [object]})
    verdict = CHECKS[REST](case(there))
    assert (verdict.outcome, verdict.where) == (
        Outcome.FAIL,
        ("pool, role notification_service",),
    )


OF_A_SERVER = ("role clerk", "user killbill@%", "setting sql_mode")
OF_A_DATABASE = ("user mapping for clerk on server old", "setting of role clerk work_mem")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *((it, 1) for it in (*OF_A_SERVER, "setting of role clerk in every database work_mem")),
        *((it, 2) for it in OF_A_DATABASE),
    ],
)
def test_what_a_server_has_once_is_told_once_for_all_its_databases(name: str, told: int) -> None:
    """Each database's comparison has a salt of its own: passwords have other digests in it."""
    there = clean()
    databases = there["databases"][CLUSTER.name]
    template = databases.pop("billing")
    for number, database in enumerate(("pool/auth", "pool/billing", "other/billing")):
        definition = {
            "object": name,
            "source": f"password {number}a",
            "target": f"password {number}b",
        }
        databases[database] = {**deepcopy(template), "catalogue": {"value": [definition]}}
    verdict = CHECKS[REST](case(there))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.measured == {"differences_count": told + 1}
    pool = [f"pool, {name}"] if told == 1 else [f"pool/auth, {name}", f"pool/billing, {name}"]
    assert [it for it in verdict.where if it.startswith("pool")] == pool


def test_a_mariadb_has_its_own_port_and_user(tmp_path: Path) -> None:
    default, maria = pairs(tmp_path, {}, {"kind": "mariadb", "name": "killbill"}).equality
    assert (default.source.port, default.source.user) == (5432, "postgres")
    assert (maria.target.port, maria.target.user) == (3306, "root")


def test_one_pair_needs_no_list_and_two_need_different_names(tmp_path: Path) -> None:
    one = pairs(tmp_path, {}).equality[0]
    assert pairs_differ((one,)) == (one,)
    with pytest.raises(ValueError, match="two pairs have the same `name:`: ''"):
        pairs_differ((one, one))


@pytest.mark.parametrize("wrong", [{}, {"machine": "one"}, {"service": "a/b", "machine": "one"}])
def test_a_server_without_a_place_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="say either"):
        DatabaseServer.model_validate({"password_file": "/x", **wrong})
