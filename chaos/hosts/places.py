"""Where things are kept: the cache (made again at will), the state (what must survive a crash), the manifests."""

import os
from pathlib import Path

from chaos.errors import OrdealError
from chaos.hosts import trusted

APP = "kube-ordeal"
CACHE_HOME, STATE_HOME = "XDG_CACHE_HOME", "XDG_STATE_HOME"
BESIDE = "_beside"  # pyproject.toml puts what is beside the package in a checkout there


def cache_path() -> Path:
    """Where the cache is, made or not. Raises OrdealError where this user has no home and names none."""
    return _users(CACHE_HOME, "~/.cache") / APP


def state_path() -> Path:
    """The same of the state."""
    return _users(STATE_HOME, "~/.local/state") / APP


def cache_dir() -> Path:
    """Binaries, images, downloaded modules: may be deleted at any time. XDG_CACHE_HOME is respected.

    Raises OrdealError where the folder can't be made, or is somebody else's.
    """
    return _made(cache_path(), CACHE_HOME)


def state_dir() -> Path:
    """Journals and what set-up started: deleting it loses the way back. XDG_STATE_HOME is respected.

    Raises OrdealError where the folder can't be made, or is somebody else's.
    """
    return _made(state_path(), STATE_HOME)


def check() -> None:
    """Raise OrdealError where a run could not keep what it has to keep. A cache that is there may be read only."""
    cache_dir()
    state = state_dir()
    if not os.access(state, os.W_OK):
        raise OrdealError(f"the folder {state} can't be written; name a folder that can with XDG_STATE_HOME")


def unwritten(error: BaseException) -> str:
    """A sentence for what went wrong at a file in one of these folders; empty for every other error."""
    if not isinstance(error, OSError) or not isinstance(error.filename, str):
        return ""
    folders = (cache_path(), state_path())
    inside = any(Path(error.filename).is_relative_to(folder) for folder in folders)
    return f"{error.filename}: {error.strerror}" if inside else ""


def beside() -> Path:
    """The folder of the suites and the manifests: around the package in a checkout, inside it in a wheel.

    What else is around an installed package is others', whatever its name.
    """
    package = Path(__file__).resolve().parents[1]
    return package / BESIDE if (package / BESIDE).is_dir() else package.parent


def manifests_dir() -> Path:
    """The manifests folder."""
    return beside() / "manifests"


def suites_dir() -> Path:
    """The suites folder."""
    return beside() / "suites"


def journals_dir() -> Path:
    """Where the journals of runs are. Raises OrdealError as `state_dir` does."""
    return _made(state_dir() / "journals", STATE_HOME)


def history_file() -> Path:
    """Where the history of runs is unless told otherwise, made or not."""
    return state_path() / "history.sqlite"


def _users(variable: str, otherwise: str) -> Path:
    """A folder of the user's by the XDG base directory specification, which has a relative one ignored."""
    given = Path(os.environ.get(variable, ""))
    if given.is_absolute():
        return given
    try:
        return Path(otherwise).expanduser()
    except RuntimeError as error:
        raise OrdealError(f"this user has no home folder; name one that can be written with {variable}") from error


def _made(path: Path, variable: str) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)  # what root runs is in it, and keys
    except OSError as error:
        raise OrdealError(
            f"the folder {path} can't be made ({error.strerror}); name a folder that can be written with {variable}"
        ) from error
    trusted.check(path, path)
    return path


def private(folder: Path) -> Path:
    """Make the folder unless it is there, and let only its owner in: for kubeconfigs and keys. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)  # an earlier version's was open
    return folder


def make_private(folder: Path) -> None:
    """Make a folder, and those around it that lack, which their owner alone may enter. Raises OSError."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
