"""What a store was told to keep: every acknowledged write is there, a writer is served, disks and members stay."""

from collections.abc import Sequence
from itertools import pairwise

from chaos.errors import OrdealError
from chaos.judge.base import Invariant, Judgement, bounds, for_good, held, promise, unknown, violated
from chaos.judge.pods import EVICTED
from chaos.judge.sight import Span, names, never_landed, unseen
from chaos.record.history import History, Window
from chaos.record.records import Blind, ClusterEvent, PodChange, Sample, Stored, Writes
from chaos.record.registry import Record
from chaos.writers.batches import SLOW_S
from chaos.writers.ranges import count, covers, merged, ranges_of, spans_of

LOST, NOT_SERVED, GROWS, OVER_LIMIT = "lost", "not-served", "grows", "over-limit"
WRITES, DISK_USE = "writes", "disk-use-bytes"
ATTEMPT_GAP_S = 2.0
SAMPLE_GAP_S = 5.0
SETTLED, GOES_ON = 0.4, 0.7  # see disk_use_bounded


@promise
def no_acknowledged_write_lost(store: str, *, members: Sequence[str], allowed: int = 0) -> Invariant:
    """Every write that was acknowledged is on each of `members`, which were read after the last one.

    `allowed`: how many the store's documentation lets it lose, counted at the worst member. Reason: "lost". Unknown
    where nothing was acknowledged, a member was not read in full or too early (also one that follows another and was
    still behind), or the clients' record has a gap.
    """

    def judge(history: History) -> Judgement:
        writes = [w for w in history.of(Writes) if w.store == store]
        acknowledged: dict[str, list[Writes]] = {}
        for w in writes:
            if w.ok:
                acknowledged.setdefault(w.client, []).append(w)
        total = sum(w.count for w in writes if w.ok)
        refused = sum(w.count for w in writes if not w.ok)
        if not total:
            return unknown(f"no write to {store} was acknowledged ({refused} were not)", writes)
        last = {(s.member, s.client): s for s in history.of(Stored) if s.store == store}
        doubts = _gaps_in(history, store, writes)
        lost: dict[str, list[Stored]] = {}
        for member in members:
            for client, batches in sorted(acknowledged.items()):
                stored = last.get((member, client))
                doubt = _not_comparable(member, client, batches, stored)
                if doubt:
                    doubts.append((doubt, [stored] if stored else []))
                elif stored is not None and stored.missing:
                    lost.setdefault(member, []).append(stored)
        figures = {"acknowledged": total, "not_acknowledged": refused, "clients": len(acknowledged)}
        counts = {member: sum(count(spans_of(s.missing)) for s in found) for member, found in lost.items()}
        worst = max(counts, key=lambda m: counts[m], default="")
        if worst and counts[worst] > allowed:
            first = lost[worst][0]
            also = f"; so do {names(sorted(counts.keys() - {worst}))}" if len(counts) > 1 else ""
            may = f", and {allowed} may be lost" if allowed else ""
            return violated(
                f"{worst} lacks {counts[worst]} of {total} acknowledged writes{may}: of {first.client} "
                f"{names(first.missing)}{also}",
                [s for found in lost.values() for s in found],
                reason=LOST,
                **figures,
                lost=counts[worst],
            )
        if doubts:
            return unknown(*doubts[0])
        what = f"{counts[worst]} of {total} acknowledged writes are missing, {allowed} may be" if worst else ""
        return held(
            what or f"all {total} acknowledged writes of {len(acknowledged)} clients are on {names(members)}",
            **figures,
            lost=counts.get(worst, 0),
        )

    return Invariant("no-acknowledged-write-lost", judge)


@promise
@bounds(within_s="longest_unserved_ms")
def served_again_within(
    store: str, within_s: float, *, window: Window | None = None, fault: str | None = None, client: str = ""
) -> Invariant:
    """No time without an acknowledged write, by any client or by `client`, that was longer than `within_s` seconds.

    It is counted from when the first write was sent that was refused or slow, until the next one was acknowledged; one
    that touches the judged span counts in full. Reason: "not-served". Unknown where nobody tried to write.
    """
    span = Span(window, fault)

    def judge(history: History) -> Judgement:
        judged = span.of(history)
        if judged is None:
            return never_landed(span)
        writes = [w for w in history.of(Writes) if w.store == store and client in {"", w.client}]
        tried = [w for w in writes if w.until >= judged.start and w.at <= judged.end]
        if not tried:
            return unknown(f"no write to {store} was tried")
        served = sorted((w.until if w.took_s > SLOW_S else w.at, w.until) for w in writes if w.ok)
        if not served:
            return violated(
                f"none of {len(tried)} writes to {store} was acknowledged: {tried[-1].error}", tried, reason=NOT_SERVED
            )
        end = max(w.until for w in writes)
        worst, tried_s, doubts = 0.0, 0.0, _gaps_in(history, store, [])
        proof: list[Writes] = []
        since = 0.0
        for start, stop in _unserved(served, end, writes[0].at):
            if stop < judged.start or start > judged.end:
                continue
            failed = [w for w in writes if w.until > start and w.at < stop and (not w.ok or w.took_s > SLOW_S)]
            began = max(start, failed[0].at) if failed else stop
            edges = sorted([start, *(min(w.until, stop) for w in failed), stop])
            untried = [
                (a, b)
                for a, b in pairwise(edges)
                if b - a > ATTEMPT_GAP_S and not any(w.at <= a + ATTEMPT_GAP_S and w.until >= b for w in failed)
            ]
            doubts += [(f"nobody tried to write to {store} from {a:.1f} s to {b:.1f} s", []) for a, b in untried]
            # Of a time in which no client wrote, such as one that was held up itself, nobody knows.
            proven_s = stop - began - sum(b - max(a, began) for a, b in untried if b > began)
            if (proven_s, stop - began) > (tried_s, worst):
                tried_s, worst, proof, since = proven_s, stop - began, failed, began
        who = f"{client} of {store} was" if client else f"writers of {store} were"
        figures = {"longest_unserved_ms": round(1000 * worst), "tried": sum(w.count for w in tried)}
        if tried_s > within_s:
            over = "" if any(a >= since + worst - 1e-6 for a, _ in served) else ", and were not again"
            why = next((w.error for w in proof if w.error), "")
            return violated(
                f"{who} not served for {worst:.1f} s from {since:.1f} s on{over}; allowed were "
                f"{within_s:g} s ({why or 'no answer'})",
                proof,
                reason=NOT_SERVED,
                **figures,
            )
        if doubts:
            return unknown(*doubts[0])
        return held(f"{who} never unserved for longer than {worst:.1f} s", **figures)

    return Invariant("served-again", judge)


@promise
@bounds(limit_bytes="most_bytes")
def disk_use_bounded(
    subjects: Sequence[str],
    *,
    limit_bytes: int,
    name: str = DISK_USE,
    window: Window | None = None,
) -> Invariant:
    """Each subject's use of its disk (Samples called `name`) stayed below `limit_bytes`, and had stopped growing.

    Whatever is limited grows until it is at its limit, so the question is what the last quarter of the window adds to
    the highest value before, against what the quarters before it added on the average: as much where something grows
    for ever (GOES_ON of it, and more), little or nothing where it has settled (SETTLED of it at the most, or no more
    than the values go up and down). Reasons: "over-limit", "grows". Unknown between the two, for the recording is too
    short to tell then, and where it was not sampled for longer than SAMPLE_GAP_S. The window should end with what makes
    it grow: in the quiet after it everything settles.
    """

    def judge(history: History) -> Judgement:
        judged = Span(window).of(history)
        assert judged is not None
        worst: list[tuple[str, str, list[Sample]]] = []
        doubts: list[tuple[str, list[Sample]]] = []
        most: dict[str, float] = {}
        for subject in subjects:
            seen = [s for s in history.of(Sample, judged) if s.name == name and s.subject == subject]
            if len(seen) < 4:
                doubts.append((f"the disk use of {subject} was sampled {len(seen)} times only", seen))
                continue
            start = seen[0].at if window is None else window.start
            end = seen[-1].at if window is None else window.end
            turn = start + (end - start) * 3 / 4  # the last quarter begins
            top = max(seen, key=lambda s: s.value)
            before, last = [s for s in seen if s.at <= turn], [s for s in seen if s.at > turn]
            most[subject] = top.value
            if top.value > limit_bytes:
                worst.insert(0, (OVER_LIMIT, f"{subject} used {_mib(top.value)}, allowed {_mib(limit_bytes)}", [top]))
            elif not before or not last:
                doubts.append((f"the disk use of {subject} was not sampled in each part of the time", seen))
            else:
                early = max(s.value for s in before)
                added = max(s.value for s in last) - early
                usual = (early - before[0].value) / 3
                grew = (
                    f"at most {_mib(early)} in the first three quarters of {end - start:.0f} s, "
                    f"{_mib(early + added)} in the last"
                )
                if added >= max(GOES_ON * usual, _noise(seen)):
                    worst.append((GROWS, f"{subject} went on growing: {grew}", [top]))
                elif added > max(SETTLED * usual, _noise(seen)):
                    doubts.append((f"{subject} had not settled yet: {grew}", [top]))
            doubts += [
                (f"the disk use of {subject} was not seen from {a:.1f} s to {b:.1f} s", [])
                for a, b in pairwise([start, *(s.at for s in seen), end])
                if b - a > SAMPLE_GAP_S
            ]
        figures = {f"most_bytes_{subject}": round(value) for subject, value in most.items()}
        if worst:
            reason = worst[0][0]
            of_it = [w for w in worst if w[0] == reason]
            return violated(
                "; ".join(sentence for _, sentence, _ in of_it),
                [sample for _, _, samples in of_it for sample in samples],
                reason=reason,
                **figures,
            )
        if doubts:
            return unknown(*doubts[0])
        return held(
            f"no disk use above {_mib(max(most.values()))}, and none went on growing; allowed {_mib(limit_bytes)}",
            **figures,
        )

    return Invariant("disk-use-bounded", judge)


@promise
@for_good
def no_member_evicted(workload: str) -> Invariant:
    """No pod of the workload was evicted by its kubelet, by its status or by an event. Reason: "evicted".

    The pod's status then is Failed with the reason Evicted, and an event of that name says what the node was low on
    (pkg/kubelet/eviction/helpers.go).
    """

    def judge(history: History) -> Judgement:
        changes = [c for c in history.of(PodChange) if c.workload == workload]
        if not changes:
            return unknown(f"no pod of {workload} was seen")
        pods = {f"Pod/{c.object}" for c in changes}
        said = [e for e in history.of(ClusterEvent) if e.regarding in pods and e.reason == "Evicted"]
        first: dict[str, PodChange] = {}
        for c in changes:
            if c.reason in {"Evicted", "TerminationByKubelet"}:
                first.setdefault(c.uid, c)
        evicted = {f"Pod/{c.object}" for c in first.values()} | {e.regarding for e in said}
        if evicted:
            proof: list[Record] = sorted([*first.values(), *said], key=lambda r: r.at)
            message = f': "{said[0].message.strip()}"' if said else ""
            return violated(
                f"{len(evicted)} of {len(pods)} members of {workload} were evicted ("
                f"{names(sorted(p.rsplit('/', 1)[1] for p in evicted))}), first at {proof[0].at:.1f} s{message}",
                proof,
                reason=EVICTED,
                members=len(pods),
                evicted=len(evicted),
                evictions=max(len(first), len(said)),
                first_s=round(proof[0].at, 3),
            )
        return unseen(history, "pods", Window(float("-inf"), float("inf"))) or held(
            f"none of {len(pods)} members of {workload} was evicted", members=len(pods), evicted=0
        )

    return Invariant("no-member-evicted", judge)


def acknowledged_numbers(writes: Sequence[Writes]) -> dict[str, set[int]]:
    """The numbers that were acknowledged, by client: what a member is compared with when it is read."""
    found: dict[str, set[int]] = {}
    for w in writes:
        if w.ok:
            found.setdefault(w.client, set()).update(range(w.first, w.last + 1))
    return found


def time_of_writes(history: History, store: str) -> Window:
    """From the first write to a store until the last one's answer. Raises OrdealError where none was tried."""
    writes = [w for w in history.of(Writes) if w.store == store]
    if not writes:
        raise OrdealError(f"no write to {store} was recorded")
    return Window(writes[0].at, max(w.until for w in writes))


def stored(
    at: float, store: str, member: str, client: str, acknowledged: set[int], there: set[int], *, behind: bool = False
) -> Stored:
    """What a member has of a client's acknowledged numbers. That it has others too is no concern."""
    return Stored(at, store, member, client, len(acknowledged), ranges_of(acknowledged - there), behind)


def _not_comparable(member: str, client: str, batches: Sequence[Writes], stored: Stored | None) -> str:
    """Why what was read says nothing of these writes; empty where it does."""
    if stored is None:
        return f"{member} was not read for the writes of {client}"
    last = max(w.until for w in batches)
    if stored.at < last:
        return f"{member} was read at {stored.at:.2f} s, before {client}'s last acknowledgement at {last:.2f} s"
    if stored.behind and stored.missing:
        return f"{member} was read at {stored.at:.2f} s, before it had caught up with the member that it follows"
    numbers, total = merged((w.first, w.last) for w in batches), sum(w.count for w in batches)
    if stored.acknowledged != total or count(numbers) != total:
        return (
            f"{member} was compared with {stored.acknowledged} acknowledged writes of {client}, "
            f"and {total} were recorded ({count(numbers)} different)"
        )
    if not covers(numbers, spans_of(stored.missing)):
        return f"{member} is said to lack writes of {client} that nobody acknowledged"
    return ""


def _gaps_in(history: History, store: str, writes: Sequence[Writes]) -> list[tuple[str, Sequence[Record]]]:
    """Where the clients' record may lack writes: they were not heard, or numbers were left out."""
    doubts: list[tuple[str, Sequence[Record]]] = [
        (f"the writers of {store} were not heard from {b.at:.1f} s to {b.until:.1f} s: {b.why}", [b])
        for b in history.of(Blind)
        if b.source == f"{WRITES}:{store}" or b.source.startswith(f"{WRITES}:{store}/")
    ]
    clients: dict[str, list[Writes]] = {}
    for w in writes:
        clients.setdefault(w.client, []).append(w)
    for client, batches in clients.items():
        batches.sort(key=lambda w: w.first)
        if batches[0].first != 1:
            doubts.append((f"{client}'s writes before number {batches[0].first} were not recorded", batches[:1]))
        for a, b in pairwise(batches):
            if b.first != a.last + 1:
                doubts.append((f"{client}'s writes between {a.last} and {b.first} are not recorded once each", [a, b]))
                break
    return doubts


def _unserved(served: Sequence[tuple[float, float]], end: float, begin: float) -> list[tuple[float, float]]:
    """The spans between `begin` and `end` in which no write was acknowledged."""
    found = []
    until = begin
    for start, stop in served:
        if start > until:
            found.append((until, start))
        until = max(until, stop)
    if end > until:
        found.append((until, end))
    return found


def _noise(samples: Sequence[Sample]) -> float:
    """By how much two peaks may differ that are the same: half of the deepest fall, within a hundredth and a twentieth
    of the highest value.
    """
    highest = deepest = 0.0
    for sample in samples:
        highest = max(highest, sample.value)
        deepest = max(deepest, highest - sample.value)
    return min(max(deepest / 2, highest / 100), highest / 20)


def _mib(size_bytes: float) -> str:
    return f"{size_bytes / 1024**2:.0f} MiB"
