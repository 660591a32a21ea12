"""Files put in place whole, and files read: no link that somebody else has laid is followed.

Root writes into folders of others, and reads from them. What is made has a random name and is opened exclusively, and
takes its place by being renamed.
"""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

_ALONE = os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
PRIVATE, SHARED = 0o600, 0o666
NAME_BYTES = 200  # of a name that is made of a text: a file system takes 255, and more may be added


@contextmanager
def placed(path: Path, *, within: Path | None = None, mode: int = PRIVATE, durable: bool = False) -> Iterator[BinaryIO]:
    """A new file, to be written and read; where the block ends well it takes its place at `path`, else it is gone.

    What was there is replaced, a link too. With `within` no link below that folder is followed, nor is the folder one
    itself, and folders that lack below it are made, their owner's alone. `mode`: less what the umask takes. `durable`:
    on the disk before it takes its place. Raises OSError.
    """
    with _folder_of(path, within) as folder:
        scratch = f".{path.name[:50]}.{secrets.token_hex(8)}"
        handle = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | _ALONE, mode, dir_fd=folder)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(scratch, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(scratch, dir_fd=folder)
            raise


def place(
    path: Path, content: str | bytes, *, within: Path | None = None, mode: int = PRIVATE, durable: bool = False
) -> None:
    """Put a file in place with that content, as `placed` does. What UTF-8 can't hold is written as an escape."""
    with placed(path, within=within, mode=mode, durable=durable) as file:
        file.write(_encoded(content))


def hand_out(path: Path, content: str) -> None:
    """Write a file that the user has named: into a device or a pipe, where it is one, else as `place`, for all whom the
    umask lets read it. Raises OSError.

    /dev/stdout is a link, and must not be replaced by a file.
    """
    if is_special(path):
        with path.open("wb") as file:
            file.write(_encoded(content))
        return
    place(path, content, mode=SHARED)


def is_special(path: Path) -> bool:
    """Whether there is something that is no file and no folder, such as a device or a pipe."""
    try:
        return not stat.S_ISREG(mode := path.stat().st_mode) and not stat.S_ISDIR(mode)
    except OSError:
        return False


def place_link(path: Path, target: str) -> None:
    """Let `path` be a link to `target`, in the place of one that was there. Raises OSError."""
    with _folder_of(path, None) as folder:
        scratch = f".{path.name[:50]}.{secrets.token_hex(8)}"
        os.symlink(target, scratch, dir_fd=folder)
        try:
            os.replace(scratch, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(scratch, dir_fd=folder)
            raise


def appended(path: Path) -> FileIO:
    """A file that is written at its end, without a buffer, made where it lacks, as its owner's alone.

    Raises OSError, for a link too.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK  # a pipe without a reader is not waited for
    return FileIO(_checked(_told(path, flags, PRIVATE), path, lambda is_: not stat.S_ISFIFO(is_)), "ab")


def opened(folder: Path, name: str, *, write: bool = False) -> BinaryIO:
    """A file below a folder, to be read. Raises OSError: there is none, it is no file, or a link leads to it.

    The folder is no link either; those above it are the caller's. `write`: to be written, too.
    """
    parts = _below(folder, name)
    with _entered(folder, parts[:-1], make=False) as at:
        path = folder / name
        access = os.O_RDWR if write else os.O_RDONLY
        handle = _told(path, access | os.O_NONBLOCK, dir_fd=at, name=parts[-1])
        return os.fdopen(_checked(handle, path, stat.S_ISREG), "r+b" if write else "rb")


def last_lines(file: IO[bytes], size_bytes: int) -> list[str]:
    """The lines at the end of what a program wrote, of so many bytes: those that are not blank, stripped."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - size_bytes))
    return [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]


def file_name(text: str) -> str:
    """A name for a file, of a text that may be anybody's: it leads nowhere."""
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in text).strip("-")
    if len(name.encode()) > NAME_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name.encode()[: NAME_BYTES - len(digest) - 1].decode(errors='ignore')}-{digest}"
    return name if name.strip(".") else "-"


@contextmanager
def entered(folder: Path) -> Iterator[int]:
    """A handle of a folder, of an absolute path on which no part is a link. Raises OSError where one is."""
    with _entered(Path(folder.anchor), folder.parts[1:], make=False) as handle:
        yield handle


@contextmanager
def _folder_of(path: Path, within: Path | None) -> Iterator[int]:
    if within is None:
        try:
            handle = os.open(path.parent, _FOLDER)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        try:
            yield handle
        finally:
            os.close(handle)
        return
    parts = _below(within, os.fspath(path.relative_to(within)))
    with _entered(within, parts[:-1], make=True) as handle:
        yield handle


@contextmanager
def _entered(folder: Path, parts: tuple[str, ...], *, make: bool) -> Iterator[int]:
    """The folder of these names below a folder, entered one by one, so that no link can be put between."""
    handle = _told(folder, _FOLDER)
    try:
        at = folder
        for each in parts:
            at /= each
            if make:
                with suppress(FileExistsError):
                    os.mkdir(each, 0o700, dir_fd=handle)
            inner = _told(at, _FOLDER, dir_fd=handle, name=each)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def _told(path: Path, flags: int, mode: int = 0o666, *, dir_fd: int | None = None, name: str | None = None) -> int:
    """Open without following a link in the last place; of one it's said that it is."""
    wanted = os.fspath(path) if name is None else name
    try:
        return os.open(wanted, flags | _ALONE, mode, dir_fd=dir_fd)
    except OSError as error:
        if error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and _is_link(wanted, dir_fd)):
            raise OSError(errno.ELOOP, "it is a link, and may lead anywhere", str(path)) from error
        raise OSError(error.errno, error.strerror, str(path)) from error


def _is_link(name: str, dir_fd: int | None) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)
    return False


def _checked(handle: int, path: Path, fits: Callable[[int], bool]) -> int:
    """The handle, where its kind fits. A pipe would never end, and a device may do harm when it is read."""
    if fits(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise OSError(errno.EINVAL, "it is no regular file", str(path))


def is_below(name: str) -> bool:
    """Whether a name, which may be anybody's, stays below the folder that it's joined to, as far as its words say."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\0" not in name and _is_encodable(name)


def _below(folder: Path, name: str) -> tuple[str, ...]:
    if not is_below(name):
        raise OSError(errno.EINVAL, f"it leads out of {folder}", name)
    return PurePosixPath(name).parts


def _is_encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _encoded(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode(errors="backslashreplace")
