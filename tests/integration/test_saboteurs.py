"""What replays are made of does not do its work: a real replay on a simulated cluster is then never held."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.saboteurs import NAMED_BY, SABOTEURS

ROOT = Path(__file__).parents[2]
SUITE = "suites/control_plane/test_mass_termination_simulated.py"
LONG = {"fault-does-nothing": "it waits two minutes for a fault to land that never does"}
SAYS = {
    "fault-does-nothing": "the fault stop-heartbeats did not land",
    "fault-lapses": "the harm of stop-heartbeats did not last: it was gone at",
}


def test_each_saboteur_is_known() -> None:
    assert set(SAYS) == set(SABOTEURS)


@pytest.mark.parametrize(
    "saboteur",
    [pytest.param(each, marks=pytest.mark.nightly(LONG[each]) if each in LONG else ()) for each in SABOTEURS],
)
def test_a_hardened_replay_is_unknown_for_what_the_saboteur_did(saboteur: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pytest", "-p", "tests.saboteurs", SUITE, "-k", "small and hardened"]
    argv += ["--ordeal-cluster", "simulated", "--ordeal-cluster-name", "sabotaged", "--ordeal-results", str(tmp_path)]
    env = {**os.environ, NAMED_BY: saboteur}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 1, done.stdout[-6000:] + done.stderr[-2000:]
    written: dict[str, Any] = json.loads((tmp_path / "latest" / "results.json").read_text())
    (replay,) = written["incidents"]
    assert (replay["variant"], replay["verdict"], replay["passed"]) == ("hardened", "unknown", False)
    assert SAYS[saboteur] in replay["why"]
