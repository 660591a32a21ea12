"""Old runs are removed from a results folder: only what is a run's folder, and never one that still goes on."""

import fcntl
import os
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chaos.basics import untrusted
from chaos.basics.untrusted import bounded, json_of
from chaos.errors import OrdealError
from chaos.hosts.places import APP, journals_dir
from chaos.results.past import QUIET_S
from chaos.results.saved import LATEST, RESULTS


@dataclass(frozen=True, slots=True)
class Old:
    """A run's folder, and how much the files in it take on the disk."""

    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be, the oldest first; which runs may still go on; how many runs stay, those too."""

    removed: tuple[Old, ...]
    live: tuple[Path, ...]
    kept: int


@dataclass(frozen=True, slots=True)
class _Run:
    name: str
    started: str
    live: bool


def prune(root: Path, keep: int, *, dry_run: bool = False) -> Pruned:
    """Remove all but the newest `keep` runs of a results folder. No link is followed, that folder's own aside.

    A run's folder is one with a results file of this tool that names it. Raises OrdealError where the folder can't be
    read, or one of the runs can't be removed.
    """
    try:
        handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OrdealError(f"the results folder {root} can't be read: {error.strerror}") from error
    try:
        names = os.listdir(handle)  # noqa: PTH208  (of a handle, which leads to the same folder all the time)
        found = [run for name in names if (run := _run(handle, name)) is not None]
        runs = sorted(found, key=lambda run: (run.started, run.name))
        old = [run for run in runs[: max(0, len(runs) - keep)] if not run.live]
        removed = []
        for run in old:
            removed.append(Old(root / run.name, _size_bytes(handle, run.name)))
            if not dry_run:
                _remove(handle, run.name, root)
                _forget(handle, run.name)
    finally:
        os.close(handle)
    live = tuple(root / run.name for run in runs if run.live)
    return Pruned(tuple(removed), live, len(runs) - len(removed))


def _run(root: int, name: str) -> _Run | None:
    """The run whose folder that is; None where it is none."""
    try:
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    except OSError:  # a file, or a link
        return None
    try:
        file = os.open(RESULTS, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    finally:
        os.close(folder)
    about = os.fstat(file)
    if not stat.S_ISREG(about.st_mode):
        os.close(file)
        return None
    with os.fdopen(file, "rb") as opened:
        try:
            content = json_of(bounded(opened, untrusted.RESULTS), untrusted.RESULTS)
            ours = content["tool"]["name"] == APP and content["run"] == name
            started, ended = str(content["started"]), bool(content.get("ended"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
    live = not ended and (time.time() - about.st_mtime < QUIET_S or _has_journal(name))
    return _Run(name, started, live) if ours else None


def _has_journal(run: str) -> bool:
    """Whether a process that lives holds a journal of that run (chaos.record.journal)."""
    for path in journals_dir().glob("*.jsonl"):
        if not path.name.startswith(run):
            continue
        try:
            with path.open("rb+") as journal:
                fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            continue
    return False


def _size_bytes(root: int, name: str) -> int:
    """What all files in the folder take on the disk; those that somebody else removes meanwhile count nothing."""
    total = 0
    with suppress(FileNotFoundError):
        for _, folders, files, here in os.fwalk(name, dir_fd=root, follow_symlinks=False):
            for each in (*folders, *files):
                with suppress(FileNotFoundError):
                    total += 512 * os.stat(each, dir_fd=here, follow_symlinks=False).st_blocks
    return total


def _remove(root: int, name: str, where: Path) -> None:
    try:
        shutil.rmtree(name, dir_fd=root)
    except FileNotFoundError:  # somebody else removes it, too
        shutil.rmtree(name, dir_fd=root, ignore_errors=True)
    except OSError as error:
        raise OrdealError(
            f"{where / name} can't be removed ({error.strerror}); who ran it as root has to remove it as root"
        ) from error


def _forget(root: int, name: str) -> None:
    """Of the newest run the clock may have said that it's older than others: then nothing is the latest."""
    with suppress(OSError):
        if os.readlink(LATEST, dir_fd=root) == name:
            os.unlink(LATEST, dir_fd=root)
