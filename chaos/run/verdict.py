"""The verdict of a replay, made of all its findings: the same for pytest and for Chaos Toolkit."""

from collections.abc import Sequence

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from chaos.basics.scrub import scrub
from chaos.errors import OrdealError
from chaos.judge.base import Finding, Verdict, overall
from chaos.judge.catalogue import Control, Incident, KnownBug
from chaos.judge.serving import serves_before_harm
from chaos.results.results import Outcome
from chaos.run.lab import Lab


def verdict_of(
    incident: Incident, control: str | None, findings: Sequence[Finding], problem: str, kubernetes: str
) -> tuple[Verdict, bool, str]:
    """The verdict of a replay, whether it passed, and the sentence that says why.

    Hardened passes if every finding held. A control passes if the invariant that it names was violated for the
    reason that it names; what it is declared to break beside that, and did not, is said. Where it is a published bug
    that `kubernetes`, the cluster's version, does not have, it passes as hardened does. A problem (a fault that did not
    land, an error) makes it unknown, whatever was found; but a cluster that does not serve before any harm is violated
    for that. A control has then shown nothing.
    """
    unserved = next((f for f in findings if f.recipe and f.recipe.promise == serves_before_harm.__name__), None)
    if unserved is not None and control is None:
        return unserved.verdict, False, f"{unserved.invariant}: {unserved.sentence}"
    if unserved is None and problem:
        return Verdict.UNKNOWN, False, problem
    wanted = incident.control(control) if control is not None else None
    if wanted is not None and wanted.shipped is not None:
        return _as_shipped(wanted, wanted.shipped, findings, unserved, kubernetes)
    if wanted is not None:
        return _of_control(wanted, findings, unserved)
    return _of_hardened(findings)


def _of_hardened(findings: Sequence[Finding]) -> tuple[Verdict, bool, str]:
    verdict = overall(findings)
    worst = [f for f in findings if f.verdict is verdict] if verdict is not Verdict.HELD else []
    why = "; ".join(f"{f.invariant}: {f.sentence}" for f in worst) or f"{len(findings)} invariants held"
    return verdict, verdict is Verdict.HELD, why if findings else "nothing was judged"


def _of_control(wanted: Control, findings: Sequence[Finding], unserved: Finding | None) -> tuple[Verdict, bool, str]:
    named = next((f for f in findings if f.invariant == wanted.breaks), None)
    if named is None or unserved is not None:
        why = f": {unserved.sentence}" if unserved is not None else ""
        return Verdict.UNKNOWN, False, f"the control's invariant {wanted.breaks} was not judged{why}"
    if named.verdict is not Verdict.VIOLATED:
        why = f"the control must violate {wanted.breaks}, but it was {named.verdict}: {named.sentence}"
        return named.verdict, False, why
    if named.reason != wanted.because:
        why = f"{wanted.breaks} was violated because of {named.reason}, expected {wanted.because}: {named.sentence}"
        return Verdict.VIOLATED, False, why
    return Verdict.VIOLATED, True, f"as it must be: {wanted.breaks}: {named.sentence}{_not_broken(wanted, findings)}"


def _as_shipped(
    wanted: Control, bug: KnownBug, findings: Sequence[Finding], unserved: Finding | None, kubernetes: str
) -> tuple[Verdict, bool, str]:
    try:
        affected = bug.affects(kubernetes)
    except OrdealError as error:
        return Verdict.UNKNOWN, False, str(error)
    if affected or unserved is not None:
        verdict, passed, why = _of_control(wanted, findings, unserved)
        return verdict, passed, f"known bug {bug.issue}, {bug.mended}: {why}" if passed else why
    verdict, passed, why = _of_hardened(findings)
    return verdict, passed, f"{kubernetes} does not have {bug.issue}: {why}"


def _not_broken(control: Control, findings: Sequence[Finding]) -> str:
    """What a control is declared to break too, was judged by, and did not: it proves nothing of that here."""
    said = ""
    for invariant in control.also_breaks:
        judged = [finding for finding in findings if finding.invariant == invariant]
        if judged and overall(judged) is not Verdict.VIOLATED:
            said += f"; it is said to break {invariant} too, which was {overall(judged)}"
    return said


def outcome_of(lab: Lab, test: str, problem: str) -> Outcome:
    """What came out of a replay, for the results. Asks the cluster for its facts while it is still there."""
    cluster, kubernetes = lab.stage.used, ""
    try:
        kubernetes = cluster.kubernetes if cluster else ""
        facts = {**cluster.facts(), **lab.stage.image_facts} if cluster else {}
    except (OrdealError, ApiException, HTTPError) as error:  # no API server answers: the verdict is kept all the same
        facts = {"not to be had": str(error), **lab.stage.image_facts}
    verdict, passed, why = verdict_of(lab.incident, lab.control, lab.findings, problem, kubernetes)
    if problem and why == problem:
        violated = [f for f in (*lab.findings, *lab.broken) if f.verdict is Verdict.VIOLATED]
        why += "".join(f"; what was recorded violates {f.invariant}: {f.sentence}" for f in violated)
    why += "".join(f"; control not run: {control} ({reason})" for control, reason in lab.not_run_controls.items())
    return Outcome(
        id=lab.incident.id,
        variant="control" if lab.control else "hardened",
        control=lab.control or "",
        test=test,
        cluster=lab.cluster_kind,
        kubernetes=kubernetes,
        profile=lab.profile.name,
        verdict=verdict,
        passed=passed,
        why=scrub(why),
        duration_s=lab.duration_s,
        replay=lab.replay,
        findings=tuple(lab.findings),
        cluster_facts=facts,
        facts=lab.facts,
        tables=lab.tables,
        histories=tuple(lab.histories),
        evidence=tuple(lab.evidence),
    )
