"""The command `kube-ordeal`: its commands put together, in the order in which its help shows them.

The runs themselves are pytest's, which `kube-ordeal run` becomes. What takes long to import, each command imports when
it is called.
"""

import sys
from importlib.metadata import version as installed_version
from typing import Any

import typer
from typer.core import TyperGroup

from chaos.basics.signals import as_interrupts
from chaos.basics.system import write_escapes
from chaos.cli import (
    bundle,
    comparison,
    conformance,
    guarding,
    history,
    images,
    incidents,
    machine,
    mutants,
    new,
    replays,
    results,
)
from chaos.cli.output import INTERRUPTED, USER_ERROR, say, say_error
from chaos.errors import OrdealError
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.places import APP


class _Group(TyperGroup):
    """Turns what a user can cause into one sentence on standard error; a traceback is for our own mistakes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with as_interrupts():
                return super().invoke(ctx)
        except OrdealError as error:
            say_error(str(error))
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.errno is None or error.strerror is None:
                raise
            say_error(f"{error.filename or 'writing'}: {error.strerror}")
        except (KeyboardInterrupt, typer.Abort):
            say_error("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        finally:
            from chaos.hosts.ownership import hand_back  # noqa: PLC0415

            hand_back()
        raise typer.Exit(USER_ERROR)


app = typer.Typer(
    cls=_Group,
    name=APP,
    help="Replays published Kubernetes incidents on a real cluster. The replays are a test run: kube-ordeal run",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def version() -> None:
    """Show this version, and the Kubernetes version that clusters have unless told otherwise."""
    say(f"{APP} {installed_version(APP)}, Kubernetes {DEFAULT_KUBERNETES} by default")


app.command()(machine.doctor)
app.command()(machine.setup)
app.command()(machine.teardown)
app.command(
    "run",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
    add_help_option=False,
)(replays.run_suites)
app.command("plan", context_settings={"ignore_unknown_options": True})(replays.plan)
app.command("list")(incidents.list_incidents)
app.command()(replays.undo)
app.command()(guarding.halt)
app.command()(results.report)
app.command()(comparison.compare)
app.command()(comparison.gate)
app.command()(bundle.bundle)
app.command()(bundle.verify)
app.command()(incidents.explain)
app.command()(version)
app.add_typer(guarding.guard, name="guard")
app.add_typer(images.images, name="image")
app.add_typer(mutants.mutated, name="mutant")
app.add_typer(results.kept, name="results")
app.add_typer(history.kept, name="history")
app.add_typer(conformance.conformance, name="conformance")
app.add_typer(new.new, name="new")


def main() -> None:
    """The entry point: exit code 0, 1 for a bad finding, 2 for an error a user can mend, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        write_escapes(stream)
    app()


if __name__ == "__main__":
    main()
