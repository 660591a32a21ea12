"""Protections that were tried again and again: each holds every time, or is none."""

from collections.abc import Sequence

from chaos.history import History, Observation
from chaos.invariants.base import Invariant, Judgement, Verdict, held, promise, unknown, violated
from chaos.invariants.sight import names

TRIAL = "trial"  # an Observation: the protection's name, and "VERDICT" or "VERDICT because REASON" of one trial
BECAUSE = " because "


@promise
def protection_holds(protections: Sequence[str], *, times: int) -> Invariant:
    """Each protection was tried `times` times, and nothing was terminated in any of them.

    Reason: that of the first trial in which it did not hold (such as "taint-eviction"). A trial that is unknown, or
    missing, makes it unknown.
    """

    def judge(history: History) -> Judgement:
        trials = {
            name: [o for o in history.of(Observation) if o.name == TRIAL and o.subject == name] for name in protections
        }
        broken = [o for of in trials.values() for o in of if _verdict(o) is Verdict.VIOLATED]
        if broken:
            first = broken[0]
            which = sorted({o.subject for o in broken})
            return violated(
                f"{names(which)} did not hold in {len(broken)} of {sum(map(len, trials.values()))} trials",
                broken,
                reason=first.seen.partition(BECAUSE)[2],
                violated=len(broken),
                trials=sum(map(len, trials.values())),
            )
        short = [name for name, of in trials.items() if sum(_verdict(o) is Verdict.HELD for o in of) < times]
        if short or not trials:
            return unknown(f"not every one of {times} trials of {names(short)} could be judged")
        return held(f"{names(sorted(trials), 5)} held in each of {times} trials", trials=times * len(trials))

    return Invariant("protection-holds", judge)


def _verdict(trial: Observation) -> Verdict:
    return Verdict(trial.seen.partition(BECAUSE)[0])
