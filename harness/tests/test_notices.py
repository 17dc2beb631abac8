"""A removal that fails takes nothing away from a look that is finished, and is told."""

from __future__ import annotations

import pytest

from harness.core.errors import Denied, Unreachable
from harness.core.notices import collecting, removed_afterwards, tell
from harness.probes import pods
from harness.tests.test_probe_pods import Cluster


def fails() -> None:
    raise Unreachable("no route")


def test_a_finished_body_keeps_its_result_and_the_report_says_what_is_left() -> None:
    def look() -> int:
        with removed_afterwards("the namespace x", fails):
            return 7

    with collecting() as told:
        assert look() == 7
    assert told == ["the namespace x could not be removed, and may be left: no route"]


def test_without_a_collector_it_is_raised() -> None:
    assert not tell("something")
    with pytest.raises(Unreachable), removed_afterwards("x", fails):
        pass


def test_the_error_of_the_body_is_the_one_that_is_raised() -> None:
    with collecting() as told, pytest.raises(ZeroDivisionError), removed_afterwards("x", fails):
        raise ZeroDivisionError
    assert told == ["x could not be removed, and may be left: no route"]


def test_what_is_told_elsewhere_is_not_collected_here() -> None:
    with collecting() as outer:
        with collecting() as inner:
            tell("inside")
        tell("outside")
    assert (outer, inner) == (["outside"], ["inside"])


class Lasting(Cluster):
    """A cluster whose namespaces cannot be deleted."""

    def delete(self, path: str, *, within_s: float = 10.0) -> None:
        super().delete(path, within_s=within_s)
        raise Denied(f"not allowed: {path}")


def test_a_namespace_that_cannot_be_deleted_is_told_and_the_look_stays() -> None:
    cluster = Lasting({})
    with collecting() as told, pods.namespace(cluster) as space:
        pass
    (text,) = told
    expected = f"the namespace {space} could not be removed, and may be left: not allowed"
    assert text.startswith(expected)


def test_volumes_that_may_not_be_looked_at_do_not_keep_the_namespace() -> None:
    class Blind(Cluster):
        def get(self, path: str, *, within_s: float = 10.0) -> object:
            if path.endswith("/persistentvolumes"):
                if not self.manifests:
                    return {"items": None}
                raise Denied("not allowed: persistentvolumes")
            return super().get(path, within_s=within_s)

    cluster = Blind({})
    with collecting() as told, pods.namespace(cluster, claims=True) as space:
        pass
    assert cluster.deleted() == [f"/api/v1/namespaces/{space}"]
    assert "not allowed: persistentvolumes" in told[0]
