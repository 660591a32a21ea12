"""What is done with the results when a run is over."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from chaos.errors import OrdealError
from chaos.hosts import extras
from chaos.hosts.places import history_file
from chaos.results import run_history
from chaos.results.past import PastRun, past_of
from chaos.results.results import Results
from chaos.results.saved import load


def close(
    directory: Path, report: Callable[[str], None], measured: Mapping[str, str] | None = None, *, history: bool = False
) -> None:
    """Write down that the run of that folder is over, and make its page where its packages are installed. What goes
    wrong is told, never raised.

    `measured`: what was measured of all of the run. `history`: it is kept in the history of runs, and the page shows
    the trends of that.
    """
    past: Sequence[PastRun] = ()
    try:
        Results(directory.parent, directory.name, {}).end(measured)
        if history:
            past = _kept(directory, report)
        if why := extras.lacks(extras.REPORT):
            report(f"{why}, then kube-ordeal report {directory} --html")
            return
        from chaos.report.html import PAGE, write_page  # noqa: PLC0415  (an extra)

        write_page(load(directory.parent, directory.name), directory / PAGE, past)
    except Exception as error:  # noqa: BLE001  (the verdicts are on disk; a page can be made again by `report --html`)
        report(f"the page of the results can't be made: {error}")


def _kept(directory: Path, report: Callable[[str], None]) -> Sequence[PastRun]:
    """The runs of the history, this one added; none where that can't be, which is told: the page does without."""
    try:
        run_history.add(history_file(), [past_of(load(directory.parent, directory.name), datetime.now(UTC))])
        return run_history.load(history_file()).runs
    except OrdealError as error:
        report(f"the run is not kept in the history: {error}")
        return ()
