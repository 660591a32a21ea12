"""Commands that replay incidents, and undo what replays have left behind."""

from typing import Annotated

import typer

from chaos.cli.options import Json
from chaos.cli.output import say, tell, timestamped


def run_suites(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[SUITES AND OPTIONS OF PYTEST]", help="Arguments for pytest.")
    ] = None,
) -> None:
    """Replay incidents: pytest with the suites that come with this, in whatever folder; results in ./results."""
    from chaos.session import running  # noqa: PLC0415

    given = arguments or []
    if {"-h", "--help"} & set(given[: given.index("--") if "--" in given else None]):
        tell(running.help_text())
        return
    running.run(given)


def plan(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[SUITES AND OPTIONS OF PYTEST]", help="As `run` takes them.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what `run` would do with the same arguments: which replays, where, what each does and needs. Harms nothing.

    Exits with 1 where nothing would be replayed, with 5 where no test is chosen.
    """
    from chaos.session import running  # noqa: PLC0415

    running.run(running.planned(arguments or [], as_json=as_json))


def undo(
    server: Annotated[
        str, typer.Option(metavar="URL", help="With --context: undo also what older versions left on this cluster.")
    ] = "",
    context: Annotated[str, typer.Option(metavar="NAME", help="The kubeconfig's context that leads to it.")] = "",
    forget: Annotated[
        str, typer.Option(metavar="RUN:NUMBER", help="Undo nothing; drop this entry, whose cluster is gone.")
    ] = "",
) -> None:
    """Undo what runs that are over have left behind, on every cluster. Exits with 1 where something stays.

    What a run that goes on has done is its own to undo, and named.
    """
    from chaos.hosts.places import journals_dir  # noqa: PLC0415
    from chaos.record.journal import left  # noqa: PLC0415
    from chaos.run.undo import Permission, forget_entry, undo_all  # noqa: PLC0415

    if forget:
        forget_entry(forget, say)
        return
    handled = undo_all(timestamped(), Permission(existing=True, server=server, context=context))
    for run in left(journals_dir()).held:
        say(f"left alone: what {run} has done, which goes on, or which another process undoes")
    if not handled:
        say("nothing to undo")
        return
    failed = [one for one in handled if one.error]
    say(f"undone: {len(handled) - len(failed)}, still pending: {len(failed)}")
    for one in failed:
        say(f"  {one.what}: {one.error}")
    raise typer.Exit(1 if failed else 0)
