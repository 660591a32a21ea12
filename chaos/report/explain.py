"""What a person who has met an incident needs: what happened, how it shows, the fix, and what was measured last."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from chaos.basics.visible import line
from chaos.judge.catalogue import Incident
from chaos.results.saved import SavedOutcome, SavedRun, latest_with

WIDTH = 100


def explain(incident: Incident, results: Path) -> str:
    """The incident as a page of text; what was measured last is looked for in the runs below `results`."""
    lines = [*_wrapped(f"{incident.id}: {incident.title}", ""), ""]
    lines += _section("What happened", [incident.story, f"Source: {incident.source}."])
    lines += ["How to recognise it", ""]
    for sign in incident.recognise:
        lines += [f"  $ {line(sign.command)}", *_wrapped(sign.look_for, "      "), ""]
    lines += _section("The fix", [incident.remedy])
    lines += _section("Versions", [incident.versions])
    lines += _section(f"The promise ({incident.level})", [incident.claim])
    lines += ["What proves that the check can fail", ""]
    for control in incident.controls:
        also = f", and {' and '.join(control.also_breaks)} too" if control.also_breaks else ""
        bug = control.shipped
        where = f", where a version has {bug.issue} (since {bug.since}, {bug.mended})" if bug else ""
        lines += _wrapped(f"{control.id}: {control.what}; breaks {control.breaks}{also}{where}", "  ")
    lines += ["", "What was measured last", ""]
    found = latest_with(results, incident.id)
    return "\n".join(
        lines + (_measured(found) if found else [f"  nothing yet: no run below {results} has replayed it"])
    )


def _measured(run: SavedRun) -> list[str]:
    machine = ", ".join(f"{name} {value}" for name, value in run.machine.items())
    lines = _wrapped(f"run {run.id}, on {machine}:", "  ")
    for outcome in run.outcomes:
        lines += ["", *_wrapped(_headline(outcome), "  ")]
        for finding in outcome.findings:
            lines += _wrapped(f"{finding.verdict}: {finding.invariant}: {finding.sentence}", "    ")
    return lines


def _headline(o: SavedOutcome) -> str:
    which = f"control {o.control}" if o.control else "hardened"
    replay = f", {o.replay}" if o.replay else ""
    where = f"Kubernetes {o.kubernetes}, {o.cluster}, profile {o.profile}, {o.duration_s:.0f} s"
    return f"{which}{replay}: {o.verdict}, {'passed' if o.passed else 'failed'} ({where})"


def _section(title: str, paragraphs: Sequence[str]) -> list[str]:
    lines = [title, ""]
    for paragraph in paragraphs:
        lines += [*_wrapped(paragraph, "  "), ""]
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        line(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  " if indent != "  " else indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
