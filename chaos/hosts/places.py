"""Where things are kept: the cache (made again at will), the state (what must survive a crash), the manifests."""

from pathlib import Path
from tempfile import NamedTemporaryFile

import platformdirs

APP = "kube-ordeal"


def cache_dir() -> Path:
    """Binaries, images, downloaded modules: may be deleted at any time. XDG_CACHE_HOME is respected."""
    return platformdirs.user_cache_path(APP, ensure_exists=True)


def state_dir() -> Path:
    """Journals and what set-up started: deleting it loses the way back. XDG_STATE_HOME is respected."""
    return platformdirs.user_state_path(APP, ensure_exists=True)


def manifests_dir() -> Path:
    """The manifests folder: beside the package in a checkout, inside it in an installed wheel."""
    checkout = Path(__file__).resolve().parents[2] / "manifests"
    return checkout if checkout.is_dir() else Path(__file__).resolve().parents[1] / "_manifests"


def journals_dir() -> Path:
    """Where the journals of runs are."""
    path = state_dir() / "journals"
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, readable by its owner alone. Raises OSError."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as new:  # of mode 0600
        new.write(text)
    Path(new.name).replace(path)
