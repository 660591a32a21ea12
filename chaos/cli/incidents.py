"""Commands that tell of incidents: the catalogue, and one of them in full."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chaos.cli.options import Json
from chaos.cli.output import indented, print_json, say, tell

if TYPE_CHECKING:
    from chaos.judge.catalogue import Incident
    from chaos.run.suites import Suite


def list_incidents(
    as_json: Json = False,
    proofs: Annotated[
        bool, typer.Option("--proofs", help="Instead, what proves of each promise that it can break, as Markdown.")
    ] = False,
    seen_in: Annotated[
        list[Path] | None,
        typer.Option("--seen-in", metavar="DIR", help="With --proofs: a run's folder that it was seen in. Repeatable."),
    ] = None,
) -> None:
    """Show the catalogue: each incident, its claim, where it can be replayed, what must break it."""
    from chaos.judge.proofs import by_kind, proven  # noqa: PLC0415
    from chaos.run.suites import by_incident, promised_by  # noqa: PLC0415

    catalogue = by_incident()
    if proofs or seen_in:
        _list_proofs(catalogue, seen_in or [])
        return
    promises = {each: [proven(each, name) for name in promised_by(there)] for each, there in catalogue.items()}
    if as_json:
        print_json(
            [
                {
                    "id": incident.id,
                    "title": incident.title,
                    "level": incident.level,
                    "claim": incident.claim,
                    "source": incident.source,
                    "remedy": incident.remedy,
                    "clusters": sorted({kind for s in there for kind in s.replay.on}),
                    "abilities": sorted({need.__name__ for s in there for need in s.replay.needs}),
                    "controls": [asdict(control) for control in incident.controls],
                    "promises": [
                        {
                            "invariant": p.invariant,
                            "proven": p.strongest,
                            "controls": list(p.controls),
                            "proofs": [asdict(proof) for proof in p.proofs],
                        }
                        for p in promises[incident]
                    ],
                    "suites": [
                        {
                            "test": s.test,
                            "variant": s.replay.variant,
                            "clusters": list(s.replay.on),
                            "abilities": [need.__name__ for need in s.replay.needs],
                            "controls": list(s.replay.controls),
                        }
                        for s in there
                    ],
                }
                for incident, there in catalogue.items()
            ]
        )
        return
    for incident, there in catalogue.items():
        say(f"{incident.id} ({incident.level}): {incident.title}")
        indented(incident.claim)
        for s in there:
            needs = ", ".join(need.__name__ for need in s.replay.needs) or "nothing special"
            variant = f", {s.replay.variant}" if s.replay.variant else ""
            indented(f"on {' and '.join(s.replay.on)}{variant}: needs {needs}")
        if not there:
            indented("no suite replays it yet")
        for control in incident.controls:
            bug = control.shipped
            where = f" where a version has {bug.issue}, {bug.mended}" if bug else ""
            indented(f"control {control.id}: {control.what}; must break {control.breaks} ({control.because}){where}")
        indented(f"{len(promises[incident])} promises, proven to be able to break: {by_kind(promises[incident])}")
        indented(f"source: {incident.source}")
        say()


def _list_proofs(catalogue: "Mapping[Incident, Sequence[Suite]]", folders: Sequence[Path]) -> None:
    """A row for each promise of the catalogue, with what it was seen broken in in these runs."""
    from chaos.report.proven import checked, counted, table  # noqa: PLC0415
    from chaos.results.saved import load  # noqa: PLC0415
    from chaos.run.suites import promised_by  # noqa: PLC0415

    runs = [load(folder, str(folder)) for folder in folders]
    found = [each for incident, there in catalogue.items() for each in checked(runs, incident, promised_by(there))]
    sys.stdout.write("\n".join([*table(found), f"{counted(found)}.", ""]))  # Markdown, of which each part is escaped


def explain(
    incident: Annotated[str, typer.Argument(metavar="ID", help="An incident of `kube-ordeal list`.")],
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
) -> None:
    """Explain an incident: what happened, how to recognise it, the fix, the versions, what was measured last."""
    from chaos.judge.catalogue import find  # noqa: PLC0415
    from chaos.report.explain import explain as page  # noqa: PLC0415

    tell(page(find(incident), results))
