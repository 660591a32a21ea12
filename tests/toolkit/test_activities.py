"""What Chaos Toolkit finds here: actions, probes, experiments."""

import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from chaoslib.discovery import discover
from chaoslib.experiment import ensure_experiment_is_valid

from chaos.clusters.base import EXISTING
from chaos.harm import load_all
from chaos.harm.base import registered
from chaos.judge.base import Recipe, made_again
from chaos.judge.catalogue import Incident, find, incidents
from chaos.toolkit import actions, experiments_dir, probes
from chaos.toolkit.session import by_variant

# Their verdicts are tables over many replays; a `chaos run` is one.
NOT_ONE_RUN = {"no-protection", "no-bug"}
# An experiment takes back what it does. An upgrade can't be taken back: the suite deletes the cluster it was made on.
NO_WAY_BACK = {"in-place-upgrade"}
REPLAYED = [incident for incident in incidents() if incident.id not in NO_WAY_BACK]
EXPERIMENTS = sorted(experiments_dir().glob("*.yaml"))
SUITES = Path(__file__).parents[2] / "suites"
load_all()


@cache
def _loaded(path: Path) -> dict:  # type: ignore[type-arg]
    return yaml.safe_load(path.read_text())  # type: ignore[no-any-return]


def _funcs(activities: list) -> list[str]:  # type: ignore[type-arg]
    return [a["provider"]["func"] for a in activities]


def test_discovery_lists_every_action_and_probe() -> None:
    found = discover("kube-ordeal", discover_system=False, download_and_install=False)
    listed = {(a["type"], a["name"]) for a in found["activities"]}
    assert listed == {("action", n) for n in actions.__all__} | {("probe", n) for n in probes.__all__}
    assert all(a["doc"] for a in found["activities"])
    assert found["extension"]["name"] == "kube-ordeal"


@pytest.mark.parametrize("kind", sorted(registered()))
def test_every_fault_has_its_action_and_the_one_that_takes_it_back(kind: str) -> None:
    assert {kind.replace("-", "_"), actions.COUNTERPARTS[kind]} <= set(actions.__all__)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
class TestEveryExperiment:
    def test_is_valid(self, path: Path) -> None:
        ensure_experiment_is_valid(deepcopy(_loaded(path)))

    def test_cannot_pass_by_mistake(self, path: Path) -> None:
        experiment = _loaded(path)
        assert experiment["runtime"] == {
            "hypothesis": {"strategy": "after-method-only"},
            "rollbacks": {"strategy": "always"},
        }
        assert [c["provider"]["module"] for c in experiment["controls"]] == ["chaos.toolkit.guard"]
        (hypothesis,) = experiment["steady-state-hypothesis"]["probes"]
        assert hypothesis["provider"]["func"] == "verdict"
        assert hypothesis["tolerance"] == {"type": "regex", "target": "verdict", "pattern": "^held$"}

    def test_takes_back_what_it_does_in_the_method_and_once_more_in_the_rollbacks(self, path: Path) -> None:
        experiment = _loaded(path)
        method, rollbacks = _funcs(experiment["method"]), _funcs(experiment["rollbacks"])
        harm = [kind for kind in actions.COUNTERPARTS if kind.replace("-", "_") in method]
        assert harm
        for kind in harm:
            counterpart = actions.COUNTERPARTS[kind]
            assert method.index(kind.replace("-", "_")) < method.index(counterpart) < method.index("stop_recording")
            assert counterpart in rollbacks
        assert rollbacks[-1] == "clean_up"
        assert not any(a.get("background") for a in [*experiment["method"], *experiment["rollbacks"]])

    def test_is_told_which_variant_is_on_where_it_makes_a_difference(self, path: Path) -> None:
        """Without the key it is hardened for ever, whatever control is asked for."""
        experiment = _loaded(path)
        told = experiment["configuration"].get("control")
        if _choices(experiment["method"]):
            assert told == {"type": "env", "key": "ORDEAL_CONTROL", "default": ""}

    def test_by_default_runs_on_a_cluster_that_has_what_it_needs(self, path: Path) -> None:
        """An existing cluster is taken as it is: use_cluster refuses file systems, folders and pods a node there."""
        experiment = _loaded(path)
        (used,) = [a["provider"] for a in experiment["method"] if a["provider"]["func"] == "use_cluster"]
        default = experiment["configuration"]["cluster"]["default"]
        assert default != EXISTING or set(used.get("arguments", {})) <= {"workers", "timers"}


HOLDS = [
    pytest.param(
        _loaded(path)["configuration"]["incident"], each["provider"]["arguments"], id=f"{path.stem}-{each['name']}"
    )
    for path in EXPERIMENTS
    for each in _loaded(path)["method"]
    if each["provider"]["func"] == "hold_until_shown"
]


@pytest.mark.parametrize(("incident", "arguments"), HOLDS)
def test_a_hold_until_something_is_shown_can_be_made_and_is_that_of_a_control(
    incident: str, arguments: dict[str, Any]
) -> None:
    given = arguments.get("arguments", {})
    given = {key: [value] if key == "nodes" else value for key, value in given.items()}
    invariant = made_again(Recipe(arguments["promise"], given))
    within_s = arguments["within_s"]
    assert within_s["hardened"] is None
    held = [control for control, limit_s in within_s.items() if limit_s is not None]
    assert held
    assert {find(incident).control(each).breaks for each in held} == {invariant.name}


@pytest.mark.parametrize("incident", REPLAYED, ids=lambda i: i.id)
def test_every_incident_has_an_experiment_and_every_control_its_place_in_one(incident: Incident) -> None:
    own = [p for p in EXPERIMENTS if _loaded(p)["configuration"]["incident"] == incident.id]
    assert own
    choices = {key for path in own for key in _choices(_loaded(path)["method"])}
    assert choices >= {c.id for c in incident.controls} - NOT_ONE_RUN
    assert choices <= {c.id for c in incident.controls} | {"hardened"}


@pytest.mark.parametrize("incident", REPLAYED, ids=lambda i: i.id)
def test_an_incidents_experiments_judge_by_the_invariants_of_its_suites(incident: Incident) -> None:
    suites = [s for s in SUITES.rglob("test_*.py") if f'"{incident.id}"' in s.read_text()]
    suites = [s for s in suites if not any(f'"{control}"' in s.read_text() for control in NOT_ONE_RUN)]
    assert suites
    imported = re.compile(r"^from chaos\.(?:judge\.\w+|subjects\.\w+\.promises) import (\([^)]+\)|.+)$", re.MULTILINE)
    judged = {n for s in suites for names in imported.findall(s.read_text()) for n in re.findall(r"\w+", names)}
    judged = {name for name in judged if name.islower()}
    own = [_loaded(p) for p in EXPERIMENTS if _loaded(p)["configuration"]["incident"] == incident.id]
    assert {a["provider"]["func"] for e in own for a in e["method"] if a["type"] == "probe"} == judged


def _choices(value: object) -> set[str]:
    """The variants that some argument makes a difference for."""
    if isinstance(value, dict):
        here = set(value) if "hardened" in value else set()
        return here.union(*(_choices(v) for v in value.values()))
    if isinstance(value, list):
        return set().union(*(_choices(v) for v in value))
    return set()


@pytest.mark.parametrize(
    ("value", "control", "expected"),
    [
        (True, None, True),
        ({"hardened": True, "bad": False}, None, True),
        ({"hardened": True, "bad": False}, "bad", False),
        ({"hardened": True, "bad": False}, "another", True),
        ({"eviction_rate": 1}, "eviction_rate", {"eviction_rate": 1}),
    ],
)
def test_a_choice_by_variant(value: object, control: str | None, expected: object) -> None:
    assert by_variant(value, control) == expected
