"""The agents of a run: a DaemonSet on the nodes that may be harmed, made, waited for, and taken away again."""

import json
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated, Any

import msgspec
import yaml
from kubernetes import client as k8s
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.utils import create_from_dict

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.agent import keys
from chaos.clusters.agent.channel import Address, Known, write_down
from chaos.clusters.way.client import FAILURES, told
from chaos.errors import OrdealError
from chaos.hosts.extras import AGENT, need
from chaos.hosts.places import manifests_dir, private, state_dir

# In the agent's pod: the node's folder of agents, and where a container leaves its last message. Mounted is the folder
# above the agents': a runtime makes what it mounts where that is not there, and would leave it behind with each start
# of the container that looks last.
MOUNTED, TOLD = Path("/host/var/lib/kube-ordeal"), Path("/dev/termination-log")
READY_WITHIN_S = 300.0  # the image may have to be pulled
GONE_WITHIN_S = 120.0
NAME, INSTALL, ATTEND, PULL = "agent", "install", "attend", "pull"
LOOKED_WITHIN_S = 60.0  # until a pod's last word is in the API; a kubelet may be slow
# To get into the namespaces of the node's first process (setns(2)), which has more capabilities (ptrace(2), "Ptrace
# access mode checking"), and to read what is another user's.
ENTERS = ("CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE")
OWN = (*ENTERS, "CAP_SYSLOG")  # of the unit, whatever the faults: evidence has lines of the kernel's log
# What `privileged` is for is named instead. RuntimeDefault allows by capability what setns needs; AppArmor's default
# profile allows no look at processes outside, nor does SELinux's, of which spc_t is what a privileged pod has.
MAY = {
    "runAsUser": 0,
    "capabilities": {"drop": ["ALL"], "add": [each.removeprefix("CAP_") for each in ENTERS]},
    "seccompProfile": {"type": "RuntimeDefault"},
    "appArmorProfile": {"type": "Unconfined"},
    "seLinuxOptions": {"type": "spc_t"},
}
MAY_ALL = {"privileged": True, "runAsUser": 0}
REFUSALS = ("permission denied", "operation not permitted")
RUN_ID = "kube-ordeal/agent"  # a label of its pods; its value is the run
WONT_COME = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
TIME = "kube-ordeal/time"  # an annotation of its pods: which time they were put there
NOT_FOUND, EXISTS = 404, 409


class Installed(msgspec.Struct, frozen=True):
    """The last message of the container that puts an agent onto a node: what is public of it."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    certificate: str


class Looked(msgspec.Struct, frozen=True):
    """The last message of the container that looked at its node when the agent had left: what of it is still there."""

    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agents:
    """The agents of a run. `folder`: this run's key, and where the agents are (chaos.clusters.agent.channel).

    `capabilities`: of the unit on a node, as capabilities(7) names them; without any none is put onto a node.
    `privileged`: their pods are. `pulled`: an image that is to be there too.
    """

    run: str
    image: str
    folder: Path
    capabilities: tuple[str, ...] = ()
    privileged: bool = False
    pulled: str = ""

    @property
    def namespace(self) -> str:
        """Theirs alone."""
        return f"kube-ordeal-agent-{self.run}"


def folder_of(run: str) -> Path:
    """Where a run keeps its key. Raises OrdealError where this machine has no place for it."""
    return private(state_dir() / "agents") / run


def deploy(
    agents: Agents, connect: Callable[[], ApiClient], nodes: Collection[str], report: Callable[[str], None]
) -> None:
    """Put an agent onto each of the nodes, and wait until each has said where it listens.

    Those that are there already, as after a crash of their run, are put there anew. Raises OrdealError where one does
    not come, with what its node says of it.
    """
    check(nodes)
    report(f"putting the node agent onto {len(nodes)} nodes")
    certificate = keys.make(private(agents.folder), f"kube-ordeal run {agents.run}")
    time = uuid.uuid4().hex
    with connect() as client:
        try:
            _create(client, agents, certificate, nodes, time)
            found = _wait(client, agents, nodes, time)
        except FAILURES as error:
            if isinstance(error, OrdealError):
                raise
            raise OrdealError(f"the node agent can't be put onto the cluster: {told(error)}") from error
    write_down(agents.folder, Known(agents.image, found, agents.capabilities, agents.privileged))


def check(nodes: Collection[str]) -> None:
    """Raise OrdealError where it can be told beforehand that no agent can be put onto these nodes."""
    need(AGENT)
    if not nodes:
        raise OrdealError("the guard allows no node to be harmed (`kube-ordeal guard show`), so no agent is put there")


def remove(agents: Agents, connect: Callable[[], ApiClient]) -> None:
    """Delete their namespace, and wait until it is gone. Raises OrdealError, ApiException, HTTPError."""
    with connect() as client:
        core = k8s.CoreV1Api(client)
        try:
            core.delete_namespace(agents.namespace)
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise

        def gone() -> bool:
            try:
                core.read_namespace(agents.namespace)
            except ApiException as error:
                return bool(error.status == NOT_FOUND)
            return False

        eventually(gone, within_s=GONE_WITHIN_S, what=f"the namespace {agents.namespace} to be gone")


def looked_at(
    agents: Agents, connect: Callable[[], ApiClient], gone: Collection[str]
) -> Mapping[str, tuple[str, ...] | None]:
    """What is still there of an agent on each node that has a pod of theirs; None where nobody has looked.

    Waits for the word of the nodes in `gone`, whose agents have left. Raises nothing: where the API server gives no
    answer, nobody has looked.
    """
    found: dict[str, tuple[str, ...] | None] = dict.fromkeys(gone)

    def said(core: "k8s.CoreV1Api") -> bool:
        pods: list[Any] = core.list_namespaced_pod(agents.namespace, label_selector=f"{RUN_ID}={agents.run}").items
        for pod in pods:
            node, look = pod.spec.node_name, _look(pod)
            if node and (look is not None or node not in found):
                found[node] = look
        return not pods or all(found[node] is not None for node in gone)

    with suppress(*FAILURES), connect() as client:
        core = k8s.CoreV1Api(client)
        eventually(lambda: said(core), within_s=LOOKED_WITHIN_S, what="each node to be looked at", every_s=0.5)
    return found


def _look(pod: Any) -> tuple[str, ...] | None:
    """What a pod has said of its node, after the agent had left; None where it has said nothing."""
    for status in pod.status.container_statuses or ():
        for ended in (status.state.terminated, status.last_state.terminated) if status.name == ATTEND else ():
            if ended is not None and ended.exit_code == 0 and ended.message:
                with suppress(msgspec.MsgspecError):
                    return msgspec.json.decode(ended.message.encode(), type=Looked).left
    return None


def _create(client: ApiClient, agents: Agents, certificate: str, nodes: Collection[str], time: str) -> None:
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]} for name in sorted(nodes)]
    filled = Template((manifests_dir() / "agent" / "agent.yaml").read_text()).substitute(
        namespace=agents.namespace,
        run=agents.run,
        image=json.dumps(agents.image),
        pull="IfNotPresent",
        nodes=json.dumps(terms),
        certificate=json.dumps(certificate),
        time=time,
        capabilities=" ".join(agents.capabilities),
        may=json.dumps(MAY_ALL if agents.privileged else MAY),
        pulled=json.dumps(agents.pulled or agents.image),
    )
    create_one: Callable[[ApiClient, object], object] = create_from_dict
    for each in yaml.safe_load_all(filled):
        try:
            create_one(client, each)
        except Exception as error:
            if not _is_there(error):
                raise
            if each["kind"] == "DaemonSet":  # with another certificate: a run after a crash
                k8s.AppsV1Api(client).replace_namespaced_daemon_set(NAME, agents.namespace, each)


def _is_there(error: Exception) -> bool:
    inner = getattr(error, "api_exceptions", [error])
    return all(isinstance(each, ApiException) and each.status == EXISTS for each in inner)


def _wait(client: ApiClient, agents: Agents, nodes: Collection[str], time: str) -> Mapping[str, Address]:
    core, found, hopeless = k8s.CoreV1Api(client), dict[str, Address](), list[str]()

    def settled() -> bool:
        pods: list[Any] = core.list_namespaced_pod(agents.namespace, label_selector=f"{RUN_ID}={agents.run}").items
        for pod in pods:
            if pod.metadata.deletion_timestamp or (pod.metadata.annotations or {}).get(TIME) != time:
                continue
            try:
                said = _said(pod)
            except OrdealError as error:
                hopeless.append(str(error))
                break
            if said is not None:
                found[pod.spec.node_name] = Address(pod.status.host_ip, said.port, said.certificate)
            elif why := _wont_come(pod, privileged=agents.privileged):
                hopeless.append(why)
        return bool(hopeless) or set(nodes) <= set(found)

    try:
        eventually(settled, within_s=READY_WITHIN_S, what="the node agents to be there", every_s=0.5)
    except WaitedInVainError as error:
        late = [each for each in nodes if each not in found]
        raise OrdealError(f"the node agent does not come to {', '.join(sorted(late))}: {error}") from error
    if hopeless:
        raise OrdealError(hopeless[0])
    return found


def _said(pod: Any) -> Installed | None:
    """What a pod's agent has told, once it was put onto its node. Raises OrdealError for what can't be read."""
    for status in pod.status.init_container_statuses or ():
        ended = status.state.terminated
        if status.name == INSTALL and ended is not None and ended.exit_code == 0:
            try:
                return msgspec.json.decode((ended.message or "").encode(), type=Installed)
            except msgspec.MsgspecError as error:
                where = f"the agent on {pod.spec.node_name}"
                raise OrdealError(f"{where} said nothing that can be used: {error}") from error
    return None


def _wont_come(pod: Any, *, privileged: bool) -> str:
    """Why it never will, or has failed; "" where it may yet."""
    where = f"the node agent does not come to {pod.spec.node_name}"
    for status in pod.status.init_container_statuses or ():
        waiting, last = status.state.waiting, status.last_state.terminated or status.state.terminated
        if waiting is not None and waiting.reason in WONT_COME:
            option = "busybox" if status.name == PULL else "agent"
            return (
                f"{where}: {waiting.reason}: {waiting.message or status.image}; push the image to where that node "
                f"pulls from and name it with --ordeal-{option}-image, or load it there by hand"
            )
        if last is not None and last.exit_code and status.restart_count > 1:
            said = (last.message or last.reason or "").strip()
            refused = not privileged and any(each in said.lower() for each in REFUSALS)
            more = "; where such nodes take nothing but privileged pods, give --ordeal-agent-privileged"
            return f"{where}: {said}{more if refused else ''}"
    return ""
