"""Agents on nodes: what is made of the manifest, and what their pods say until each is there or never will be."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from kubernetes.client import ApiClient, AppsV1Api
from kubernetes.client.exceptions import ApiException
from kubernetes.utils import FailToCreateError

from chaos.agent import home
from chaos.clusters.agent import cluster, deployment
from chaos.clusters.agent.channel import Address
from chaos.clusters.agent.cluster import LeftBehindError
from chaos.clusters.agent.deployment import Agents, Installed, Looked
from chaos.errors import OrdealError
from chaos.hosts.places import manifests_dir
from tests.fake_apiserver import FakeApiServer

RUN, TIME = "20260101-000000-cafe", "the second time"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB: {not} 'yaml' \"at\" $all #\n-----END CERTIFICATE-----\n"
NODES = ("w2", "w1")
REFUSED: Any = FailToCreateError
AGENTS = Agents(
    RUN,
    "registry.example:5000/agent@sha256:ab",
    Path("/nowhere"),
    ("CAP_SYS_ADMIN", "CAP_NET_ADMIN"),
    pulled="busybox:1",
)


# --- the manifest


@pytest.fixture
def client(tmp_path: Path) -> Iterator[ApiClient]:
    with FakeApiServer(tmp_path) as api, api.client() as made:
        yield made


def created(client: ApiClient, monkeypatch: pytest.MonkeyPatch, agents: Agents = AGENTS) -> dict[str, Any]:
    made = dict[str, Any]()
    monkeypatch.setattr(deployment, "create_from_dict", lambda _, each: made.update({each["kind"]: each}))
    deployment._create(client, agents, PEM, NODES, TIME)
    return made


def test_each_node_that_is_named_has_a_pod_and_no_other(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = created(client, monkeypatch)["DaemonSet"]["spec"]["template"]["spec"]
    terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    wanted = [{"key": "metadata.name", "operator": "In", "values": [name]} for name in ("w1", "w2")]
    assert terms == [{"matchFields": [each]} for each in wanted], "one is enough, so each node has its own"
    assert pod["tolerations"] == [{"operator": "Exists"}]


def test_all_is_in_a_namespace_of_the_runs_own(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    made = created(client, monkeypatch)
    assert list(made) == ["Namespace", "DaemonSet"]
    assert made["Namespace"]["metadata"]["name"] == AGENTS.namespace == f"kube-ordeal-agent-{RUN}"
    assert made["DaemonSet"]["metadata"]["namespace"] == AGENTS.namespace
    assert made["DaemonSet"]["metadata"]["name"] == deployment.NAME
    spec = made["DaemonSet"]["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"] == {deployment.RUN_ID: RUN}
    assert spec["template"]["metadata"]["annotations"] == {deployment.TIME: TIME}


def test_each_container_is_told_what_the_agent_asks_for(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = created(client, monkeypatch)["DaemonSet"]["spec"]["template"]["spec"]
    pull, install = pod["initContainers"]
    assert [each["name"] for each in pod["containers"]] == [deployment.ATTEND]
    assert (pull["name"], install["name"]) == (deployment.PULL, deployment.INSTALL)
    for each in (install, *pod["containers"]):
        given = {one["name"]: one.get("value") or one["valueFrom"]["fieldRef"]["fieldPath"] for one in each["env"]}
        assert given == {
            "RUN": RUN,
            "NODE_NAME": "spec.nodeName",
            "NODE_ADDRESS": "status.hostIP",
            "RUNNER_CERTIFICATE": PEM,
            "CAPABILITIES": "CAP_SYS_ADMIN CAP_NET_ADMIN",
        }
        assert each["image"] == AGENTS.image
        assert [one["mountPath"] for one in each["volumeMounts"]] == [str(deployment.MOUNTED.parent)]
    assert [each["hostPath"]["path"] for each in pod["volumes"]] == [str(home.FOLDERS.parent)]
    assert (pod["hostNetwork"], pod["hostPID"], pod["automountServiceAccountToken"]) == (True, True, False)


def test_its_pod_has_what_it_needs_to_enter_the_node_and_no_more(
    client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CAP_SYSLOG and what faults use is the unit's."""
    pod = created(client, monkeypatch)["DaemonSet"]["spec"]["template"]["spec"]
    for each in (pod["initContainers"][1], *pod["containers"]):
        may = each["securityContext"]
        assert "privileged" not in may
        assert may["capabilities"] == {
            "drop": ["ALL"],
            "add": ["DAC_READ_SEARCH", "SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE"],
        }
        assert may["seccompProfile"] == {"type": "RuntimeDefault"}
        assert may["appArmorProfile"] == {"type": "Unconfined"}


def test_it_is_privileged_where_that_is_asked_for(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = created(client, monkeypatch, replace(AGENTS, privileged=True))["DaemonSet"]["spec"]["template"]["spec"]
    for each in (pod["initContainers"][1], *pod["containers"]):
        assert each["securityContext"] == {"privileged": True, "runAsUser": 0}


def test_an_image_of_replays_is_pulled_first_by_nobody(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def puller(agents: Agents) -> Any:
        return created(client, monkeypatch, agents)["DaemonSet"]["spec"]["template"]["spec"]["initContainers"][0]

    pull = puller(AGENTS)
    assert (pull["image"], pull["command"]) == ("busybox:1", ["true"])
    assert pull["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pull["securityContext"]["runAsUser"] != 0
    assert not {"env", "volumeMounts"} & set(pull)
    assert puller(replace(AGENTS, pulled=""))["image"] == AGENTS.image


def test_nothing_in_the_manifest_is_left_to_fill_in(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "$" in (manifests_dir() / "agent" / "agent.yaml").read_text()
    assert "$" not in yaml.safe_dump(created(client, monkeypatch)).replace("$all", "")


# --- agents that are there already


def raises(*statuses: int) -> Exception:
    made: Exception = REFUSED([ApiException(status=each, reason="told") for each in statuses])
    return made


def test_agents_of_before_are_put_there_anew(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced: list[tuple[str, str, str]] = []

    def fail(*_: object) -> None:
        raise raises(409)

    def replace(_: AppsV1Api, name: str, namespace: str, body: Any) -> None:
        replaced.append((name, namespace, body["spec"]["template"]["metadata"]["annotations"][deployment.TIME]))

    monkeypatch.setattr(deployment, "create_from_dict", fail)
    monkeypatch.setattr(AppsV1Api, "replace_namespaced_daemon_set", replace)
    deployment._create(client, AGENTS, PEM, NODES, TIME)
    assert replaced == [(deployment.NAME, AGENTS.namespace, TIME)]


@pytest.mark.parametrize("error", [raises(403), raises(409, 403), ApiException(status=403), OSError("away")])
def test_what_the_server_refuses_is_told(error: Exception, client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(deployment, "create_from_dict", fail)
    with pytest.raises(type(error)) as told:
        deployment._create(client, AGENTS, PEM, NODES, TIME)
    assert told.value is error


# --- what their pods say


IN_VAIN = r"waited 0 s for the node agents to be there, in vain; the last answer was False$"


def ended(message: str = "", code: int = 0, reason: str = "Completed") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "message": message, "reason": reason}}


def installed(port: int) -> dict[str, Any]:
    return {"state": ended(msgspec.json.encode(Installed(port, PEM)).decode())}


def waiting(reason: str, message: str | None = None) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def failed(restarts: int, **said: Any) -> dict[str, Any]:
    return {"state": waiting("CrashLoopBackOff")["state"], "lastState": ended(**said), "restartCount": restarts}


class Pods:
    """The pods of the agents, as an API server has them."""

    def __init__(self, api: FakeApiServer, client: ApiClient) -> None:
        self._api, self._client = api, client

    def put(self, node: str, status: dict[str, Any] | None, time: str = TIME, **metadata: Any) -> None:
        told = {
            "name": deployment.INSTALL,
            "image": "it",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {},
            "lastState": {},
        }
        statuses = None if status is None else [{**told, **status}]
        self._api.put(
            "pods",
            f"agent-{node}-{time}",
            metadata={"namespace": AGENTS.namespace, "annotations": {deployment.TIME: time}, **metadata},
            spec={"nodeName": node, "containers": [{"name": "attend"}]},
            status={"hostIP": f"10.0.0.{node[1:]}", "initContainerStatuses": statuses},
        )

    def wait(self, agents: Agents = AGENTS) -> dict[str, Address]:
        return dict(deployment._wait(self._client, agents, NODES, TIME))

    def attending(self, node: str, **status: Any) -> None:
        """What the container says that stays."""
        told = {
            "name": deployment.ATTEND, "image": "it", "imageID": "", "ready": False, "restartCount": 1,
            "state": {}, "lastState": {}, **status,
        }  # fmt: skip
        self._api.put(
            "pods",
            f"agent-{node}",
            metadata={"namespace": AGENTS.namespace},
            spec={"nodeName": node, "containers": [{"name": deployment.ATTEND}]},
            status={"containerStatuses": [told]},
        )

    def looked_at(self, *gone: str) -> Any:
        return deployment.looked_at(AGENTS, self._api.client, gone)


@pytest.fixture
def pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pods]:
    monkeypatch.setattr(deployment, "READY_WITHIN_S", 0.0)  # one look
    with FakeApiServer(tmp_path) as api, api.client() as client:
        yield Pods(api, client)


def test_each_node_is_known_by_what_its_agent_says(pods: Pods) -> None:
    pods.put("w1", installed(1001))
    pods.put("w2", installed(1002))
    assert pods.wait() == {"w1": Address("10.0.0.1", 1001, PEM), "w2": Address("10.0.0.2", 1002, PEM)}


@pytest.mark.parametrize(
    "status",
    [
        None,
        {"state": {}},
        waiting("PodInitializing"),
        {"state": {"running": {}}},
        {"state": ended("it broke", 2)},
        failed(1, message="it broke", code=2),
        {**installed(1002), "name": "another"},
    ],
)
def test_a_node_without_a_word_yet_is_waited_for(pods: Pods, status: dict[str, Any] | None) -> None:
    pods.put("w1", installed(1001))
    pods.put("w2", status)
    with pytest.raises(OrdealError, match=rf"^the node agent does not come to w2: {IN_VAIN}"):
        pods.wait()


def test_pods_of_another_time_or_that_go_say_nothing(pods: Pods) -> None:
    pods.put("w1", installed(1001), "the first time")
    pods.put("w2", installed(1002), deletionTimestamp="2026-01-01T00:00:00Z")
    with pytest.raises(OrdealError, match=rf"^the node agent does not come to w1, w2: {IN_VAIN}"):
        pods.wait()
    pods.put("w2", waiting("ErrImagePull"), "the first time")
    pods.put("w1", installed(2001))
    pods.put("w2", installed(2002))
    assert {node: each.port for node, each in pods.wait().items()} == {"w1": 2001, "w2": 2002}


@pytest.mark.parametrize("reason", sorted(deployment.WONT_COME))
def test_an_image_that_a_node_cannot_have_is_told_at_once(
    pods: Pods, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "READY_WITHIN_S", 3600.0)
    pods.put("w1", installed(1001))
    pods.put("w2", waiting(reason, "no such image"))
    sentence = (
        rf"^the node agent does not come to w2: {reason}: no such image; push the image to where that node pulls "
    )
    with pytest.raises(OrdealError, match=sentence):
        pods.wait()


def test_without_a_message_the_image_is_named(pods: Pods) -> None:
    pods.put("w2", waiting("ErrImageNeverPull"))
    with pytest.raises(OrdealError, match="does not come to w2: ErrImageNeverPull: it; push"):
        pods.wait()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"message": "node w2 has no systemd\n", "code": 2}, "node w2 has no systemd"),
        ({"reason": "OOMKilled", "code": 137}, "OOMKilled"),
    ],
)
def test_an_agent_that_fails_again_and_again_is_told_with_its_word(
    pods: Pods, said: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "READY_WITHIN_S", 3600.0)
    pods.put("w2", failed(2, **said))
    with pytest.raises(OrdealError, match=rf"^the node agent does not come to w2: {why}$"):
        pods.wait()


@pytest.mark.parametrize(
    "said", ["nsenter: cannot open /proc/1/ns/ipc: Permission denied", "setns: Operation not permitted\n"]
)
def test_where_a_node_refuses_an_unprivileged_agent_the_option_is_named(
    pods: Pods, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "READY_WITHIN_S", 3600.0)
    pods.put("w2", failed(2, message=said, code=2))
    sentence = f"{said.strip()}; where such nodes take nothing but privileged pods, give --ordeal-agent-privileged"
    with pytest.raises(OrdealError, match=rf"^the node agent does not come to w2: {re.escape(sentence)}$"):
        pods.wait()
    with pytest.raises(OrdealError, match=rf"^the node agent does not come to w2: {re.escape(said.strip())}$"):
        pods.wait(replace(AGENTS, privileged=True))


def test_an_image_of_replays_that_a_node_cannot_have_is_named_as_that(pods: Pods) -> None:
    pods.put("w2", {**waiting("ErrImagePull"), "name": deployment.PULL})
    with pytest.raises(OrdealError, match="name it with --ordeal-busybox-image"):
        pods.wait()


@pytest.mark.parametrize("message", ["", "{}", "no JSON", '{"port": "1", "certificate": ""}'])
def test_a_word_that_cannot_be_read_is_none(pods: Pods, message: str) -> None:
    pods.put("w2", {"state": ended(message)})
    with pytest.raises(OrdealError, match="the agent on w2 said nothing that can be used"):
        pods.wait()


# --- what their pods say when they have left


def looked(*left: str) -> dict[str, Any]:
    return ended(msgspec.json.encode(Looked(left)).decode())


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look, and nobody is waited for."""
    monkeypatch.setattr(deployment, "LOOKED_WITHIN_S", 0.0)


def test_each_node_says_what_is_still_there(pods: Pods) -> None:
    """Also while the container is started again, as kubelets do."""
    pods.attending("w1", state=looked())
    pods.attending("w2", state=waiting("CrashLoopBackOff")["state"], lastState=looked("/etc/unit", "process 17"))
    assert pods.looked_at("w1", "w2") == {"w1": (), "w2": ("/etc/unit", "process 17")}


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize(
    "status",
    [
        {"state": {"running": {}}},
        {"state": ended("it broke", 2)},
        {"state": ended("no JSON")},
        {"state": ended("")},
        {"state": looked("x"), "name": "another"},
    ],
)
def test_of_a_node_that_says_nothing_nobody_has_looked(pods: Pods, status: dict[str, Any]) -> None:
    pods.attending("w1", state=looked())
    pods.attending("w2", **status)
    assert pods.looked_at("w1", "w2") == {"w1": (), "w2": None}


def test_nobody_waits_for_a_node_whose_agent_was_not_reached(pods: Pods) -> None:
    pods.attending("w1", state=looked())
    pods.attending("w2", state={"running": {}})
    assert pods.looked_at("w1") == {"w1": (), "w2": None}
    assert pods.looked_at() == {"w1": (), "w2": None}


def test_where_their_namespace_is_gone_nobody_is_waited_for(pods: Pods) -> None:
    assert pods.looked_at("w1") == {"w1": None}


@pytest.mark.usefixtures("once")
def test_where_no_api_server_answers_nobody_has_looked(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path) as api:
        connect = api.client
    assert deployment.looked_at(AGENTS, connect, ["w1"]) == {"w1": None}


def told_of(looked_at: dict[str, tuple[str, ...] | None]) -> list[str]:
    said: list[str] = []
    cluster._tell(looked_at, said.append)
    return said


def test_that_nothing_is_left_is_told_and_where_nobody_looked() -> None:
    clean, unseen = told_of({"w2": (), "w3": None, "w1": ()})
    assert clean == "looked at w1, w2: nothing of the agents is left there"
    assert unseen.startswith("nobody has looked whether w3 are as before: ")
    assert told_of({}) == []


def test_a_node_that_is_not_as_before_is_an_error() -> None:
    sentence = r"^nodes are not as before, and have of this run yet: on w1 /etc/unit, process 17; on w3 /run/x; remove"
    with pytest.raises(LeftBehindError, match=sentence):
        told_of({"w3": ("/run/x",), "w2": (), "w1": ("/etc/unit", "process 17")})
