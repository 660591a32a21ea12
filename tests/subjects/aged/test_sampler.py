"""What is asked while an upgraded control plane meets old objects: its records, its gaps, what one said last."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chaos.basics.waiting import eventually
from chaos.errors import OrdealError
from chaos.record.history import History
from chaos.record.records import Blind, Observation
from chaos.subjects.aged import sampler
from chaos.subjects.aged.records import ComponentSeen, Followed, Selected
from chaos.subjects.aged.sampler import SAID_LAST, MuseumWatch, last_words, lost_lease

WHERE = "/api/v1/namespaces/ns"
PANIC = "I1 fine\nE1 Observed a panic\npanic: out of range\n\ngoroutine 7\nsyncService\n"
LOST = (
    "I1 fine\n"
    'E1 leaderelection.go:429] "Failed to update lease optimistically"\n'
    'E1 controllermanager.go:343] "leaderelection lost"\n'
)


def pod(name: str, address: str, *, ready: bool = True, labels: dict[str, str]) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"podIP": address, "conditions": conditions}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"nodeName": "n"}, "status": status}


@dataclass(frozen=True)
class FakeProcess:
    pid: int
    started: int
    runs: bool

    def state(self) -> str:
        return "running" if self.runs else "gone"


class FakeCluster:
    """A control plane of one component, and an API server that answers or is away."""

    def __init__(self, log: Path) -> None:
        self.process: FakeProcess | None = FakeProcess(7, 70, runs=True)
        self.log = log
        self.away = False
        old, daemon = {"by": "old"}, {"d": "d"}
        self.lists: dict[str, Any] = {
            f"{WHERE}/services": [
                {"metadata": {"name": "s"}, "spec": {"selector": old}},
                {"metadata": {"name": "bare"}, "spec": {}},
            ],
            f"{WHERE}/endpoints": [{"metadata": {"name": "s"}, "subsets": [{"addresses": [{"ip": "2"}, {"ip": "1"}]}]}],
            "/apis/discovery.k8s.io/v1/namespaces/ns/endpointslices": [
                {"metadata": {"labels": {"kubernetes.io/service-name": service}}, "endpoints": [endpoint]}
                for service, endpoint in (
                    ("s", {"addresses": ["1"], "conditions": {"ready": True}}),
                    ("s", {"addresses": ["3"], "conditions": {"ready": False}}),
                    ("other", {"addresses": ["4"], "conditions": {"ready": True}}),
                )
            ],
            f"{WHERE}/pods": [
                pod("a", "1", labels=old),
                pod("b", "2", labels=old, ready=False),
                pod("c", "3", labels={"by": "others"}),
                pod("d", "4", labels=daemon),
            ],
            "/api/v1/nodes": [{"metadata": {"name": "n", "labels": {"role": ""}}}, {"metadata": {"name": "m"}}],
        }
        template = {"spec": {"nodeSelector": {"role": ""}}}
        self.daemon = {
            "metadata": {"generation": 2},
            "spec": {"selector": {"matchLabels": daemon}, "template": template},
            "status": {"observedGeneration": 1},
        }

    def api(self) -> Any:
        if self.away:
            raise OrdealError("it is away")
        return nullcontext()

    def components(self) -> tuple[str, ...]:
        return ("kcm",)

    def control_process(self, _: str) -> FakeProcess | None:
        return self.process

    def control_log(self, _: str) -> Path:
        return self.log


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCluster:
    (tmp_path / "kcm.log").write_text(PANIC)
    made = FakeCluster(tmp_path / "kcm.log")
    monkeypatch.setattr(sampler, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(sampler, "ASK_EVERY_S", 0.001)
    monkeypatch.setattr(sampler, "raw_list", lambda _, path: made.lists[path])
    monkeypatch.setattr(sampler, "raw_get", lambda *_: b"")
    monkeypatch.setattr(sampler, "json_of", lambda _: made.daemon)
    return made


def watching(history: History, cluster: Any) -> MuseumWatch:
    return MuseumWatch(history, cluster, "ns", ("s", "bare", "not-there"), "d")


def test_what_services_name_and_a_label_finds_is_recorded(cluster: FakeCluster) -> None:
    history = History()
    with watching(history, cluster):
        pass
    named = {f.service: (f.pods, f.endpoints, f.slices) for f in history.of(Followed)}
    assert named == {"s": (("1",), ("1", "2"), ("1",)), "bare": ((), (), ())}
    found = history.of(Selected)[0]
    assert (found.found, found.served, found.observed) == (("n",), ("n",), False)
    assert {s.process for s in history.of(ComponentSeen)} == {(7, 70)}
    assert not history.of(Blind)


def test_a_component_that_is_gone_is_seen_with_what_it_said_last(cluster: FakeCluster) -> None:
    history = History()
    with watching(history, cluster):
        cluster.process = FakeProcess(7, 70, runs=False)
        eventually(lambda: len([s for s in history.of(ComponentSeen) if not s.runs]) > 2, within_s=30, what="looks")
        cluster.process = None
        eventually(lambda: history.of(ComponentSeen)[-1].process == (0, 0), within_s=30, what="another look")
    said = [o for o in history.of(Observation) if o.name == SAID_LAST]
    assert [o.seen for o in said] == [last_words(cluster.log)] * 2  # once of each process
    assert not any(s.lost_lease for s in history.of(ComponentSeen))


def test_one_that_lost_its_lease_is_seen_so_once_it_is_gone(cluster: FakeCluster) -> None:
    cluster.log.write_text(LOST)
    history = History()
    with watching(history, cluster):
        cluster.process = FakeProcess(7, 70, runs=False)
        eventually(lambda: not history.of(ComponentSeen)[-1].runs, within_s=30, what="a look")
    assert all(s.lost_lease is not s.runs for s in history.of(ComponentSeen))


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        (LOST, True),
        (LOST.replace("leader", "Leader"), True),
        (LOST + PANIC, False),
        (LOST + "another\n" * 12, False),  # what an earlier process said
        ("", False),
    ],
)
def test_who_lost_its_lease_says_so_last(said: str, lost: bool, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(said)
    assert lost_lease(tmp_path / "log") is lost


def test_an_api_server_that_is_away_is_a_gap_of_what_it_is_asked_alone(cluster: FakeCluster) -> None:
    history = History()
    with watching(history, cluster):
        asked = len(history.of(Selected))
        cluster.away = True
        looks = len(history.of(ComponentSeen))
        eventually(lambda: len(history.of(ComponentSeen)) > looks + 5, within_s=30, what="looks at the processes")
        cluster.away = False
        eventually(lambda: len(history.of(Selected)) > asked + 2, within_s=30, what="answers")
    assert {(b.source, b.why) for b in history.of(Blind)} <= {("museum", "it is away")}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (PANIC, "panic: out of range\ngoroutine 7\nsyncService"),
        ("1\n2\n3\n4\n", "2\n3\n4"),
        ("1", "1"),
        ("", ""),
    ],
)
def test_of_what_was_said_the_panic_is_told_or_the_end(said: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(said)
    assert last_words(tmp_path / "log") == words


def test_who_has_no_log_said_nothing(tmp_path: Path) -> None:
    assert last_words(tmp_path / "log") == ""
