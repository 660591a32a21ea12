"""What older versions kept as Observations is read as the subjects' records, and judged and shown as it was."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chaos.judge import load_all as load_promises
from chaos.judge.base import Recipe, judge, made_again
from chaos.record.history import History, UnreadError
from chaos.record.lines import proof_as_now
from chaos.record.records import Observation
from chaos.record.registry import is_told, kinds, load_all, was_observation
from chaos.report.timeline import timeline
from chaos.results.results import finding_as_json

load_all()
load_promises()
CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "recordings/before/observations.jsonl").read_text().split("\n")
    if line
]

# Of each kind, what it looked like: of whom, and what was seen. All was written by the code of 9aaf501, or looks so.
OLD: Mapping[str, tuple[str, str]] = {
    "control-plane-version": ("cp", "1.35.4"),
    "daemon-processes": ("w1/containerd", "131:500 97:2"),
    "eviction-ranking": ("w1", "ns/eater-1, ns/web-1"),
    "image-removed": ("w1", "sha256:1"),
    "kernel-memory-limit": ("w1", "1048576"),
    "kubelet-evicted": ("w1", "ns/eater-1"),
    "kubelet-reclaims": ("w1", "ephemeral-storage"),
    "kubelet-replaced": ("w1", "1.35.4"),
    "link-without-result": ("pod/w1/w2", "unable to connect to server"),
    "member-does-not-follow": ("mysql-1", "IO Yes, SQL No: Error 'Duplicate entry'"),
    "mutant-tried": ("a-bug", "violated taints-taken-back because taints-left: 3 of 52: a, b and c"),
    "mysql-version": ("image a/b:8.0.15", "8.0.15"),
    "node-identity": ("w1", '{"machine id":"m","system UUID":"u","provider id":"kind://x","address":"10.0.0.1"}'),
    "nothing-left-to-evict": ("w1", "unable to evict any pods"),
    "pleg-relist-stack": ("w1", "the PLEG relist is BLOCKED: a.b waits for 3 min to send on a full channel"),
    "pod-never-ran": ("asked-for-3", "waited 60 s for the Job asked-for-3 to be complete, in vain"),
    "pods-wave": ("w1", "150 pods"),
    "pods-wave-over": ("w1", "150 pods"),
    "redis-not-whole": ("redis", "redis-0: its link to its master is down"),
    "said-too-many-open-files": ("w1/kubelet", "7 times, first: E1130 accept: too many open files, again"),
    "torn": ("recreate", "2 a node now 1 1"),
    "trial": ("tolerations", "violated because taint-eviction"),
    "unreadable": ("w1/storage-driver", "no such file"),
    "upgrade-apply-begun": ("cp", "1.35.4"),
    "upgrade-apply-ended": ("cp", "1.35.4 exit 137: nobody is left to ask why"),
    "upgrade-manifest": ("cp", "kube-apiserver 1.35.4"),
    "volume-held-by": ("recreate", "attachment:w1 lock:w1"),
    "written": ("recreate", "17 recreate-abc w1 3"),
}
OTHER: Mapping[str, tuple[str, ...]] = {
    "eviction-ranking": ("",),
    "kernel-memory-limit": ("none",),
    "mutant-tried": ("held taints because it holds: all 5", "unknown taints because it was not judged"),
    "mysql-version": ("latest",),
    "node-identity": ("gone", "{}"),
    "pleg-relist-stack": ("no goroutine is inside a PLEG relist",),
    "trial": ("held",),
    "upgrade-apply-ended": ("1.35.4 succeeded",),
    "volume-held-by": ("", "lock:w1"),
    "written": ("1 a node 0",),
}
# What no version has written so.
WRONG: Mapping[str, tuple[str, ...]] = {
    "daemon-processes": ("131", "a:b"),
    "kernel-memory-limit": ("some",),
    "mutant-tried": ("maybe taints because x: y",),
    "node-identity": ("nobody", '{"machine id":"m","colour":"red"}'),
    "said-too-many-open-files": ("often",),
    "trial": ("perhaps", "held because "),
    "volume-held-by": ("lock",),
    "written": ("17 a node", "a b c d", "17 a node 1 2"),
}


def read(tmp_path: Path, name: str, subject: str, seen: str) -> History:
    data = {"name": name, "subject": subject, "seen": seen}
    line = {"at": 1.0, "wall": 1.0, "source": "sampler", "kind": "observation", "object": subject, "data": data}
    path = tmp_path / "h.jsonl"
    path.write_text(json.dumps(line) + "\n")
    return History.load(path)


def test_each_kind_that_was_an_observation_has_an_example() -> None:
    assert {kind for kind in kinds() if was_observation(kind) is not None} == {*OLD}


@pytest.mark.parametrize(
    ("name", "subject", "seen"),
    [(name, subject, each) for name, (subject, seen) in OLD.items() for each in (seen, *OTHER.get(name, ()))],
)
def test_it_is_the_record_of_its_kind_and_tells_the_same(tmp_path: Path, name: str, subject: str, seen: str) -> None:
    history = read(tmp_path, name, subject, seen)
    (record,) = history.of(kinds()[name])
    assert is_told(record)
    assert (record.kind, record.object, record.told()) == (name, subject, seen)
    assert [(s.what, s.detail) for s in timeline(history).steps] == [(f"{name} of {subject}", seen)]


@pytest.mark.parametrize(("name", "seen"), [(name, each) for name, seen in WRONG.items() for each in seen])
def test_what_no_version_wrote_is_nothing_to_judge_by(tmp_path: Path, name: str, seen: str) -> None:
    history = read(tmp_path, name, OLD[name][0], seen)
    assert history.of(Observation) == [Observation(1.0, name, OLD[name][0], seen)]
    with pytest.raises(UnreadError):
        history.of(kinds()[name])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['finding']['promise']}-{case['finding']['verdict']}")
def test_a_recording_is_judged_and_shown_as_then(tmp_path: Path, case: Mapping[str, Any]) -> None:
    path, then = tmp_path / "h.jsonl", case["finding"]
    path.write_text("\n".join(case["recording"]) + "\n")
    history = History.load(path)
    found = judge(made_again(Recipe(then["promise"], then["arguments"])), history)
    now = json.loads(json.dumps(finding_as_json(found, then["history"])))
    assert now == {**then, "proof": json.loads(json.dumps([proof_as_now(each) for each in then["proof"]]))}
    assert [[step.what, step.detail] for step in timeline(history).steps] == case["steps"]
