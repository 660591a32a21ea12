"""Commands of a cluster's owner: what may be harmed there, and the end of all harm."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chaos.cli.output import say, tell
from chaos.errors import OrdealError
from chaos.hosts.places import APP

if TYPE_CHECKING:
    from chaos.clusters.way.client import Access

guard = typer.Typer(help="What the owner of an existing cluster allows to be harmed there.", no_args_is_help=True)

Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", metavar="FILE", help="The cluster's. [default: as kubectl finds it]")
]
Context = Annotated[str, typer.Option("--context", metavar="NAME", help="The kubeconfig's context.")]
Patterns = list[str] | None


@guard.command("init")
def guard_init(
    nodes: Annotated[
        str, typer.Option(metavar="SELECTOR", help="Labels of the nodes that may be harmed; '' for all.")
    ] = "kube-ordeal/allowed=true",
    control_plane: Annotated[
        bool, typer.Option("--control-plane", help="Control-plane nodes may be harmed, too.")
    ] = False,
    most_nodes: Annotated[str, typer.Option(metavar="N", help="So many at once, or such as 25%.")] = "1",
    incident: Annotated[
        Patterns, typer.Option(metavar="PATTERN", help="Incidents that may be replayed. [default: all]")
    ] = None,
    fault: Annotated[Patterns, typer.Option(metavar="PATTERN", help="Faults that may be done. [default: all]")] = None,
    namespace: Annotated[
        Patterns, typer.Option(metavar="PATTERN", help="Namespaces that may be harmed. [default: those of replays]")
    ] = None,
    window: Annotated[
        Patterns, typer.Option(metavar="WINDOW", help="When, as 'mon-fri 09:00-17:00 Europe/Berlin'. [default: always]")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="In the place of the guard that is there.")] = False,
    printed: Annotated[bool, typer.Option("--print", help="Write it to standard output, and nowhere else.")] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = "",
) -> None:
    """Write the guard into a cluster: without one nothing is harmed there. Stop conditions are added by hand."""
    from chaos.run import guard as guards  # noqa: PLC0415
    from chaos.run.policy import Policy, written  # noqa: PLC0415

    shipped = Policy()
    wanted = Policy(
        nodes=nodes,
        control_plane=control_plane,
        most_nodes=int(most_nodes) if most_nodes.isdecimal() else most_nodes,
        namespaces=tuple(namespace or shipped.namespaces),
        incidents=tuple(incident or shipped.incidents),
        faults=tuple(fault or shipped.faults),
        windows=tuple(window or ()),
    )
    wanted.check()
    if printed:
        tell(written(wanted))
        return
    guards.write(_access(kubeconfig, context).client, wanted, replace=replace)
    say(f"the guard is in the cluster; `{APP} halt` ends all harm there at once")
    if nodes:
        say(f"nodes that may be harmed are those with {nodes}: kubectl label node NAME {nodes}")


@guard.command("show")
def guard_show(kubeconfig: Kubeconfig = None, context: Context = "") -> None:
    """Show the guard of a cluster, and which nodes may be harmed now. Exits with 1 where nothing may."""
    from chaos.run.guard import Guard, read  # noqa: PLC0415
    from chaos.run.policy import written  # noqa: PLC0415

    access = _access(kubeconfig, context)
    consent = read(access.client)
    if consent.policy is not None:
        tell(written(consent.policy))
    guarding = Guard(access.client)
    try:
        guarding.require()
    except OrdealError as error:
        say(f"nothing may be harmed: {error}")
        raise typer.Exit(1) from error
    say(f"may be harmed: {', '.join(sorted(guarding.allowed() or ())) or 'no node'}")


@guard.command("rights")
def guard_rights(
    fence: Annotated[
        bool, typer.Option("--fence", help="And a policy that keeps what a run makes in namespaces of its own.")
    ] = False,
) -> None:
    """Print a service account with the rights of a run, for the owner of a cluster to apply there."""
    from chaos.hosts.places import manifests_dir  # noqa: PLC0415

    names = ("runner.yaml", "fence.yaml") if fence else ("runner.yaml",)
    tell("---\n".join((manifests_dir() / "rights" / name).read_text() for name in names))


def halt(
    off: Annotated[bool, typer.Option("--off", help="Allow it again.")] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = "",
) -> None:
    """End all harm on a cluster, at once where it is reached, and say what could not be reached."""
    from chaos.run import guard as guards  # noqa: PLC0415

    access = _access(kubeconfig, context, in_haste=True)
    if off:
        guards.halt(access.client, on=False)
        say("harm is allowed again, as the guard says")
        return
    guards.halt(access.client, on=True)  # before all else
    say("halted: no harm is begun")
    before: frozenset[str] | None = frozenset()
    with suppress(OrdealError):  # so that what is undone soon is told, too
        before = guards.harmed(access.client)
    for line in guards.ended(access.client, before):
        say(line)


def _access(kubeconfig: Path | None, context: str, *, in_haste: bool = False) -> "Access":
    from chaos.clusters.way import kubeconfig_files  # noqa: PLC0415
    from chaos.clusters.way.client import Access  # noqa: PLC0415

    return Access(*kubeconfig_files.find(kubeconfig, context), in_haste=in_haste)
