"""How much of an outage a machine explains that had no processor for those who were to answer."""

from collections.abc import Sequence
from itertools import pairwise

from chaos.record.history import History, Window
from chaos.record.records import PodChange, ProcessorWait, waited_by

COUNTED_WITHIN_S = 1.0  # the kernel counts a wait when it is over, which may be a little later than the outage


def prober_waited(history: History, node: str, target: str, window: Window) -> tuple[float, tuple[ProcessorWait, ...]]:
    """For how many seconds at the most what probes that target from a node waited itself for a processor in the window,
    and what shows it.
    """
    uid = waited_by(node, target)
    found_s, proof = _in([wait for wait in history.of(ProcessorWait) if wait.uid == uid], window)
    return min(round(found_s, 3), window.length_s), proof


def waited(history: History, workload: str, window: Window) -> tuple[float, tuple[ProcessorWait, ...]]:
    """For how many seconds at the most each of a workload's pods waited for a processor in the window, and what shows
    it: of the pod that waited least, for any of them could have answered.

    Pods that are there when the window begins count. 0 where there are none, or of one nothing is known: who was not
    seen to wait has not waited.
    """
    last = {c.uid: c for c in history.of(PodChange) if c.workload == workload and c.at <= window.start}
    there = {uid for uid, c in last.items() if c.change != "deleted" and not c.deleting and c.phase == "Running"}
    by_pod: dict[str, list[ProcessorWait]] = {uid: [] for uid in there}
    for wait in history.of(ProcessorWait):
        if wait.uid in by_pod:
            by_pod[wait.uid].append(wait)
    least = min((_in(waits, window) for waits in by_pod.values()), key=lambda found: found[0], default=(0.0, ()))
    return min(round(least[0], 3), window.length_s), least[1]


def _in(waits: Sequence[ProcessorWait], window: Window) -> tuple[float, tuple[ProcessorWait, ...]]:
    """What a pod's sum has grown by between looks of which any part is in the window."""
    until = window.end + COUNTED_WITHIN_S
    grown = [(a, b) for a, b in pairwise(waits) if a.at < until and b.at > window.start and b.waited_s > a.waited_s]
    proof = dict.fromkeys(each for pair in grown for each in pair)
    return sum(b.waited_s - a.waited_s for a, b in grown), tuple(proof)
