"""What is believed of the state and the cache: what only root, this user, or the user who called sudo could write.

What is read there ends processes, undoes faults and is run, as root where a replay needs root. So a file of somebody
else's is not read, but refused in one sentence.
"""

import grp
import os
import pwd
import stat
from contextlib import suppress
from pathlib import Path

from chaos.errors import OrdealError

CALLER = "SUDO_UID"  # sudo(8): the user who called it


def owners() -> frozenset[int]:
    """The users whose files are believed: root, this one, and for root the one who called sudo."""
    me, caller = os.geteuid(), os.environ.get(CALLER, "")
    return frozenset({0, me, *([int(caller)] if me == 0 and caller.isdecimal() else [])})


def check(path: Path, top: Path) -> None:
    """Raise OrdealError where others than `owners` could have written it: by its owner, its mode, or a folder's.

    The folders around it count as far as `top`, which is the folder of the state or of the cache; without one around
    it, its own does. What is not there is for its reader to tell.
    """
    around = [each for each in path.parents if each.is_relative_to(top)]
    if not path.is_relative_to(top):
        around = [path.parent]
    closed = False
    for each in (*reversed(around), path):
        try:
            found = each.stat()
        except FileNotFoundError:
            return
        if found.st_uid not in owners():
            raise OrdealError(
                f"{each} belongs to {_user(found.st_uid)}, {_who_is_asked()}: what it holds is not used. Remove it, "
                f"give it to its user (chown), or name another folder with XDG_STATE_HOME and XDG_CACHE_HOME"
            )
        if not closed and _others_write(found):
            raise OrdealError(
                f"{each} can be written by others than its owner (mode {stat.S_IMODE(found.st_mode):04o}): what it "
                f"holds is not used. Look at it, then remove it, or close it with `chmod go-w {each}`"
            )
        closed = closed or (stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o011)  # nobody else comes in


def inside(name: str) -> str:
    """The same name. Raises OrdealError where it would lead out of the folder that it is meant for."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise OrdealError(f"{name!r} can't be the name of a folder of ours: it leads elsewhere")
    return name


def _others_write(found: os.stat_result) -> bool:
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_own_group(found.st_uid, found.st_gid)


def _is_own_group(user: int, group: int) -> bool:
    """Whether nobody but the user is in the group, as where a user has one of the same name and the umask is 002."""
    if group == 0:
        return user == 0  # root's group gives nobody else anything
    with suppress(KeyError):
        its = grp.getgrgid(group)
        of_user = pwd.getpwuid(user)
        return of_user.pw_gid == group and its.gr_name == of_user.pw_name and set(its.gr_mem) <= {of_user.pw_name}
    return False


def _user(number: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return f"the user {number}"


def _who_is_asked() -> str:
    if os.geteuid() == 0:
        return "who is neither root nor the user who called sudo"
    return "who is neither this user nor root"
