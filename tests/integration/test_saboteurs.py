"""What replays are made of does not do its work, or somebody does more harm than they know of: none is held then."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from chaos.judge.catalogue import ProvenBy, find
from tests.saboteurs import NAMED_BY, PARTS, SABOTEURS, name_of
from tests.saboteurs.replays import REPLAYS, Sabotaged

ROOT = Path(__file__).parents[2]
SMALL = Sabotaged(
    "mass-termination",
    "control_plane/test_mass_termination_simulated.py::test_a_small_cluster_keeps_its_pods",
    (),
    "simulated",
)
EDITED = Sabotaged(
    "stale-watch-cache",
    "control_plane/test_stale_watch_cache.py::test_watchers_see_an_object_that_was_edited_in_etcd",
    (),
    "simulated",
)
LONG = {
    "fault-does-nothing": "it waits for a fault to land that never does",
    "fault-lapses": "a minute, and unit tests show it of a history",
    "fault-harms-half-its-nodes": "two minutes: it waits for a taint that never comes",
    "recorder-drops": "a minute, and unit tests show it against a server that plays a part",
    "clock-jumps-forward": "a minute",
}
SAYS = {
    "fault-does-nothing": (SMALL, "the fault stop-heartbeats did not land"),
    "fault-lapses": (SMALL, "the harm of stop-heartbeats did not last: it was gone at"),
    "fault-harms-half-its-nodes": (SMALL, "so that not all that was to be tried was"),
    "fault-lies": (EDITED, "nothing was changed"),
    "harm-looks-stop": (EDITED, "nobody looked from"),
    "recorder-drops": (SMALL, "and no record says so"),
    "clock-jumps-forward": (SMALL, "the clock that gives records their times jumped by +30.0 s"),
}
WITHIN_S = 1200


def test_each_saboteur_is_tried() -> None:
    """Those of a replay's parts by tests.bench.saboteurs, each in each replay; some of them here too."""
    tried = {name for each in REPLAYS for name in each.saboteurs}
    assert tried | {name_of(each) for each in PARTS} | {"service-gone"} == set(SABOTEURS)
    assert set(SAYS) | tried <= set(SABOTEURS)


@pytest.mark.parametrize(
    "saboteur", [pytest.param(each, marks=pytest.mark.nightly(LONG[each]) if each in LONG else ()) for each in SAYS]
)
def test_a_hardened_replay_is_unknown_for_what_the_saboteur_did(saboteur: str, tmp_path: Path) -> None:
    of, says = SAYS[saboteur]
    replay = sabotaged(of, [saboteur], tmp_path)
    assert replay["verdict"] == "unknown"
    assert says in replay["why"]


@pytest.mark.nightly("a real replay for each incident that has promises which no control breaks")
@pytest.mark.parametrize("each", REPLAYS, ids=lambda each: each.incident)
def test_a_promise_breaks_when_a_saboteur_breaks_it(each: Sabotaged, tmp_path: Path) -> None:
    replay = sabotaged(each, each.saboteurs, tmp_path)
    assert replay["verdict"] == "violated", replay["why"]
    broken = {found["name"] for found in replay["invariants"] if found["verdict"] == "violated"}
    judged = {found["name"] for found in replay["invariants"]}
    proofs = [p for p in find(each.incident).proofs if p.how is ProvenBy.SABOTEUR and p.by in each.saboteurs]
    assert {proof.promise for proof in proofs if proof.promise in judged} - broken == set()
    assert {proof.by for proof in proofs} == set(each.saboteurs), "each is there for something"


@pytest.mark.nightly("a kind cluster of its own")
def test_a_cluster_that_does_not_serve_before_any_harm_is_violated_for_that(tmp_path: Path) -> None:
    cut = next(each for each in REPLAYS if each.incident == "mass-termination")
    replay = sabotaged(cut, ["service-gone"], tmp_path)
    (found,) = replay["invariants"]
    assert (replay["verdict"], found["name"], found["reason"]) == ("violated", "serves-before-harm", "not-serving")
    assert "probes were not answered: " in replay["why"]


def sabotaged(replay: Sabotaged, saboteurs: Sequence[str], results: Path) -> Mapping[str, Any]:
    """Replay it with the saboteurs; its entry in the results, which is never that of one that passed."""
    argv = [sys.executable, "-m", "pytest", "-p", "tests.saboteurs", f"suites/{replay.test}", "-k", "hardened"]
    argv += ["--ordeal-cluster", replay.cluster, "--ordeal-cluster-name", "sabotaged", "--ordeal-results", str(results)]
    env = {**os.environ, NAMED_BY: ",".join(saboteurs)}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert done.returncode == 1, done.stdout[-6000:] + done.stderr[-2000:]
    written: dict[str, Any] = json.loads((results / "latest" / "results.json").read_text())
    (told,) = written["incidents"]
    assert (told["variant"], told["passed"]) == ("hardened", False), told["why"]
    assert isinstance(told, dict)
    return told
