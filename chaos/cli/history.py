"""Commands about the history of runs: add to it, show it, take limits from it."""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chaos.cli.options import Json, a_version
from chaos.cli.output import USER_ERROR, console, print_json, say, say_error
from chaos.errors import OrdealError
from chaos.hosts.places import history_file

if TYPE_CHECKING:
    from chaos.results.past import PastRun
    from chaos.results.trend import Circumstances, Trend, Verdicts

SCHEMA = 1
kept = typer.Typer(help="Figures and verdicts of many runs, kept in one file.", no_args_is_help=True)
File = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="The history. [default: history.sqlite, in the state]")
]


@kept.command("add")
def history_add(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids or paths; a folder of runs: all of them.")],
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
    file: File = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="A run that is there and was changed since is taken as it is now.")
    ] = False,
) -> None:
    """Keep figures and verdicts of runs that are over; one that is there already changes nothing.

    Exits with 2 where one can't be added; the others are.
    """
    from chaos.results import run_history  # noqa: PLC0415
    from chaos.results.past import past_of  # noqa: PLC0415
    from chaos.results.saved import load, named  # noqa: PLC0415

    found, refused = [], []
    for each in dict.fromkeys(name for given in runs for name in named(given)):
        try:
            found.append(past_of(load(results, each), datetime.now(UTC)))
        except OrdealError as error:
            refused.append(str(error))
    path = file or history_file()
    if found:
        added = run_history.add(path, found, replace=replace, waiting=lambda: say(f"somebody adds to {path}: waiting"))
        for said, ids in (("added", added.new), ("taken as it is now", added.replaced), ("there already", added.there)):
            for run in ids:
                say(f"{said}: {run}")
        say(f"history: {path}")
    for sentence in refused:
        say_error(sentence)
    raise typer.Exit(USER_ERROR if refused else 0)


@kept.command("runs")
def history_runs(file: File = None, as_json: Json = False) -> None:
    """Show the runs that are kept, the oldest first."""
    from chaos.report.past_runs import run_json, runs_table  # noqa: PLC0415

    runs = _load(file)
    if as_json:
        print_json({"schema": SCHEMA, "runs": [run_json(each) for each in runs]})
    else:
        console().print(runs_table(runs))


@kept.command("show")
def history_show(
    figure: Annotated[str, typer.Option(metavar="NAME", help="This figure alone, also where it is a count.")] = "",
    incident: Annotated[str, typer.Option(metavar="ID", help="This incident alone, with its controls.")] = "",
    file: File = None,
    as_json: Json = False,
) -> None:
    """Show how often replays came out how, and the trend of their figures, by version, node image, profile and cpus.

    A table leaves out counts and controls unless asked for; JSON has all, with every value.
    """
    from chaos.report import past_runs  # noqa: PLC0415
    from chaos.results.trend import trends, verdicts  # noqa: PLC0415

    runs = _load(file)
    counted = [each for each in verdicts(runs) if incident in {"", each.key.incident}]
    found = [each for each in trends(runs) if incident in {"", each.key.of.incident}]
    if incident and not counted:
        there = ", ".join(sorted({each.incident for run in runs for each in run.replays}))
        raise OrdealError(f"the history has no replay of {incident}; it has {there or 'none'}")
    names = sorted({each.key.figure for each in found})
    if figure:
        found = [each for each in found if each.key.figure == figure]
        if not found:
            raise OrdealError(f"the history has no figure {figure}; it has {', '.join(names) or 'none'}")
        counted = []
    if as_json:
        replays = [past_runs.verdicts_json(each) for each in counted]
        figures = [past_runs.trend_json(each) for each in found]
        print_json({"schema": SCHEMA, "replays": replays, "figures": figures})
        return
    shown = [t for t in found if (figure or t.key.unit is not None) and (incident or figure or not t.key.of.control)]
    for conditions in sorted({*(each.conditions for each in counted), *(each.conditions for each in shown)}):
        _print(counted, shown, conditions)
    if any(len(each.values) < 100 for each in shown):
        say(
            "P95 of fewer than 20 values, and P99 of fewer than 100, is the greatest of them; n says how many there are"
        )
    if len(shown) < len(found):
        say(f"{len(found) - len(shown)} counts, and figures of controls, are not shown: --incident, --figure or --json")


@kept.command("limits")
def history_limits(
    at: Annotated[str, typer.Option("--at", metavar="PERCENTILE", help="p95 or p99.")],
    kubernetes: Annotated[
        str, typer.Option(metavar="VERSION", help="Of runs of this version. [default: the one that is kept]")
    ] = "",
    profile: Annotated[str, typer.Option(help="Of runs in this profile.")] = "smoke",
    cpus: Annotated[
        int, typer.Option(min=0, help="Of runs on machines with so many processors. [default: as many as here]")
    ] = 0,
    at_least: Annotated[int, typer.Option(min=1, help="So many runs have to have each value.")] = 20,
    file: File = None,
) -> None:
    """Write limits of promises, from figures of hardened replays that held, as YAML for --ordeal-limits.

    A promise of which a replay has too few runs is left out, and named on standard error.
    """
    from chaos.results import past_limits  # noqa: PLC0415

    percent = past_limits.percent_of(at)
    runs = _load(file)
    here = str(cpus or os.cpu_count())
    version = a_version(kubernetes) if kubernetes else _only_version(runs, here)
    found = past_limits.limits_from(runs, percent, past_limits.Basis(version, profile, here), at_least)
    for sentence in found.left_out:
        say(f"left out: {sentence}", err=True)
    if not found.limits:
        raise OrdealError(f"the history gives no limit with {found.basis}: add more runs, or say --at-least")
    for each in past_limits.document(found):
        say(each)


@kept.command("bar")
def history_bar(file: File = None, as_json: Json = False) -> None:
    """Show how the runs stand to what SIG Release asks of a job that may block a release of Kubernetes."""
    from chaos.report import bar  # noqa: PLC0415

    stands = bar.bar(_load(file))
    if as_json:
        print_json({"schema": SCHEMA, **bar.as_json(stands)})
        return
    for sentence in bar.sentences(stands):
        say(sentence)


def runs_of(wanted: bool, file: Path | None) -> "tuple[PastRun, ...] | None":
    """The runs of the history, where a command was asked for it: of that file, or the default one."""
    return _load(file) if wanted or file is not None else None


def _load(file: Path | None) -> "tuple[PastRun, ...]":
    from chaos.results import run_history  # noqa: PLC0415

    return run_history.load(file or history_file()).runs


def _only_version(runs: "Iterable[PastRun]", cpus: str) -> str:
    versions = sorted({version for run in runs if run.cpus == cpus for version in run.versions})
    if len(versions) != 1:
        raise OrdealError(
            f"name the version that limits are taken of with --kubernetes; on {cpus} cpus the history has "
            f"{', '.join(versions) or 'none'}"
        )
    return versions[0]


def _print(counted: "Sequence[Verdicts]", shown: "Sequence[Trend]", conditions: "Circumstances") -> None:
    from chaos.report.past_runs import figures_table, verdicts_table  # noqa: PLC0415

    replays = [each for each in counted if each.conditions == conditions]
    figures = [each for each in shown if each.conditions == conditions]
    memory = sorted({each for trend in figures for each in trend.memory})
    say(", memory ".join([str(conditions), *([" and ".join(memory)] if memory else [])]))
    if replays:
        console().print(verdicts_table(replays))
    if figures:
        console().print(figures_table(figures))
