"""Commands about mutants: historical bugs that are put back into a component."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from chaos.cli.options import Json, a_version
from chaos.cli.output import cell, console, print_json, say, timestamped
from chaos.hosts.bundles import DEFAULT_KUBERNETES

mutated = typer.Typer(
    help="Historical Kubernetes bugs, put back into a component: the suites must find them.", no_args_is_help=True
)


@mutated.command("list")
def mutant_list(as_json: Json = False) -> None:
    """Show the mutants: the component, the pull request that had mended the bug, what must find it."""
    from chaos.hosts import mutants  # noqa: PLC0415

    if as_json:
        print_json(
            [
                {
                    "name": m.name,
                    "component": m.component,
                    "pull_request": m.pull_request,
                    "what": m.what,
                    "incident": m.incident,
                    "killed_by": m.killed_by,
                    "twin": m.twin,
                    "files": sorted({s.file for s in m.substitutions}),
                }
                for m in mutants.MUTANTS
            ]
        )
        return
    table = Table("mutant", "component", "mended by", "incident", "must break", "what it does")
    for m in mutants.MUTANTS:
        mended = f"#{m.pull_request}" if m.pull_request else "no bug: a twin"
        table.add_row(*map(cell, (m.name, m.component, mended, m.incident, m.killed_by or "nothing", m.what)))
    console().print(table)


@mutated.command("build")
def mutant_build(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Mutants, or `all`.")],
    kubernetes: Annotated[
        str, typer.Option("--kubernetes", metavar="VERSION", callback=a_version, help="Kubernetes version.")
    ] = DEFAULT_KUBERNETES,
) -> None:
    """Build mutants of a Kubernetes version, unless they are there; prints the path of each one's program."""
    from chaos.hosts import mutants  # noqa: PLC0415

    wanted = [m.name for m in mutants.MUTANTS] if names == ["all"] else [mutants.find(name).name for name in names]
    for name in wanted:
        say(mutants.build(name, kubernetes, report=timestamped()).path)


@mutated.command("score")
def mutant_score(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTIONS OF PYTEST]", help="Further arguments for pytest, as -n 2."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="This mutant; again for more. All by default.")
    ] = None,
    incident: Annotated[str, typer.Option("--incident", metavar="ID", help="Those that this incident must find.")] = "",
    kubernetes: Annotated[
        str, typer.Option("--kubernetes", metavar="VERSION", callback=a_version, help="Kubernetes version.")
    ] = DEFAULT_KUBERNETES,
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
) -> None:
    """Build mutants, replay only what must find each, and say how many were killed.

    Exits with 0 where each was killed and each twin passed, with 1 where one survived or a twin was blamed, with 2
    where nobody can say of one.
    """
    from chaos.cli import score  # noqa: PLC0415

    wanted = score.chosen(only or [], incident)
    made = score.run(wanted, kubernetes=kubernetes, arguments=arguments or [], results=results, report=timestamped())
    table = Table("mutant", "component", "mended by", "incident", "fate", "judged by", "why")
    for each in made.scored:
        m = each.mutant
        mended = f"#{m.pull_request}" if m.pull_request else "no bug: a twin"
        table.add_row(*map(cell, (m.name, m.component, mended, m.incident, each.fate, each.judged_by, each.why)))
    console().print(table)
    say(f"{made.sentence}{f'; {made.cut_short}' if made.cut_short else ''}")
    raise typer.Exit(made.exit_code)
