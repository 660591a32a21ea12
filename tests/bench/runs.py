"""The runs in a folder of results, as benches find them again."""

from pathlib import Path

from chaos.errors import OrdealError
from chaos.results.saved import RESULTS, SavedRun, load


def runs_in(results: Path) -> set[Path]:
    """The folders of runs there, without the link to the newest."""
    return {path.parent for path in results.glob(f"*/{RESULTS}") if not path.parent.is_symlink()}


def newest(results: Path, before: set[Path]) -> Path | None:
    """The folder of the newest run that was not there before, if any; a run's name begins with its time."""
    return max(runs_in(results) - before, default=None)


def read_run(folder: Path | None) -> SavedRun | None:
    """A run's results; None where there are none, or they can't be read."""
    try:
        return load(folder, str(folder)) if folder else None
    except OrdealError:
        return None


def replay_of(test: str) -> str:
    """A replay's name: its test's, without the file."""
    return test.rpartition("::")[2]
