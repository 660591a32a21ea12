"""Commands about upstream's end-to-end tests: the program, and the images of its specs."""

from typing import Annotated

import typer
from rich.table import Table

from chaos.cli.options import Json, a_version
from chaos.cli.output import cell, console, print_json, say, timestamped
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.places import APP

conformance = typer.Typer(
    help="Upstream's end-to-end tests, which `pytest suites/conformance` runs, and their images.", no_args_is_help=True
)


@conformance.command("build")
def conformance_build(
    kubernetes: Annotated[
        str, typer.Option("--kubernetes", metavar="VERSION", callback=a_version, help="Kubernetes version.")
    ] = DEFAULT_KUBERNETES,
    image: Annotated[
        bool, typer.Option("--images/--no-images", help="The images of the specs too (default); they need an engine.")
    ] = True,
) -> None:
    """Build e2e.test of a Kubernetes version and the images of its specs, unless they are there; prints its path."""
    from chaos.conformance import images as of_specs  # noqa: PLC0415
    from chaos.conformance import program  # noqa: PLC0415
    from chaos.conformance.listing import listing  # noqa: PLC0415
    from chaos.hosts import engine  # noqa: PLC0415

    report, running = timestamped(), engine.find()
    made = program.find(kubernetes) or (program.take(kubernetes, running, report=report) if running else None)
    published = made is not None and made.path.is_relative_to(program.taken(kubernetes))
    made = made or program.build(kubernetes, report=report)
    listing(made, report=report)
    if image and not published:  # else nodes pull them, from the same registry
        of_specs.build(made, report=timestamped())
    say(made.path)


@conformance.command("list")
def conformance_list(as_json: Json = False) -> None:
    """Show the e2e.test programs that were built here, and the images of their specs."""
    from chaos.conformance import built  # noqa: PLC0415

    there = built.list_built()
    if as_json:
        print_json([built.as_json(each) for each in there])
        return
    if not there:
        say(f"no e2e.test was built here; `{APP} conformance build` makes one")
        return
    table = Table("kubernetes", "e2e.test", "built", "size", "specs", "of the programme", "images")
    for b in there:
        images_there = f"{len(b.images)} of {b.images_wanted}" if b.images is not None else "no engine to ask"
        table.add_row(
            cell(b.kubernetes),
            cell(str(b.path)),
            f"{b.built_at:%Y-%m-%d %H:%M}",
            f"{b.size_bytes / 1e6:.0f} MB",
            str(b.specs),
            str(b.conformant),
            images_there,
        )
    console().print(table)


@conformance.command("remove")
def conformance_remove(
    kubernetes: Annotated[str, typer.Argument(metavar="VERSION", callback=a_version, help="Kubernetes version.")],
) -> None:
    """Remove e2e.test of a Kubernetes version, its list of specs and their images."""
    from chaos.conformance import built  # noqa: PLC0415

    gone = built.remove(kubernetes)
    for each in gone:
        say(f"removed {each}")
    if not gone:
        say(f"nothing of Kubernetes {kubernetes} was built here for conformance")
