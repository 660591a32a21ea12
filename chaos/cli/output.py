"""What the command prints: each line is made visible first. And its exit codes."""

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from chaos.basics.files import hand_out
from chaos.basics.visible import line, lines
from chaos.hosts.places import APP

INTERRUPTED = 130
USER_ERROR = 2


def is_stdout(path: Path | None) -> bool:
    """Whether the user wants it on standard output, by `-`."""
    return path is not None and str(path) == "-"


def write_markdown(content: str, to: Path) -> None:
    """To standard output or a file. Raises OSError."""
    if is_stdout(to):
        sys.stdout.write(content)  # Markdown, of which each part is escaped
    else:
        hand_out(to, content)


def say_list(title: str, said: Sequence[str]) -> None:
    """A title and its items, a line each; nothing where there are none."""
    if said:
        say(title)
    for each in said:
        say(f"  - {each}")


def say(text: object = "", *, err: bool = False) -> None:
    """A line, whatever is in it: all that is printed as text goes through here, or through `tell`."""
    _write(line(str(text)), err=err)


def tell(text: str, *, err: bool = False) -> None:
    """Several lines."""
    _write(lines(text), err=err)


def _write(shown: str, *, err: bool) -> None:
    """Not by typer.echo: to a stream in ASCII that writes UTF-8, where an escape would be read."""
    out = sys.stderr if err else sys.stdout
    out.write(f"{shown}\n")
    out.flush()


def say_error(sentence: str) -> None:
    """What programs said in it is set in: no line of theirs is taken for one of ours."""
    from chaos.basics.scrub import scrub  # noqa: PLC0415

    tell(f"{APP}: {scrub(sentence)}".replace("\n", "\n  "), err=True)


def cell(text: str) -> Text:
    """In a table nothing is markup."""
    return Text(line(text))


def console() -> Console:
    """What tables are printed on, standard output."""
    # Not a terminal: wide enough that a table's cells stay whole in a log.
    return Console() if sys.stdout.isatty() else Console(width=max(160, shutil.get_terminal_size().columns))


def print_json(content: object) -> None:
    """For programs."""
    typer.echo(json.dumps(content, indent=2))  # in ASCII, controls as escapes


def indented(text: str) -> None:
    """A paragraph below the line that was said last, wrapped as wide as the terminal."""
    width = max(60, min(110, shutil.get_terminal_size((100, 24)).columns))
    tell(textwrap.fill(line(text), width, initial_indent="  ", subsequent_indent="    ", break_long_words=False))


def aside() -> Callable[[str], None]:
    """What takes long, where what is printed is for programs too."""
    from chaos.basics.scrub import scrub  # noqa: PLC0415

    return lambda told: say(f"{datetime.now(UTC):%H:%M:%S} {scrub(told)}", err=True)


def timestamped() -> Callable[[str], None]:
    """What takes long, on standard output: each line with the time of day, in UTC."""
    from chaos.basics.scrub import scrub  # noqa: PLC0415

    def report(told: str) -> None:
        say(f"{datetime.now(UTC):%H:%M:%S} {scrub(told)}")
        sys.stdout.flush()

    return report
