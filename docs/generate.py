"""The pages under ``reference/``, made from the code when MkDocs builds the site (``hooks:``).

Nothing generated is committed. Each page is a function without arguments that yields Markdown.
"""

from __future__ import annotations

import inspect
import shlex
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from random import Random
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

from docs.tables import Lines, fenced, fields, first, models, prose, table, words
from harness.checks import CHECKS
from harness.commands.cli import app
from harness.core.model import Exit
from harness.faults.fault import Fault
from harness.faults.kinds import FAULTS
from harness.faults.preflight import DISRUPTION
from harness.ledger.targets import LEDGER_PERMISSIONS
from harness.probes import PROBES
from harness.probes.permissions import EVIDENCE, PERMISSIONS, Permission
from harness.pytest_gate.catalogue import Scenario, read_features
from harness.settings import ROOT, GateFile, Profile, Requirement, Target, Waiver, load_gates
from harness.settings.drills import Drill, Soak, Steady, drill_names, load_drill, load_steady
from harness.settings.gates import UNITS, unit_of
from harness.settings.journeys import Journeys
from harness.settings.loads import Load
from harness.settings.runbook import Runbook
from harness.tests.fault_examples import EXAMPLES, whole_cluster
from harness.transport import Reach

LONGEST_SHOWN = 800  # characters of an argument that is shown


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs calls this when it has listed the files of ``docs/``: the generated ones join them."""
    for name, page in PAGES.items():
        text = "\n".join(page())
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def commands() -> Lines:
    """Every command with its options, in Typer's own words."""
    yield "# Commands\n"
    yield "Every command takes `--json`; `--cluster` takes the name of a profile, or a path.\n"
    yield from table(
        ("Exit status", "A gate says"), ((it.value, it.name.replace("_", "-")) for it in Exit)
    )
    root: Any = get_command(app)
    for name, command in root.commands.items():
        context = Context(command, info_name=name, parent=Context(root, info_name="./cutover"))
        said = get_docs_for_click(obj=command, ctx=context, indent=1, call_prefix="./cutover")
        yield from map(_example, said.splitlines())


def _example(line: str) -> str:
    """A line of a command's help, in which an example is set as what one types."""
    before, found, command = line.partition("Example: ")
    return f"{before}```console\n$ {command}\n```" if found else line


def profile() -> Lines:
    """Every field of a cluster profile."""
    yield "# Cluster profile\n"
    yield "One file a cluster, `scenarios/clusters/NAME.yaml`. A key that is not listed here is"
    yield "refused, with its line. `scenarios/clusters/contabo.yaml` is an example with comments.\n"
    yield from models(Profile, [])


def gate_files() -> Lines:
    """Every field of gate files, waivers, drills, steady state, loads, journeys, soak, runbook."""
    yield "# Gate, waiver, drill, load, journey, soak and runbook files\n"
    yield "A key that is not listed here is refused, with its line.\n"
    told: list[type[BaseModel]] = []
    for name, model in _FILES.items():
        yield f"## `scenarios/{name}`\n"
        yield from models(model, told)
    yield "## Units\n"
    yield "The name of a target ends in its unit.\n"
    yield from table(("Ends in", "Printed as"), ((f"`_{it}`", UNITS[it]) for it in UNITS))


_FILES: Mapping[str, type[BaseModel]] = {
    "gates/weekNN.yaml": GateFile,
    "waivers/NAME.yaml": Waiver,
    "drills/NAME.yaml": Drill,
    "drills/steady.yaml": Steady,
    "load/NAME.yaml": Load,
    "journeys/NAME.yaml": Journeys,
    "soak/soak.yaml": Soak,
    "runbook/cutover.yaml": Runbook,
}


def requirements() -> Lines:
    """Every requirement, with what it is held to and which scenarios prove it."""
    yield "# Requirements\n"
    scenarios = read_features()
    for file in load_gates().files:
        yield f"## Weeks {file.weeks[0]} and {file.weeks[1]}: {file.title}\n"
        for requirement in file.requirements:
            proving = [it for it in scenarios if requirement.id in it.requirements]
            yield from _requirement(requirement, proving)


def _requirement(it: Requirement, scenarios: Sequence[Scenario]) -> Lines:
    yield f"### {it.id}\n\n**{it.title}.**\n"
    yield f"{it.effect} *({it.severity}, {it.owner})*\n"
    if it.needs:
        yield f"Applies to clusters with {words(it.needs)}.\n"
    if not scenarios:
        yield '!!! warning "Not built"\n    No scenario proves it yet: a gate says NOT PROVEN.\n'
    for part in it.missing:
        yield f'!!! warning "Not built"\n    No scenario proves this part yet: {part}.\n'
    yield from _targets(it.targets)
    for scenario in scenarios:
        if scenario.drill is None:
            yield f"- {scenario.name} (`features/{scenario.file}`)"
    drills = [it.drill for it in scenarios if it.drill is not None]
    if drills:
        yield f"- Drills: {', '.join(f'[{it}](drills.md#{it})' for it in drills)}"
    yield f"\nWhat to do: {it.remedy}\n"
    yield from fenced(it.runbook, "text")


def checks() -> Lines:
    """Every check, the probes whose facts they judge, and what uses them."""
    yield "# Checks and probes\n"
    yield "A check's name is the sentence that a feature says. It judges what probes wrote to the"
    yield "journal, and nothing else.\n"
    users = _users()
    by_file: dict[str, list[str]] = {}
    for name, check in CHECKS.items():
        by_file.setdefault(_file(check), []).append(name)
    for file, names in by_file.items():
        yield f"## `{file}`\n"
        rows = ((name, first(CHECKS[name].__doc__), words(users.get(name, ()))) for name in names)
        yield from table(("Check", "In detail", "Used by"), rows)
    yield "## Probes\n"
    looks = (
        (f"`{name}`", it.sentence, first(it.__doc__), f"{it.within_s:g} s", f"`{_file(type(it))}`")
        for name, it in sorted(PROBES.items())
    )
    yield from table(("Probe", "As a Given", "What it reads", "Deadline", "File"), looks)


def _users() -> Mapping[str, Sequence[str]]:
    """The requirements whose scenarios say a check's sentence, and what else names it."""
    users: dict[str, list[str]] = {name: ["steady state"] for name in load_steady().checks}
    for scenario in read_features():
        for step in scenario.steps:
            links = [f"[{it}](requirements.md#{it.lower()})" for it in scenario.requirements]
            users.setdefault(step.text, []).extend(links)
    for name in drill_names():
        looks = load_drill(name).looks
        for check in (*looks.during, *looks.checks) if looks else ():
            users.setdefault(check, []).append(f"[{name}](drills.md#{name})")
    return users


def faults() -> Lines:
    """Every fault: what it takes with it, its parameters, and its undo as commands."""
    yield "# Faults\n"
    yield "Every fault needs `--allow-disruption`, and the profile's own `allow_disruption` and"
    yield "`uid`. The commands are an example's; `./cutover plan DRILL` shows those of a cluster.\n"
    examples = {it.name: it for it in EXAMPLES}
    cluster = whole_cluster()
    for name, fault in sorted(FAULTS.items()):
        yield f"## {name}\n\n{prose(fault.__doc__)}\n"
        radius = words(sorted(fault.blast_radius)) or "nothing that has a quorum"
        yield f"- Blast radius: {radius}"
        yield f"- Seen within {fault.seen_within_s:g} s, seen gone within {fault.gone_within_s:g} s"
        yield f"- File: `{_file(fault)}`\n"
        yield from fields(fault, sorted(_parameters(fault)))
        yield from _commands(examples[name], cluster)


def _parameters(fault: type[Fault]) -> set[str]:
    """What a drill may give it under ``with:``, beside what every fault takes."""
    needed = {name for name, it in fault.model_fields.items() if it.is_required()}
    return needed - set(Fault.model_fields)


def _commands(fault: Fault, cluster: Reach) -> Lines:
    chosen = fault.resolved(cluster, Random(1))
    place, undo = chosen.undo(cluster)
    yield '??? note "What it does, and what takes it back"\n'
    lines = [f"# {it.place}\n{_line(it.argv)}" for it in chosen.acts(cluster)]
    lines += [f"# undo, {place}", *(_line(it) for it in undo)]
    for line in fenced("\n".join(lines), "sh"):
        yield textwrap.indent(line, "    ")


def _line(argv: Sequence[str]) -> str:
    """A command as it is typed; a program that is sent along is left out."""
    return shlex.join(it if len(it) < LONGEST_SHOWN else "…" for it in argv)


def permissions() -> Lines:
    """What the account of the kubeconfig must be allowed, as a role that can be applied."""
    yield "# Permissions in the cluster\n"
    yield "The first role is enough for every gate without drills; drills need both. The profile's"
    yield "`access.kubeconfig` names an account with them, and `./cutover doctor` asks for each.\n"
    looking = {*EVIDENCE, *(it for those in PERMISSIONS.values() for it in those)}
    for name, needed in {
        "cutover-gates": looking,
        "cutover-drills": {*DISRUPTION, *LEDGER_PERMISSIONS},
    }.items():
        document = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": list(_rules(needed)),
        }
        yield f"## {name}\n"
        yield from fenced(yaml.safe_dump(document, sort_keys=False), "yaml")


def _rules(needed: Collection[Permission]) -> Iterator[Mapping[str, Sequence[str]]]:
    """Rules of a ClusterRole: one for all resources of a group with the same verbs."""
    verbs: dict[tuple[bool, str, str], list[str]] = {}
    for it in sorted(needed):
        verbs.setdefault((it.is_path, it.group, it.resource), []).append(it.verb)
    rules: dict[tuple[bool, str, tuple[str, ...]], list[str]] = {}
    for (is_path, group, resource), allowed in sorted(verbs.items()):
        rules.setdefault((is_path, group, tuple(allowed)), []).append(resource)
    for (is_path, group, same), those in rules.items():
        named = (
            {"nonResourceURLs": those} if is_path else {"apiGroups": [group], "resources": those}
        )
        yield {**named, "verbs": list(same)}


def drills() -> Lines:
    """Every drill, with what it breaks and what must hold."""
    yield "# Drills\n"
    yield "`./cutover drill NAME --allow-disruption` carries one out;"
    yield "`./cutover plan NAME` says what it would do here.\n"
    for name in drill_names():
        drill = load_drill(name)
        yield f"## {name}\n\n**{drill.title}.** {drill.effect}\n"
        broken = ", then ".join(
            f"[{it.fault}](faults.md#{it.fault}) for {it.hold_s:g} s{_given(it.parameters)}"
            for it in drill.faults
        )
        yield f"- Breaks: {broken}"
        yield f"- Where: {drill.where.replace('-', ' ')}"
        yield f"- Writes meanwhile: {', '.join(drill.ledger)}"
        yield f"- Visitors meanwhile: {drill.load or 'none'}\n"
        yield from _targets(drill.targets)


def _given(parameters: Mapping[str, Any]) -> str:
    given = ", ".join(f"{key}: {value}" for key, value in parameters.items())
    return f" ({given})" if given else ""


def _targets(targets: Mapping[str, Target]) -> Lines:
    if targets:
        yield from table(
            ("Target", "Bound", "Name in the file"),
            (
                (it.words + (" *(warns)*" if it.warns else ""), _bound(key, it), f"`{key}`")
                for key, it in targets.items()
            ),
        )


def _bound(key: str, target: Target) -> str:
    return f"{target.sign} {target.number:g} {UNITS[unit_of(key) or '']}".strip()


def _file(thing: Callable[..., Any] | type) -> str:
    path = inspect.getsourcefile(inspect.unwrap(thing)) or "?"
    return path.removeprefix(f"{ROOT}/")


PAGES: Mapping[str, Callable[[], Lines]] = {
    "commands": commands,
    "profile": profile,
    "files": gate_files,
    "requirements": requirements,
    "checks": checks,
    "faults": faults,
    "drills": drills,
    "permissions": permissions,
}
