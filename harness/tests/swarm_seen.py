"""Changes of what was seen of a whole Swarm, each a defect of one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from harness.tests.clean_case import Seen
from harness.tests.clean_cluster import WEB

Defect: TypeAlias = Callable[[Seen], None]


def told(seen: Seen) -> list[Any]:
    """What each manager knows."""
    return [it["swarm"]["value"] for it in seen["swarm"].values() if it["swarm"] is not None]


def node(number: int, **changes: Any) -> Defect:
    def defect(seen: Seen) -> None:
        for known in told(seen):
            known["nodes"][number].update(changes)

    return defect


def nodes(change: Callable[[list[Any]], Any]) -> Defect:
    def defect(seen: Seen) -> None:
        for known in told(seen):
            change(known["nodes"])

    return defect


def service(number: int, **changes: Any) -> Defect:
    def defect(seen: Seen) -> None:
        for known in told(seen):
            known["services"][number].update(changes)

    return defect


def services(change: Callable[[list[Any]], Any]) -> Defect:
    def defect(seen: Seen) -> None:
        for known in told(seen):
            change(known["services"])

    return defect


def docker(name: str, **value: Any) -> Defect:
    return lambda seen: seen["swarm"][name]["docker"]["value"].update(value)


def silent(name: str) -> Defect:
    def defect(seen: Seen) -> None:
        seen["swarm"][name].update(docker={"silent": "Connection refused"}, swarm=None)

    return defect


def voiceless(*names: str) -> Defect:
    def defect(seen: Seen) -> None:
        for name in names:
            seen["swarm"][name]["swarm"] = {"error": "The swarm does not have a leader"}

    return defect


def answers(at: str, *askers: str, **answer: Any) -> Defect:
    def defect(seen: Seen) -> None:
        for asker in askers:
            seen["swarm"][asker]["answers"][WEB.at(at)] = answer

    return defect


def value(**changes: Any) -> dict[str, Any]:
    return {"status": 200, "said": True, "location": "", "took_s": 0.02, **changes}


def stale(listed: list[Any]) -> None:
    """A machine that joined again, whose first entry nobody removed."""
    listed.append({**listed[0], "id": "node-old", "state": "down", "leader": False})
