"""What is done with the results when a run is over."""

from collections.abc import Callable, Mapping
from pathlib import Path

from chaos.hosts import extras
from chaos.results.results import Results
from chaos.results.saved import load


def close(directory: Path, report: Callable[[str], None], measured: Mapping[str, str] | None = None) -> None:
    """Write down that the run of that folder is over, and make its page where its packages are installed. What goes
    wrong is told, never raised.

    `measured`: what was measured of all of the run.
    """
    try:
        Results(directory.parent, directory.name, {}).end(measured)
        if why := extras.lacks(extras.REPORT):
            report(f"{why}, then kube-ordeal report {directory} --html")
            return
        from chaos.report.html import PAGE, write_page  # noqa: PLC0415  (an extra)

        write_page(load(directory.parent, directory.name), directory / PAGE)
    except Exception as error:  # noqa: BLE001  (the verdicts are on disk; a page can be made again by `report --html`)
        report(f"the page of the results can't be made: {error}")
