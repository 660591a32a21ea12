"""The report of a run as one page that needs nothing else: report.html."""

from pathlib import Path

from chaos.report.saved import SavedRun

PAGE = "report.html"


def write_page(run: SavedRun, path: Path) -> None:
    """Write the page of a run to `path`."""
    path.write_text(f"<!doctype html><title>{run.id}</title>", encoding="utf-8")
