"""One machine is one Node, and a Node that is renamed stays, or becomes again, what it was."""

from itertools import pairwise

from chaos.judge.base import Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.sight import WHOLE, unseen
from chaos.record.history import History, Window
from chaos.record.records import Blind, NodeChange, Sample
from chaos.subjects.identity.records import ASKED, GAP_S, MachineIds, NodeMachine

DUPLICATE, STILL_READY = "duplicate", "still-ready"
NEVER_AFTER = 3.0


@promise
@for_good
def one_node_per_machine(*, gap_s: float = GAP_S) -> Invariant:
    """At no time was a Node there that shows the machine id, system UUID, provider id or address of another one.

    Those that were alike when the recording began (machines that were copied) do not count; the figure says how many.
    Reason: "duplicate". Unknown where nobody asked for more than `gap_s` seconds, or a Node came and went unasked.
    """

    def judge(history: History) -> Judgement:
        asked = [s.at for s in history.of(Sample) if s.name == ASKED]
        if not asked:
            return unknown("nobody asked the Nodes which machine they stand for")
        seen = history.of(NodeMachine)
        now: dict[str, MachineIds] = {}
        before: set[frozenset[str]] = set()
        found: dict[frozenset[str], tuple[NodeMachine, tuple[str, ...]]] = {}
        for each in seen:
            if each.machine is None:
                now.pop(each.node, None)
                continue
            for name, other in now.items():
                same = each.machine.shared_with(other)
                pair = frozenset({name, each.node})
                if same and name != each.node and each.at <= asked[0]:
                    before.add(pair)
                elif same and name != each.node and pair not in before:
                    found.setdefault(pair, (each, same))
            now[each.node] = each.machine
        if found:
            pair, (first, same) = min(found.items(), key=lambda item: item[1][0].at)
            (other_name,) = pair - {first.node}
            return violated(
                f"{first.node} and {other_name} are two Nodes of one machine: the same {', '.join(same)} "
                f"from {first.at:.1f} s on",
                [each for each in seen if any(each.node in pair for pair in found)],
                reason=DUPLICATE,
                duplicates=len(found),
                first_s=round(first.at, 3),
                same=", ".join(same),
            )
        gaps = [(a, b) for a, b in pairwise(asked) if b - a > gap_s]
        if gaps:
            a, b = gaps[0]
            blind = [x for x in history.of(Blind) if x.source == NodeMachine.kind and x.at <= b and x.until >= a]
            return unknown(f"the Nodes were not asked from {a:.1f} s to {b:.1f} s", blind)
        heard = {each.node for each in seen}
        unasked = [c for c in history.of(NodeChange) if c.name not in heard]
        if unasked:
            return unknown(f"{unasked[0].name} came and went before it was asked which machine it stands for", unasked)
        blinded = unseen(history, "nodes", WHOLE)
        return blinded or held(
            f"each of {len(now)} Nodes is a machine of its own, asked {len(asked)} times",
            nodes=len(now),
            asked=len(asked),
            alike_before=len(before),
        )

    return Invariant("one-node-per-machine", judge)


@promise
@bounds(within_s="after_s")
def away_under_another_name(node: str, *, fault: str, within_s: float) -> Invariant:
    """The failure shows: while the fault lasted, the Node was seen not Ready within `within_s` seconds.

    Reason: "still-ready", where it was not within NEVER_AFTER times as long. Unknown in between: a busy machine's
    controllers are late. Unknown, too, where the fault was taken back before.
    """

    def judge(history: History) -> Judgement:
        window = history.fault_window(fault)
        if window is None:
            return unknown(f"the fault {fault} never landed, so there is no time to judge")
        away = first_away(history, node, window)
        if away is not None:
            after_s = away.at - window.start
            if after_s > within_s:
                return unknown(
                    f"{node} was seen not Ready only {after_s:.1f} s after the fault: {within_s:g} s at most"
                )
            return held(
                f"{node} was seen Ready {away.ready} {after_s:.1f} s after the fault", after_s=round(after_s, 3)
            )
        if window.length_s < NEVER_AFTER * within_s:
            return unknown(
                f"{node} was not seen to be away in the {window.length_s:.1f} s that the fault lasted; a busy machine "
                f"may need {NEVER_AFTER * within_s:g} s to tell it"
            )
        blind = unseen(history, "nodes", window)
        return blind or violated(f"{node} was seen not Ready never while the fault lasted", reason=STILL_READY)

    return Invariant("away-under-another-name", judge)


def first_away(history: History, node: str, window: Window) -> NodeChange | None:
    """When the Node was first seen not Ready in that time; None where it was not."""
    return next((c for c in history.of(NodeChange, window) if c.name == node and c.ready != "True"), None)
