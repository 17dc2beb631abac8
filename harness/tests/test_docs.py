"""What README, CONTRIBUTING and ``docs/`` say is true: commands, links, status, and the site."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, create_model
from typer.main import get_command

from docs import generate
from docs.tables import held, meanings
from harness.commands.cli import app
from harness.commands.own_checks import command_options
from harness.core.waiting import until
from harness.pytest_gate.lint.runbook import unknown_command
from harness.settings import ROOT, GateFile, Profile, Waiver, load_gates
from harness.settings.drills import Drill, Soak, Steady, drill_names
from harness.settings.journeys import Journey
from harness.settings.loads import Load
from harness.settings.restore import Restore
from harness.settings.runbook import Runbook
from harness.transport.browser import opened

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CUTOVER = "./cutover"
CONTABO = "scenarios/clusters/contabo.yaml"
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda it: it.relative_to(ROOT).as_posix())


@dataclass(frozen=True)
class Shown:
    """A command that a page shows, and the lines that it says are printed."""

    words: tuple[str, ...]
    prints: tuple[str, ...] = ()

    def __str__(self) -> str:
        return shlex.join(self.words)


def shown(page: Path) -> Iterator[Shown]:
    """Every command of a page's ``console`` blocks, and those of the project set in a sentence."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        assert block.startswith("$ "), f"a console block begins with a command: {block}"
        for typed in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *prints = typed.splitlines()
            yield Shown(tuple(shlex.split(command)), tuple(prints))
    for command in re.findall(r"`(\./cutover [^`…]+)`", text):
        yield Shown(tuple(shlex.split(command)))


def runs_anywhere(words: tuple[str, ...]) -> bool:
    """True for a command that needs no cluster, no lab, and only reads."""
    match words:
        case (_, "lint") | (_, "drill" | "load", "--list"):
            return True
        case (_, "plan", what, *_):
            return what.isdigit()
        case (_, "doctor", "--cluster", cluster):
            return cluster == CONTABO  # it ends at what is not filled in
    return "--help" in words


# Each once, with all that a page says it prints.
RUN = {
    str(it): it
    for it in sorted((it for page in PAGES for it in shown(page)), key=lambda it: len(it.prints))
    if runs_anywhere(it.words)
}


@each_page
def test_every_command_shown_exists_with_its_options(page: Path) -> None:
    options = command_options(get_command(app))
    for it in shown(page):
        if it.words[0] != CUTOVER:
            assert it.words[:3] == (".venv/bin/python", "-m", "mkdocs"), it
        assert unknown_command(it.words, options) == ""


@pytest.mark.slow
@pytest.mark.parametrize("it", RUN.values(), ids=str)
def test_a_command_that_needs_no_cluster_prints_what_the_page_shows(
    it: Shown, tmp_path: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "harness", *it.words[1:]],
        cwd=ROOT,
        env=os.environ | {"HOME": str(tmp_path), "PYTHONPATH": _path(), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in ran.stderr
    assert ran.returncode in (0, 2), ran.stderr
    lines = iter(ran.stdout.splitlines())
    for line in it.prints:
        assert line in ("", "…") or line in lines, f"{line!r} is not in {ran.stdout}"


def test_commands_that_a_reader_can_try_without_a_cluster_are_shown() -> None:
    assert {words[1] for words in (it.words for it in RUN.values())} >= {
        "lint",
        "plan",
        "doctor",
        "drill",
    }


def test_the_gate_that_readme_shows_has_the_titles_of_the_gate_files() -> None:
    titles = {it.id: it.title for it in load_gates().requirements}
    rows = re.findall(r"^✓ (\S+) +Proven +(.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(rows) >= 3
    assert {(name, titles[name]) for name, _ in rows} == set(rows)


def test_readme_gives_every_requirement_and_every_drill_one_status() -> None:
    rows = _status()
    requirements = [name for row in rows.values() for name in re.findall(r"\bW\d+-[A-Z-]+", row)]
    drills = [name for row in rows.values() for name in re.findall(r"`([a-z0-9-]+)`", row)]
    drills.remove("lab-full")
    assert sorted(requirements) == sorted(it.id for it in load_gates().requirements)
    assert sorted(drills) == sorted(drill_names())


def test_readme_calls_built_what_the_gate_files_call_built() -> None:
    rows = _status()
    for it in load_gates().requirements:
        (status,) = (status for status, row in rows.items() if re.search(rf"{it.id}\b(?!-)", row))
        assert status.startswith("Not built") is it.planned, it.id
        assert status.startswith("Built in part") is bool(it.missing), it.id


def test_readmes_map_names_rooms_that_are_there() -> None:
    block = (ROOT / "README.md").read_text().partition("\nharness/\n")[2].partition("```")[0]
    rooms = [it for line in block.splitlines() for it in re.split(" {2,}", line.strip())[0].split()]
    there = {it.stem for it in (ROOT / "harness").iterdir() if not it.name.startswith("__")}
    assert {it.strip("/") for it in rooms} == there


def test_every_module_that_a_page_names_is_there() -> None:
    pages = [it for it in PAGES if it.parent.name != "tutorial"]  # whose modules are to be written
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    named = set(re.findall(r"`((?:harness|steps)/[a-z_/]+\.py)`", text))
    assert "harness/drill/runner.py" in named
    assert [it for it in sorted(named) if not (ROOT / it).is_file()] == []


def test_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_link_leads_to_a_file(name: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / name).read_text(encoding="utf-8"))
    assert links
    assert [it for it in links if "://" not in it and not (ROOT / it).exists()] == []


@pytest.mark.parametrize("root", [Profile, GateFile, Waiver, Drill, Steady, Load, Soak, Runbook])
def test_every_key_of_a_file_has_a_meaning_for_the_reference(root: type[BaseModel]) -> None:
    for model in held(root, []):
        told = meanings(model)
        prose = " ".join(it.__doc__ or "" for it in model.__mro__)
        for name, field in model.model_fields.items():
            known = told.get(name) or f"``{field.alias or name}``" in prose
            assert known, f"say above {model.__name__}.{name} what it means"


@pytest.mark.parametrize("page", ["profile", "files"])
def test_every_kind_in_the_reference_leads_to_the_one_model_of_its_name(page: str) -> None:
    text = "\n".join(generate.PAGES[page]())
    models = [it.lower() for it in re.findall(r"^### (\w+)$", text, re.MULTILINE)]
    assert sorted(models) == sorted(set(models))
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= set(models)


# What how-tos show parts of.
FILES = (Load, Profile, Restore, Journey)


def fields_of(model: type[BaseModel], keys: Iterable[str]) -> dict[str, Any]:
    """The fields of a model that have these keys in a file, each with its type."""
    named = model.model_fields.items()
    return {name: (it.annotation, it) for name, it in named if (it.alias or name) in keys}


def parts_shown() -> Iterator[Any]:
    """Each part of a file that a how-to shows, by its keys."""
    for page in sorted((ROOT / "docs/howto").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```yaml[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            told = yaml.safe_load(block)
            if isinstance(told, list) and "does" in told[0]:
                told = {"steps": told}
            if isinstance(told, dict) and set(told) != {"http"}:  # which is Traefik's own
                yield pytest.param(told, id=f"{page.stem}: {', '.join(told)}")


@pytest.mark.parametrize("told", [*parts_shown()])
def test_what_a_how_to_shows_of_a_file_is_valid(told: dict[str, Any]) -> None:
    fields = next(it for model in FILES if len(it := fields_of(model, told)) == len(told))
    create_model("part", **fields).model_validate(told)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    build = ["mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    ran = subprocess.run(
        [sys.executable, "-m", *build],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return folder


@pytest.mark.slow
def test_the_reference_is_made_from_the_code_and_can_be_searched(site: Path) -> None:
    found = json.loads((site / "search/search_index.json").read_text())["docs"]
    texts = {it["location"]: it["title"] + it["text"] for it in found}
    for page, word in {
        "reference/commands.html#cutover-gate": "--allow-disruption",
        "reference/profile.html#kubernetes": "etcd_tools_image",
        "reference/requirements.html#w1-etcd": "wal_fsync_p99_ms",
        "reference/checks.html#harnesscheckshostpy": "every clock follows its source",
        "reference/faults.html#lose-packets": "percent",
        "reference/drills.html#lose-machine": "power-off",
        "reference/permissions.html#cutover-drills": "leases",
    }.items():
        assert word in texts[page], page


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here")
def test_the_search_finds_a_word_without_asking_another_host(site: Path) -> None:
    found = "document.querySelectorAll('.md-search-result__item').length"
    hosts = "performance.getEntriesByType('resource').map(it => new URL(it.name).host)"
    asked = f"[...new Set({hosts})].join()"
    with served(site) as host, opened() as page:
        page.open(f"http://{host}/index.html?q=quorum")
        until(lambda: page.run(found), what="the search has found pages", within_s=60.0)
        assert page.run(asked) == host


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder over HTTP on this machine alone; its host and port."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _status() -> dict[str, str]:
    """The rows of README's status table, by their first cell."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("| Status |")[2].partition("\n\n")[0]
    rows = [line.strip("|").split("|", 1) for line in table.splitlines()[2:]]
    return {status.strip(): row for status, row in rows}


def _path() -> str:
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
