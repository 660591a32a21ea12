"""A daemon's handles run out: what goes on, what shows, and what starts again without a restart."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from chaos.judge.availability import GAP_S, outage_at_most
from chaos.judge.base import Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.sight import WHOLE, at_earliest, names, unseen
from chaos.record.history import History, Window
from chaos.record.records import Blind, ClusterEvent, FaultStep, PodChange, Sample
from chaos.subjects.handles.records import ANSWERS, LIMIT, OPEN, SAMPLE_GAP_S, TOO_MANY, DaemonProcesses, SaidTooMany

TOO_MANY_OPEN_FILES, NO_START, SILENT = "too-many-open-files", "no-start", "silent"
RESTARTED, REACHED, LATE, DEAF = "restarted", "reached", "late", "deaf"
DNS = "dns"  # the target of the probes that ask for a name
# A limit counts as reached where two handles are left: a daemon that is refused lets go of one and tries again.
SLACK = 2
# A pod that was refused, and is not Ready so much later, was kept by that: sandboxes are tried again sooner.
REFUSED_S = 15.0


@promise
@bounds(within_s="slowest_s")
def pods_start(workload: str, *, fault: str, within_s: float, refused_s: float = REFUSED_S) -> Invariant:
    """Each pod of the workload that was made while the fault lasted was Ready within `within_s` seconds; of one that
    was refused for want of handles, which an event says, it is known after `refused_s`.

    Reasons: "too-many-open-files" where an event about one of those that did not start says so, else "no-start".
    Unknown where none was made, or the fault ended before the time was over.
    """

    def judge(history: History) -> Judgement:
        window = history.fault_window(fault)
        if window is None:
            return unknown(f"the fault {fault} never landed, so there is no time to judge")
        made = _made_in(history, workload, window)
        if not made:
            return unknown(f"no pod of {workload} was made while {fault} lasted")
        refusals = [e for e in history.of(ClusterEvent) if TOO_MANY in e.message.lower()]
        refused = {e.regarding for e in refusals}
        ready = {uid: _ready_at(changes) for uid, changes in made.items()}

        def allowed_s(change: PodChange) -> float:
            return refused_s if f"Pod/{change.object}" in refused else within_s

        late = [
            changes[0]
            for uid, changes in made.items()
            if (at := ready[uid]) is None or at - changes[0].at > allowed_s(changes[0]) or at > window.end
        ]
        if not late:
            slowest = max(at - made[uid][0].at for uid, at in ready.items() if at is not None)
            return unseen(history, "pods", window) or held(
                f"{len(made)} pods were started on {made[next(iter(made))][-1].node}, the slowest in {slowest:.1f} s",
                pods=len(made),
                slowest_s=round(slowest, 3),
            )
        hidden = [c for c in late if _in_time_unseen(history, ready[c.uid], c.at + allowed_s(c), window)]
        late = [c for c in late if c not in hidden]
        unproven = [c for c in late if window.end - c.at < allowed_s(c)]
        if len(unproven) == len(late):
            if hidden:
                return unknown(f"whether {hidden[0].name} was Ready in time could not be seen", hidden)
            had_s = allowed_s(late[0])
            return unknown(f"the fault ended before {late[0].name} had {had_s:g} s to start", late)
        doubt = unseen(history, "pods", window) if all(ready[c.uid] is None for c in late) else None
        about = {f"Pod/{c.object}" for c in late}
        why = [e for e in refusals if e.regarding in about]
        said = f': "{why[0].message[-200:]}"' if why else ""
        return doubt or violated(
            f"{len(late)} of {len(made)} pods of {workload} on {late[0].node or 'the node'} were not Ready within "
            f"{refused_s if why else within_s:g} s{said}",
            [*late, *why],
            reason=TOO_MANY_OPEN_FILES if why else NO_START,
            pods=len(made),
            not_started=len(late),
            events=len(why),
        )

    return Invariant("pods-start", judge)


@promise
@bounds(within_s="slowest_s")
def pods_start_after_release(workload: str, *, fault: str, within_s: float) -> Invariant:
    """Each pod of the workload that did not start while the fault lasted, and was still wanted at its end, was Ready
    within `within_s` seconds after it. The fault may have been done several times.

    Reason: "late". Unknown where no pod had to wait.
    """

    def judge(history: History) -> Judgement:
        took: list[float] = []
        late: list[PodChange] = []
        unsure: list[PodChange] = []
        ended = max((record.at for record in history), default=0.0)
        for window in _times(history, fault):
            for changes in _made_in(history, workload, window).values():
                ready_at = _ready_at(changes)
                unwanted = any(c.deleting or c.change == "deleted" for c in changes if c.at <= window.end)
                if unwanted or (ready_at is not None and ready_at <= window.end):
                    continue
                took.append(float("inf") if ready_at is None else ready_at - window.end)
                if took[-1] <= within_s:
                    continue
                due = window.end + within_s
                in_time = ended <= due if ready_at is None else at_earliest(history, "pods", ready_at) <= due
                (unsure if in_time else late).append(changes[-1])
        if late and all(_ready_at([c]) is None for c in late) and (doubt := unseen(history, "pods", WHOLE)):
            return doubt
        if late:
            sentence = f"{names([c.name for c in late])} not Ready within {within_s:g} s after {fault} was over"
            return violated(sentence, late, reason=LATE, waiting=len(took), late=len(late))
        if not took:
            return unknown(f"no pod of {workload} was waiting when {fault} was over")
        if unsure:
            return unknown(f"whether {unsure[0].name} was Ready in time could not be seen", unsure)
        return unseen(history, "pods", WHOLE) or held(
            f"{len(took)} pods had waited, and were Ready {max(took):.1f} s after {fault} was over",
            waiting=len(took),
            slowest_s=round(max(took), 3),
        )

    return Invariant("pods-start-after-release", judge)


@promise
@bounds(limit_s="longest_outage_ms")
def dns_answers(limit_s: float, *, nodes: Sequence[str], target: str = DNS, gap_s: float = GAP_S) -> Invariant:
    """DNS was never away for longer than `limit_s` seconds, asked from the nodes' own networks. Reason: "outage"."""
    return Invariant("dns-answers", outage_at_most(limit_s, nodes=nodes, target=target, gap_s=gap_s).judge)


@promise
def failure_shows(daemons: Mapping[str, str]) -> Invariant:
    """Of each daemon, which must have reached its limit on its node, a log or an event says "too many open files".

    `daemons`: the node by daemon. Reason: "silent". Unknown where a limit was not reached: nothing had to show then.
    """

    def judge(history: History) -> Judgement:
        reached = {d: _reached(history, f"{node}/{d}") for d, node in daemons.items()}
        short = [d for d, samples in reached.items() if not samples]
        if short or not daemons:
            return unknown(f"the limit of {', '.join(short) or 'no daemon'} was not reached: nothing had to show")
        said = {each.object for each in history.of(SaidTooMany)}
        events = [e for e in history.of(ClusterEvent) if TOO_MANY in e.message.lower()]
        silent = [d for d, n in daemons.items() if f"{n}/{d}" not in said and not (d == "containerd" and events)]
        if silent:
            sentence = f"{', '.join(silent)} ran out of handles, and no log or event says so"
            return violated(sentence, [reached[d][0] for d in silent], reason=SILENT)
        sentence = f"{', '.join(daemons)} said that they ran out of handles, {len(events)} events among it"
        return held(sentence, daemons=len(daemons), events=len(events))

    return Invariant("failure-shows", judge)


@promise
@bounds(within_s="slowest_s")
def daemons_reached(daemons: Mapping[str, str], *, fault: str, within_s: float) -> Invariant:
    """Each daemon took a connection, and said something, within `within_s` seconds after the fault was undone.

    `daemons`: the node by daemon. Each is asked after its own fault, before anything else is taken back: a daemon that
    stays deaf is restarted by our undo, and what comes of that says nothing. Reason: "deaf". Unknown where one was not
    asked, or not for that long.
    """

    def judge(history: History) -> Judgement:
        undone = [s.at for s in history.of(FaultStep) if s.fault == fault and s.step == "undone"]
        slowest_s = 0.0
        for daemon, node in daemons.items():
            asked = [s for s in history.of(Sample) if s.name == ANSWERS and s.subject == f"{node}/{daemon}"]
            released = max((at for at in undone if asked and at <= asked[0].at), default=None)
            if released is None:
                return unknown(f"{daemon} on {node} was not asked after {fault} was undone")
            reached = next((s for s in asked if s.value == 1.0), None)
            took_s = (asked[-1] if reached is None else reached).at - released
            refused = max((s.at for s in asked if reached is None or s.at < reached.at), default=released)
            if took_s > within_s and refused - released <= within_s:
                return unknown(f"{daemon} on {node} was not asked again until {within_s:g} s after its release", asked)
            if took_s > within_s:
                how = "takes no connection" if reached is None else f"took a connection only {took_s:.1f} s"
                return violated(
                    f"{daemon} on {node} {how} after it had handles again, allowed were {within_s:g} s",
                    asked,
                    reason=DEAF,
                    asked=len(asked),
                )
            if reached is None:
                return unknown(f"{daemon} on {node} was asked for {took_s:.1f} s only after {fault} was undone", asked)
            slowest_s = max(slowest_s, took_s)
        if not daemons:
            return unknown("no daemon was named")
        return held(
            f"{', '.join(daemons)} took a connection {slowest_s:.1f} s after the release at the latest",
            daemons=len(daemons),
            slowest_s=round(slowest_s, 3),
        )

    return Invariant("daemons-reached", judge)


@promise
@for_good
def daemons_not_restarted(daemons: Mapping[str, str]) -> Invariant:
    """The daemons' processes after the last fault are those of the beginning. Reason: "restarted".

    `daemons`: the node by daemon. A process is known by its pid and start time, so a restart that nobody watched shows
    afterwards all the same. Of a daemon that was deaf when it was asked last, it is judged until then: our undo
    restarts it. Unknown where a daemon was not looked at after the last fault was undone.
    """

    def judge(history: History) -> Judgement:
        window = history.fault_window()
        if window is None or not daemons:
            return unknown("no fault landed, so nothing could restart anything" if daemons else "no daemon was named")
        doubts: list[Judgement] = []
        for daemon, node in daemons.items():
            subject = f"{node}/{daemon}"
            asked = [s for s in history.of(Sample) if s.name == ANSWERS and s.subject == subject]
            deaf_at = asked[-1].at if asked and asked[-1].value != 1.0 else float("inf")
            seen = [each for each in history.of(DaemonProcesses) if each.object == subject and each.at <= deaf_at]
            if len({each.processes for each in seen}) > 1:
                first, then = seen[0].told(), seen[1].told()
                sentence = f"{daemon} on {node} was restarted: its processes were {first}, then {then}"
                return violated(sentence, seen, reason=RESTARTED)
            looked = [s.at for s in history.of(Sample) if s.name == OPEN and s.subject == subject]
            if not looked or not looked[0] <= window.start <= min(window.end, deaf_at) <= looked[-1]:
                doubts.append(unknown(f"{daemon} on {node} was not looked at before the fault and after it"))
        if doubts:
            return doubts[0]
        return held(f"{', '.join(daemons)} ran all the time", daemons=len(daemons))

    return Invariant("daemons-not-restarted", judge)


@promise
def handle_limit_not_reached(node: str, daemon: str) -> Invariant:
    """The daemon always had handles left. Reason: "reached"."""

    def judge(history: History) -> Judgement:
        subject = f"{node}/{daemon}"
        used = [s for s in history.of(Sample) if s.name == OPEN and s.subject == subject]
        limits = [s.value for s in history.of(Sample) if s.name == LIMIT and s.subject == subject]
        if not used or not limits:
            return unknown(f"the handles of {daemon} on {node} were never counted")
        most, least = max(used, key=lambda s: s.value), min(limits)
        reached = _reached(history, subject)
        if reached:
            return violated(
                f"{daemon} on {node} had {reached[0].value:.0f} handles open at {reached[0].at:.1f} s, and its limit "
                f"was reached",
                reached,
                reason=REACHED,
                most=most.value,
                limit=least,
            )
        return _unsampled(history, subject) or held(
            f"{daemon} on {node} had at most {most.value:.0f} of {least:.0f} handles open", most=most.value, limit=least
        )

    return Invariant("handle-limit-not-reached", judge)


def _reached(history: History, subject: str) -> list[Sample]:
    """The samples at which a daemon had no more than SLACK handles left."""
    limits = {s.at: s.value for s in history.of(Sample) if s.name == LIMIT and s.subject == subject}
    used = [s for s in history.of(Sample) if s.name == OPEN and s.subject == subject]
    return [s for s in used if s.at in limits and s.value >= limits[s.at] - SLACK]


def _unsampled(history: History, subject: str) -> Judgement | None:
    """Unknown, where the daemon could not be looked at for a while."""
    blind = [b for b in history.of(Blind) if b.source == f"{OPEN}:{subject}" and b.until - b.at > SAMPLE_GAP_S]
    if blind:
        return unknown(f"{subject} could not be looked at from {blind[0].at:.1f} s to {blind[0].until:.1f} s", blind)
    times = [s.at for s in history.of(Sample) if s.name == OPEN and s.subject == subject]
    if not times:
        return unknown(f"{subject} was never looked at")
    gaps = [(a, b) for a, b in pairwise(times) if b - a > SAMPLE_GAP_S]
    return unknown(f"{subject} was not looked at from {gaps[0][0]:.1f} s to {gaps[0][1]:.1f} s") if gaps else None


def _in_time_unseen(history: History, ready_at: float | None, due: float, window: Window) -> bool:
    """Whether a pod that was seen Ready too late may have been so in time."""
    return ready_at is not None and at_earliest(history, "pods", ready_at) <= min(due, window.end)


def _times(history: History, fault: str) -> list[Window]:
    """Each time that a fault landed and was undone."""
    steps = [s for s in history.of(FaultStep) if s.fault == fault and s.step in {"landed", "undone"}]
    pairs = zip(steps[::2], steps[1::2], strict=False)
    return [Window(a.at, b.at) for a, b in pairs if (a.step, b.step) == ("landed", "undone")]


def _made_in(history: History, workload: str, window: Window) -> dict[str, list[PodChange]]:
    """The workload's pods by uid that were first seen in the window, each one's changes."""
    pods: dict[str, list[PodChange]] = {}
    for change in history.of(PodChange):
        if change.workload == workload:
            pods.setdefault(change.uid, []).append(change)
    return {uid: changes for uid, changes in pods.items() if changes[0].at in window}


def _ready_at(changes: Sequence[PodChange]) -> float | None:
    return next((c.at for c in changes if c.ready), None)
