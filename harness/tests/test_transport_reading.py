"""Ways to a cluster that can only read: what would change anything is refused before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.core.errors import Refused
from harness.faults import reachability_script
from harness.tests.fake_transport import FakeShell
from harness.tests.stage import reach
from harness.transport import Completed, Reach
from harness.transport.reading import reading
from harness.transport.remote_script import RemoteScript

PYTHON = ("python3", "-I", "-S", "-")
A_PROGRAM = RemoteScript(reachability_script)


def only_reading() -> Reach:
    words = ("ip", "nft", "tc", "ceph", "modprobe", "python3", "rm")
    done = Completed(status=0, stdout="", stderr="")
    shell = FakeShell({("*", word): done for word in words})
    return reading(replace(reach(), shell=shell), scripts=(A_PROGRAM,))


@pytest.mark.parametrize(
    "argv",
    [
        ("ip", "-json", "route", "show", "default"),
        ("nft", "--check", "table inet x { }"),
        ("tc", "-json", "qdisc", "show"),
        ("ceph", "--connect-timeout", "8", "osd", "perf", "--format", "json"),
        ("modprobe", "--dry-run", "--quiet", "sch_netem"),
    ],
)
def test_what_only_reads_is_let_through(argv: Sequence[str]) -> None:
    assert only_reading().shell.run("one", argv).status == 0


@pytest.mark.parametrize(
    "argv",
    [
        ("nft", "table inet x { }"),
        ("tc", "qdisc", "add", "dev", "eth0"),
        ("ceph", "osd", "down", "0"),
        ("ip", "-json", "route", "del", "default"),
        ("modprobe", "sch_netem"),
        ("rm", "--force", "/x"),
    ],
)
def test_everything_else_is_refused(argv: Sequence[str]) -> None:
    with pytest.raises(Refused, match="is not known to only read"):
        only_reading().shell.run("one", argv)


@pytest.mark.parametrize(
    ("words", "program", "reads"),
    [
        ((), A_PROGRAM.text, True),
        (("list",), A_PROGRAM.text, True),
        (("ask", "tcp", "10.0.0.1", "22"), A_PROGRAM.text, True),
        (("heal", "f00d"), A_PROGRAM.text, False),
        ((), "another program", False),
    ],
)
def test_a_program_that_is_known_reads_when_it_is_told_to(
    words: Sequence[str], program: str, reads: bool
) -> None:
    shell = only_reading().shell
    if reads:
        assert shell.run("one", (*PYTHON, *words), stdin=program).status == 0
    else:
        with pytest.raises(Refused):
            shell.run("one", (*PYTHON, *words), stdin=program)
