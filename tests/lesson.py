"""The steps of docs/writing-an-incident.md, as they are on the page: files, commands, and what these print."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "writing-an-incident.md"
COPIED = ("chaos", "suites", "manifests", "tests", "docs", "conftest.py", "pyproject.toml", "README.md")
_STEP = re.compile(r"^## (\d+)\. (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_FILE = re.compile(r'python title="([^"]+)"')
_VARIES = (
    (re.compile(r"^\d\d:\d\d:\d\d "), ""),
    (re.compile(r"\b\d+(\.\d+)? s\b"), "SECONDS"),
    (re.compile(r" in \d+\.\d+s( \(.+\))?"), " in SECONDS"),
    (re.compile(r"\bweb-[0-9a-z]+-[0-9a-z]+\b"), "POD"),
    (re.compile(r"\bordeal-[0-9a-f]{4}-1\b"), "CLUSTER"),
    (re.compile(r"\[\d{8}-\d{6}-[0-9a-f]{4}:\d+\]"), "[RUN]"),
    (re.compile(r"={3,}"), "==="),
)


@dataclass(frozen=True)
class Step:
    """A step: the files that it writes (by their path in the checkout), its commands, and what is shown of their
    output.
    """

    title: str
    files: dict[str, str]
    commands: str
    shown: tuple[str, ...]


def steps() -> tuple[Step, ...]:
    """The steps of the page, in their order. Raises ValueError for a block that is none of the three kinds."""
    _, *parts = re.split(r"^(?=## )", PAGE.read_text(), flags=re.MULTILINE)
    return tuple(_step(found[2], part) for part in parts if (found := _STEP.match(part)))


def _step(title: str, part: str) -> Step:
    files: dict[str, str] = {}
    commands, shown = "", ""
    for info, text in _BLOCK.findall(part):
        if named := _FILE.fullmatch(info):
            files[named[1]] = text
        elif info == "sh":
            commands += text
        elif info == "text":
            shown += text
        else:
            raise ValueError(f"step {title!r} has a block of the kind {info!r}")
    return Step(title, files, commands, tuple(shown.splitlines()))


def alike(line: str) -> str:
    """A line without what differs in each run: times, and the names of pods, clusters and runs."""
    for what, by in _VARIES:
        line = what.sub(by, line)
    return line.rstrip()


def copy_checkout(to: Path) -> Path:
    """Copy what a reader of the page works with; returns the copy."""
    for name in COPIED:
        here, there = ROOT / name, to / name
        if here.is_dir():
            shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__", "corpus"))
        else:
            shutil.copyfile(here, there)
    return to


def ruff_says(checkout: Path, files: Sequence[str]) -> str:
    """What ruff has against files of a checkout; empty where it has nothing. It looks for what they import there."""
    said = ""
    for command in (["check"], ["format", "--check"]):
        argv = [sys.executable, "-m", "ruff", *command, "--no-cache", *files]
        done = subprocess.run(argv, cwd=checkout, capture_output=True, text=True, timeout=60, check=False)
        said += done.stdout + done.stderr if done.returncode else ""
    return said
