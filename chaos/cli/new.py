"""`kube-ordeal new`: the files of a new incident, which run as they are and say what is to be written in them."""

import keyword
import re
from contextlib import ExitStack
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from chaos.basics.files import SHARED, place
from chaos.cli.output import say
from chaos.errors import OrdealError
from chaos.hosts.places import APP, beside

SKELETON = Path(__file__).with_name("skeleton")
SUITE, TEST = "suite.py", "test_promises.py"
TO_WRITE = "TO WRITE"  # with which each text of the skeleton begins; a test refuses it in what is there
LONGEST = 30
_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_FOLDER = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

new = typer.Typer(help="What somebody who adds to this begins with.", no_args_is_help=True)


@new.command("incident")
def new_incident(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its id, such as quota-cut.")],
    subject: Annotated[
        str, typer.Option("--subject", metavar="FOLDER", help="The folder of chaos/subjects; by default NAME's.")
    ] = "",
) -> None:
    """Write an incident that runs as it is, in a checkout: what is marked TO WRITE in it is yours to say."""
    root = checkout(Path(__file__).resolve().parents[2])
    folder = subject or name.replace("-", "_")
    for path in write_incident(root, name, folder):
        say(path.relative_to(root))
    say(f"It runs as it is: pytest suites/{folder} --ordeal-cluster simulated")
    say(f"What is marked {TO_WRITE} is yours to write: `make unit` refuses it.")


def checkout(root: Path) -> Path:
    """That folder. Raises OrdealError where it is no checkout: an installed package has no place for an incident."""
    if beside() != root or not (root / "pyproject.toml").is_file():
        raise OrdealError(
            f"{APP} is installed in {root}, and a new incident belongs into a checkout: clone the repository, run "
            f"`make .venv/.ready` in it, and use .venv/bin/{APP} there"
        )
    return root


def write_incident(root: Path, name: str, subject: str) -> tuple[Path, ...]:
    """Write the files of a new incident into a checkout; returns their paths. Where it can't, it leaves nothing.

    Raises OrdealError: the name or the subject's does not fit, or is taken, or the folders can't be written.
    """
    _check_names(name, subject)
    function = name.replace("-", "_")
    home, suite = root / "chaos" / "subjects" / subject, root / "suites" / subject / f"test_{function}.py"
    tests = root / "tests" / "subjects" / subject
    _check_free(root, name, home, suite, tests)
    says = {"id": name, "function": function, "subject": subject}
    templates = {each.name.removesuffix(".txt"): each.read_text() for each in sorted(SKELETON.glob("*.txt"))}
    places = {SUITE: suite, TEST: tests / TEST}
    files = {places.get(file, home / file): text for file, text in templates.items()} | {tests / "__init__.py": ""}
    try:
        with ExitStack() as back:
            for path, text in files.items():
                if not path.parent.is_dir():
                    path.parent.mkdir()
                    back.callback(path.parent.rmdir)
                place(path, Template(text).substitute(says), mode=SHARED)
                back.callback(path.unlink)
            back.pop_all()
    except OSError as error:
        why = f"{error.filename or root} can't be written ({error.strerror}), so nothing was: mend that and try again"
        raise OrdealError(why) from error
    return tuple(files)


def _check_names(name: str, subject: str) -> None:
    if not _ID.fullmatch(name) or len(name) > LONGEST:
        raise OrdealError(
            f"{name!r} can't be an incident's id: take small letters and digits, words of them joined by hyphens, a "
            f"letter first, {LONGEST} at the most, such as quota-cut"
        )
    if not _FOLDER.fullmatch(subject) or len(subject) > LONGEST or keyword.iskeyword(subject):
        raise OrdealError(
            f"{subject!r} can't be a subject's folder, which is a Python package: name one by --subject, of small "
            f"letters and digits, words of them joined by underscores, {LONGEST} at the most, such as quota"
        )


def _check_free(root: Path, name: str, home: Path, suite: Path, tests: Path) -> None:
    from chaos.harm import load_all  # noqa: PLC0415
    from chaos.harm.base import registered  # noqa: PLC0415
    from chaos.judge.catalogue import incidents  # noqa: PLC0415

    if name in {each.id for each in incidents()}:
        raise OrdealError(f"there is an incident {name!r} already (`{APP} explain {name}`): take another name")
    load_all()
    if name in registered():
        raise OrdealError(
            f"there is a fault {name!r} already, and the new one would be called so too: take another name"
        )
    if home.exists():
        raise OrdealError(
            f"{home.relative_to(root)} is there already: add to its incident.py by hand, or name another by --subject"
        )
    if tests.exists():
        raise OrdealError(f"{tests.relative_to(root)} is there already: name another subject by --subject")
    # pytest imports suites by the names of their files alone.
    there = sorted((root / "suites").rglob(suite.name))
    if there:
        raise OrdealError(f"{there[0].relative_to(root)} is there already: take another name")
