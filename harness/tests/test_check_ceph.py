"""Checks of Ceph and its capacity: each defect on its own, gaps, and what is declared."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checks import capacity, ceph, ceph_data
from harness.core.model import Outcome
from harness.tests.ceph_seen import (
    BY_OSD,
    DOMAIN,
    LOSS,
    Defect,
    changed,
    item,
    items,
    judge,
    rule,
    steps,
)
from harness.tests.clean_case import Seen, case, clean
from harness.tests.clean_cluster import DAY_S, NAMES, NOW

OURS = ceph.CHECKS | ceph_data.CHECKS | capacity.CHECKS
HEALTHY, QUORUM = "Ceph is healthy", "every Ceph monitor is in quorum"
CLOCKS, SLOW = "the monitors' clocks agree", "no operation in Ceph is slow"
CRASHES, VERSIONS = "no crash of Ceph is unread", "every daemon of Ceph runs one version"
ANSWER = "every OSD answers"
FLAGS, OSDS = "no flag holds Ceph back", "every OSD is up and in"
GROUPS, APART = "every placement group is active and clean", "the copies lie on different machines"
POOLS = "every pool keeps its copies"
SCRUBS, USABLE = "no scrub is overdue", "the usable capacity is large enough"
MORE = "there is more room than before"
BECAUSE = "it is known and harmless"


def complaint(code: str, severity: str = "HEALTH_WARN", muted: bool = False) -> Defect:
    checks = {code: {"severity": severity, "says": "something", "detail": ["osd.1 is so"]}}
    return item("health", {"status": severity, "checks": checks, "muted": [code] * muted})


def osd(number: int, **changes: Any) -> Defect:
    return changed("osd tree", lambda tree: tree["hosts"][NAMES[number]][0].update(changes))


def group(**changes: Any) -> Defect:
    return changed("placement groups", lambda groups: groups[1].update(changes))


def pool(**changes: Any) -> Defect:
    return changed("osd map", lambda osd_map: osd_map["pools"][1].update(changes))


def flags(*more: str) -> Defect:
    return changed("osd map", lambda osd_map: osd_map["flags"].extend(more))


def used(gb: float) -> Defect:
    return changed("osd use", lambda use: use["1"].update(used_bytes=gb * 1e9))


def answer(number: int, **told: Any) -> Defect:
    return changed("osd answers", lambda osds: osds.update({str(number): told}))


GONE = {"answers": False, "says": "no answer within 5 s; 10.0.0.2:6800: Connection refused"}


def all_down(seen: Seen) -> None:
    for number in range(3):
        osd(number, up=False)(seen)


def silent(**lost: str) -> Defect:
    said = {name: "no answer within 15 s; it is probing" for name in NAMES if name not in lost}
    nobody = {"through": None, "items": {}, "silent": said, "lost": lost}
    return lambda seen: seen["ceph"].update(test=nobody)


CRASH = {"id": "2026_x", "entity": "osd.1", "at": "2026-11-20T10:00:00Z"}
OLD = "ceph version 18.2.4 (e7ad5345525c7aa95470c26863873b581076945d) reef (stable)"
DEFECTS: list[tuple[str, Defect, str]] = [
    (HEALTHY, complaint("OSD_DOWN"), "only declared warnings, seen OSD_DOWN: something (osd.1 is"),
    (HEALTHY, complaint("PG_DAMAGED", "HEALTH_ERR"), "expected no error, seen PG_DAMAGED"),
    (HEALTHY, complaint("OSD_DOWN", muted=True), "OSD_DOWN (muted)"),
    (
        HEALTHY,
        item("health", {"status": "HEALTH_OK", "checks": {}, "muted": ["OSDMAP_FLAGS"]}),
        "no warning muted that is not declared, seen OSDMAP_FLAGS",
    ),
    (
        HEALTHY,
        item("health", {"status": "HEALTH_WARN", "checks": {}, "muted": []}),
        "expected HEALTH_OK, seen HEALTH_WARN",
    ),
    (
        QUORUM,
        changed("quorum", lambda q: q.update({"in": list(NAMES[:2])})),
        f"{NAMES[2]}: expected this monitor in quorum, seen it out of it; "
        "Ceph: expected 3 monitors in quorum, seen 2",
    ),
    (
        QUORUM,
        item("quorum", {"monitors": list(NAMES[:2]), "in": list(NAMES[:2])}),
        "expected 3 monitors in quorum, seen 2",
    ),
    (QUORUM, silent(), f"seen none: {NAMES[0]}: no answer within 15 s; it is probing"),
    (
        CLOCKS,
        changed("clocks", lambda c: c[NAMES[1]].update(skew_s=-0.3)),
        f"{NAMES[1]}: expected its clock within 50 ms of the first monitor's, seen 300 ms",
    ),
    (
        CLOCKS,
        changed("clocks", lambda c: c[NAMES[1]].update(health="HEALTH_WARN")),
        "seen 2 ms (HEALTH_WARN)",
    ),
    (
        ANSWER,
        answer(1, value=GONE),
        f"{NAMES[1]}, osd.1: expected this OSD to answer, seen Ceph call",
    ),
    (ANSWER, answer(1, value=GONE), "no answer within 5 s; 10.0.0.2:6800: Connection refused"),
    (ANSWER, all_down, "seen none up"),
    (SLOW, complaint("SLOW_OPS"), "expected no slow operation, seen SLOW_OPS: something; osd.1"),
    (SLOW, complaint("MDS_SLOW_METADATA_IO"), "MDS_SLOW_METADATA_IO"),
    (SLOW, complaint("MDS_SLOW_REQUEST"), "MDS_SLOW_REQUEST"),
    (SLOW, complaint("BLUESTORE_SLOW_OP_ALERT"), "BLUESTORE_SLOW_OP_ALERT"),
    (CRASHES, item("crashes", [CRASH]), "osd.1: expected no unread crash, seen one at 2026-11-20"),
    (
        VERSIONS,
        changed("versions", lambda v: v.update(osd={OLD: 1, next(iter(v["mon"])): 2})),
        "seen 19.2.3 (c92aebb27) (3 mon, 3 mgr, 2 osd, 3 mds), 18.2.4 (e7ad53455) (1 osd)",
    ),
    (FLAGS, flags("noout"), "Ceph: expected no flag that is not declared, seen noout"),
    (FLAGS, flags("osd.1: noin"), "osd.1: expected no flag that is not declared, seen noin"),
    (OSDS, osd(1, up=False), f"{NAMES[1]}: expected osd.1 up, seen it down"),
    (OSDS, osd(1, **{"in": False}), f"{NAMES[1]}: expected osd.1 in, seen it out"),
    (
        OSDS,
        changed("osd tree", lambda tree: tree["hosts"].pop(NAMES[2])),
        f"{NAMES[2]}: expected 1 OSD on this machine, seen 0",
    ),
    (
        OSDS,
        changed(
            "osd tree", lambda tree: tree["hosts"].update(spare=[{"id": 9, "up": True, "in": True}])
        ),
        "spare: expected OSDs on declared machines only, seen osd.9 here",
    ),
    (
        OSDS,
        changed("osd tree", lambda tree: tree["stray"].append(9)),
        "osd.9: expected every OSD below a machine",
    ),
    (GROUPS, group(state="active+undersized+degraded"), "seen 1 of 2 active+undersized+degraded"),
    (GROUPS, group(state="active+clean+inconsistent"), "active+clean+inconsistent (2.0)"),
    (GROUPS, group(state="stale+active+clean"), "stale+active+clean"),
    (GROUPS, group(state="active+clean+remapped"), "active+clean+remapped"),
    (GROUPS, group(state="unknown"), "unknown"),
    (
        APART,
        group(acting=[0, 2]),
        f"{NAMES[0]} and {NAMES[2]}: expected copies on 3 machines, seen 1 of 2",
    ),
    (APART, group(acting=[]), "Ceph: expected copies on 3 machines"),
    (APART, group(acting=[0, 0, 0]), "on 1 (2.0)"),
    (POOLS, pool(size=2), "pool cephfs_data: expected size 3, seen size 2"),
    (POOLS, pool(min_size=1), "pool cephfs_data: expected min_size 2, seen min_size 1"),
    (POOLS, pool(type=3), "expected whole copies, seen an erasure-coded pool"),
    (DOMAIN, rule(*BY_OSD), "expected the failure domain host, seen osd (rule replicated_rule)"),
    (DOMAIN, rule(*BY_OSD, *BY_OSD), "seen none"),
    (SCRUBS, group(scrubbed=NOW - 11 * DAY_S), "scrubbed in 10.5 days, seen 1 of 2 overdue, 2.0"),
    (SCRUBS, group(deep_scrubbed=NOW - 14 * DAY_S), "deep scrubbed in 12.25 days"),
    (
        USABLE,
        changed("room", lambda room: room["cephfs_data"].update(more_bytes=90e9)),
        "expected 135 GB of usable capacity, seen 119.0 GB",
    ),
    (
        MORE,
        changed("room", lambda room: room["cephfs_data"].update(more_bytes=90e9)),
        "expected 1.5 times the 86 GB that it replaces, seen 119.0 GB",
    ),
    (LOSS, used(130), f"{NAMES[0]}: expected every OSD below 85 % after losing this machine"),
    (
        LOSS,
        changed("osd map", lambda osd_map: osd_map.update(nearfull_ratio=0.15)),
        "below 15 % after losing this machine (nearfull), seen osd.1 at 20.0 %",
    ),
]


@pytest.mark.parametrize(
    ("check", "defect", "words"), DEFECTS, ids=[f"{c}: {w}" for c, _, w in DEFECTS]
)
def test_each_defect_fails_and_is_explained(check: str, defect: Defect, words: str) -> None:
    seen = clean()
    defect(seen)
    verdict = judge(check, seen)
    assert (verdict.outcome, words in verdict.reason) == (Outcome.FAIL, True), verdict.reason


def test_every_check_has_a_defect_here() -> None:
    assert {check for check, _, _ in DEFECTS} == set(OURS)


GAPS: list[tuple[str, Defect, str]] = [
    (QUORUM, silent(**{NAMES[1]: "no route"}), f"{NAMES[1]}: no route"),
    (HEALTHY, silent(), "no monitor answered"),
    (ANSWER, silent(), "no monitor answered"),
    (ANSWER, answer(1, error="may this keyring ask OSDs?"), "osd.1: may this keyring ask OSDs?"),
    (ANSWER, changed("osd answers", lambda osds: osds.pop("1")), "osd.1: it came up after"),
    (USABLE, silent(), "no monitor answered"),
    (LOSS, silent(), "no monitor answered"),
    (CLOCKS, item("clocks", {}), "have not compared its clock yet"),
    (CLOCKS, changed("clocks", lambda c: c.pop(NAMES[2])), f"{NAMES[2]}: the monitors have not"),
    (VERSIONS, item("versions", {}), "names no daemon's version"),
    (FLAGS, flags("nosuchflag"), "what its flag nosuchflag does is not known"),
    (GROUPS, item("placement groups", []), "none of its placement groups was seen"),
    (GROUPS, changed("placement groups", lambda groups: groups.pop()), "cephfs_data: none of its"),
    (GROUPS, changed("osd map", lambda osd_map: osd_map["pools"].clear()), "there is no pool"),
    (APART, item("placement groups", []), "none of its placement groups was seen"),
    (SCRUBS, item("placement groups", []), "none of its placement groups was seen"),
    (SCRUBS, group(scrubbed=NOW + 3600), "scrubbed in the future, by its clock: 2.0"),
    (POOLS, changed("osd map", lambda osd_map: osd_map["pools"].clear()), "there is no pool"),
    (DOMAIN, changed("osd map", lambda osd_map: osd_map["pools"].clear()), "there is no pool"),
    (DOMAIN, pool(crush_rule=7), "Ceph does not tell its CRUSH rule 7"),
    (DOMAIN, rule(*steps(("choose_by_moon", 0, "host"))), "its step choose_by_moon is not known"),
    (USABLE, item("room", {}), "has no pool, so its capacity is unknown"),
    (MORE, item("room", {}), "has no pool"),
    (LOSS, changed("osd use", lambda use: use["1"].update(bytes=0)), "tells its size: False"),
    (LOSS, changed("osd use", lambda use: use.pop("1")), "osd.1: Ceph does not tell how full"),
    (LOSS, changed("crush", lambda it: it.update(rules={})), "not tell its CRUSH rule 0"),
    (LOSS, rule({"op": "sing"}), "pool .mgr: its CRUSH rule 0: its step sing is not known"),
    (LOSS, changed("osd tree", lambda tree: [tree["hosts"].pop(n) for n in NAMES[1:]]), "1 mach"),
]


@pytest.mark.parametrize(("check", "gap", "words"), GAPS, ids=[f"{c}: {w}" for c, _, w in GAPS])
def test_what_could_not_be_seen_is_not_proven(check: str, gap: Defect, words: str) -> None:
    seen = clean()
    gap(seen)
    verdict = judge(check, seen)
    assert (verdict.outcome, words in verdict.reason) == (Outcome.NOT_PROVEN, True), verdict.reason


@pytest.mark.parametrize("name", sorted(items(clean())))
def test_an_item_that_ceph_did_not_answer_is_not_proven_and_told(name: str) -> None:
    seen = clean()
    items(seen)[name] = {"error": "no answer within 25 s"}
    verdicts = [judge(check, seen) for check in OURS]
    spoiled = [it for it in verdicts if it.outcome is Outcome.NOT_PROVEN]
    assert spoiled
    assert all("no answer within 25 s" in it.reason for it in spoiled)
    assert all(it.outcome is Outcome.PASS for it in verdicts if it not in spoiled)


def test_a_source_that_the_profile_does_not_declare_is_not_proven() -> None:
    verdict = judge(MORE, clean(), source_gb=None)
    assert verdict.outcome is Outcome.NOT_PROVEN
    assert "ceph.source_gb" in verdict.reason


def test_a_machine_to_which_the_profile_gives_no_osd_needs_none() -> None:
    """Three servers with taints, and OSDs on the workers alone: so Ceph knows no host of theirs."""
    seen = clean()
    items(seen)["osd tree"]["value"]["hosts"].pop(NAMES[2])
    disks = case(seen).cluster.osd_disks
    declared = {name: disk for name, disk in disks.items() if name != NAMES[2]}
    assert judge(OSDS, seen).outcome is Outcome.FAIL
    assert judge(OSDS, seen, osd_disks=declared).outcome is Outcome.PASS
    items(seen)["osd tree"]["value"]["hosts"].pop(NAMES[1])
    assert judge(OSDS, seen, osd_disks=declared).where == (NAMES[1],)
    foreign = judge(OSDS, clean(), osd_disks=declared)
    assert (foreign.outcome, foreign.where) == (Outcome.FAIL, (NAMES[2],))


# --- what is declared ---------------------------------------------------------------------------


def test_a_declared_warning_is_no_failure_and_stays_visible() -> None:
    seen = clean()
    complaint("OSD_DOWN", muted=True)(seen)
    verdict = judge(HEALTHY, seen, ceph_warnings={"OSD_DOWN": BECAUSE})
    assert verdict.outcome is Outcome.PASS
    assert f"OSD_DOWN ({BECAUSE})" in verdict.reason


def test_an_error_cannot_be_declared_away() -> None:
    seen = clean()
    complaint("OSD_FULL", "HEALTH_ERR")(seen)
    assert judge(HEALTHY, seen, ceph_warnings={"OSD_FULL": BECAUSE}).outcome is Outcome.FAIL


def test_a_declared_flag_is_no_failure() -> None:
    seen = clean()
    flags("noout", "osd.1: noscrub")(seen)
    declared = {"noout": BECAUSE, "noscrub": BECAUSE}
    assert judge(FLAGS, seen, ceph_flags=declared).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "state",
    [
        "active+clean+scrubbing",
        "active+clean+scrubbing+deep",
        "active+clean+scrubbing+deep+repair",
        "active+clean+snaptrim",
        "active+clean+snaptrim_wait",
    ],
)
def test_a_placement_group_may_be_looked_after(state: str) -> None:
    seen = clean()
    group(state=state)(seen)
    assert judge(GROUPS, seen).outcome is Outcome.PASS


def test_a_cluster_younger_than_the_interval_has_nothing_overdue() -> None:
    seen = clean()
    for one in items(seen)["placement groups"]["value"]:
        one.update(scrubbed=NOW - 600, deep_scrubbed=NOW - 600)
    verdict = judge(SCRUBS, seen)
    assert verdict.outcome is Outcome.PASS
    assert verdict.measured["scrub_age_days"] == pytest.approx(600 / DAY_S)


def test_a_note_of_ceph_s_that_is_no_warning_needs_no_declaration() -> None:
    """As Ceph 17 to 19 say it of pools whose scrubs are off by hand: HEALTH_OK, with a check."""
    checks = {
        "POOL_SCRUB_FLAGS": {
            "severity": "HEALTH_OK",
            "says": "Some pool(s) have the noscrub, nodeep-scrub flag(s) set",
            "detail": ["Pool one has noscrub flag"],
        }
    }
    seen = clean()
    item("health", {"status": "HEALTH_OK", "checks": checks, "muted": []})(seen)
    assert judge(HEALTHY, seen).outcome is Outcome.PASS
    assert judge(HEALTHY, seen, ceph_warnings={"POOL_SCRUB_FLAGS": BECAUSE}).outcome is Outcome.PASS


@pytest.mark.parametrize("check", [HEALTHY, SLOW])
def test_a_slow_operation_of_the_last_day_says_how_its_warning_clears(check: str) -> None:
    seen = clean()
    complaint("BLUESTORE_SLOW_OP_ALERT")(seen)
    verdict = judge(check, seen)
    assert verdict.outcome is Outcome.FAIL
    assert "it clears a day after the last, or when the OSD restarts" in verdict.reason
    complaint("SLOW_OPS")(seen)
    assert "clears" not in judge(check, seen).reason


@pytest.mark.parametrize("interface", ["back", "front"])
def test_heartbeats_that_were_slow_say_when_their_warning_clears(interface: str) -> None:
    code = f"OSD_SLOW_PING_TIME_{interface.upper()}"
    slow = f"Slow OSD heartbeats on {interface}"
    pair = f"{slow} from osd.0 [dc1,rack1] to osd.1 [dc1,rack1] 1118.001 msec possibly improving"
    warned = {
        "severity": "HEALTH_WARN",
        "says": f"{slow} (longest 1118.001ms)",
        "detail": [pair],
    }
    seen = clean()
    item("health", {"status": "HEALTH_WARN", "checks": {code: warned}, "muted": []})(seen)
    verdict = judge(HEALTHY, seen)
    assert verdict.outcome is Outcome.FAIL
    assert pair in verdict.reason
    assert "it clears a quarter of an hour after the last slow one" in verdict.reason


def test_a_slow_operation_that_is_declared_is_declared_wherever_it_is_judged() -> None:
    seen = clean()
    complaint("BLUESTORE_SLOW_OP_ALERT")(seen)
    declared = {"BLUESTORE_SLOW_OP_ALERT": BECAUSE}
    for check in (HEALTHY, SLOW):
        verdict = judge(check, seen, ceph_warnings=declared)
        assert verdict.outcome is Outcome.PASS
        assert f"BLUESTORE_SLOW_OP_ALERT ({BECAUSE})" in verdict.reason
    assert judge(SLOW, seen, ceph_warnings={"OSD_DOWN": BECAUSE}).outcome is Outcome.FAIL
    complaint("BLUESTORE_SLOW_OP_ALERT", "HEALTH_ERR")(seen)
    assert judge(SLOW, seen, ceph_warnings=declared).outcome is Outcome.FAIL
