"""The end of a run, as pytest shows it: the table of verdicts, what was left out and why, where the results are."""

from collections import Counter

import pytest
from rich.console import Console

from chaos.basics.system import write_escapes
from chaos.plugin import run_id
from chaos.report.table import fact_table, verdict_table
from chaos.results.saved import SavedRun, load
from chaos.run.lab import CONFORMANCE, NOT_RUN
from chaos.run.options import options_of
from chaos.session import planning, telling
from chaos.session.preparing import PREPARING
from chaos.session.showing import IDLE

NO_RERUN = "no replay or spec was tried again: a second try would hide what the first one has shown"
SECOND_TRIES = ("reruns", "retries")  # options of plugins that try again


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table of verdicts, the tables that suites made, and where the results are."""
    root, run = options_of(config).results, run_id(config)
    if not (root / run / "results.json").is_file():
        return
    saved = load(root, run)
    if any(config.getoption(each, None) for each in SECOND_TRIES):
        telling.write(terminalreporter, NO_RERUN)
    if not saved.outcomes:
        return
    terminalreporter.section("verdicts")
    writer = config.get_terminal_writer()
    write_escapes(writer._file)
    console = Console(file=writer._file, width=max(writer.fullwidth, 100), markup=False)
    console.print(verdict_table(saved.outcomes))
    for outcome in saved.outcomes:
        for name, rows in outcome.tables.items():
            console.print(fact_table(name, rows))
    if IDLE in saved.measured:
        telling.write(terminalreporter, f"{IDLE}: {saved.measured[IDLE]}")
    lanes = len(getattr(config.option, "tx", None) or ())
    if PREPARING in config.stash and config.stash[PREPARING].failure:
        telling.write(terminalreporter, f"set-up did not reach its end: {config.stash[PREPARING].failure}")
    for each in (*_not_conformed(saved), *planning.summary(saved), *planning.more_than_the_tour(saved, lanes)):
        telling.write(terminalreporter, each)
    telling.write(terminalreporter, f"results: {saved.path}")
    page = saved.path.with_name("report.html")
    if page.is_file():
        telling.write(terminalreporter, f"report:  {page}")


def _not_conformed(saved: SavedRun) -> list[str]:
    """Why specs were left out that would have been run by default, and after how many replays."""
    said = [str((o.facts or {}).get(CONFORMANCE, "")) for o in saved.outcomes]
    reasons = Counter(each.removeprefix(NOT_RUN) for each in said if each.startswith(NOT_RUN))
    return [f"upstream's specs were not run after {n} replays: {reason}" for reason, n in reasons.items()]
