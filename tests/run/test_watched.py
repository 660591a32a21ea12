"""Services of the user's own, watched in a real recording: a real prober and server, and an API that is only asked."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.base import EXISTING, KIND, SIMULATED, ClusterRef, Node
from chaos.errors import OrdealError
from chaos.judge.base import Verdict
from chaos.record.given import LimitGiven
from chaos.record.history import History
from chaos.record.records import Phase, Probe
from chaos.run import steady
from chaos.run.lab import Lab
from chaos.run.own import Own
from chaos.run.stage import LacksAbilityError
from chaos.run.steady import Watched, steady_services
from chaos.run.verdict import outcome_of
from chaos.run.watched import WatchedService
from tests.fake_apiserver import FakeApiServer
from tests.record.test_probing import HostNetwork, Server
from tests.run.labs import a_lab, story

FRONT = WatchedService("shop", "front")
PATH = "/api/v1/namespaces/shop/services/front"


class Theirs(HostNetwork):
    """A cluster of the user's with one worker, whose network is the host's."""

    def __init__(self, api: FakeApiServer, kind: str = EXISTING) -> None:
        super().__init__()
        self.ref, self.api, self.kubernetes = ClusterRef(kind, "theirs", str(api.kubeconfig)), api.client, "1.34.4"

    def nodes(self) -> tuple[Node, ...]:
        return (Node("worker", False, "True", "127.0.0.1", "", ()),)  # noqa: FBT003

    def facts(self) -> dict[str, str]:
        return {}


@pytest.fixture(autouse=True)
def soon_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.record.probing.STEADY_PROBES", 2)


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as made:
        yield made


@pytest.fixture
def api(tmp_path: Path, server: Server) -> Iterator[FakeApiServer]:
    with FakeApiServer(tmp_path) as made:
        port = {"port": server.http.server_address[1], "name": "http", "protocol": "TCP"}
        spec = {"type": "ClusterIP", "clusterIP": "127.0.0.1", "ports": [port]}
        made.texts[PATH] = json.dumps({"kind": "Service", "metadata": {"name": "front"}, "spec": spec})
        yield made


def watching(folder: Path, cluster: Any, *limits: LimitGiven) -> Lab:
    lab = a_lab(folder, story(), is_suite=False, on=EXISTING, own=Own(watched=(FRONT,), limits=limits))
    lab.stage._cluster = cluster
    return lab


def asked(history: History, *, ok: bool) -> bool:
    return [probe.ok for probe in history.of(Probe)][-3:] == [ok] * 3


def test_it_is_asked_for_as_long_as_it_is_recorded_and_judged_by_itself(tmp_path: Path, api: FakeApiServer) -> None:
    limit = LimitGiven(0.0, "shop/front", "limit_s", 9.0)
    lab = watching(tmp_path, Theirs(api), limit)
    with lab.record() as history:
        eventually(lambda: asked(history, ok=True), within_s=60, what="probes", every_s=0.02)
    assert history.of(Phase)[0].name == "replay"
    assert history.of(LimitGiven) == [limit]
    lab.expect(history)
    lab.expect(history)
    (found,) = lab.findings
    assert found.invariant == "watched-service-answers shop/front"
    assert found.sentence.endswith("by a limit of its user's own: limit_s 9, shipped: 2")
    assert found.verdict in {Verdict.HELD, Verdict.UNKNOWN}, "a busy machine leaves gaps"
    assert {each.partition("?")[0] for each in api.requests if "shop" in each} == {PATH}


def test_what_it_lost_is_told_of_a_story_that_failed(tmp_path: Path, api: FakeApiServer, server: Server) -> None:
    lab = watching(tmp_path, Theirs(api), LimitGiven(0.0, "shop/front", "limit_s", 0.1))

    def fail() -> None:
        with lab.record() as history:
            server.status = 503
            eventually(lambda: asked(history, ok=False), within_s=60, what="failed probes", every_s=0.02)
            raise OrdealError("the story failed")

    with pytest.raises(OrdealError, match="the story failed"):
        fail()
    said = outcome_of(replaced(lab), "test_x", "the story failed").why
    assert said.startswith("the story failed; what was recorded violates watched-service-answers shop/front: no answer")


def replaced(lab: Lab) -> Lab:
    lab.stage._cluster = None
    return lab


def test_one_that_does_not_answer_before_any_harm_ends_the_replay(
    tmp_path: Path, api: FakeApiServer, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steady, "ANSWERS_WITHIN_S", 0.3)
    server.status = 404
    says = "^shop/front, which is to be watched, is not well before any harm: .*from worker .* not answered: HTTP 404$"
    with pytest.raises(OrdealError, match=says), watching(tmp_path, Theirs(api)).record():
        pass


def test_one_that_is_not_there_is_an_error_on_a_cluster_of_the_users_alone(api: FakeApiServer) -> None:
    api.refuse = 404
    theirs, ours = Theirs(api), Theirs(api, KIND)
    with pytest.raises(OrdealError, match="--ordeal-watch-service shop/front: the cluster has no Service of that name"):
        steady_services(theirs, (FRONT,))  # type: ignore[arg-type]
    assert steady_services(ours, (FRONT,)) == ()  # type: ignore[arg-type]


def test_where_no_node_can_be_entered_nothing_is_watched_in_silence(api: FakeApiServer) -> None:
    by_api: Any = SimpleNamespace(ref=Theirs(api).ref)
    with pytest.raises(LacksAbilityError, match="watching shop/front from every node needs NodeNetwork"):
        steady_services(by_api, (FRONT,))
    by_api.ref = replace(by_api.ref, kind=SIMULATED)
    assert steady_services(by_api, (FRONT,)) == ()
    assert steady_services(by_api, ()) == ()


def test_what_is_watched_is_named_as_the_option_names_it(api: FakeApiServer, server: Server) -> None:
    named = replace(FRONT, path="/healthz")
    url = f"{server.url.rstrip('/')}/healthz"
    assert steady_services(Theirs(api), (named,)) == (Watched("shop/front/healthz", url),)  # type: ignore[arg-type]
