"""Checks of what is not a machine: snapshots, the load balancer, sites; each defect on its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks import CHECKS
from harness.core.model import Case, Outcome, Verdict
from harness.tests.clean_case import Seen, case, clean, snapshot_file
from harness.tests.clean_cluster import DAY_S, INGRESS, MACHINES, NAMES, NOW

Defect: TypeAlias = Callable[[Seen], None]
FRESH = "an etcd snapshot is fresh"
COPIED = "a copy of the newest snapshot is off its machine"
RESTORES = "the newest snapshot restores"
ADDRESS, ANSWERS = "a service is given an address of the pool", "the service answers at its address"
ROUTED, UNKNOWN, TLS = "a host reaches its service", "an unknown host gets 404", "TLS is valid"
SITES = "every declared site answers"


def _snapshots(seen: Seen) -> Any:
    return seen["etcd-snapshots"]["test"]


def _older(kind: str) -> Defect:
    def defect(seen: Seen) -> None:
        for items in _snapshots(seen)["listed"].values():
            for file in items[kind]["value"]:
                file["modified"] -= 2 * DAY_S

    return defect


def _none(kind: str) -> Defect:
    def defect(seen: Seen) -> None:
        for items in _snapshots(seen)["listed"].values():
            items[kind] = {"value": []}

    return defect


def _nothing_at_all(seen: Seen) -> None:
    _none("snapshots")(seen)
    _none("copies")(seen)
    _snapshots(seen).update(newest=None, original=None, restored=None)


def _restored(**changes: Any) -> Defect:
    return lambda seen: _snapshots(seen)["restored"]["value"].update(changes)


def _at_home(seen: Seen) -> None:
    _snapshots(seen)["newest"].update(seen_by=[NAMES[0]], restored_on=NAMES[0])


def _balancer(**changes: Any) -> Defect:
    return lambda seen: seen["load-balancer"]["test"].update(changes)


def _site(**changes: Any) -> Defect:
    return lambda seen: seen["ingress"]["test"]["sites"]["10.0.0.2"].update(changes)


def _declared(found: Any) -> Defect:
    def defect(seen: Seen) -> None:
        seen["ingress"]["test"]["declared"]["shop.example at 10.0.0.2"] = found

    return defect


def _page(found: Any) -> Defect:
    def defect(seen: Seen) -> None:
        seen["ingress"]["test"]["pages"][PAGE] = found

    return defect


def _answer(**changes: Any) -> Defect:
    return _page({"value": {"status": 200, "said": True, "location": "", **changes}})


PAGE = "https://shop.example/health at 10.0.0.2"
_SOON = {"value": {"subject": "CN=shop", "not_after": NOW + 9 * DAY_S}}
DEFECTS: list[tuple[str, Defect, str]] = [
    (FRESH, _older("snapshots"), "seen the newest to be 49.0 hours old"),
    (FRESH, _nothing_at_all, "seen none on any server"),
    (COPIED, _older("copies"), "seen the newest to be 49.0 hours old"),
    (COPIED, _none("copies"), "expected a copy off the machine, seen none"),
    (COPIED, _at_home, f"{NAMES[0]}: expected another machine to see its copy"),
    (COPIED, _restored(sha256="a5a5"), "seen other bytes"),
    (RESTORES, _nothing_at_all, "expected a snapshot to restore, seen none"),
    (RESTORES, _restored(refused="etcdutl snapshot restore: Error: hash"), "Error: hash"),
    (RESTORES, _restored(revision=1), "expected revision 812, seen 1"),
    (RESTORES, _restored(keys=0), "expected keys, seen none"),
    (RESTORES, _restored(keys=339), "expected 340 keys, as before it was restored, seen 339"),
    (RESTORES, _restored(keys=341), "expected 340 keys, as before it was restored, seen 341"),
    (RESTORES, _restored(uid="u-2"), "expected a snapshot of u-1, seen one of u-2"),
    (ADDRESS, _balancer(address=None, said="no available IPs"), "seen none (no available IPs)"),
    (ADDRESS, _balancer(address="10.0.0.1"), "10.0.0.200-10.0.0.219, seen 10.0.0.1"),
    (ADDRESS, _balancer(given_after_s=31.0), "within 30 s, seen 31 s"),
    (ANSWERS, _balancer(answer={"error": "refused", "took_s": 20}), "seen refused"),
    (ROUTED, _site(ours={"error": "status 503", "took_s": 60}), "10.0.0.2: expected the host"),
    (ROUTED, _site(ours={"value": "shop-1", "took_s": 1}), "its own pod, seen 'shop-1'"),
    (ROUTED, _site(ours={"value": "site", "took_s": 44}), "within 30 s, seen 44.0 s"),
    (UNKNOWN, _site(stranger={"value": 200}), "seen 200"),
    (SITES, _answer(status=502), f"{PAGE}: expected a status below 400, seen 502"),
    (SITES, _answer(status=404), "seen 404"),
    (SITES, _answer(said=False), f"{PAGE}: expected an answer that says 'well', seen another"),
    (SITES, _page({"error": "refused"}), f"{PAGE}: expected an answer, seen refused"),
    (TLS, _site(certificate={"denied": "self-signed"}), "a new site at 10.0.0.2"),
    (TLS, _declared({"denied": "certificate has expired"}), "certificate has expired"),
    (TLS, _declared(_SOON), "30 more days of its certificate, seen 9"),
]


def judge(check: str, seen: Seen, **declared: Any) -> Verdict:
    known = case(seen)
    cluster = replace(known.cluster, **declared)
    return CHECKS[check](
        Case(cluster=cluster, targets=known.targets, observations=known.observations)
    )


@pytest.mark.parametrize(
    ("check", "defect", "words"), DEFECTS, ids=[f"{c}: {w}" for c, _, w in DEFECTS]
)
def test_each_defect_fails_and_is_explained(check: str, defect: Defect, words: str) -> None:
    seen = clean()
    defect(seen)
    verdict = judge(check, seen)
    assert (verdict.outcome, words in verdict.reason) == (Outcome.FAIL, True), verdict.reason


GAPS: list[tuple[str, Defect, str]] = [
    (COPIED, lambda seen: _snapshots(seen).update(original={"error": "lost"}), "lost"),
    (RESTORES, lambda seen: _snapshots(seen).update(restored={"error": "no etcdutl"}), "etcdutl"),
    (RESTORES, lambda seen: _snapshots(seen).update(cluster_uid=None), "who it is"),
    (RESTORES, _restored(expected_keys=None), "how many keys it holds is not known"),
    (ANSWERS, _balancer(address=None), "no address to answer at"),
    (UNKNOWN, _site(stranger={"error": "no answer"}), "no answer"),
    (ROUTED, _site(ours={"limited": "", "took_s": 1}), "limits our one address (429"),
    (UNKNOWN, _site(stranger={"limited": "retry-after: 2"}), "429 Too Many Requests; retry-after"),
    (SITES, _page({"limited": "retry-after: 2"}), "limits our one address to 30/min (429 Too"),
    (
        SITES,
        lambda seen: seen["ingress"]["test"]["pages"].pop(PAGE),
        f"{PAGE}: this page was not asked for",
    ),
    (SITES, lambda seen: seen["ingress"]["test"].pop("pages"), "this page was not asked for"),
    (TLS, _site(certificate={"error": "no answer"}), "no answer"),
    (TLS, lambda seen: seen["ingress"]["test"]["sites"].update({"10.0.0.2": {"error": "x"}}), "x"),
]


@pytest.mark.parametrize(("check", "gap", "words"), GAPS, ids=[f"{c}: {w}" for c, _, w in GAPS])
def test_what_could_not_be_looked_at_is_not_proven(check: str, gap: Defect, words: str) -> None:
    seen = clean()
    gap(seen)
    verdict = judge(check, seen)
    assert (verdict.outcome, words in verdict.reason) == (Outcome.NOT_PROVEN, True), verdict.reason


@given(st.sampled_from(NAMES), st.sampled_from(["snapshots", "copies"]))
def test_a_server_that_was_not_asked_leaves_no_pass(server: str, kind: str) -> None:
    seen = clean()
    _snapshots(seen)["listed"][server] = {"error": "sshd went away"}
    verdict = judge(FRESH if kind == "snapshots" else COPIED, seen)
    assert (verdict.outcome, verdict.where) == (Outcome.NOT_PROVEN, (server,))


def test_a_snapshot_whose_original_is_pruned_is_still_copied() -> None:
    seen = clean()
    _snapshots(seen)["newest"].update(origin=[])
    _snapshots(seen).update(original=None)
    assert judge(COPIED, seen).outcome is Outcome.PASS


@given(st.integers(0, 255), st.booleans())
def test_an_address_is_of_a_pool_by_its_range_or_its_network(last: int, as_network: bool) -> None:
    seen = clean()
    seen["load-balancer"]["test"]["address"] = f"10.0.9.{last}"
    pool = ("10.0.9.64/26",) if as_network else ("10.0.9.64-10.0.9.127",)
    verdict = judge(ADDRESS, seen, load_balancer_pool=("192.168.0.0/24", *pool))
    assert (verdict.outcome is Outcome.PASS) == (64 <= last <= 127)


def test_the_address_of_a_broken_machine_is_not_judged_and_the_others_are() -> None:
    seen = clean()
    broken, other = MACHINES[0], MACHINES[1]
    sites = seen["ingress"]["test"]["sites"]
    sites[broken.address]["ours"] = {"error": "refused", "took_s": 60.0}
    made = case(seen)
    assert CHECKS["a host reaches its service"](made).outcome is Outcome.FAIL
    without = replace(made, cluster=made.cluster.without(broken.name))
    assert CHECKS["a host reaches its service"](without).outcome is Outcome.PASS
    sites[other.address]["ours"] = {"error": "refused", "took_s": 60.0}
    assert CHECKS["a host reaches its service"](without).outcome is Outcome.FAIL


@given(st.integers(100, 599), st.none() | st.integers(100, 599))
def test_a_page_answers_with_its_declared_status_or_one_below_400(
    status: int, declared: int | None
) -> None:
    seen = clean()
    _answer(status=status)(seen)
    page = replace(INGRESS.pages[0], status=declared)
    for address in {"10.0.0.1", "10.0.0.3"}:
        other = {"status": declared or 200, "said": True, "location": ""}
        seen["ingress"]["test"]["pages"][INGRESS.at(page, address)] = {"value": other}
    verdict = judge(SITES, seen, ingress=replace(INGRESS, pages=(page,)))
    fits = status < 400 if declared is None else status == declared
    assert verdict.outcome is (Outcome.PASS if fits else Outcome.FAIL)


def test_what_leads_to_https_is_not_served_over_http() -> None:
    plain = replace(INGRESS, scheme="http", port=80)
    seen = clean()
    leads = {"status": 301, "said": False, "location": "https://shop.example/health"}
    pages = {plain.at(plain.pages[0], at): {"value": leads} for at in plain.addresses}
    seen["ingress"]["test"]["pages"] = pages
    verdict = judge(SITES, seen, ingress=plain)
    assert (verdict.outcome, "`scheme: https`" in verdict.reason) == (Outcome.FAIL, True)


def test_without_a_declared_site_none_is_asked_and_the_verdict_says_so() -> None:
    verdict = judge(SITES, clean(), ingress=replace(INGRESS, pages=()))
    assert (verdict.outcome, "declares no site" in verdict.reason) == (Outcome.NOT_APPLICABLE, True)


def test_where_the_ingress_is_plain_http_no_certificate_is_asked_for() -> None:
    seen = clean()
    _site(certificate={"denied": "self-signed"})(seen)
    assert judge(TLS, seen).outcome is Outcome.FAIL
    verdict = judge(TLS, seen, absent={"tls": "the ingress is plain HTTP: `scheme: http`"})
    assert (verdict.outcome, "plain HTTP" in verdict.reason) == (Outcome.NOT_APPLICABLE, True)


def test_a_failure_is_not_hidden_by_a_limit_elsewhere() -> None:
    seen = clean()
    _page({"limited": ""})(seen)
    other = INGRESS.at(INGRESS.pages[0], "10.0.0.3")
    seen["ingress"]["test"]["pages"][other]["value"]["status"] = 502
    verdict = judge(SITES, seen)
    assert (verdict.outcome, verdict.where) == (Outcome.FAIL, (other,))


# --- only whole snapshots count -----------------------------------------------------------------

YOUNG = ("etcd-snapshot-a-1746343203.part", 4096), ("etcd-snapshot-a-1746343203", 0)


def _among_the_listed(*files: Any) -> Defect:
    """These lie on the first server, which alone has a whole one, 80 hours old."""

    def change(seen: Seen) -> None:
        listed = _snapshots(seen)["listed"]
        old = snapshot_file("etcd-snapshot-a-1746057603", hours=80)
        for name, items in listed.items():
            mine = [old, *files] if name == NAMES[0] else []
            items["snapshots"] = {"value": mine}
            items["copies"] = {"value": [old, *files]}

    return change


@pytest.mark.parametrize(("name", "size"), YOUNG)
@pytest.mark.parametrize("check", [FRESH, COPIED])
def test_a_snapshot_that_is_not_whole_makes_none_fresh(check: str, name: str, size: int) -> None:
    seen = clean()
    _among_the_listed(snapshot_file(name, hours=1) | {"bytes": size})(seen)
    verdict = judge(check, seen)
    assert verdict.outcome is Outcome.FAIL
    assert "80.0 hours old" in verdict.reason
    assert f"passed over: {name} on" in verdict.reason


def test_a_stray_file_beside_a_fresh_snapshot_is_passed_over_with_a_word() -> None:
    seen = clean()
    stray = snapshot_file("README.md", hours=0.1) | {"database": False}
    for items in _snapshots(seen)["listed"].values():
        items["snapshots"]["value"].append(stray)
        items["copies"]["value"].append(stray)
    for check in (FRESH, COPIED):
        verdict = judge(check, seen)
        assert verdict.outcome is Outcome.PASS
        assert "passed over: README.md on vmi2887101 is no snapshot" in verdict.reason


def _s3(*files: Any) -> Seen:
    seen = clean()
    _snapshots(seen)["s3"] = {"value": list(files)}
    return seen


def _upload(*, hours: float = 1, **changes: Any) -> Any:
    uploaded = snapshot_file(f"hourly-{NAMES[0]}", hours=hours)
    return uploaded | {"ready": True, "error": None} | changes


def test_in_s3_a_snapshot_is_off_the_machine_by_rke2s_own_record() -> None:
    seen = _s3(_upload())
    for items in _snapshots(seen)["listed"].values():
        items["copies"] = {"error": "the profile names no place for them"}
    verdict = judge(COPIED, seen)
    assert verdict.outcome is Outcome.PASS, verdict.reason
    assert "in S3" in verdict.reason


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([], "seen none"),
        ([_upload(hours=30)], "30.0 hours old"),
        ([_upload(), _upload(hours=0.1, ready=False, error="Access Denied.")], "Access Denied."),
        ([_upload(ready=False, error="Access Denied.")], "S3: expected hourly-"),
        ([_upload(bytes=17)], "with its 4096 bytes, seen 17"),
        ([_upload(bytes=0)], "passed over"),
    ],
)
def test_an_upload_that_is_old_or_failed_is_no_copy(files: list[Any], says: str) -> None:
    verdict = judge(COPIED, _s3(*files))
    assert verdict.outcome is Outcome.FAIL
    assert says in verdict.reason


def test_a_record_of_uploads_that_cannot_be_read_proves_nothing() -> None:
    seen = clean()
    _snapshots(seen)["s3"] = {"error": "forbidden"}
    assert judge(COPIED, seen).outcome is Outcome.NOT_PROVEN
