"""What is made from the registers: activities as Chaos Toolkit wants them, experiments that are as they must be."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from chaoslib.discovery import discover
from chaoslib.experiment import ensure_experiment_is_valid

from chaos.harm.base import counterpart, registered
from chaos.harm.network import CutOff
from chaos.judge.base import promises
from chaos.judge.catalogue import incidents
from chaos.record.history import History
from chaos.record.records import NodeChange
from chaos.run.lab import Lab
from chaos.toolkit import experiments, experiments_dir
from chaos.toolkit.experiments import COMMAND, OWN
from chaos.workloads.web import Deployed
from tests.judge.histories import fault, history, pod, probes, saw_the_end
from tests.toolkit.fakes import FakeCluster
from tests.toolkit.running import PROBES, STEPS, Run, nothing_left, step

HERE = Path(__file__).parent
FILES = sorted(experiments_dir().glob("*.yaml"))


def test_discovery_lists_a_fault_its_counterpart_and_a_promise_by_themselves() -> None:
    found = discover("kube-ordeal", discover_system=False, download_and_install=False)
    listed = {(each["type"], each["name"]): each for each in found["activities"]}
    own = {kind: cls for kind, cls in registered().items() if cls.__module__.startswith("chaos.")}
    assert listed.keys() >= {("action", kind.replace("-", "_")) for kind in own}
    assert listed.keys() >= {("action", counterpart(cls)) for cls in own.values()}
    assert len({counterpart(cls) for cls in own.values()}) == len(own)
    assert listed.keys() >= {("probe", name) for name in promises()}
    assert all(each["doc"] for each in listed.values())
    cut = listed["action", "cut_off"]
    assert cut["doc"].startswith("Drop all traffic, IPv4 and IPv6")
    assert cut["doc"].endswith("Taken back by reconnect.")
    assert {each["name"]: (each["type"], each.get("default")) for each in cut["arguments"]} == {
        "nodes": ("string", "workers"),
        "peers": ("string", "control-plane"),
        "configuration": ("object", None),
    }


def test_activities_of_before_have_their_names_arguments_and_defaults() -> None:
    found = discover("kube-ordeal", discover_system=False, download_and_install=False)
    there = {
        (each["mod"], each["name"]): {a["name"]: a.get("default", ...) for a in each["arguments"]}
        for each in found["activities"]
    }
    before, module = 0, ""
    for told in (HERE / "names.txt").read_text().split():
        name, _, said = told.partition("(")
        if not said:
            module = told
            continue
        before += 1
        arguments = there[module, name]
        for argument, default in re.findall(r"(\w+)(?:=('[^']*'|[^,)]+))?[,)]", said):
            assert argument in arguments, told
            if default:
                assert (arguments[argument] or "") == (yaml.safe_load(default.replace("None", "''")) or ""), told
    assert before > 120


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_experiment_is_valid_and_can_not_pass_by_mistake(path: Path) -> None:
    experiment = yaml.safe_load(path.read_text())
    ensure_experiment_is_valid(experiment)
    after_the_method = {"hypothesis": {"strategy": "after-method-only"}, "rollbacks": {"strategy": "always"}}
    assert experiment["runtime"] == after_the_method
    assert [each["provider"]["module"] for each in experiment["controls"]] == ["chaos.toolkit.guard"]
    verdict = experiment["steady-state-hypothesis"]["probes"][0]
    assert verdict["tolerance"] == {"type": "regex", "target": "outcome", "pattern": "^passed$"}


def test_every_incident_has_its_experiment_and_none_is_stale() -> None:
    assert experiments.stale(experiments_dir()) == ""
    loaded = [yaml.safe_load(path.read_text()) for path in FILES if path.stem != OWN]
    replayed = {each["method"][0]["provider"]["arguments"]["incident"] for each in loaded}
    assert replayed == {each.id for each in incidents()}


def test_a_stale_experiment_is_named_with_what_mends_it(tmp_path: Path) -> None:
    experiments.write(tmp_path)
    (tmp_path / "still-conforms.yaml").write_text("title: by hand")
    (tmp_path / "no-such.yaml").write_text("")
    (tmp_path / "bad-link.yaml").unlink()
    (tmp_path / f"{OWN}.yaml").write_text("a user's")
    sentence = experiments.stale(tmp_path)
    assert sentence.startswith("bad-link.yaml, no-such.yaml, still-conforms.yaml in ")
    assert sentence.endswith(f"run `{COMMAND}`")
    experiments.write(tmp_path)
    assert experiments.stale(tmp_path) == ""
    assert (tmp_path / f"{OWN}.yaml").read_text() == "a user's"


VARIANT = {"incident": "mass-termination", "control": "default-tolerations"}


@pytest.mark.parametrize(
    ("node", "configuration", "off"),
    [
        ("w1", {}, 1),
        ("first-worker", {}, 1),
        (["w1"], {}, 1),
        ("workers,control-plane", {}, "workers,control-plane names 2 nodes, and this is for one: w1, cp"),
        ("w9", {}, "there is no node w9 in cluster fake"),
        (None, {}, 0),
        ({"hardened": "w1", "default-tolerations": None}, {}, 1),
        ({"hardened": "w1", "default-tolerations": None}, VARIANT, 0),
    ],
)
def test_an_argument_names_nodes_may_be_a_choice_by_variant_and_null_leaves_the_step_out(
    cluster: FakeCluster, node: object, configuration: dict[str, object], off: int | str
) -> None:
    run = Run(step("power_off", node=node), step("power_on"), configuration=configuration)
    (done, back) = run.journal["run"]
    if isinstance(off, str):
        assert off in str(done["exception"])
        return
    assert (done["output"], back["output"]) == ("landed" if off else "left out", off)
    assert cluster.switched_off_ever == off
    assert nothing_left(cluster)


def test_what_is_not_of_an_arguments_type_is_one_sentence(cluster: FakeCluster) -> None:
    done = Run(step("hold", for_s="for long")).journal["run"][0]
    assert "for_s is 'for long': Expected `float`, got `str`" in str(done["exception"])


def test_a_probe_judges_the_recording_and_keeps_the_recipe(cluster: FakeCluster) -> None:
    judged = step("nodes_ready_again", PROBES, nodes="workers", within_s="60", fault="power-off")
    run = Run(step("nodes_ready", PROBES), step("remember", STEPS), judged)
    (finding,) = run.journal["kube-ordeal"]["findings"]
    assert (finding["invariant"], finding["verdict"]) == ("nodes-ready-again", "unknown")
    (written,) = json.loads(Path("results/latest/results.json").read_text())["incidents"]
    (judged_by,) = written["invariants"]
    assert judged_by["promise"] == "nodes_ready_again"
    assert judged_by["arguments"] == {"nodes": ["w1"], "within_s": 60.0, "fault": "power-off"}


class _Running(Deployed):
    def ready(self) -> bool:
        return True


def test_the_example_of_an_own_experiment_runs_as_it_stands(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    @contextmanager
    def record(*_: object) -> Iterator[History]:
        ready = [NodeChange(0.0, name, "listed", "True") for name in ("cp", "w1")]
        yield history(
            [pod(0.0, "a"), *ready], fault(1.0, 3.0, "cut-off"), probes("+" * 90, node="w1"), saw_the_end(9.0)
        )

    @contextmanager
    def inject(_: Lab, harm: CutOff) -> Iterator[None]:
        told.append(f"{harm.kind} {harm.nodes} {harm.peers}")
        yield
        told.append("undone")

    monkeypatch.setattr(Lab, "deploy", lambda *_: _Running("web", "ns", "", 6, cast("Any", cluster)))
    monkeypatch.setattr(Lab, "record", record)
    monkeypatch.setattr(Lab, "inject", inject)
    monkeypatch.setattr(Lab, "hold", lambda _, for_s, because: told.append(f"{for_s:g} s"))
    run = Run(path=experiments_dir() / f"{OWN}.yaml")
    assert (run.code, run.status, run.verdict) == (0, "completed", "held"), run.result.output
    assert told == ["cut-off ('w1',) ('cp',)", "10 s", "undone"]
    assert len(run.journal["kube-ordeal"]["findings"]) == 3
    assert nothing_left(cluster)
