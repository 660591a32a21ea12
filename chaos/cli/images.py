"""Commands about images that are built here: of nodes, and of workloads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from chaos.cli.options import Json, a_version
from chaos.cli.output import cell, console, print_json, say, timestamped
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.places import APP

if TYPE_CHECKING:
    from chaos.hosts.image import NodeImage


images = typer.Typer(
    help="Images for kind clusters: of nodes, and of the servers that workloads run.", no_args_is_help=True
)


def _a_component(text: str) -> str:
    from chaos.hosts.image_programs import component_names  # noqa: PLC0415

    name, equals, path = text.partition("=")
    if not equals or not path:
        raise typer.BadParameter(f"{text!r} is not NAME=PATH, as in kubelet=./kubelet")
    if name not in component_names():
        raise typer.BadParameter(f"no component is named {name!r}; there are {', '.join(component_names())}")
    return text


@images.command("build")
def image_build(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="With --workloads: these instead of all.")
    ] = None,
    kubernetes: Annotated[
        str, typer.Option("--kubernetes", metavar="VERSION", callback=a_version, help="Kubernetes version.")
    ] = DEFAULT_KUBERNETES,
    component: Annotated[
        list[str] | None,
        typer.Option("--component", metavar="NAME=PATH", help="Put this program in instead; may be repeated."),
    ] = None,
    workloads: Annotated[
        bool, typer.Option("--workloads", help="Build the images of the servers that workloads run, instead.")
    ] = False,
    agent: Annotated[
        bool, typer.Option("--agent", help="Build the image of the agent for nodes that somebody else made, instead.")
    ] = False,
) -> None:
    """Build the node image of a Kubernetes version, or the workloads' images, unless it is there; prints its tag."""
    if agent:
        from chaos.hosts import agent_image  # noqa: PLC0415

        if component or workloads or names:
            raise typer.BadParameter("--agent builds one image; leave the others out")
        say(agent_image.ensure(timestamped()))
        return
    from chaos.hosts import image, workload_images, workload_recipes  # noqa: PLC0415

    if workloads:
        if component:
            raise typer.BadParameter("--component is for node images; leave it out, or --workloads")
        for name in [workload_recipes.recipe(each).name for each in names or workload_recipes.names()]:
            say(workload_images.ensure(name, report=timestamped()).tag)
        return
    if names:
        raise typer.BadParameter(f"{' '.join(names)}: names are for --workloads; a node image is named by --kubernetes")
    swapped = dict(_a_component(each).split("=", 1) for each in component or ())
    made = image.ensure(kubernetes, {name: Path(path) for name, path in swapped.items()}, report=timestamped())
    say(made.tag)


@images.command("list")
def image_list(as_json: Json = False) -> None:
    """Show the images that were built here: of nodes, and of workloads."""
    from chaos.hosts import image, workload_images  # noqa: PLC0415

    there, workloads = image.list_images(), workload_images.list_images()
    if as_json:
        print_json(
            [
                {
                    "tag": i.tag,
                    "kubernetes": i.kubernetes,
                    "built_at": i.built_at.isoformat(),
                    "size_bytes": i.size_bytes,
                    "components": dict(i.components),
                }
                for i in there
            ]
            + [
                {"tag": w.tag, "workload": w.name, "built_at": w.built_at.isoformat(), "size_bytes": w.size_bytes}
                for w in workloads
            ]
        )
        return
    if there:
        _print_node_images(there)
    else:
        say(f"no node image was built here; `{APP} image build` makes one")
    if workloads:
        table = Table("tag", "workload", "built", "size")
        for w in workloads:
            table.add_row(cell(w.tag), cell(w.name), f"{w.built_at:%Y-%m-%d %H:%M}", f"{w.size_bytes / 1e6:.0f} MB")
        console().print(table)
    else:
        say(f"no workload's image was built here; `{APP} image build --workloads` makes them")


def _print_node_images(there: "tuple[NodeImage, ...]") -> None:
    table = Table("tag", "kubernetes", "built", "size", "swapped in")
    for i in there:
        built_at = f"{i.built_at:%Y-%m-%d %H:%M}"
        size = f"{i.size_bytes / 1e6:.0f} MB"
        table.add_row(*map(cell, (i.tag, i.kubernetes, built_at, size, ", ".join(i.components))))
    console().print(table)


@images.command("remove")
def image_remove(
    image_or_version: Annotated[str, typer.Argument(help="A tag, a Kubernetes version, or a workload's name.")],
) -> None:
    """Remove an image that was built here, or all of one Kubernetes version or workload."""
    from chaos.hosts import image, workload_images  # noqa: PLC0415

    for gone in workload_images.remove(image_or_version) or image.remove(image_or_version):
        say(f"removed {gone.tag}")
