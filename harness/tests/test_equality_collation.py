"""A physical copy of a PostgreSQL onto another C library, which sorts the same locale otherwise.

The old platform's PostgreSQL runs on Alpine, whose musl sorts text by its bytes in every locale;
the new one's runs on Debian. Two definitions of one locale stand for the two libraries: glibc reads
the one that LOCPATH names.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.backup.equality.compare import compared
from harness.backup.equality.session import Server
from harness.checks import CHECKS
from harness.core.model import Outcome
from harness.facts.databases import Database
from harness.facts.schema import Known, dump
from harness.tests.clean_case import case, clean
from harness.tests.clean_cluster import CLUSTER
from harness.tests.postgres_server import IS_THERE, postgres, psql

_LOCALES = Path("/usr/share/i18n/locales/en_US")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_THERE, reason="postgresql-15 is not installed"),
    pytest.mark.skipif(not _LOCALES.exists(), reason="Debian's package locales is not installed"),
]
_MAKE = "create database shop template template0 locale 'en_US.utf8'"
# Alpine's libc tells PostgreSQL no version, so there is nothing that PostgreSQL could warn of.
_LIKE_ALPINE = "update pg_database set datcollversion = null where datname = 'shop'"
_SEED = """
create extension amcheck;
create table customers (id int primary key, name text not null, city text);
insert into customers select i, case i % 2 when 0 then 'Shop ' else 'shop ' end || i, 'B'
  from generate_series(1, 500) i;
create unique index by_name on customers (name);
create index by_bytes on customers (name collate "C");
create index by_city on customers (city);
"""


def locale(source: str, folder: Path) -> str:
    """A folder for LOCPATH in which ``en_US.utf8`` sorts as another locale does."""
    folder.mkdir()
    command = ("localedef", f"--inputfile={source}", "--charmap=UTF-8", f"{folder}/en_US.utf8")
    subprocess.run(command, check=True, capture_output=True)
    return str(folder)


@pytest.fixture(scope="module")
def copied() -> Iterator[tuple[Server, Server]]:
    """A source that sorts by bytes, and its files under a server that sorts as en_US does."""
    with (
        tempfile.TemporaryDirectory(prefix="cutover-pg-") as name,
        pytest.MonkeyPatch.context() as env,
    ):
        place = Path(name)
        place.chmod(0o755)
        env.setenv("LOCPATH", locale("C", place / "by-bytes"))
        with postgres(place / "old") as source:
            psql(source, "postgres", f"{_MAKE}; {_LIKE_ALPINE}")
            psql(source, "shop", _SEED)
        (place / "new").mkdir()
        subprocess.run(["cp", "--archive", place / "old/data", place / "new"], check=True)
        with postgres(place / "old") as source:
            env.setenv("LOCPATH", locale("en_US", place / "by-words"))
            with postgres(place / "new") as target:
                yield source, target


def compared_shop(servers: tuple[Server, Server]) -> Database:
    found = compared(*servers, ["shop"])["shop"]
    assert isinstance(found, Database)
    return found


def test_only_its_indexes_tell_that_a_copy_is_sorted_by_another_library(
    copied: tuple[Server, Server],
) -> None:
    """Rows and catalogue are equal, and a look-up by name finds nothing."""
    name = "select count(*) from customers where name = 'Shop 250'"
    by_index = f"set enable_seqscan = off; set enable_bitmapscan = off; {name}"
    assert [psql(it, "shop", by_index).strip() for it in copied] == ["1", "0"]
    seen = case(clean() | {"databases": {CLUSTER.name: dump({"shop": compared_shop(copied)})}})
    for check in ("every table holds the same rows", "everything beside the rows is the same"):
        verdict = CHECKS[check](seen)
        assert verdict.outcome is Outcome.PASS, verdict
    sound = CHECKS["every index fits its table"](seen)
    assert (sound.outcome, sound.where) == (Outcome.FAIL, ("shop, public.by_name",))
    assert 'invariant violated for index "by_name"' in sound.reason


def test_indexes_that_are_built_anew_fit(copied: tuple[Server, Server]) -> None:
    psql(copied[1], "shop", "reindex table customers")
    assert compared_shop(copied).unsound == Known({})


def test_a_library_of_another_version_is_told(copied: tuple[Server, Server]) -> None:
    """As after a dump and a restore: the target has its library's version, and the source none."""
    own = "datcollversion = pg_database_collation_actual_version(oid)"
    psql(copied[1], "postgres", f"update pg_database set {own} where datname = 'shop'")
    catalogue = compared_shop(copied).catalogue
    assert isinstance(catalogue, Known)
    (database,) = catalogue.value
    assert database.object == "database collation version"
    assert "collation version unknown" in str(database.source)
    assert "collation version unknown" not in str(database.target)


def test_a_permitted_version_of_the_library_hides_no_other_property(
    copied: tuple[Server, Server],
) -> None:
    before = catalogue_of(copied)
    psql(copied[1], "postgres", "create role other; alter database shop owner to other")
    psql(copied[1], "postgres", "revoke connect on database shop from public")
    try:
        found = catalogue_of(copied)
    finally:
        psql(copied[1], "postgres", "alter database shop owner to postgres")
        psql(copied[1], "postgres", "grant connect on database shop to public; drop role other")
    assert found - before >= {"database owner", "database privileges"}


def catalogue_of(copied: tuple[Server, Server]) -> set[str]:
    catalogue = compared_shop(copied).catalogue
    assert isinstance(catalogue, Known)
    return {it.object for it in catalogue.value}
