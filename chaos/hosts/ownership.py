"""What root makes in a folder of somebody else's is theirs: `sudo` leaves nobody with files that they can't remove.

Whose a folder is, is said by the nearest one around it that is not root's. What was there and is not root's, and what
nodes have mounted or share, is left alone.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from chaos.basics import untrusted
from chaos.basics.files import appended, entered
from chaos.basics.untrusted import bounded
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
    named = [os.fsencode(folder) + b"\n" for folder in folders if owner_of(folder) is not None]
    if named:
        with appended(state_dir() / _own_list()) as write:
            write.write(b"".join(named))


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
        with suppress(FileNotFoundError, OrdealError, ValueError):
            trusted.check(path, state)
            others += _named_in(path)
    clusters = (state / "clusters").resolve()
    for named in (cache, state, *(Path.home() / each for each in OF_PROGRAMS), *dict.fromkeys(others)):
        folder, owner = named.resolve(), owner_of(named)
        if owner is not None and named in {cache, state} and owner[0] not in trusted.owners():
            continue  # root would not use them again
        if owner is not None:
            _give(_below(folder, clusters), owner)
            _give(_around(folder), owner)
    for code in {Path(sys.prefix).resolve(), beside().resolve()}:
        owner = owner_of(code)
        if owner is not None:
            _give(_of_python(code), owner)
    for path in lists:
        path.unlink(missing_ok=True)


def owner_of(folder: Path) -> tuple[int, int] | None:
    """The user and group, not root's, whose folder it is; None where it is root's, or this user is not root.

    What is around it are the folders in which it really is: a link in somebody's folder makes nothing theirs.
    """
    if os.geteuid() != 0:
        return None
    real = folder.resolve()
    for each in (real, *real.parents):
        with suppress(OSError):
            found = each.lstat()
            if found.st_uid != 0:
                return found.st_uid, found.st_gid
    return None


def _named_in(listed: Path) -> list[Path]:
    """The folders of a list. Raises OSError, ValueError where nobody can have written it."""
    with listed.open("rb") as file:
        lines = bounded(file, untrusted.LIST).split(b"\n")
    return [Path(os.fsdecode(line)) for line in lines if line and b"\0" not in line]


def _own_list() -> str:
    return f"{LIST}-{record.this_process()}"


def _is_alive(listed: Path) -> bool:
    """Whether the process that writes this list still runs."""
    return record.is_alive(listed.name.removeprefix(f"{LIST}-"))


# A name in a folder, by the folder's handle: between a look at a path and a change of it somebody may put a link there.
_Named = tuple[int, str]


def _around(folder: Path) -> Iterator[_Named]:
    """The folder and those around it that are root's, as far as the first that is not."""
    for each in (folder, *folder.parents[:-1]):
        with entered(each.parent) as handle:
            if os.stat(each.name, dir_fd=handle, follow_symlinks=False).st_uid != 0:
                return
            yield handle, each.name


def _below(folder: Path, clusters: Path) -> Iterator[_Named]:
    """All in the folder, on its own file system, but for what is the nodes'."""
    with entered(folder) as top:
        device = os.fstat(top).st_dev
        for where, folders, files, handle in os.fwalk(".", dir_fd=top):
            if (folder / where).parent == clusters:
                folders[:] = [name for name in folders if name not in OF_NODES]
            folders[:] = [name for name in folders if _is_on(handle, name, device)]
            yield from ((handle, name) for name in (*folders, *files))


def _of_python(code: Path) -> Iterator[_Named]:
    """What Python and pytest have written below the folder."""
    with entered(code) as top:
        for where, folders, files, handle in os.fwalk(".", dir_fd=top):
            inside = not {*OF_PYTHON}.isdisjoint(Path(where).parts)
            yield from ((handle, name) for name in folders if inside or name in OF_PYTHON)
            yield from ((handle, name) for name in files if inside)


def _give(named: Iterator[_Named], owner: tuple[int, int]) -> None:
    """Let those of them that are root's be the owner's. A file with a second name may be a part of something else."""
    with suppress(OSError):  # the folder is not there any more, or is another one
        for folder, name in named:
            with suppress(OSError):  # somebody has removed it meanwhile, or root may not do everything here
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if found.st_uid == 0 and (found.st_nlink == 1 or stat.S_ISDIR(found.st_mode)):
                    os.chown(name, *owner, dir_fd=folder, follow_symlinks=False)


def _is_on(folder: int, name: str, device: int) -> bool:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_dev == device
    except FileNotFoundError:
        return False
