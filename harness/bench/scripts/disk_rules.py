"""Whether a partition may be written to: a pure function of the seen and the recorded facts.

A fact that was not seen, or is not recorded, refuses. So does a disk whose table is not sound,
which also keeps a partition from being added to it (``table_flaws``). Sent to the machines with the
guard: standard library of Python 3.8 only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

from harness.facts.hostnames import is_hostname_of

if TYPE_CHECKING:
    # A fact of ``facts_script``: each rule knows the form of its own fact.
    Fact = Any
    Facts = Mapping[str, Fact]

GIB = 1 << 30
# EFI's system partition, and GRUB's boot partition.
BOOT_TYPES = ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "21686148-6449-6e6f-744e-656564454649")
SYSTEM_MOUNTS = ("/", "/boot", "/boot/efi", "/usr", "/var", "/etc", "/home")
RECORDED = (
    "machine",
    "machine_id",
    "path",
    "number",
    "partuuid",
    "serial",
    "start_bytes",
    "size_bytes",
    "disk_bytes",
    "least_bytes",
)


PROTECTIVE = 0xEE


def table_flaws(sound: Facts, path_of: Callable[[int], str]) -> Iterator[str]:
    """Flaws of a disk's GPT, in words; ``path_of`` names a partition by its number.

    ``sound``: the disk's ``sectors``, its ``mbr_types``, ``gpt`` with ``alternate`` and
    ``copy_equal``, and number, first and last sector of the ``partitions`` of the table; ``kernel``
    has first and last sector of those that the kernel knows, by number.
    """
    sectors, table = sound["sectors"], sound["gpt"]
    if sound["mbr_types"] is None or any(it != PROTECTIVE for it in sound["mbr_types"]):
        yield f"its MBR is no protective one, but has types {sound['mbr_types']}"
    if table["alternate"] >= sectors:
        yield (
            f"it shrank: the table's copy belongs in sector {table['alternate']},"
            f" the disk ends before {sectors}"
        )
    elif not table["copy_equal"]:
        yield f"the table's copy in sector {table['alternate']} is damaged"
    placed = sorted(sound["partitions"], key=lambda it: int(it[1]))
    for one, after in combinations(placed, 2):
        if after[1] <= one[2]:
            yield f"{path_of(one[0])} and {path_of(after[0])} overlap"
    for it, first, last in placed:
        if not 0 < first <= last < sectors:
            yield f"{path_of(it)} leaves the disk: sectors {first}–{last}"
    seen = {it: (first, last) for it, first, last in placed}
    known = {it: (first, last) for it, (first, last) in sound["kernel"].items()}
    if known != seen:
        yield f"the kernel knows {_ranges(known)}, the table says {_ranges(seen)}"


def _ranges(partitions: Mapping[int, Iterable[int]]) -> str:
    said = [f"{it}: {first}–{last}" for it, (first, last) in sorted(partitions.items())]
    return ", ".join(said) or "no partition"


def refusals(seen: Facts, recorded: Facts) -> list[str]:
    """Every reason not to write, in words; a write is allowed only without any reason."""
    said = []
    for what in RECORDED:
        if recorded.get(what) is None:
            said.append(f"{what} is not recorded")
    if said:
        return said
    unseen = seen.get("unseen", {})
    for what, rule in RULES.items():
        if what not in seen:
            said.append(f"{what} could not be seen: {unseen.get(what, 'it was not looked at')}")
            continue
        try:
            said += rule(seen[what], recorded)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            said.append(f"{what} could not be understood: {type(error).__name__}: {error}")
    return said


def _machine(found: Fact, recorded: Facts) -> Iterable[str]:
    if not is_hostname_of(found["hostname"], recorded["machine"]):
        yield f"wrong machine: this is {found['hostname']}, not {recorded['machine']}"
    if found["machine_id"] != recorded["machine_id"]:
        yield f"wrong machine: its machine-id is {found['machine_id']}, not the recorded one"


def _path(found: Fact, recorded: Facts) -> Iterable[str]:
    if found["asked"] != recorded["path"]:
        yield f"{found['asked']} is not the allowed {recorded['path']}"
    if found["real"] != found["asked"]:
        yield f"{found['asked']} is a symlink to {found['real']}"


def _kind(found: Fact, recorded: Facts) -> Iterable[str]:
    if found != "block device":
        yield f"{recorded['path']} is not a block device"


def _partition(found: Fact, recorded: Facts) -> Iterable[str]:
    if found is None:
        yield f"{recorded['path']} is a whole disk, not a partition"
    elif found != recorded["number"]:
        yield f"it is partition {found}, and partition {recorded['number']} is recorded"


def _kernel(found: Fact, recorded: Facts) -> Iterable[str]:
    for what, words in (
        ("start_bytes", "start"),
        ("size_bytes", "size"),
        ("disk_bytes", "size of its disk"),
        ("serial", "serial number"),
    ):
        if found[what] != recorded[what]:
            yield f"{words}: {found[what]} is not the recorded {recorded[what]}"
    if found["size_bytes"] < recorded["least_bytes"]:
        yield f"too small: {found['size_bytes'] / GIB:.2f} GiB"
    if found["read_only"]:
        yield "it is read-only"


def _table(found: Fact, recorded: Facts) -> Iterable[str]:
    named = [it for it in found if it["partuuid"] == str(recorded["partuuid"]).lower()]
    if len(named) != 1:
        yield f"the PARTUUID {recorded['partuuid']} is on its disk {len(named)} times"
    here = [it for it in found if it["start_bytes"] == recorded["start_bytes"]]
    for it in here:
        if it["partuuid"] != str(recorded["partuuid"]).lower():
            yield f"PARTUUID: {it['partuuid']} is not the recorded {recorded['partuuid']}"
        if it["size_bytes"] != recorded["size_bytes"]:
            yield f"size in the partition table: {it['size_bytes']} is not the recorded one"
        if it["type"] in BOOT_TYPES:
            yield "it is a boot partition"
        if "ceph" in it["label"].lower():
            yield f"its PARTLABEL says {it['label']!r}"
    if not here:
        yield "no partition of the table starts where the recorded one does"


def _soundness(found: Fact, recorded: Facts) -> Iterable[str]:
    path = str(recorded["path"])
    for flaw in table_flaws(found, lambda it: f"partition {it}"):
        yield f"the disk of {path}: {flaw}"


def _mounts(found: Fact, _: Facts) -> Iterable[str]:
    if found:
        yield f"it is mounted at {', '.join(found)}"
    if set(found) & set(SYSTEM_MOUNTS):
        yield "the system runs from it"


def _labels(found: Fact, _: Facts) -> Iterable[str]:
    for where in ("partition", "disk"):
        for place in found[where]:
            yield f"a BlueStore label lies at {place} GiB of the {where}"


def _nested(found: Fact, _: Facts) -> Iterable[str]:
    if found is not False:
        yield "a GPT lies on the partition itself"


def _busy(found: Fact, _: Facts) -> Iterable[str]:
    if found is not None:
        yield f"it is in use, exclusive open failed: {found}"


def _backing(found: Fact, _: Facts) -> Iterable[str]:
    if found is not None:
        yield f"its bytes lie in the file {found} on a disk of this machine"


def _osds(found: Fact, _: Facts) -> Iterable[str]:
    if found is None:
        yield "it is not known whether one of Ceph's OSDs uses it"
    elif found:
        yield f"ceph osd metadata names {', '.join(found)}"


def _none_of(words: str) -> Callable[[Fact, Facts], Iterable[str]]:
    def rule(found: Fact, _: Facts) -> Iterable[str]:
        if len(found):
            yield f"{words} {', '.join(found)}"

    return rule


RULES: Mapping[str, Callable[[Fact, Facts], Iterable[str]]] = {
    "machine": _machine,
    "path": _path,
    "kind": _kind,
    "partition": _partition,
    "kernel": _kernel,
    "table": _table,
    "soundness": _soundness,
    "children": _none_of("it is divided into"),
    "holders": _none_of("it is held by"),
    "mounts": _mounts,
    "swaps": _none_of("it is used as swap:"),
    "loops": _none_of("there are loop devices over it or its disk:"),
    "backing": _backing,
    "signatures": _none_of("something has signed it:"),
    "labels": _labels,
    "nested": _nested,
    "busy": _busy,
    "osds": _osds,
}
