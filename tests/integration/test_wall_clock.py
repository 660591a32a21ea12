"""Whoever sets the runner's clock while it replays changes nothing of what it finds."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chaos.basics.waiting import eventually
from chaos.record.history import History
from chaos.record.records import FaultStep
from tests.integration.stepped_clock import SteppedClock, stepped

ROOT = Path(__file__).parents[2]
SUITE = "suites/control_plane/test_mass_termination_simulated.py"
REPLAYS = 2  # hardened, and its control
HOUR_S = 3600
# An error of a step is an hour; a machine that has much to do is not that late.
APART_S = 600.0
WITHIN_S = 300.0


@contextmanager
def replaying(results: Path, env: Mapping[str, str], *more: str) -> Iterator["subprocess.Popen[str]"]:
    """A run of both replays, one after the other, its results there."""
    argv = [sys.executable, "-m", "pytest", SUITE, "-k", "small", "-n", "0", "--ordeal-cluster", "simulated"]
    argv += ["--ordeal-profile", "smoke", "--ordeal-results", str(results), "-p", "no:cacheprovider", *more]
    with subprocess.Popen(
        argv, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def ended(process: "subprocess.Popen[str]") -> None:
    said, _ = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0, said[-6000:]


def step_of_harm(results: Path, step: str, replays: int, process: "subprocess.Popen[str]") -> None:
    """Wait until so many replays have come that far."""

    def there() -> bool:
        files = results.glob("2*/*/history/*.jsonl")
        return process.poll() is not None or sum(f'"{step}"' in each.read_text() for each in files) >= replays

    eventually(there, within_s=WITHIN_S, what=f"harm to be {step} in {replays} replays", every_s=0.05)
    assert process.poll() is None, process.communicate()[0][-6000:]


def setting(clock: SteppedClock, results: Path, process: "subprocess.Popen[str]") -> None:
    """In each replay back when harm is done, before it is known to have landed; when it has, forwards, until the end.

    Whoever told a lease's age by that clock would not see harm land, nor that it is undone.
    """
    for replay in range(1, REPLAYS + 1):
        for step, offset_s in (("applied", -HOUR_S), ("landed", HOUR_S)):
            step_of_harm(results, step, replay, process)
            clock.set_to(offset_s)


def of_run(results: Path) -> dict[str, Any]:
    """Its incidents, by control."""
    (run,) = results.glob("2*/results.json")
    return {each.get("control", ""): each for each in json.loads(run.read_text())["incidents"]}


def found(incident: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(each["name"], each["verdict"], each.get("reason", "")) for each in incident["invariants"]]


def seconds(incident: Mapping[str, Any]) -> dict[str, float]:
    """How long the replay took, and what its findings say in seconds."""
    figures = {name: value for each in incident["invariants"] for name, value in each.get("figures", {}).items()}
    return {"duration_s": incident["duration_s"], **{k: v for k, v in figures.items() if k.endswith("_s")}}


@pytest.mark.nightly("two replays twice, with Debian's libfaketime: minutes; who asks which clock is a unit test")
def test_steps_of_the_runners_wall_clock_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "clock").mkdir()
    clock, began = stepped(tmp_path / "clock"), time.monotonic()
    plain, under = tmp_path / "plain", tmp_path / "stepped"
    plugin = ("-p", "tests.integration.stepped_clock")
    with replaying(under, clock.env, *plugin) as process, replaying(plain, {}) as beside:
        setting(clock, under, process)
        ended(process)
        ended(beside)
    took_s = time.monotonic() - began

    seen = clock.seen()
    ahead = [wall - monotonic for wall, monotonic in seen]
    steps = [round((later - before) / HOUR_S) for before, later in pairwise(ahead) if abs(later - before) > HOUR_S / 2]
    assert steps == [-1, 2, -2, 2], "the wall clock was set, and as it was meant"
    assert all(0 < later[1] - before[1] < took_s for before, later in pairwise(seen)), "and not the monotonic one"
    assert began < seen[0][1] < seen[-1][1] < began + took_s

    ours, theirs = of_run(under), of_run(plain)
    assert ours.keys() == theirs.keys() == {"", "default-tolerations"}
    for control, incident in ours.items():
        other = theirs[control]
        assert (incident["verdict"], incident["passed"]) == (other["verdict"], True)
        assert found(incident) == found(other)
        assert seconds(incident) == pytest.approx(seconds(other), abs=APART_S)
        (run,) = under.glob("2*/results.json")
        history = History.load(run.parent / incident["histories"][0])
        at = [each.at for each in history.of(FaultStep)]
        assert at == sorted(at)
        assert at[-1] < incident["duration_s"] < took_s

    assert "default-tolerations" in as_a_user("report", str(run.parent))
    page = Path(as_a_user("report", "--html", str(run.parent)).strip())
    assert "default-tolerations" in page.read_text()
    as_a_user("bundle", str(run.parent), "--output", str(tmp_path / "bundle.zip"))
    assert "verified" in as_a_user("verify", str(tmp_path / "bundle.zip"))


def as_a_user(*argv: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "chaos", *argv], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
