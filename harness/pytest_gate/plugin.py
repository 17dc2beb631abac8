"""The pytest plugin: makes a run of ``pytest features`` into a run of the gate.

``./cutover gate`` uses this plugin and prints less. A plain ``pytest features -m week1`` writes the
same journal, draws the same reports and ends with the same status. The plugin is active only when
pytest is started on feature files.
"""

from __future__ import annotations

import re
import sys
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import cast

import pytest

from harness import checks, probes, transport
from harness.core.errors import ConfigError, HarnessError, NotProven, Refused
from harness.core.interrupts import BY_HAND, uninterrupted
from harness.core.model import Exit
from harness.drill.service import DrillService
from harness.gate import Judgement
from harness.pytest_gate import launch
from harness.pytest_gate.bdd_internals import Scenario as BddScenario
from harness.pytest_gate.bdd_internals import Step, scenario_of
from harness.pytest_gate.catalogue import Scenario
from harness.pytest_gate.engine import Run
from harness.pytest_gate.evidence import Piece, collect
from harness.pytest_gate.reporting import GateCaller, GateHooks, TestPhase, phase, worst
from harness.pytest_gate.step_rules import StepGuard, undefined, worst_from
from harness.record import records
from harness.record.bundle import pack
from harness.record.records import Kind
from harness.report import draw, summary_lines
from harness.transport import Reach

WEEKS = range(1, 11)
NAME = "cutover-gate"
_NAMED_TAG = re.compile(r"(req|severity|needs|owner):(\S+)")
# With these options, pytest succeeds without running anything.
_PROVES_NOTHING = (
    *("collectonly", "setuponly", "setupplan", "generate_missing", "cacheshow"),
    *("showfixtures", "show_fixtures_per_test", "markers"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    launch.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(GateHooks)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Refuse options that run nothing, before pytest starts: with some of them it exits with 0."""
    runs_nothing = any(getattr(config.option, name, False) for name in _PROVES_NOTHING)
    if not runs_nothing or not (launch.runs_features(config) or launch.is_bare_week(config)):
        return None
    error = ConfigError(
        "with this option pytest runs nothing, and a gate that runs nothing proves nothing",
        remedy="./cutover lint reads the features without running them",
    )
    sys.stderr.write(f"{error}\n")
    return int(Exit.of(error))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    for week in WEEKS:
        config.addinivalue_line("markers", f"week{week}: proves something due by week {week}")
    for name in ("req", "severity", "needs", "owner"):
        config.addinivalue_line("markers", f"{name}(id): the tag @{name}:ID of a feature file")
    if launch.is_bare_week(config):
        config.args[:] = [str(config.rootpath / "features")]
    if not launch.runs_features(config):
        return
    try:
        config.pluginmanager.register(GateSession(config), NAME)
    except HarnessError as error:
        cast(GateCaller, config.hook).pytest_gate_not_opened(error=error)
        pytest.exit(str(error), returncode=int(Exit.of(error)))


@pytest.hookimpl(tryfirst=True)
def pytest_bdd_apply_tag(tag: str, function: Callable[..., object]) -> object:
    """``@req:W1-ETCD`` becomes the mark ``req(id="W1-ETCD")``; plain tags are marks already."""
    named = _NAMED_TAG.fullmatch(tag)
    if named is None:
        return None
    getattr(pytest.mark, named[1])(id=named[2])(function)
    return True


@pytest.fixture(scope="session")
def run(pytestconfig: pytest.Config) -> Run:
    """The current run: steps observe and require through it."""
    return cast(GateSession, pytestconfig.pluginmanager.get_plugin(NAME)).run


@pytest.fixture(scope="session")
def reach(run: Run) -> Reach:
    """The connections to the cluster."""
    return run.reach


class GateSession:
    """One run of the gate, from pytest's first hook to its last."""

    def __init__(self, config: pytest.Config) -> None:
        asked = launch.asked(config)
        profile = launch.profile_of(config)
        self._hook = cast(GateCaller, config.hook)
        self._guard = StepGuard()
        options = launch.drill_options(config, profile)
        with ExitStack() as stack:
            reach = stack.enter_context(transport.connect(profile))
            self._opened = launch.open_run(asked, profile, checks.CHECKS)
            journal = stack.enter_context(self._opened.journal)
            stack.enter_context(self._guard.watching())
            self._stack = stack.pop_all()
        self.run = Run(
            journal,
            self._opened.run_state,
            reach=reach,
            probes=probes.PROBES,
            drilling=DrillService(
                reach=reach,
                folder=self._opened.folder,
                options=options,
                progress=lambda text: self._hook.pytest_gate_told(text=text),
                hide=self._opened.redactor.hide,
            ),
        )
        self._scenarios = {s.id: s for s in self._opened.run_state.manifest.scenarios}
        self._under_way: Scenario | None = None
        self._phases: list[TestPhase] = []
        self._began_s = self._step_began_s = time.monotonic()
        self._uid = profile.declared_uid()
        self._collects = not config.option.without_evidence
        self._collected_after: int | None = None
        self.judgement: Judgement | None = None
        self._trouble: str | None = None
        if config.option.allure_report_dir is None:
            config.option.allure_report_dir = str(self._opened.folder / "allure-results")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        keep: list[pytest.Item] = []
        leave: list[pytest.Item] = []
        for item in items:
            scenario = self._scenario_of(item)
            wanted = scenario is not None and scenario.id not in self._opened.settled
            (keep if wanted else leave).append(item)
        items[:] = sorted(keep, key=self._turn)
        config.hook.pytest_deselected(items=leave)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            last = str(report.longrepr).strip().rpartition("\n")[2]
            text = f"collection failed: {last}"
            self.run.write(Kind.PROBLEM, report.nodeid, records.Text(text=text))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> object:
        manifest = self._opened.run_state.manifest
        self._hook.pytest_gate_opened(manifest=manifest, folder=self._opened.folder)
        try:
            self.run.identify(self._uid)
        except Refused:
            return True
        scenarios = [it for item in session.items if (it := self._scenario_of(item)) is not None]
        self.run.look_ahead([it for it in scenarios if manifest.why_not_applicable(it) is None])
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        scenario = self._scenario_of(item)
        if scenario is None:
            return
        absent = self._opened.run_state.manifest.why_not_applicable(scenario)
        if absent is not None:
            self.run.write(Kind.NOT_APPLICABLE, scenario.id, records.Reason(reason=absent))
            self._hook.pytest_gate_scenario_ended(
                scenario=scenario, state="not applicable", said=absent
            )
            pytest.skip(absent)
        self._under_way, self._phases = scenario, []
        self._began_s = time.monotonic()
        self._hook.pytest_gate_scenario_began(scenario=scenario)
        self.run.begin(scenario)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if self._under_way is not None:
            self._phases.append(phase(report, call))
            if report.failed and report.when != "teardown":
                self._collect(self._under_way)
            if report.when == "teardown":
                self._end(self._under_way)
        return report

    def _collect(self, scenario: Scenario) -> None:
        """Collect evidence before anything is cleaned up: once, and after each fault."""
        acts = len(self._opened.run_state.faults)
        untouched = self._opened.run_state.refused is not None and not acts
        if untouched or self._collected_after == acts or not self._collects:
            return
        self._collected_after = acts
        self.run.collecting(scenario.id)
        self._hook.pytest_gate_collecting(why=scenario)
        pieces: list[Piece] = []
        try:
            for piece in collect(self.run.reach):
                pieces.append(piece)
        finally:  # keep the pieces from before Ctrl-C
            self._keep(pieces)

    def _keep(self, pieces: Sequence[Piece]) -> None:
        """Store pieces of evidence; a secret that only one of them names is removed from all."""
        self._opened.redactor.learn(text for it in pieces for text in (it.text, it.error or ""))
        for piece in pieces:
            name = self.run.keep(piece.target, piece.what, piece.text, piece.error)
            if name is not None:
                file = self._opened.folder / name
                self._hook.pytest_gate_kept(target=piece.target, what=piece.what, file=file)

    def _end(self, scenario: Scenario) -> None:
        end = worst(self._phases)
        self.run.end(end.state, end.reason, time.monotonic() - self._began_s)
        self._under_way = None
        self._hook.pytest_gate_scenario_ended(scenario=scenario, state=end.told, said=end.said)

    def pytest_bdd_before_step(self, request: pytest.FixtureRequest, step: Step) -> None:
        self._guard.step = step
        self._step_began_s = time.monotonic()
        self._guard.refuse_ambiguous(request)

    def pytest_bdd_after_step(self, step: Step) -> None:
        self._step_over(step)

    @pytest.hookimpl(wrapper=True)
    def pytest_bdd_step_error(
        self,
        request: pytest.FixtureRequest,
        scenario: BddScenario,
        step: Step,
        exception: Exception,
    ) -> Generator[None]:
        self._step_over(step, str(exception) or type(exception).__name__)
        yield  # all plugins see this error before the next step starts
        raise worst_from(request, scenario, step, exception)

    @pytest.hookimpl(wrapper=True)
    def pytest_bdd_step_func_lookup_error(self, step: Step) -> Generator[None]:
        self._step_began_s = time.monotonic()
        reason = undefined(step.type, step.name)
        self._step_over(step, reason)
        yield  # the report of pytest-bdd's own error comes first
        raise NotProven(reason)

    def _step_over(self, step: Step, error: str | None = None) -> None:
        self._guard.step = None
        took_s = time.monotonic() - self._step_began_s
        self.run.step(step.keyword.strip(), step.name, took_s, error)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        by_pytest = excinfo.errisinstance((pytest.Session.Interrupted, pytest.exit.Exception))
        reason = str(excinfo.value) if by_pytest else BY_HAND
        self.run.write(Kind.INTERRUPTED, "session", records.Reason(reason=reason))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        folder = self._opened.folder
        if self._under_way is not None:
            with suppress(KeyboardInterrupt):  # pressed again: a verdict without evidence
                self._collect(self._under_way)
        with uninterrupted():
            self._seal(folder)
        try:
            return (yield)
        finally:  # also when another plugin raises
            session.exitstatus = int(self.judgement.exit if self.judgement else Exit.NOT_PROVEN)

    def _seal(self, folder: Path) -> None:
        """Write the last records, judge, draw, sign."""
        try:
            # Redact Allure's results too: they contain what steps print and log, not only records.
            self._opened.redactor.files(sorted(folder.glob("allure-results/*")))
            redacted = self._opened.redactor.report()
            self.run.write(Kind.REDACTED, "session", redacted)
            self.run.write(Kind.END, "session", records.Nothing())
            judgement = draw(folder, checks.CHECKS)
            pack(folder, self._opened.signer)
            launch.point_latest(folder)
        except Exception:
            self._trouble = traceback.format_exc()
            return
        self.judgement = judgement
        self._hook.pytest_gate_judged(judgement=judgement, folder=folder)

    def pytest_unconfigure(self) -> None:
        self._stack.close()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("gate")
        lines = (
            summary_lines(self.judgement, self._opened.folder)
            if self.judgement is not None
            else [f"NOT-PROVEN: the verdict could not be drawn and signed: {self._trouble}"]
        )
        for line in lines:
            terminalreporter.line(line)

    def _turn(self, item: pytest.Item) -> tuple[float, ...]:
        scenario = self._scenario_of(item)
        return () if scenario is None else self.run.turn(scenario)

    def _scenario_of(self, item: pytest.Item) -> Scenario | None:
        """The manifest's scenario of a test; None when the test is not in this run."""
        known = scenario_of(item)
        return None if known is None else self._scenarios.get(known)
