"""Short ways to write literal histories."""

from collections.abc import Iterable
from typing import Any

from chaos.record.history import History
from chaos.record.records import IN_SYNC, FaultStep, PodChange, Probe, Sample
from chaos.record.registry import Record


def saw_the_end(at: float = 100.0, *resources: str) -> list[Record]:
    return [Sample(at, IN_SYNC, f"watch:{name}", 1.0) for name in resources or ("nodes", "pods", "events")]


def could_not_see_the_end(at: float = 100.0) -> list[Record]:
    return [Sample(at, IN_SYNC, f"watch:{name}", 0.0) for name in ("nodes", "pods", "events")]


def fault(landed: float, undone: float | None, kind: str = "cut") -> list[Record]:
    steps: list[Record] = [FaultStep(landed, kind, "landed")]
    return steps if undone is None else [*steps, FaultStep(undone, kind, "undone")]


def pod(at: float, name: str, change: str = "listed", **fields: Any) -> PodChange:
    values: dict[str, Any] = {"workload": "web", "phase": "Running", "node": "worker", "containers": (f"{name}-1",)}
    values.update(fields)
    return PodChange(at, "ns", name, f"uid-{name}", change, **values)


def probes(pattern: str, *, node: str = "worker", start: float = 0.0, every_s: float = 0.1) -> list[Record]:
    """One probe a character: + answered, - failed, a blank for a slot without a probe."""
    return [
        Probe(
            round(start + slot * every_s, 3), node, "web", mark == "+", 0.01, error="" if mark == "+" else "no answer"
        )
        for slot, mark in enumerate(pattern)
        if mark != " "
    ]


def history(*records: Record | Iterable[Record]) -> History:
    flat: list[Record] = []
    for record in records:
        flat.extend(record if isinstance(record, list | tuple) else [record])  # type: ignore[list-item]
    return History.of_records(flat)


def asks(target: str, pattern: str, by: str = "port 1", start: float = 0.0, node: str = "worker") -> list[Record]:
    return [
        Probe(round(start + i * 0.2, 3), node, target, mark == "+", 0.01, answered_by=by if mark == "+" else "")
        for i, mark in enumerate(pattern)
    ]
