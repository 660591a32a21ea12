"""chaos/basics/clock.py: dates that are in order whatever is done to the machine's clock; and who may ask that one."""

import ast
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaos.basics import clock

CHAOS = Path(__file__).parents[2] / "chaos"
# Who asks the machine's clock, which may be set at any moment, and what a step of it does there. All others ask the
# monotonic clock, or chaos/basics/clock.py.
ASKED = {
    "basics/clock.py": "it is made even here",
    "basics/progress.py": "shown: when it may be over",
    "clusters/way/credentials.py": "a credential's own date, which is put on the monotonic clock when it comes",
    "cli/comparison.py": "a day: what is allowed until then",
    "cli/gate.py": "the name of a folder",
    "cli/score.py": "the name of a folder",
    "cli/history.py": "shown: when a run was put into the history",
    "cli/output.py": "shown beside a line",
    "conformance/runner.py": "a part of a name, with a number that makes it one of its kind",
    "plugin.py": "the name of a run",
    "record/leases.py": "when a node's lease says that it was renewed; believed where it fits what was seen",
    "record/nodefacts.py": "the clock of nodes that have this one",
    "report/close.py": "shown: when a run was put into the history",
    "report/html.py": "shown on the page",
    "report/prune.py": "how old a file is, which has its date from that clock; who lives is told by a lock",
    "run/claim.py": "what others read in the Lease; nobody decides by it",
    "run/live.py": "shown beside a line",
    "session/showing.py": "shown beside a line",
    "session/telling.py": "shown beside a line",
    "setup/steps.py": "shown beside a line",
    "subjects/aged/workload.py": "a condition's date, by which nobody goes",
    "subjects/ghosts/workload.py": "an annotation that is to be another one than before",
    "toolkit/session.py": "the name of a run",
    "workloads/web.py": "an annotation that is to be another one than before",
    "writers/mysql.py": "how far a server's clock is from that of the machine that it runs on",
}


def asks(tree: ast.AST) -> Iterator[int]:
    """The lines that ask the machine's clock."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "time.time", "time.time_ns", "time.localtime", "time.gmtime", "datetime.now", "datetime.utcnow",
            "datetime.today", "date.today",
        }:  # fmt: skip
            yield node.lineno


def test_nobody_else_asks_the_machines_clock() -> None:
    found = {
        path.relative_to(CHAOS).as_posix(): sorted(lines)
        for path in CHAOS.rglob("*.py")
        if (lines := list(asks(ast.parse(path.read_text()))))
    }
    others = {name: at for name, at in found.items() if not any(name.startswith(each) for each in ASKED)}
    assert not others, f"use the monotonic clock, or chaos/basics/clock.py, in {others}: this clock may be set"
    unused = [each for each in ASKED if not any(name.startswith(each) for name in found)]
    assert not unused, f"nobody asks it any more in {unused}"


def test_who_asks_it_is_seen() -> None:
    asking = "began = time.monotonic()\nlasted = time.time() - began\nnow = datetime.now(UTC)\n"
    assert sorted(asks(ast.parse(asking))) == [2, 3]


@pytest.mark.parametrize("set_by_s", [3600, -7200])
def test_a_date_goes_on_evenly_where_the_clock_is_set(monkeypatch: pytest.MonkeyPatch, set_by_s: float) -> None:
    before, was = clock.unix_s(), time.time
    monkeypatch.setattr(time, "time", lambda: was() + set_by_s)
    after = clock.unix_s()
    assert 0 <= after - before < 600
    later = max(0, set_by_s)
    assert abs(clock.latest() - datetime.fromtimestamp(was(), UTC)).total_seconds() < later + 600
    assert (clock.latest().timestamp() > after + 600) is bool(later)
