"""What root makes in a folder of somebody else's is theirs: `sudo` leaves nobody with files that they can't remove.

Whose a folder is, is said by the nearest one around it that is not root's. What was there and is not root's, and what
nodes have mounted or share, is left alone.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from chaos.errors import OrdealError
from chaos.hosts import record, trusted
from chaos.hosts.places import beside, cache_path, state_dir, state_path

LIST = "to-hand-back"  # files of the state folder, one for each process: other folders that root has written into
OF_NODES = ("shared", "filesystems")  # of a cluster's folder: what is in them is the nodes' own
# Small folders of a home that programs which are run here write into.
OF_PROGRAMS = (".docker", ".kube/cache", ".config/go")
OF_PYTHON = ("__pycache__", ".pytest_cache")  # folders that Python and pytest write beside the code that is run


def will_write(*folders: Path) -> None:
    """Root is about to write into these folders: what it makes there is handed back, by a later run if need be."""
    named = [f"{folder}\n" for folder in folders if owner_of(folder) is not None]
    if named:
        with (state_dir() / _own_list()).open("a") as write:
            write.writelines(named)


def hand_back() -> None:
    """Give what root has made in caches, state, results, Go's folders and beside the code to whose folders those are.

    Safe to repeat.
    """
    if os.geteuid() != 0:
        return
    cache, state = cache_path(), state_path()  # neither is made for this
    lists = [path for path in state.glob(f"{LIST}*") if path.name == _own_list() or not _is_alive(path)]
    others = list[Path]()
    for path in lists:
        # Another process has handed back what is in it, or somebody else has named folders.
        with suppress(FileNotFoundError, OrdealError):
            trusted.check(path, state)
            others += [Path(line) for line in path.read_text().splitlines()]
    for folder in (cache, state, *(Path.home() / each for each in OF_PROGRAMS), *dict.fromkeys(others)):
        owner = owner_of(folder)
        if owner is not None and folder in {cache, state} and owner[0] not in trusted.owners():
            continue  # root would not use them again
        if owner is not None and folder.is_dir():
            _give((*_around(folder), *_below(folder, state / "clusters")), owner)
    for code in {Path(sys.prefix), beside()}:
        owner = owner_of(code)
        if owner is not None:
            _give(_of_python(code), owner)
    for path in lists:
        path.unlink(missing_ok=True)


def owner_of(folder: Path) -> tuple[int, int] | None:
    """The user and group, not root's, whose folder it is; None where it is root's, or this user is not root."""
    if os.geteuid() != 0:
        return None
    for each in (folder, *folder.absolute().parents):
        with suppress(OSError):
            found = each.stat()
            if found.st_uid != 0:
                return found.st_uid, found.st_gid
    return None


def _own_list() -> str:
    return f"{LIST}-{record.this_process()}"


def _is_alive(listed: Path) -> bool:
    """Whether the process that writes this list still runs."""
    return record.is_alive(listed.name.removeprefix(f"{LIST}-"))


def _around(folder: Path) -> Iterator[Path]:
    """The folder and those around it that are root's, as far as the first that is not."""
    for each in (folder, *folder.absolute().parents):
        if each.stat().st_uid != 0:
            return
        yield each


def _below(folder: Path, clusters: Path) -> Iterator[Path]:
    """All in the folder, on its own file system, but for what is the nodes'."""
    device = folder.stat().st_dev
    for where, folders, files in os.walk(folder):
        here = Path(where)
        if here.parent == clusters:
            folders[:] = [name for name in folders if name not in OF_NODES]
        folders[:] = [name for name in folders if _is_on(here / name, device)]
        yield from (here / name for name in (*folders, *files))


def _of_python(code: Path) -> Iterator[Path]:
    """What Python and pytest have written below the folder."""
    for where, folders, files in os.walk(code):
        if {*OF_PYTHON}.isdisjoint(Path(where).relative_to(code).parts):
            yield from (Path(where, name) for name in folders if name in OF_PYTHON)
        else:
            yield from (Path(where, name) for name in (*folders, *files))


def _give(paths: Iterable[Path], owner: tuple[int, int]) -> None:
    """Let those of them that are root's be the owner's."""
    for path in paths:
        with suppress(OSError):  # somebody has removed it meanwhile, or root may not do everything here
            if path.lstat().st_uid == 0:
                os.chown(path, *owner, follow_symlinks=False)


def _is_on(folder: Path, device: int) -> bool:
    try:
        return folder.lstat().st_dev == device
    except FileNotFoundError:
        return False
