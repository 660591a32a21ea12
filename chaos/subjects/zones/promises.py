"""Protections that were tried again and again: each holds every time, or is none."""

from collections.abc import Sequence

from chaos.judge.base import Finding, Invariant, Judgement, Verdict, held, promise, unknown, violated
from chaos.judge.sight import names
from chaos.record.history import History
from chaos.subjects.zones.records import MutantTried, Trial

SURVIVED, NOT_SURVIVED = "survived", "twin-killed"


@promise
def protection_holds(protections: Sequence[str], *, times: int) -> Invariant:
    """Each protection was tried `times` times, and nothing was terminated in any of them.

    Reason: that of the first trial in which it did not hold (such as "taint-eviction"). A trial that is unknown, or
    missing, makes it unknown.
    """

    def judge(history: History) -> Judgement:
        trials = {name: [t for t in history.of(Trial) if t.protection == name] for name in protections}
        broken = [t for of in trials.values() for t in of if t.verdict is Verdict.VIOLATED]
        if broken:
            first = broken[0]
            which = sorted({t.protection for t in broken})
            return violated(
                f"{names(which)} did not hold in {len(broken)} of {sum(map(len, trials.values()))} trials",
                broken,
                reason=first.reason,
                violated=len(broken),
                trials=sum(map(len, trials.values())),
            )
        short = [name for name, of in trials.items() if sum(t.verdict is Verdict.HELD for t in of) < times]
        if short or not trials:
            return unknown(f"not every one of {times} trials of {names(short)} could be judged")
        return held(f"{names(sorted(trials), 5)} held in each of {times} trials", trials=times * len(trials))

    return Invariant("protection-holds", judge)


def tried(at: float, mutant: str, invariant: str, findings: Sequence[Finding]) -> MutantTried:
    """What a replay with the mutant said of the invariant that must find it."""
    finding = next((f for f in findings if f.invariant == invariant), None)
    if finding is None:
        return MutantTried(at, mutant, invariant, Verdict.UNKNOWN)
    return MutantTried(at, mutant, invariant, finding.verdict, finding.reason, finding.sentence)


@promise
def mutants_killed(mutants: Sequence[str], twins: Sequence[str] = ()) -> Invariant:
    """The invariant that must find it was violated for each mutant, and held for each twin.

    Reasons: "survived" where a mutant was not found, "twin-killed" where something without the bug was taken for one.
    A replay that is unknown, or missing, makes it unknown.
    """

    def judge(history: History) -> Judgement:
        said = {t.mutant: t for t in history.of(MutantTried)}
        missing = [m for m in (*mutants, *twins) if m not in said or said[m].verdict is Verdict.UNKNOWN]
        alive = [said[m] for m in mutants if m in said and said[m].verdict is Verdict.HELD]
        blamed = [said[t] for t in twins if t in said and said[t].verdict is Verdict.VIOLATED]
        for found, what, reason in ((alive, "survived", SURVIVED), (blamed, "was blamed", NOT_SURVIVED)):
            if found:
                first = f"{names([t.mutant for t in found])} {what} ({found[0].told()})"
                return violated(first, found, reason=reason, mutants=len(mutants), found=len(mutants) - len(alive))
        if missing or not mutants:
            why = f" ({said[missing[0]].told()})" if missing and missing[0] in said else ""
            return unknown(f"whether it is found could not be judged for {names(missing) or 'any mutant'}{why}")
        return held(
            f"all {len(mutants)} mutants were found, no twin was blamed", mutants=len(mutants), twins=len(twins)
        )

    return Invariant("mutants-killed", judge)
