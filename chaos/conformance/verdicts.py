"""What upstream's report of a spec means for the cluster: which failures say nothing of it, and why."""

import re
from collections.abc import Sequence

from chaos.conformance.ginkgo import Report
from chaos.conformance.outcome import Reason, SpecOutcome, State
from chaos.conformance.spec import Spec

# What upstream itself calls a failure; "pending" and "skipped" are none.
_FAILED = frozenset({"failed", "panicked", "timedout", "interrupted", "aborted"})
_IMAGE = re.compile(
    r'(?:Failed to pull image|Back-off pulling image|Error: ErrImageNeverPull.*?image) \\?"([^"\\]+)\\?"'
    r'|Container image \\?"([^"\\]+)\\?" is not present with pull policy of Never'
)
_NO_CLASS = re.compile(r"no default storage ?class|default storage ?class\w* (?:not|could not be) found", re.IGNORECASE)
_FINDING_CLASS = re.compile(r"finding default storage ?class", re.IGNORECASE)
_UNBOUND = re.compile(r"unbound immediate PersistentVolumeClaims|no storage class is set", re.IGNORECASE)
_NODES = re.compile(
    r"requires at least \d+ (?:\w+ )*nodes?|at least (?:two|three|\d+) (?:\w+ )*nodes?|not enough nodes", re.IGNORECASE
)


def outcome(spec: Spec, report: Report, *, default_class: bool = True) -> SpecOutcome:
    """The outcome of a spec that ended, from upstream's report. `default_class`: the cluster has a default
    StorageClass.
    """
    state, reason, message = _judged(spec, report, default_class)
    return SpecOutcome(
        spec.id,
        spec.text,
        spec.area,
        state,
        reason,
        message,
        took_s=report.run_time / 1e9,
        attempts=max(1, report.num_attempts) if report.max_flake_attempts else 1,
        output=report.output,
    )


def unknown(spec: Spec, reason: Reason, message: str, *, took_s: float = 0.0, output: str = "") -> SpecOutcome:
    """The outcome of a spec that says nothing of the cluster."""
    return SpecOutcome(spec.id, spec.text, spec.area, State.UNKNOWN, reason, message, took_s, output=output)


def images_not_had(texts: Sequence[str]) -> tuple[str, ...]:
    """The images that a kubelet said it could not get, in upstream's record of the namespace's events."""
    found = (a or b for text in texts for a, b in _IMAGE.findall(text))
    return tuple(dict.fromkeys(found))


def _judged(spec: Spec, report: Report, default_class: bool) -> tuple[State, Reason | None, str]:
    if report.state == "passed":
        return State.PASSED, None, ""
    said, failed = report.message, report.state in _FAILED
    if untested := _untested(report, failed, default_class):
        reason, sentence = untested
        return State.UNKNOWN, reason, _with(said, sentence)
    if failed:
        return State.FAILED, Reason.FAILED, said or f"upstream says only: {report.state}"
    if spec.conformance:  # the programme knows no skipped spec
        return State.UNKNOWN, Reason.SKIPPED, _with(said or "upstream skipped it", "So it was not tested.")
    return State.SKIPPED, Reason.SKIPPED, said or f"upstream says only: {report.state}"


def _untested(report: Report, failed: bool, default_class: bool) -> tuple[Reason, str] | None:
    """Why the spec says nothing of what it tests, and a sentence; None where it does, or where nobody knows."""
    said = report.message
    if failed and (images := images_not_had((said, report.output))):
        return Reason.NO_IMAGE, f"The image {' and '.join(images)} could not be had."
    unbound = failed and not default_class and _UNBOUND.search(f"{said}\n{report.output}")
    if unbound or _NO_CLASS.search(said) or (not failed and _FINDING_CLASS.search(said)):
        return Reason.NO_STORAGE_CLASS, "The cluster has no default StorageClass."
    if _NODES.search(said):
        return Reason.TOO_FEW_NODES, "The cluster has fewer nodes than the spec needs."
    return None


def _with(said: str, sentence: str) -> str:
    return f"{said}\n{sentence}" if said else sentence
