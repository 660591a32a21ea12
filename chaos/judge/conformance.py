"""The cluster still conforms: the upstream conformance specs that passed before the harm pass after it."""

from collections.abc import Sequence

from chaos.judge.base import Figure, Invariant, Judgement, held, promise, unknown, violated
from chaos.record.history import History
from chaos.record.records import SpecRun

BEFORE, DURING, AFTER = "before", "during", "after"
ROUNDS = (BEFORE, DURING, AFTER)
# What became of a spec. LATE: it was not over in its time. NO_IMAGE: a pod of it never ran, since its image could not
# be had, which says nothing about the cluster. LOST: its process ended, or never came to it.
PASSED, FLAKY, FAILED, LATE = "passed", "flaky", "failed", "late"
SKIPPED, NO_IMAGE, LOST = "skipped", "no-image", "lost"
STATES = (PASSED, FLAKY, FAILED, LATE, SKIPPED, NO_IMAGE, LOST)
NO_LONGER, DOES_NOT, NOT_DURING = "no-longer-conforms", "does-not-conform", "not-during"
SENTENCE_CHARACTERS = 200


@promise
def still_conforms(specs: Sequence[str], *, before: bool) -> Invariant:
    """Each of `specs` that passed before the harm passes after it; without `before`, each passes after it.

    Passed on a retry is not passed. Reasons: "no-longer-conforms" (it passed before), "does-not-conform" (nobody asked
    before). Unknown where a spec was skipped, had no image or has no end, and where nothing had passed before.
    """

    def judge(history: History) -> Judgement:
        runs = {(r.round, r.spec): r for r in history.of(SpecRun)}
        after = {spec: runs.get((AFTER, spec)) for spec in specs}
        if not specs:
            return unknown("no spec was chosen, so nothing says whether the cluster conforms")
        earlier = {spec: runs.get((BEFORE, spec)) for spec in specs} if before else {}
        asked = [s for s in specs if not before or _passed(earlier[s])]
        broken = [run for s in asked if (run := after[s]) is not None and run.state in {FAILED, LATE, FLAKY}]
        failed_before = [s for s in specs if before and (e := earlier[s]) is not None and e.state in {FAILED, LATE}]
        figures: dict[str, Figure] = {
            "specs": len(specs),
            "passed_after": sum(_passed(run) for run in after.values()),
            "after_s": round(sum(run.took_s for run in after.values() if run), 3),
        }
        if before:
            figures |= {
                "passed_before": sum(_passed(run) for run in earlier.values()),
                "before_s": round(sum(run.took_s for run in earlier.values() if run), 3),
            }
        if broken:
            said = f"passed before and not after: {_all(broken)}" if before else f"do not pass after: {_all(broken)}"
            proof = [e for run in broken if (e := earlier.get(run.spec))] + broken
            return violated(
                f"{len(broken)} of {len(asked)} specs {said}",
                proof,
                reason=NO_LONGER if before else DOES_NOT,
                **figures,
            )
        doubts = [(s, after[s]) for s in asked if not _passed(after[s])]
        if doubts:
            return unknown(_doubt(*doubts[0], AFTER), [run for _, run in doubts if run])
        unsure = [s for s in specs if before and s not in asked and s not in failed_before and not _passed(after[s])]
        if unsure:
            return unknown(_doubt(unsure[0], earlier[unsure[0]], BEFORE), [r for s in unsure if (r := earlier[s])])
        if not asked:
            return unknown(
                f"none of {len(specs)} specs passed before the harm, so nothing can show whether it did any",
                [run for run in earlier.values() if run],
            )
        also = f"; {len(specs) - len(asked)} others had not passed before" if len(asked) < len(specs) else ""
        which = "that passed before pass after" if before else "pass after"
        return held(f"{len(asked)} specs {which}{also}", **figures)

    return Invariant("still-conforms", judge)


@promise
def conforms_during(specs: Sequence[str], *, fault: str) -> Invariant:
    """Each of `specs` was tried from when `fault` landed until it was taken back, and passed every time.

    Reason: "not-during". Unknown where the fault never landed, or one of them was not tried while it lasted.
    """

    def judge(history: History) -> Judgement:
        window = history.fault_window(fault)
        if window is None:
            return unknown(f"the fault {fault} never landed, so there is no time to judge")
        tried = [r for r in history.of(SpecRun, window) if r.round == DURING and r.until <= window.end]
        failed = [r for r in tried if r.state != PASSED]
        figures: dict[str, Figure] = {"tried": len(tried), "passed": len(tried) - len(failed), "specs": len(specs)}
        if failed:
            first = failed[0]
            return violated(
                f"{first.spec} failed {first.at - window.start:.1f} s after the fault landed: {_short(first.message)}; "
                f"{len(failed)} of {len(tried)} tries did not pass",
                failed,
                reason=NOT_DURING,
                **figures,
            )
        untried = [s for s in specs if s not in {r.spec for r in tried}]
        if untried or not specs:
            return unknown(f"not tried while the fault {fault} lasted: {', '.join(untried) or 'anything'}")
        return held(f"{len(specs)} checks passed all {len(tried)} tries while the fault {fault} lasted", **figures)

    return Invariant(f"conforms-during-{fault}", judge)


def _passed(run: SpecRun | None) -> bool:
    return run is not None and run.state == PASSED


def _all(broken: Sequence[SpecRun]) -> str:
    first = broken[0]
    how = {LATE: f"not over after {first.took_s:.0f} s", FLAKY: f"passed only on try {first.tries}"}.get(first.state)
    said = f"{first.spec} ({_short(first.message or how or first.state)})"
    return said if len(broken) == 1 else f"{said}, and {len(broken) - 1} more"


def _doubt(spec: str, run: SpecRun | None, when: str) -> str:
    if run is None:
        return f"{spec} was not run {when}"
    what = {
        SKIPPED: "was skipped",
        NO_IMAGE: "could not be tried, since an image could not be had",
        LOST: "has no end",
    }.get(run.state, f"was {run.state}")
    return f"{spec} {what} {when}: {_short(run.message) or 'no reason was given'}"


def _short(text: str) -> str:
    """A message's first line that says something, within what a sentence can bear."""
    line = next((part.strip() for part in text.splitlines() if part.strip()), "")
    return line if len(line) <= SENTENCE_CHARACTERS else f"{line[: SENTENCE_CHARACTERS - 2]} …"
