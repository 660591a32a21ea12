"""Commands that tell of incidents: the catalogue, and one of them in full."""

from pathlib import Path
from typing import Annotated

import typer

from chaos.cli.options import Json
from chaos.cli.output import indented, print_json, say, tell


def list_incidents(as_json: Json = False) -> None:
    """Show the catalogue: each incident, its claim, where it can be replayed, what must break it."""
    from chaos.run.suites import by_incident  # noqa: PLC0415

    catalogue = by_incident()
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
                    "controls": [
                        {"id": c.id, "what": c.what, "breaks": c.breaks, "because": c.because}
                        for c in incident.controls
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
            indented(f"control {control.id}: {control.what}; must break {control.breaks} ({control.because})")
        indented(f"source: {incident.source}")
        say()


def explain(
    incident: Annotated[str, typer.Argument(metavar="ID", help="An incident of `kube-ordeal list`.")],
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
) -> None:
    """Explain an incident: what happened, how to recognise it, the fix, the versions, what was measured last."""
    from chaos.judge.catalogue import find  # noqa: PLC0415
    from chaos.report.explain import explain as page  # noqa: PLC0415

    tell(page(find(incident), results))
