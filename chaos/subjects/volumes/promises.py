"""A volume for one node at a time: at most one writer, the same data, somebody writes on, no lock that nobody needs."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from chaos.judge.base import Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.sight import WHOLE, names, unseen
from chaos.record.history import History, Window
from chaos.record.records import Blind, ClusterEvent, FaultStep, PodChange, Sample
from chaos.record.registry import Record
from chaos.subjects.volumes.records import HOLDERS_SEEN, LOCK, LOG_READ, HeldBy, Torn, Written, lines_of

TWO_WRITERS, LEASE_BROKEN = "two-writers", "lease-broken"
NOT_THE_SAME = "not-the-same"
LOCKED, MULTI_ATTACH, NO_WRITER = "locked", "multi-attach", "no-writer"
TOOK_OVER = "took-over"
STALE_LOCK, STALE_ATTACHMENT = "stale-lock", "stale-attachment"

LOCKED_SAYS, MULTI_ATTACH_SAYS = "is locked by other nodes", "Multi-Attach error"
WRITES_STILL_S = 3.0  # a writer whose last line is younger than that writes still; it writes five a second
TICK_S = 0.05  # what a clock that counts hundredths may be off, twice, and a little


@promise
@for_good
def at_most_one_writer(workloads: Sequence[str]) -> Invariant:
    """In what each workload wrote into its volume nobody wrote between two lines of another, nor in another's lease.

    Reasons: "two-writers" where A wrote, then B, then A again; "lease-broken" where B began while A's lease still ran,
    and A was not heard of again. Unknown where the log was not read to its end.
    """

    def judge_one(history: History, workload: str) -> Judgement:
        lines = lines_of(history, workload)
        over: set[str] = set()
        broken: tuple[Written, Written] | None = None
        for before, line in pairwise(lines):
            if line.writer == before.writer:
                continue
            over.add(before.writer)
            if line.writer in over:
                first = next(each for each in lines if each.writer == before.writer)
                return violated(
                    f"two pods wrote into the volume of {workload} at once: {before.writer} on {before.node} from "
                    f"{first.at:.1f} s on, and {line.writer} on {line.node} went on at {line.at:.1f} s",
                    _around(history, workload, first.at),
                    reason=TWO_WRITERS,
                    interleaved=sum(a.writer != b.writer for a, b in pairwise(lines)),
                )
            if before.at + before.lease_s > line.at + TICK_S:
                broken = broken or (before, line)
        if broken:
            before, line = broken
            return violated(
                f"{line.writer} wrote into the volume of {workload} {line.at - before.at:.2f} s after {before.writer} "
                f"on {before.node} had said that nobody else would for {before.lease_s:g} s",
                _around(history, workload, line.at),
                reason=LEASE_BROKEN,
            )
        writers = list(dict.fromkeys(line.writer for line in lines))
        return _unread(history, workload) or held(
            f"{workload}: {len(writers)} writers one after the other", writers=len(writers), lines=len(lines)
        )

    return _of_each("at-most-one-writer", workloads, judge_one)


@promise
def same_data(workloads: Sequence[str]) -> Invariant:
    """Whoever wrote found all that had been written: the numbers of the lines go on by one. Reason: "not-the-same"."""

    def judge_one(history: History, workload: str) -> Judgement:
        lines = lines_of(history, workload)
        torn = [each for each in history.of(Torn) if each.workload == workload]
        if torn:
            return violated(
                f"the volume of {workload} holds what nobody wrote, at {torn[0].at:.1f} s: {torn[0].text!r}",
                torn,
                reason=NOT_THE_SAME,
            )
        for before, line in pairwise(lines):
            if line.number != before.number + 1:
                return violated(
                    f"after line {before.number} of {before.writer} the volume of {workload} goes on with line "
                    f"{line.number} of {line.writer} at {line.at:.1f} s",
                    _around(history, workload, line.at),
                    reason=NOT_THE_SAME,
                    before=before.number,
                    after=line.number,
                )
        return _unread(history, workload) or held(
            f"{workload}: lines {lines[0].number} to {lines[-1].number}, none missing", lines=len(lines)
        )

    return _of_each("same-data", workloads, judge_one)


@promise
@bounds(within_s="silence_s")
def running_again(workloads: Sequence[str], *, fault: str, within_s: float) -> Invariant:
    """From when the fault landed until it was undone nobody wrote for at most `within_s` seconds, and at the end
    somebody did: another pod, or the old one still.

    Reasons: "locked" where an event of one of the workload's pods says that its volume is locked by other nodes,
    "multi-attach" where one says that it is attached elsewhere, else "no-writer". Unknown where the fault was undone
    too early to say.
    """

    def judge_one(history: History, workload: str) -> Judgement:
        window = history.fault_window(fault)
        if window is None:
            return unknown(f"the fault {fault} never landed, so there is no time to judge")
        lines = lines_of(history, workload)
        end = min(window.end, max(_read_at(history, workload), default=0.0))
        before = [line for line in lines if line.at <= window.start]
        # Who wrote until just before it landed is silent from his last line on.
        wrote = bool(before) and window.start - before[-1].at <= WRITES_STILL_S
        times = [
            before[-1].at if wrote else window.start,
            *(line.at for line in lines if window.start < line.at <= end),
        ]
        silence_s = max((b - a for a, b in pairwise(times)), default=0.0)
        silent_since_s = end - times[-1]
        if silence_s <= within_s and silent_since_s <= WRITES_STILL_S and len(times) > 1:
            last = [line for line in lines if line.at <= end][-1]
            same = bool(before) and before[-1].writer == last.writer
            who = f"the old one on {last.node} goes on" if same else f"{last.writer} on {last.node} took over"
            return _unread(history, workload) or held(
                f"{workload}: {who}, after at most {silence_s:.1f} s without a writer",
                **{f"silence_s_{workload}": round(silence_s, 3)},
            )
        longest_s = max(silence_s, silent_since_s)
        if longest_s <= within_s:
            return unknown(
                f"{fault} was undone {silent_since_s:.1f} s after the last line of {workload}; {within_s:g} s are given"
            )
        doubt = _unread(history, workload)
        if doubt:
            return doubt
        said = _says(history, workload, LOCKED_SAYS), _says(history, workload, MULTI_ATTACH_SAYS)
        reason = LOCKED if said[0] else MULTI_ATTACH if said[1] else NO_WRITER
        events = said[0] or said[1]
        why = f': "{events[-1].message[-240:]}"' if events else ""
        return violated(
            f"nobody wrote into the volume of {workload} for {longest_s:.1f} s, allowed were {within_s:g} s{why}",
            [*events, *_pods(history, workload)],
            reason=reason,
            silence_s=round(longest_s, 3),
        )

    return _of_each("running-again", workloads, judge_one)


@promise
def nobody_takes_over(workloads: Sequence[str], *, fault: str, until: str) -> Invariant:
    """From when the fault landed until the other one, `until`, was applied, no other pod wrote than the one before.

    That is what Kubernetes has to do while it can't know whether a lost node still writes (its documentation,
    "Non-graceful node shutdown handling"). Reason: "took-over".
    """

    def judge_one(history: History, workload: str) -> Judgement:
        window = history.fault_window(fault)
        told = [s.at for s in history.of(FaultStep) if s.fault == until and s.step == "planned"]
        if window is None or not told or told[0] < window.start:
            return unknown(f"{until} did not come after {fault}, so there is no time to judge")
        lines = lines_of(history, workload)
        before = [line for line in lines if line.at <= window.start]
        if not before:
            return unknown(f"nobody had written into the volume of {workload} before {fault}")
        others = [line for line in lines if window.start < line.at < told[0] and line.writer != before[-1].writer]
        if others:
            return violated(
                f"{others[0].writer} wrote into the volume of {workload} at {others[0].at:.1f} s, while nobody had "
                f"said that {before[-1].node} was out of service",
                _around(history, workload, others[0].at),
                reason=TOOK_OVER,
            )
        waited_s = told[0] - window.start
        return _unread(history, workload) or held(
            f"{workload}: nobody took over in the {waited_s:.1f} s before {until}", waited_s=round(waited_s, 3)
        )

    return _of_each("nobody-takes-over", workloads, judge_one)


@promise
def no_stale_lock(workloads: Sequence[str]) -> Invariant:
    """At the end each lock and VolumeAttachment of a workload's volume is of a node that has a pod of the workload.

    Reasons: "stale-lock", "stale-attachment". Unknown where they, or the pods, were not seen at the end.
    """

    def judge_one(history: History, workload: str) -> Judgement:
        looked = [s for s in history.of(Sample) if s.name == HOLDERS_SEEN and s.subject == workload]
        last_step = max((s.at for s in history.of(FaultStep)), default=0.0)
        if not looked or looked[-1].at < last_step:
            return unknown(f"who holds the volume of {workload} was not asked after the last fault")
        observed = [each for each in history.of(HeldBy) if each.workload == workload]
        holders = observed[-1].holders if observed else ()
        pods = _pods(history, workload, until=looked[-1].at)
        using = {change.node for change in pods if change.change != "deleted" and change.node}
        stale = [each for each in holders if each.node not in using]
        doubt = unseen(history, "pods", WHOLE)
        if doubt:
            return doubt
        if stale:
            locks = [each for each in stale if each.by == LOCK]
            first = (locks or stale)[0]
            return violated(
                f"the {first.by} of the volume of {workload} is still held by {first.node}, which has no pod of it "
                f"({', '.join(sorted(using)) or 'no node'} has)",
                observed[-1:],
                reason=STALE_LOCK if first.by == LOCK else STALE_ATTACHMENT,
            )
        return held(f"{workload}: held by {names([str(each) for each in holders]) or 'nobody'}", holders=len(holders))

    return _of_each("no-stale-lock", workloads, judge_one)


def _of_each(name: str, workloads: Sequence[str], judge_one: Callable[[History, str], Judgement]) -> Invariant:
    """The invariant that holds where it does for each workload; a violation of one is worse than not knowing of one."""

    def judge(history: History) -> Judgement:
        if not workloads:
            return unknown("no workload was named")
        judged = []
        for workload in workloads:
            there = lines_of(history, workload)
            judged.append(judge_one(history, workload) if there else unknown(f"nothing that {workload} wrote was read"))
        for verdict in ("violated", "unknown"):
            worst = [j for j in judged if j.verdict == verdict]
            if worst:
                return worst[0]
        sentence = "; ".join(j.sentence for j in judged)
        figures = {k: v for j in judged for k, v in j.figures.items() if k.startswith("silence_s_")}
        return held(sentence, workloads=len(judged), **figures)

    return Invariant(name, judge)


def _unread(history: History, workload: str) -> Judgement | None:
    """Unknown, where what was written may not have been read in full, until after the last fault."""
    read = _read_at(history, workload)
    last_step = max((s.at for s in history.of(FaultStep)), default=0.0)
    if not read or max(read) < last_step:
        return unknown(f"what {workload} wrote was not read after the last fault")
    lost = [b for b in history.of(Blind) if b.source == f"{Written.kind}:{workload}" and not b.complete]
    if lost:
        return unknown(f"what {workload} wrote could not be read from {lost[0].at:.1f} s on: {lost[0].why}", lost)
    return None


def _read_at(history: History, workload: str) -> list[float]:
    return [s.at for s in history.of(Sample) if s.name == LOG_READ and s.subject == workload]


def _around(history: History, workload: str, at: float) -> list[Record]:
    """The lines just before and after a moment, as proof."""
    window = Window(at - 1.0, at + 1.5)
    return [line for line in history.of(Written, window) if line.workload == workload]


def _pods(history: History, workload: str, until: float = float("inf")) -> list[PodChange]:
    """The last that was seen of each pod of the workload by then."""
    last = {c.uid: c for c in history.of(PodChange) if c.workload == workload and c.at <= until}
    return list(last.values())


def _says(history: History, workload: str, text: str) -> list[ClusterEvent]:
    about = {f"Pod/{c.object}" for c in history.of(PodChange) if c.workload == workload}
    return [e for e in history.of(ClusterEvent) if e.regarding in about and text in e.message]
