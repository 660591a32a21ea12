"""What a Redis cluster was told to do beside keeping writes: to be whole again when its links are."""

from chaos.history import FaultStep, History, Observation, Sample
from chaos.invariants.base import Invariant, Judgement, held, promise, unknown, violated

CLUSTER = "cluster"  # the member that is read: whoever has the slot
WHOLE, WHY_NOT_WHOLE = "redis-whole", "redis-not-whole"
NOT_WHOLE = "not-whole"
LOOK_GAP_S = 5.0


@promise
def whole_again_within(store: str, within_s: float, *, fault: str) -> Invariant:
    """After each fault of that kind was undone, the cluster was whole again within so many seconds, by itself.

    Reason: "not-whole". Unknown where it was not looked at from then on until it was whole.
    """

    def judge(history: History) -> Judgement:
        undone = [s for s in history.of(FaultStep) if s.fault == fault and s.step == "undone"]
        if not undone:
            return unknown(f"no fault {fault} was undone")
        looks = [s for s in history.of(Sample) if s.name == WHOLE and s.subject == store]
        took: list[float] = []
        for n, step in enumerate(undone):
            end = undone[n + 1].at if n + 1 < len(undone) else float("inf")
            after = [s for s in looks if step.at <= s.at < end]
            good = next((s for s in after if s.value == 1.0), None)
            why = [o for o in history.of(Observation) if o.name == WHY_NOT_WHOLE and step.at <= o.at < end]
            last = f": {why[-1].seen}" if why else ""
            if good is not None and good.at - step.at <= within_s:
                took.append(good.at - step.at)
                continue
            seen_until = good.at if good is not None else max((s.at for s in after), default=step.at)
            bad = [s for s in after if s.value != 1.0]
            if seen_until - step.at <= within_s or (good is not None and not bad):
                return unknown(f"{store} was not looked at for {within_s:g} s after the fault was undone{last}", after)
            how = "was not" if good is None else f"was only after {good.at - step.at:.1f} s"
            return violated(
                f"{store} {how} whole again when {fault} was undone at {step.at:.1f} s; promised {within_s:g} s{last}",
                [step, *after, *why],
                reason=NOT_WHOLE,
                looks=len(after),
            )
        longest_s = max(took)
        return held(
            f"{store} was whole again within {longest_s:.1f} s each of {len(took)} times",
            longest_ms=round(1000 * longest_s),
            times=len(took),
        )

    return Invariant("whole-again", judge)
