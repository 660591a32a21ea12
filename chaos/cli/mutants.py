"""Commands about mutants: historical bugs that are put back into a component."""

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
