"""The archive of a bundle: a zip file whose comment seals it, read without trust in who made it.

The same files make the same archive (with the same zlib): fixed order, times and modes.
"""

import errno
import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from chaos.basics.files import is_special, placed
from chaos.basics.untrusted import Limit
from chaos.errors import OrdealError

MAX_FILES = 100_000
MAX_BYTES = 4 * 1024**3
MAX_RATIO = 200  # histories shrink to a tenth, text that repeats itself to a hundredth; bombs to a thousandth
MAX_DIRECTORY_BYTES = 64 * 1024**2  # of 100,000 files with long names
MANY_BYTES = 64 * 1024**2  # below this nobody minds the ratio
_SEAL = b"kube-ordeal bundle, sha256 of all before: "
_DIGITS = 64
_CHUNK = 1024 * 1024
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that zip can say
_MODE = (stat.S_IFREG | 0o644) << 16

Content = bytes | Callable[[], BinaryIO]  # of a file, or what opens it


def write(path: Path, files: Mapping[str, Content]) -> None:
    """Write an archive of files by their names in it. Raises OSError, OrdealError as those that open them."""
    if is_special(path):
        raise OSError(errno.EINVAL, "it is no file")
    with placed(path) as whole:
        with zipfile.ZipFile(whole, "w") as archive:
            archive.comment = _SEAL + b"0" * _DIGITS
            for name in sorted(files):
                info = zipfile.ZipInfo(name, _EPOCH)
                info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_DEFLATED, _MODE, 3
                content = files[name]
                if isinstance(content, bytes):
                    archive.writestr(info, content)
                    continue
                with content() as source, archive.open(info, "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target, _CHUNK)
        digest = _digest_of_all_but_the_seal(whole)
        whole.seek(-_DIGITS, os.SEEK_END)
        whole.write(digest.encode())


def broken_seal(path: Path) -> str:
    """A sentence where the archive is not, to the last bit, what `write` made; empty where it is."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_SEAL) - _DIGITS))
        seal = file.read()
        if not seal.startswith(_SEAL):
            return "it has no seal: it was packed, or packed again, by something else than kube-ordeal bundle"
        if seal[len(_SEAL) :] != _digest_of_all_but_the_seal(file).encode():
            return "its seal is broken: the archive was changed after it was made"
    return ""


@contextmanager
def opened(path: Path) -> Iterator["Archive"]:
    """An archive to be read. Raises OrdealError where it can't be, or is made to do harm."""
    try:
        with _Bounded(path, opener=_regular) as bounded, zipfile.ZipFile(bounded) as file:
            yield Archive(path, file)
    except OSError as error:
        raise OrdealError(f"the bundle {path} can't be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, UnicodeDecodeError) as error:
        raise OrdealError(f"{path} is no bundle that can be read: {error}") from error


def _regular(path: str, flags: int) -> int:
    """Of a pipe nobody may ever say anything. Raises OSError for what is no file."""
    handle = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file")
    return handle


class _Bounded(FileIO):
    """A file whose archive's directory is not read where it's larger than any of ours: it is read as a whole."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Raises OrdealError."""
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise OrdealError(f"{self.name!s} is refused: its directory has {size} bytes")
        return super().read(-1 if size is None else size) or b""


class Archive:
    """An open archive whose names and sizes were looked at: nothing in it leads outside, nothing is too large."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self._path, self._file = path, file
        infos = file.infolist()
        if len(infos) > MAX_FILES:
            raise OrdealError(f"{path} is refused: it holds {len(infos)} files, at most {MAX_FILES} are read")
        for info in infos:
            harm = _harm(info)
            if harm:
                raise OrdealError(f"{path} is refused: {info.filename!r} {harm}")
        size_bytes = sum(info.file_size for info in infos)
        if size_bytes > MAX_BYTES or size_bytes > max(MANY_BYTES, MAX_RATIO * path.stat().st_size):
            raise OrdealError(f"{path} is refused: it would unpack to {size_bytes / 1024**2:.0f} MiB")
        self.names = tuple(info.filename for info in infos)
        self._known = frozenset(self.names)
        twice = [name for name, times in Counter(self.names).items() if times > 1]
        if twice:
            raise OrdealError(f"{path} is refused: {twice[0]!r} is in it twice")

    def read(self, name: str, limit: Limit) -> bytes:
        """The content of a file. Raises OrdealError where it is not there, damaged, or larger than its kind may be."""
        content = bytearray()
        for chunk in self._chunks(name):
            content += chunk
            if len(content) > limit.size_bytes:
                raise OrdealError(f"{self._path} is refused: {name} is larger than {limit.size_bytes} bytes")
        return bytes(content)

    def digest(self, name: str) -> tuple[str, int]:
        """A file's SHA-256 and its size in bytes. Raises OrdealError as `read` does."""
        sha256, size_bytes = hashlib.sha256(), 0
        for chunk in self._chunks(name):
            sha256.update(chunk)
            size_bytes += len(chunk)
        return sha256.hexdigest(), size_bytes

    def unpack(self, name: str, folder: Path) -> Path:
        """Write a file below a folder, at its own name. Raises OrdealError as `read` does.

        A name that is not in the archive, so was not looked at, may lead anywhere: nothing is made of it.
        """
        self._check_there(name)
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            file.writelines(self._chunks(name))
        return target

    def _chunks(self, name: str) -> Iterator[bytes]:
        """A history may have hundreds of megabytes: it is never in memory as a whole."""
        self._check_there(name)
        try:
            with self._file.open(name) as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
            raise OrdealError(f"{name} in {self._path} is damaged: {error}") from error

    def _check_there(self, name: str) -> None:
        if name not in self._known:
            raise OrdealError(f"there is no {name} in {self._path}: it is no bundle")


def _harm(info: zipfile.ZipInfo) -> str:
    """Why a member is not taken; empty where it is."""
    name = info.filename
    parts = PurePosixPath(name).parts
    mode = stat.S_IFMT(info.external_attr >> 16)
    if not name or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or name[1:2] == ":":
        return "leads outside of the folder it is unpacked to"
    if info.is_dir() or str(PurePosixPath(name)) != name:
        return "is no plain file name"
    if mode not in {0, stat.S_IFREG}:
        return "is no regular file but a link or a device"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return "is compressed in a way that is not read here"
    return ""


def _digest_of_all_but_the_seal(file: BinaryIO) -> str:
    digest, left = hashlib.sha256(), file.seek(0, os.SEEK_END) - _DIGITS
    file.seek(0)
    while left > 0:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            break
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()
