"""Reports come from the journal alone, to the byte, and can be read by people and machines."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import ConfigError, Refused
from harness.gate import Judgement, PastRun, streaks
from harness.record.records import Finished, Kind
from harness.report import draw, summary_lines
from harness.report.charts import _visits, timeline
from harness.report.page import page as draw_page
from harness.report.page import print_pdf
from harness.report.words import account, duration, listing, number
from harness.tests import clean_drills
from harness.tests.reported import one_of_each
from harness.tests.stage import (
    CHECKS,
    Recorded,
    manifest,
    play,
    require,
    requirement,
    running,
    scenario,
)

DRAWN = ("verdict.json", "junit.xml", "summary.md", "report.html")


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return one_of_each(tmp_path / "run")


def test_every_report_is_drawn_again_from_the_journal_to_the_byte(recorded: Recorded) -> None:
    draw(recorded.folder, CHECKS)
    before = {name: (recorded.folder / name).read_bytes() for name in DRAWN}
    alone = recorded.folder.parent / "alone"
    alone.mkdir()
    shutil.copy(recorded.folder / "journal.jsonl", alone)
    draw(alone, CHECKS)
    assert {name: (alone / name).read_bytes() for name in DRAWN} == before


def test_a_folder_without_a_journal_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no journal"):
        draw(tmp_path, CHECKS)


class _Page(HTMLParser):
    """What a page loads and links to, and whether its tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "data", "srcset", "action") and value is not None:
                self.links.append(value)
            if name == "id" and value is not None:
                self.ids.append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def page(recorded: Recorded) -> str:
    draw(recorded.folder, CHECKS)
    return (recorded.folder / "report.html").read_text(encoding="utf-8")


def test_the_page_is_whole_and_loads_nothing_from_anywhere(page: str) -> None:
    parsed = _Page(page)
    assert parsed.open == []
    assert not re.search(r"(https?:)?//|@import|url\(|<script|<link|<img|<iframe", page)
    assert {link for link in parsed.links if not link.startswith("#")} == {
        *("journal.jsonl", "verdict.json", "junit.xml", "summary.md"),
    }
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)


def test_the_page_tells_whoever_decides_first_what_stands_in_the_way(page: str) -> None:
    first = page.partition('class="engineers"')[0]
    order = [
        "NO-GO for week 1",
        "What stands in the way",
        "Something answers &lt;late&gt; &amp; slowly",
        "We do not know that everything answers in time",
        "At worst: customers would wait.",
        "Measured against target",
        "<b>42 ms</b>",
        "≤ 10 ms, missed",
        "Requirements",
        "▼ was proven",
        "▲ was failed",
        "as before",
        "name, date",
    ]
    places = [first.find(text) for text in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)


def test_the_page_tells_engineers_the_steps_and_how_to_do_it_again(page: str) -> None:
    engineers = page.partition('class="engineers"')[2]
    for text in (
        "Slow &lt;ones&gt;",
        'class="passed"',
        'class="failed"',
        "features/small.feature:3",
        "Look at what is slow.",
        "./cutover gate 1 --cluster small --only W1-A",
        "journal, lines",
        "no scenario proves it yet",
        "there is no ingress here",
        "for the first time; proven in the run before",
        "First in run <code>20261124T120000Z-week01-7f3a",
    ):
        assert text in engineers, text


def _first_page(judgement: Judgement) -> str:
    return draw_page(judgement).partition('class="engineers"')[0]


def test_the_first_page_shows_the_five_worst_risks_and_keeps_the_rest_behind(
    tmp_path: Path,
) -> None:
    names = [f"W1-R{number}" for number in range(12)]
    plan = manifest(
        requirements=tuple(requirement(it, title=f"All of {it} is well") for it in names),
        scenarios=tuple(scenario(f"Proves {name}", proves=name) for name in names),
    )
    with running(tmp_path / "run", plan) as recorded:
        play(recorded.run, require("nothing is well"), which=plan.scenarios[-1])
    first = _first_page(recorded.judged())
    shown, _, behind = first.partition('<details class="rest"><summary>7 more</summary>')
    risks = re.findall(r'</span> <a href="#(W1-R\d+)">', shown)
    assert risks == ["W1-R11", *names[:4]]
    assert re.findall(r'</span> <a href="#(W1-R\d+)">', behind) == names[4:11]
    assert '<details class="rest"><summary>6 more</summary>' in behind  # of the requirements


def _past(*verdicts: str, days_ago: int) -> tuple[dict[str, Any], ...]:
    """A gate a day, of which the last was so many days ago."""
    now = datetime.now(UTC)
    ends = [now - timedelta(days=days_ago + n) for n in reversed(range(len(verdicts)))]
    return tuple(
        {
            "run": f"run-{number}",
            "week": 1,
            "ended": end.isoformat(),
            "decision": "GO",
            "requirements": {"W1-A": verdict},
        }
        for number, (verdict, end) in enumerate(zip(verdicts, ends, strict=True))
    )


@pytest.mark.parametrize(
    ("past", "since", "by"),
    [
        ((), "Failed on {now}, not judged before", "By {soon}"),
        (("pass",) * 3, "Failed on {now} for the first time; proven in the 3 runs before", "By"),
        (("pass", "fail", "fail"), "Failed since", "Was due by"),
    ],
)
def test_every_risk_has_a_date_and_one_by_which_something_is_done(
    tmp_path: Path, past: Sequence[str], since: str, by: str
) -> None:
    plan = manifest(past=_past(*past, days_ago=9))
    with running(tmp_path / "run", plan) as recorded:
        play(recorded.run, require("nothing is well"))
    judgement = recorded.judged()
    now = judgement.run_state.last.moment
    dates = {"now": f"{now:%d %b}", "soon": f"{now + timedelta(days=3):%d %b}"}
    first = _first_page(judgement)
    (when,) = re.findall(r'Make it faster.<div class="small">(.*?)</div>', first)
    assert when.startswith(by.format(**dates))
    assert f". {since.format(**dates)}" in when


def test_the_first_run_that_failed_is_known_beyond_those_that_are_remembered(
    tmp_path: Path,
) -> None:
    gates = [PastRun.model_validate(it) for it in _past("pass", *("fail",) * 30, days_ago=1)]
    found = {name: it.model_dump() for name, it in streaks(gates).items()}
    plan = manifest(past=tuple(gates[-10:]), streaks=found)
    with running(tmp_path / "run", plan) as recorded:
        play(recorded.run, require("nothing is well"))
    text = draw_page(recorded.judged())
    assert "First in run <code>run-1</code>" in text
    assert "31 runs" in text


def test_the_timeline_draws_scenarios_looks_and_faults(tmp_path: Path) -> None:
    fault = {"event": "injected", "fault": "lose-osd", "target": "one"}
    recorded = one_of_each(tmp_path / "run", ("fault", "f1", fault))
    drawn = timeline(recorded.judged().run_state)
    assert {(bar.kind, bar.words) for bar in drawn.bars} == {
        ("scenario", "Slow <ones>"),
        ("scenario", "Others"),
        ("probe", "look: answers"),
        ("fault", "fault: lose-osd on one"),
    }
    assert [bar.kind for bar in drawn.faults] == ["fault"]
    for bar in drawn.bars:
        assert drawn.left <= bar.x <= bar.x + bar.width <= drawn.width


def test_the_timeline_tells_visitors_whom_the_ingress_limited_from_those_who_failed() -> None:
    load: Any = {"phases": {"all": {"answered": 80, "failed": 5, "limited": {"a.example": 15}}}}
    part: Any = Finished(outcome=None, at=0.0, took_s=1.0)
    (span,) = _visits(part, "soak", load)
    assert span.words == "visits, 5.0 % failed, 15.0 % limited by the ingress (429): soak"


def test_the_timeline_draws_what_was_asked_of_the_platform_and_where_it_was_silent(
    tmp_path: Path,
) -> None:
    began = time.time()
    tally = {"gap_s": 0.1, "gap_from": began + 0.1, "gap_to": began + 0.2}
    drill = clean_drills.seen()["drills"][clean_drills.DRILL]
    values = [
        ("drills", "lose-machine", drill),
        ("soak", "part 1", clean_drills.soak()),
        ("ledger", "lose-machine/vm1/postgres", tally),
    ]
    records: list[tuple[str, str, Mapping[str, Any]]] = []
    for probe, target, value in values:
        records.append(("look", probe, {"targets": [target]}))
        seen = {"target": target, "at": began, "took_s": 0.3, "value": value, "error": None}
        records.append(("observation", probe, seen))
    recorded = one_of_each(tmp_path / "run", *records)
    drawn = timeline(recorded.judged().run_state)
    loads = {bar.words: bar for bar in drawn.bars if bar.kind in ("load", "footprint")}
    writes = loads["writes: lose-machine/vm1/postgres"]
    ((x, width),) = writes.marks
    assert writes.x < x < x + width <= drawn.width
    visits = [words for words in loads if words.startswith("visits, 1.0 % failed: lose-machine/")]
    assert len(visits) == len(drill["runs"])
    assert "visits, 1.0 % failed: part 1" in loads
    assert len(loads["resource usage: part 1"].marks) == 3
    assert draw_page(recorded.judged()).count('class="mark"') == 4


def test_each_week_has_its_traffic_lights(page: str) -> None:
    assert "<b>Week 1</b>" in page
    assert 'aria-label="W1-A: Failed"' in page
    assert "1 of 3 proven" in page
    assert "changed once in 2 runs" in page


def test_without_chromium_a_pdf_is_refused_with_a_remedy(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="apt-get install chromium"):
        print_pdf(recorded.folder)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here")
def test_chromium_prints_the_page_on_a4(recorded: Recorded) -> None:
    draw(recorded.folder, CHECKS)
    content = print_pdf(recorded.folder).read_bytes()
    assert content.startswith(b"%PDF")
    assert re.search(rb"/MediaBox \[0 0 59[45][.\d]* 84[12]", content)


def _luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    digits = colour if len(colour) == 6 else "".join(digit * 2 for digit in colour)
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [it / 12.92 if it <= 0.03928 else ((it + 0.055) / 1.055) ** 2.4 for it in channels]
    return sum(weight * it for weight, it in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_every_colour_of_text_can_be_read_in_the_light_in_the_dark_and_on_paper(page: str) -> None:
    blocks = re.findall(r":root\{([^}]*)\}", page)
    assert len(blocks) == 3
    for block in blocks:
        colours = dict(re.findall(r"--(\w+):#(\w+)", block))
        grounds = [_luminance(colours.pop(name)) for name in ("bg", "card")]
        del colours["line"]
        for name, colour in colours.items():
            for ground in grounds:
                dark, light = sorted((_luminance(colour), ground))
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, block)


def test_an_icon_is_never_without_its_word(page: str) -> None:
    for chip in re.findall(r'<span class="chip [^>]*>(.*?)</span>', page):
        assert re.fullmatch(r'<b aria-hidden="true">.</b> [A-Z][a-z ]+', chip), chip


def test_a_partial_run_says_that_it_is_not_the_weeks_decision(tmp_path: Path) -> None:
    with running(tmp_path / "run", manifest(only=["W1-A"], due=10)) as recorded:
        play(recorded.run, require("all is well"))
    draw(recorded.folder, CHECKS)
    text = (recorded.folder / "report.html").read_text()
    assert "GO for 1 of 10 requirements of week 1" in text
    assert "it is not the week's decision" in text


def test_the_summary_is_markdown_with_the_decision_first(recorded: Recorded) -> None:
    draw(recorded.folder, CHECKS)
    text = (recorded.folder / "summary.md").read_text()
    assert text.startswith("# NO-GO for week 1\n")
    assert "| ✕ Failed | `W1-A` | Everything answers in time | Slowest answer 42 ms |" in text


def test_the_terminal_ends_with_the_decision(recorded: Recorded) -> None:
    lines = summary_lines(draw(recorded.folder, CHECKS), recorded.folder)
    assert lines[-1].startswith("NO-GO: 1 of 3 requirements is proven. One failed:")


def test_the_verdict_on_the_disk_is_the_one_that_was_judged(recorded: Recorded) -> None:
    judgement = draw(recorded.folder, CHECKS)
    assert json.loads((recorded.folder / "verdict.json").read_text()) == judgement.document()


def test_numbers_are_written_as_people_write_them() -> None:
    given = (1204, 365.0, 364.96, 14.23, 0.0712, 0)
    assert [number(it) for it in given] == ["1,204", "365", "365", "14.2", "0.071", "0"]
    assert [duration(it) for it in (11.4, 2460, 28800)] == ["11 s", "41 min", "8.0 h"]
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing(["a"]) == "a"


def test_the_account_counts_in_words(recorded: Recorded) -> None:
    assert account(recorded.judged()) == (
        "1 of 3 requirements is proven. One failed: something answers <late> & slowly. "
        "One could not be proven. One is not applicable to this cluster."
    )


def test_the_account_of_a_refusal_says_what_to_do_in_a_sentence_of_its_own(tmp_path: Path) -> None:
    refused = Refused("one does not allow disruption", remedy="set allow_disruption")
    with running(tmp_path / "run") as recorded:
        recorded.run.write(Kind.REFUSED, "small", {"reason": str(refused)})
    says = account(recorded.judged())
    expected = (
        "Nothing was touched: one does not allow disruption. What to do: set allow_disruption."
    )
    assert says.startswith(expected)
