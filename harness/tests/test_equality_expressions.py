"""Texts of two servers that say the same, as real PostgreSQL wrote them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backup.equality import catalogue
from harness.backup.equality.expressions import as_restored

# As PostgreSQL 15 wrote them, before and after pg_dump and psql.
WRITTEN = [
    (
        "CHECK (((status)::text = ANY ((ARRAY['new'::character varying, "
        "'paid'::character varying])::text[])))",
        "CHECK (((status)::text = ANY (ARRAY[('new'::character varying)::text, "
        "('paid'::character varying)::text])))",
    ),
    (
        "CHECK ((((VALUE)::text ~~ '%@%'::text) AND ((VALUE)::text <> ALL "
        "((ARRAY['a@b'::character varying, 'c@d'::character varying])::text[]))))",
        "CHECK ((((VALUE)::text ~~ '%@%'::text) AND ((VALUE)::text <> ALL "
        "(ARRAY[('a@b'::character varying)::text, ('c@d'::character varying)::text]))))",
    ),
    (
        "CHECK (((a)::text = ANY ((ARRAY['x]), ('::character varying, "
        "'it''s'::character varying])::text[])))",
        "CHECK (((a)::text = ANY (ARRAY[('x]), ('::character varying)::text, "
        "('it''s'::character varying)::text])))",
    ),
    (
        "((((a)::text = ANY ((ARRAY['1'::character varying])::text[])) OR "
        "((b)::text = ANY ((ARRAY['2'::character varying])::text[]))))",
        "((((a)::text = ANY (ARRAY[('1'::character varying)::text])) OR "
        "((b)::text = ANY (ARRAY[('2'::character varying)::text]))))",
    ),
]


@pytest.mark.parametrize(("before", "after"), WRITTEN)
def test_a_list_of_texts_reads_alike_before_and_after_a_restore(before: str, after: str) -> None:
    assert as_restored(before) == after
    assert as_restored(after) == after


def test_another_list_stays_another() -> None:
    before, after = WRITTEN[0]
    assert as_restored(before.replace("'paid'", "'lost'")) != after


@given(st.text(alphabet="(ARRAY[a,'\"]):text[]", max_size=60))
def test_a_text_that_only_looks_like_a_list_ends_no_comparison(text: str) -> None:
    assert as_restored(as_restored(text)) == as_restored(text)


@pytest.mark.parametrize(("common", "is_equal"), [(16, True), (17, False)])
def test_a_privilege_that_came_with_version_17_is_compared_where_both_have_it(
    monkeypatch: pytest.MonkeyPatch, common: int, is_equal: bool
) -> None:
    """A table with ALL granted, dumped by version 15 and restored by 17: ALL has MAINTAIN too."""
    of_15 = "owner postgres; app may DELETE; app may INSERT; postgres may DELETE"
    of_17 = "owner postgres; app may DELETE; app may INSERT; app may MAINTAIN; postgres may DELETE"

    def of(definition: str) -> dict[str, str]:
        monkeypatch.setattr(catalogue, "rows", lambda *_: [("table app.subs", definition)])
        return catalogue.catalogue(None, common=common, salt=b"")  # type: ignore[arg-type]

    assert (catalogue.compare(of(of_15), of(of_17)) == ()) is is_equal
