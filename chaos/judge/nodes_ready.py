"""Nodes stay Ready, or are Ready again after a fault was undone."""

from collections.abc import Sequence

from chaos.judge.base import Figure, Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.sight import WHOLE, at_earliest, last_sight, names, unseen
from chaos.record.history import History
from chaos.record.records import NodeChange

NOT_READY, LATE = "not-ready", "late"

# A kubelet that was refused for a while hears of its own node again after up to 60 s (client-go's reflector backs off
# to 30 s with a jitter of as much again: tools/cache/reflector.go), and only then reports Ready where it was not.
DOCUMENTED_WITHIN_S = 120.0


@promise
@bounds(within_s="ready_s")
def nodes_ready_again(nodes: Sequence[str], *, within_s: float, fault: str | None = None) -> Invariant:
    """Each node is Ready at the end, and became so for good within `within_s` seconds after the fault was undone.

    `fault`: the kind whose undo starts the clock; by default the last undo of any. Reasons: "not-ready" (at the end, or
    its Node is gone), "late". Unknown where the recorder did not see what was at the end. The figure `ready_s_NODE` is
    0 for a node that was Ready all the time after the undo.
    """

    def judge(history: History) -> Judgement:
        window = history.fault_window(fault)
        if window is None or window.end == float("inf"):
            return unknown("no fault was undone, so there is no moment from which to count")
        seen: dict[str, list[NodeChange]] = {name: [] for name in nodes}
        for change in history.of(NodeChange):
            if change.name in seen:
                seen[change.name].append(change)
        never = sorted(name for name, changes in seen.items() if not changes)
        if never or not seen:
            return unknown(f"node {names(never)} was never seen" if never else "no node was named")
        figures: dict[str, Figure] = {"nodes": len(seen)}
        away = [changes[-1] for changes in seen.values() if not _is_ready(changes[-1])]
        if away:
            first = away[0]
            doubt = last_sight(history, "nodes", min(c.at for c in away))
            state = (
                "gone" if first.change == "deleted" else f"Ready {first.ready} since {_since(seen[first.name]):.1f} s"
            )
            return doubt or violated(
                f"{len(away)} of {len(seen)} nodes are not Ready at the end: {names([n.name for n in away])} ({state})",
                away,
                reason=NOT_READY,
                not_ready=len(away),
                **figures,
            )
        late: list[NodeChange] = []
        unsure: list[NodeChange] = []
        slowest = 0.0
        for name, changes in sorted(seen.items()):
            back = _ready_for_good(changes)
            took_s = max(0.0, back.at - window.end)
            figures[f"ready_s_{name}"] = round(took_s, 3)
            slowest = max(slowest, took_s)
            if took_s > within_s:
                earliest_s = at_earliest(history, "nodes", back.at) - window.end
                (unsure if earliest_s <= within_s else late).append(back)
        if late:
            worst = max(late, key=lambda c: c.at)
            return violated(
                f"{worst.name} was Ready {worst.at - window.end:.1f} s after the fault was undone, "
                f"allowed were {within_s:g} s",
                late,
                reason=LATE,
                **figures,
            )
        if unsure:
            return unknown(f"whether {unsure[0].name} was Ready in time could not be seen", unsure)
        blind = unseen(history, "nodes", WHOLE)
        sentence = (
            f"all {len(seen)} nodes were Ready {slowest:.1f} s after the fault was undone, allowed were {within_s:g} s"
        )
        return blind or held(sentence, **figures)

    return Invariant("nodes-ready-again", judge)


def _is_ready(c: NodeChange) -> bool:
    return c.ready == "True" and c.change != "deleted"


def _ready_for_good(changes: Sequence[NodeChange]) -> NodeChange:
    """The change by which a node that is Ready at the end became Ready; its first one, if it was all the time."""
    back = changes[-1]
    for change in reversed(changes):
        if not _is_ready(change):
            break
        back = change
    return back


def _since(changes: Sequence[NodeChange]) -> float:
    """When a node that is not Ready at the end ceased to be."""
    start = changes[-1].at
    for change in reversed(changes):
        if _is_ready(change):
            break
        start = change.at
    return start


@promise
@for_good
def ready_throughout(nodes: Sequence[str]) -> Invariant:
    """Each node was Ready from the beginning of the recording to its end. Reason: "not-ready"."""

    def judge(history: History) -> Judgement:
        changes = [c for c in history.of(NodeChange) if c.name in nodes]
        never = sorted(set(nodes) - {c.name for c in changes})
        if never or not nodes:
            return unknown(f"node {', '.join(never)} was never seen" if never else "no node was named")
        away = [c for c in changes if c.ready != "True" or c.change == "deleted"]
        if away:
            back = [c.at for c in changes if c.name == away[0].name and c.at > away[0].at and c.ready == "True"]
            until = f"{back[0] - away[0].at:.1f} s long" if back else "to the end"
            state = "was deleted" if away[0].change == "deleted" else f"was Ready {away[0].ready}"
            sentence = f"{away[0].name} {state} at {away[0].at:.1f} s, {until}"
            return violated(sentence, away, reason=NOT_READY, first_s=round(away[0].at, 3))
        return unseen(history, "nodes", WHOLE) or held(
            f"{', '.join(nodes)} stayed Ready from the beginning to the end", nodes=len(nodes)
        )

    return Invariant("ready-throughout", judge)
