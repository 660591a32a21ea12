"""The verdict of a replay, made of all its findings: the same for pytest and for Chaos Toolkit."""

from collections.abc import Sequence

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from chaos.basics.scrub import scrub
from chaos.errors import OrdealError
from chaos.judge.base import Finding, Verdict, overall
from chaos.judge.catalogue import Incident
from chaos.results.results import Outcome
from chaos.run.lab import Lab


def verdict_of(
    incident: Incident, control: str | None, findings: Sequence[Finding], problem: str
) -> tuple[Verdict, bool, str]:
    """The verdict of a replay, whether it passed, and the sentence that says why.

    Hardened passes if every finding held. A control passes if the invariant that it names was violated for the
    reason that it names. A problem (a fault that did not land, an error) makes it unknown, whatever was found.
    """
    if problem:
        return Verdict.UNKNOWN, False, problem
    verdict = overall(findings)
    if control is None:
        worst = [f for f in findings if f.verdict is verdict] if verdict is not Verdict.HELD else []
        why = "; ".join(f"{f.invariant}: {f.sentence}" for f in worst) or f"{len(findings)} invariants held"
        return verdict, verdict is Verdict.HELD, why if findings else "nothing was judged"
    wanted = incident.control(control)
    named = next((f for f in findings if f.invariant == wanted.breaks), None)
    if named is None:
        return Verdict.UNKNOWN, False, f"the control's invariant {wanted.breaks} was not judged"
    if named.verdict is not Verdict.VIOLATED:
        why = f"the control must violate {wanted.breaks}, but it was {named.verdict}: {named.sentence}"
        return named.verdict, False, why
    if named.reason != wanted.because:
        why = f"{wanted.breaks} was violated because of {named.reason}, expected {wanted.because}: {named.sentence}"
        return Verdict.VIOLATED, False, why
    return Verdict.VIOLATED, True, f"as it must be: {wanted.breaks}: {named.sentence}"


def outcome_of(lab: Lab, test: str, problem: str) -> Outcome:
    """What came out of a replay, for the results. Asks the cluster for its facts while it is still there."""
    verdict, passed, why = verdict_of(lab.incident, lab.control, lab.findings, problem)
    if problem:
        violated = [f for f in (*lab.findings, *lab.broken) if f.verdict is Verdict.VIOLATED]
        why += "".join(f"; what was recorded violates {f.invariant}: {f.sentence}" for f in violated)
    why += "".join(f"; control not run: {control} ({reason})" for control, reason in lab.not_run_controls.items())
    cluster = lab.stage.used
    try:
        facts = {**cluster.facts(), **lab.stage.image_facts} if cluster else {}
        kubernetes = cluster.kubernetes if cluster else ""
    except (OrdealError, ApiException, HTTPError) as error:  # no API server answers: the verdict is kept all the same
        facts, kubernetes = {"not to be had": str(error), **lab.stage.image_facts}, ""
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
