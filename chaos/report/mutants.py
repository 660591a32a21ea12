"""The table of mutants: which suite has found which historical bug."""

from collections.abc import Sequence

from chaos.hosts.mutants import MUTANTS, Mutant
from chaos.judge.base import Finding
from chaos.results.results import Row


def tried_row(name: str, *, incident: str, shipped: str, judged_by: str, verdict: str, reason: str) -> Row:
    """The line of what was tried under a name: a mutant, or the shipped program of `shipped`, which is a twin."""
    mutant = next((each for each in MUTANTS if each.name == name), None)
    return {
        "mutant": name,
        "component": mutant.component if mutant else shipped,
        "pull request": f"#{mutant.pull_request}" if mutant else "",
        "incident": incident,
        "judged by": judged_by,
        "verdict": verdict,
        "reason": reason,
        "twin": "" if mutant else "yes",
    }


def killed_row(mutant: Mutant, findings: Sequence[Finding], *, judged_by: str = "") -> Row:
    """A mutant's line. `judged_by` names the invariant that a twin is judged by, which no invariant must find."""
    invariant = mutant.killed_by or judged_by
    judged = next((f for f in findings if f.invariant == invariant), None)
    return {
        "mutant": mutant.name,
        "component": mutant.component,
        "pull request": f"#{mutant.pull_request}" if mutant.pull_request else "",
        "incident": mutant.incident,
        "judged by": invariant,
        "verdict": "not judged" if judged is None else str(judged.verdict),
        "reason": "" if judged is None else judged.reason,
        "twin": "" if mutant.pull_request else "yes",
    }
