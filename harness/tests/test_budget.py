"""What may be broken at all: no fault may take the last majority, or the second copy but one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.faults.budget import ClusterState, Pool, majority, margins, refusal
from harness.faults.model import EVERYTHING, NOTHING, BlastRadius

THREE = ("one", "two", "three")


def whole(**changes: object) -> ClusterState:
    values: dict[str, object] = {
        "machines": THREE,
        "ready": frozenset(THREE),
        "etcd": THREE,
        "etcd_well": frozenset(THREE),
        "monitors": THREE,
        "in_quorum": frozenset(THREE),
        "osds": THREE,
        "osds_up": THREE,
        "pools": (Pool(name="data", size=3, min_size=2),),
        **changes,
    }
    return ClusterState(**values)  # type: ignore[arg-type]


def test_three_whole_machines_can_lose_any_one() -> None:
    for machine in THREE:
        assert refusal(whole(), machine, EVERYTHING) is None


def test_nothing_is_taken_from_one_machine_while_another_is_not_ready() -> None:
    for blast_radius in BlastRadius:
        why = (
            refusal(whole(ready=frozenset({"one", "two"})), "one", frozenset({blast_radius})) or ""
        )
        assert "machines that are ready: 2 − 1 = 1, 2 needed" in why
        assert (
            refusal(whole(ready=frozenset({"two", "three"})), "one", frozenset({blast_radius}))
            is None
        )


def test_the_arithmetic_is_said() -> None:
    lines = [str(margin) for margin in margins(whole(), "one", EVERYTHING)]
    assert "etcd members that are well: 3 − 1 = 2, 2 needed: enough" in lines
    assert "copies in data: 3 − 1 = 2, 2 needed: enough" in lines


def test_a_second_machine_is_not_taken() -> None:
    why = refusal(whole(ready=frozenset(("one", "two"))), "one", frozenset({BlastRadius.NODE}))
    assert why == "machines that are ready: 2 − 1 = 1, 2 needed: TOO FEW"


def test_nothing_is_broken_at_all_beside_a_machine_that_is_down() -> None:
    why = refusal(whole(ready=frozenset(("one", "two"))), "one", NOTHING)
    assert why is not None
    assert "machines that are ready: 2 − 0 = 2, 3 needed" in why


def test_the_second_member_of_etcd_is_not_taken() -> None:
    why = refusal(whole(etcd_well=frozenset(("one", "two"))), "two", frozenset({BlastRadius.ETCD}))
    assert why is not None
    assert "etcd members that are well: 2 − 1 = 1, 2 needed: TOO FEW" in why


def test_a_member_that_is_down_already_is_not_counted_twice() -> None:
    lines = list(margins(whole(etcd_well=frozenset(("one", "two"))), "three", EVERYTHING))
    etcd = next(it for it in lines if it.what.startswith("etcd"))
    assert (etcd.have, etcd.lose, etcd.holds) == (2, 0, True)


def test_no_osd_is_taken_from_a_pool_that_keeps_two_copies_and_needs_both() -> None:
    pools = (Pool(name="thin", size=2, min_size=2), Pool(name="data", size=3, min_size=2))
    why = refusal(whole(pools=pools), "one", frozenset({BlastRadius.OSD}))
    assert why == "copies in thin: 2 − 1 = 1, 2 needed: TOO FEW"


def test_data_is_never_left_at_one_copy_though_the_pool_would_serve_it() -> None:
    pools = (Pool(name="bold", size=2, min_size=1),)
    assert refusal(whole(pools=pools), "one", frozenset({BlastRadius.OSD})) is not None


def test_groups_that_are_not_clean_refuse_every_fault() -> None:
    why = refusal(whole(unclean=3), "one", NOTHING)
    assert why == "3 placement groups are not active and clean"


def test_an_osd_that_is_down_refuses_every_fault() -> None:
    why = refusal(whole(osds_up=("one", "two")), "one", NOTHING)
    assert why is not None
    assert "1 OSDs are down" in why


def test_an_osd_that_does_not_answer_holds_no_copy_though_ceph_says_so() -> None:
    silent = tuple(
        f"osd.{n} on {name} is up in Ceph's map and does not answer (refused)"
        for n, name in enumerate(THREE)
    )
    why = refusal(whole(osds_up=(), osds_silent=silent), "one", NOTHING)
    assert why is not None
    assert "copies in data: 0 − 0 = 0, 2 needed: TOO FEW" in why
    assert (
        "osd.2 on three is up in Ceph's map and does not answer (refused): it holds no copy" in why
    )
    assert "OSDs are down" not in why


def test_a_monitor_whose_machine_is_not_known_is_counted_to_every_one_without_a_monitor() -> None:
    lettered = whole(monitors=("a", "b", "c"), in_quorum=frozenset("ab"))
    for machine in THREE:
        why = refusal(lettered, machine, frozenset({BlastRadius.MONITOR}))
        assert why == "monitors in quorum: 2 − 1 = 1, 2 needed: TOO FEW"
    elsewhere = whole(monitors=("one", "two", "c"), in_quorum=frozenset({"two", "c"}))
    assert "monitors" not in (refusal(elsewhere, "one", frozenset({BlastRadius.MONITOR})) or "")
    assert "2 − 1 = 1" in (refusal(elsewhere, "three", frozenset({BlastRadius.MONITOR})) or "")


def test_a_cluster_without_ceph_is_judged_without_it() -> None:
    bare = whole(monitors=(), in_quorum=frozenset(), osds=(), osds_up=(), pools=())
    assert refusal(bare, "one", EVERYTHING) is None
    assert not [it for it in margins(bare, "one", EVERYTHING) if "copies" in it.what]


members = st.sets(st.sampled_from(THREE))


@given(
    members,
    members,
    members,
    members,
    st.sampled_from(THREE),
    st.sets(st.sampled_from(BlastRadius)),
)
def test_whatever_is_granted_leaves_every_majority(
    ready: set[str],
    etcd: set[str],
    monitors: set[str],
    osds: set[str],
    machine: str,
    blast_radius: set[BlastRadius],
) -> None:
    state = whole(
        ready=frozenset(ready),
        etcd_well=frozenset(etcd),
        in_quorum=frozenset(monitors),
        osds_up=tuple(sorted(osds)),
    )
    if refusal(state, machine, frozenset(blast_radius)) is None:
        assert len(etcd - ({machine} if BlastRadius.ETCD in blast_radius else set())) >= 2
        assert len(monitors - ({machine} if BlastRadius.MONITOR in blast_radius else set())) >= 2
        assert len(osds - ({machine} if BlastRadius.OSD in blast_radius else set())) >= 2
        assert len(ready - ({machine} if BlastRadius.NODE in blast_radius else set())) >= 2


@given(st.integers(min_value=1, max_value=99))
def test_a_majority_is_more_than_half_and_no_more_than_needed(members: int) -> None:
    assert majority(members) * 2 > members >= (majority(members) - 1) * 2
