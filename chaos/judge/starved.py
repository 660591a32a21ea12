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
    """What a pod's sum has grown by between two looks, of each two no more than can have been in the window.

    A sum that has grown by more than lies between its looks is of a wait that began before the first of them.
    """
    until = window.end + COUNTED_WITHIN_S
    found_s, proof = 0.0, dict[ProcessorWait, None]()
    for a, b in pairwise(waits):
        grown_s = b.waited_s - a.waited_s
        inside_s = min(b.at, window.end) - max(min(a.at, b.at - grown_s), window.start)
        if a.at < until and grown_s > 0 and inside_s > 0:
            found_s += min(grown_s, inside_s)
            proof |= dict.fromkeys((a, b))
    return found_s, tuple(proof)
