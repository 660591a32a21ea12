"""What Chaos Toolkit's journal has of a replay: an outcome, and a finding, as JSON."""

from chaos.judge.base import Finding
from chaos.results.results import Outcome

Reported = dict[str, object]


def reported(outcome: Outcome) -> Reported:
    """As JSON, for Chaos Toolkit's journal."""
    return {
        "verdict": str(outcome.verdict),
        "outcome": "passed" if outcome.passed else "failed",  # as a text, which a tolerance can ask for
        "passed": outcome.passed,
        "why": outcome.why,
        "incident": outcome.id,
        "control": outcome.control,
        "findings": [reported_finding(f) for f in outcome.findings],
        "histories": [str(path) for path in outcome.histories],
    }


def reported_finding(finding: Finding) -> Reported:
    """As JSON, for Chaos Toolkit's journal."""
    return {
        "invariant": finding.invariant,
        "verdict": str(finding.verdict),
        "sentence": finding.sentence,
        "reason": finding.reason,
        "figures": dict(finding.figures),
    }
