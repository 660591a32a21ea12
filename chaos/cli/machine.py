"""Commands about the machine: what it has and lacks, getting it ready, taking that back."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from chaos.cli.options import Json, Kubernetes, Wanted, Yes, a_version
from chaos.cli.output import aside, cell, console, indented, print_json, say, say_list, timestamped
from chaos.errors import OrdealError
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.places import APP
from chaos.hosts.target import Target

if TYPE_CHECKING:
    from chaos.setup.doctor import Check


def doctor(kubernetes: Kubernetes = None, target: Wanted = Target.ALL, as_json: Json = False) -> None:
    """Read the machine: what is there, what is missing, what needs it, how to mend it. Changes nothing.

    Exits with 1 where something that is needed is missing.
    """
    from chaos.setup import doctor as reading  # noqa: PLC0415

    checks = reading.examine(_versions(kubernetes), target, aside())
    if as_json:
        print_json(reading.as_json(checks))
    else:
        _print_checks(checks)
    raise typer.Exit(0 if reading.is_ready(checks) else 1)


def setup(
    kubernetes: Kubernetes = None,
    target: Wanted = Target.ALL,
    workloads: Annotated[
        bool, typer.Option("--workloads", help="Images of workloads too, which else are had when first needed.")
    ] = False,
    kind_image: Annotated[
        str, typer.Option("--kind-image", metavar="IMAGE", help="Your own node image, instead of one built or known.")
    ] = "",
    yes: Yes = False,
    progress: Annotated[
        bool, typer.Option("--progress/--no-progress", help="Say again and again how far it is, and when it is over.")
    ] = True,
) -> None:
    """Get this machine ready for runs: programs, an engine, node images. Only what is missing is done.

    Says first what it would change on the machine and asks; says at the end what it changed.
    """
    from chaos.setup import setup as preparing  # noqa: PLC0415

    versions = _versions(kubernetes)
    plan = preparing.plan(versions, target, workloads=workloads, kind_image=kind_image, report=aside())
    if not plan.todo:
        say("nothing is missing: this machine is ready")
        say_list("replays will, when one first needs it:", plan.later)
        return
    say_list("set-up will change on this machine:", plan.machine)
    say_list("set-up will put into its cache:", plan.cache)
    say_list("replays will, when one first needs it:", plan.later)
    _agree("Go on?", yes)
    done = preparing.carry_out(plan, progress=progress)
    say_list("changed on this machine:", done)
    say(f"take it back with: {APP} teardown" if done else "nothing was changed on this machine but the cache")


def teardown(
    yes: Yes = False,
    cache: Annotated[bool, typer.Option("--cache", help="Remove programs, node images and the cache too.")] = False,
) -> None:
    """Take back what set-up started and changed: kept clusters, engine, routes, limits, packages. Says what stays."""
    from chaos.setup import setup as preparing  # noqa: PLC0415

    takes = preparing.takes_back()
    removes = preparing.stays() if cache else ()
    if takes or removes:
        say_list("teardown will:", (*takes, *(f"remove {what}" for what, _ in removes)))
        _agree("Go on?", yes)
        preparing.take_back(timestamped())
        if cache:
            preparing.remove_cache(timestamped())
    else:
        say("nothing that set-up started or changed is there any more")
    for what, command in preparing.stays():
        say(f"stays: {what}; remove it with: {command}")


def _print_checks(checks: "tuple[Check, ...]") -> None:
    colours = {"ok": "green", "warning": "yellow", "missing": "red"}
    table = Table("", "check", "found", "needed for")
    for check in checks:
        status = Text(check.status, style=colours[check.status])
        table.add_row(status, *map(cell, (check.title, check.found, check.needed_for)))
    console().print(table)
    for check in checks:
        if check.mend:
            indented(f"{check.title}: {check.mend}")
    missing = [check.title for check in checks if check.status == "missing"]
    say(f"missing: {', '.join(missing)}" if missing else "nothing that is needed is missing")


def _versions(given: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(a_version(each) for each in given or [DEFAULT_KUBERNETES]))


def _agree(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise OrdealError("there is no terminal to ask at; give --yes to agree beforehand")
    if not typer.confirm(question):
        raise OrdealError("nothing was changed")
