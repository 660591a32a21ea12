"""A workload answers from every node before any harm is done: without that nothing can be said of harm."""

from collections.abc import Iterator, Sequence

from chaos.judge.base import Invariant, Judgement, held, promise, unknown, violated
from chaos.judge.sight import overlapping
from chaos.record.history import History, Window
from chaos.record.records import Probe

LATELY_S = 10.0
NOT_SERVING = "not-serving"


@promise
def serves_before_harm(target: str, *, nodes: Sequence[str]) -> Invariant:
    """In the last seconds of a recording without harm each probe of `target` was answered, from each of the nodes.

    It is judged where the steady state did not come in the time that is given for it, and then of the seconds that
    were waited for last. Reason: "not-serving". Unknown where nobody could probe: no probe came from some node, and
    what came from the others was answered.
    """

    def judge(history: History) -> Judgement:
        probes = [p for p in history.of(Probe) if p.target == target]
        ended = max((record.at for record in history), default=0.0)
        late = Window(ended - LATELY_S, ended)
        last = {node: [p for p in probes if p.node == node and p.at in late] for node in nodes}
        failed = [p for node in nodes for p in last[node] if not p.ok]
        said = "; ".join(_unserved(history, last, late))
        if failed:
            return violated(
                f"{target} did not answer every node before any harm, in {ended:.0f} s: {said}",
                failed,
                reason=NOT_SERVING,
                nodes=len(nodes),
                nodes_not_served=len({p.node for p in failed}),
            )
        if said or not nodes:
            return unknown(f"nobody can say whether {target} answered before any harm: {said or 'no node was named'}")
        return held(f"{target} answered every node before any harm", nodes=len(nodes))

    return Invariant("serves-before-harm", judge)


def _unserved(history: History, last: dict[str, list[Probe]], late: Window) -> Iterator[str]:
    """For each node from which not all is answered, how much of late was not, and why the last probe was not."""
    for node, probes in last.items():
        failed = [p for p in probes if not p.ok]
        if failed:
            yield f"from {node} {len(failed)} of the last {len(probes)} probes were not answered: {failed[-1].error}"
        elif not probes:
            why = next((f": {b.why}" for b in overlapping(history, f"probe:{node}", late)), "")
            yield f"from {node} no probe came back in the last {LATELY_S:g} s{why}"
