"""The table of mutants: which suite has found which historical bug."""

from collections.abc import Sequence

from chaos.hosts.mutants import Mutant
from chaos.judge.base import Finding
from chaos.results.results import Row


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
