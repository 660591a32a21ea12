"""What the API shows of all workloads at one moment, and of one of them what is compared with its twin's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from kubernetes.client import ApiClient

from chaos.campaign.edits import Object
from chaos.campaign.ground import ADDRESS, APPS, CORE, DISCOVERY, ORDERED, PINNED, PODS, WEB, EditGround
from chaos.clusters.way.client import raw_get
from chaos.subjects.aged.records import Followed, Selected
from chaos.subjects.aged.sampler import SLICE_OF, followed_of, is_ready
from chaos.workloads.base import WORKLOAD_LABEL

KEPT = "pods of before of"  # the facts that never come back to what they were
PORT, LISTENS = 80, 8080  # of the Service, and of its pods
LISTS = {
    "services": f"{CORE}/services",
    "endpoints": f"{CORE}/endpoints",
    "slices": f"{DISCOVERY}/endpointslices",
    "deployments": f"{APPS}/deployments",
    "replicasets": f"{APPS}/replicasets",
    "statefulsets": f"{APPS}/statefulsets",
    "daemonsets": f"{APPS}/daemonsets",
    "nodes": f"{CORE}/nodes",
    # Pods last: an endpoint that is named before its pod is seen to be Ready would look wrong.
    "pods": f"{CORE}/pods",
}


@dataclass(frozen=True, slots=True)
class World:
    """Lists of all namespaces, asked `at` and answered `until`, in seconds since the history began."""

    at: float
    until: float
    lists: Mapping[str, Sequence[Object]] = field(repr=False)
    _by_namespace: dict[tuple[str, str], list[Object]] = field(init=False, repr=False, default_factory=dict)

    _states: dict[str, dict[str, str]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for what, items in self.lists.items():
            for each in items:
                self._by_namespace.setdefault((what, each["metadata"].get("namespace", "")), []).append(each)

    def of(self, ground: EditGround, what: str) -> list[Object]:
        """The objects of a list that are in the ground's namespace."""
        return self._by_namespace.get((what, ground.namespace), [])

    def followed(self, ground: EditGround) -> list[Followed]:
        """What the ground's Service selects, and what is named."""
        services, endpoints, slices, pods = (
            self.of(ground, each) for each in ("services", "endpoints", "slices", "pods")
        )
        return followed_of((ADDRESS,), services, endpoints, slices, pods, at=self.at, until=self.until)

    def address(self, ground: EditGround) -> str:
        """The address of the ground's Service; empty where it has none."""
        found = [each for each in self.of(ground, "services") if each["metadata"]["name"] == ADDRESS]
        return str(found[0]["spec"].get("clusterIP") or "") if found else ""

    def answers(self, ground: EditGround, address: str) -> tuple[str, str]:
        """Which endpoint a connection to the Service's address and port of before would come to, and why to none.

        It is reckoned as a kube-proxy writes its rules (pkg/proxy/serviceconfig.go, endpointslicecache.go): by the
        Service's address and port, and the Ready endpoints of its slices. Nodes that are heartbeats carry no packet.
        """
        if self.address(ground) != address:
            return "", "the address is no Service's any more"
        spec = next(each["spec"] for each in self.of(ground, "services") if each["metadata"]["name"] == ADDRESS)
        if not any(each.get("port") == PORT for each in spec.get("ports") or ()):
            return "", f"the Service has no port {PORT} any more"
        named = [
            (str(address), port.get("port"))
            for each in self.of(ground, "slices")
            if _labels(each).get(SLICE_OF) == ADDRESS and each.get("addressType") == "IPv4"
            for port in each.get("ports") or ()
            for endpoint in each.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready", True)
            for address in endpoint.get("addresses") or ()
        ]
        if not named:
            return "", "the Service has no endpoint"
        listens = {_ip(each) for each in self.of(ground, "pods") if is_ready(each)}
        chosen = named[int(self.at) % len(named)]
        said = f"{chosen[0]}:{chosen[1]}"
        return (said, "") if chosen[0] in listens and chosen[1] == LISTENS else ("", f"nobody listens at {said}")

    def selected(self, ground: EditGround) -> Selected | None:
        """The nodes that the ground's DaemonSet finds, and those that have a Ready pod of it; None where it is gone."""
        daemons = [each for each in self.of(ground, "daemonsets") if each["metadata"]["name"] == PINNED]
        if not daemons:
            return None
        wanted = daemons[0]["spec"]["template"]["spec"].get("nodeSelector") or {}
        found = [each["metadata"]["name"] for each in self.lists["nodes"] if _has(each, wanted)]
        pods = self.workload(ground, PINNED)
        served = {each["spec"].get("nodeName", "") for each in pods if is_ready(each)}
        status, metadata = daemons[0].get("status") or {}, daemons[0]["metadata"]
        observed = status.get("observedGeneration") == metadata.get("generation")
        return Selected(self.at, self.until, PINNED, tuple(sorted(found)), tuple(sorted(served)), observed)

    def workload(self, ground: EditGround, name: str) -> list[Object]:
        """The pods that have the label of that workload."""
        return [each for each in self.of(ground, "pods") if _labels(each).get(WORKLOAD_LABEL) == name]

    def uids(self, ground: EditGround) -> dict[str, frozenset[str]]:
        """The uids of the pods of each workload."""
        return {
            name: frozenset(each["metadata"].get("uid", "") for each in self.workload(ground, name)) for name in PODS
        }

    def all_there(self, ground: EditGround) -> bool:
        """Whether every pod of the ground is Ready, and its Service names those of the Deployment."""
        ready = {name: sum(map(is_ready, self.workload(ground, name))) for name in PODS}
        followed = self.followed(ground)
        return ready == PODS and bool(followed) and followed[0].is_right and len(followed[0].pods) == PODS[WEB]


def look(client: ApiClient, at: float, until: Any) -> World:
    """List it all. `until`: called for the time when the last answer is there. Raises what the client raises."""
    lists = {name: msgspec.json.decode(raw_get(client, path))["items"] for name, path in LISTS.items()}
    return World(at, until(), lists)


def state(world: World, ground: EditGround, before: World) -> dict[str, str]:
    """What is compared with the twin's: pods, endpoints, Service, controllers, node; each fact in a few words.

    `before`: as it was before the edit. Names, addresses and uids are not in it: they differ between equal workloads.
    """
    if ground.namespace in world._states:
        return world._states[ground.namespace]
    first = before.uids(ground)
    facts = world._states[ground.namespace] = {}
    owners = {
        each["metadata"].get("uid", ""): each["metadata"]["name"]
        for what in ("replicasets", "statefulsets", "daemonsets")
        for each in world.of(ground, what)
    }
    known = 0
    for name in PODS:
        pods = world.workload(ground, name)
        known += len(pods)
        kept = sum(each["metadata"].get("uid", "") in first[name] for each in pods)
        owned = sum(_controller(each) in owners for each in pods)
        here = sum(each["spec"].get("nodeName") == ground.node for each in pods)
        ready, ends = sum(map(is_ready, pods)), sum("deletionTimestamp" in each["metadata"] for each in pods)
        facts[f"pods of {name}"] = (
            f"{len(pods)}, {ready} Ready, {here} on their node, {owned} owned, {ends} Terminating"
        )
        facts[f"{KEPT} {name}"] = str(kept)
    facts["other pods"] = str(len(world.of(ground, "pods")) - known)
    facts["Service"], facts["endpoints"] = _service(world, ground, before), _endpoints(world, ground)
    for what, name in (("deployments", WEB), ("statefulsets", ORDERED), ("daemonsets", PINNED)):
        facts[f"{what[:-1]} {name}"] = _controlled([e for e in world.of(ground, what) if e["metadata"]["name"] == name])
    web = {each["metadata"].get("uid", "") for each in world.of(ground, "deployments")}
    sets = world.of(ground, "replicasets")
    facts["ReplicaSets"] = (
        f"{len(sets)}, {sum(_controller(each) in web for each in sets)} owned, {_wanted(sets)} wanted"
    )
    facts["node"] = _node([each for each in world.lists["nodes"] if each["metadata"]["name"] == ground.node])
    return facts


def differences(one: Mapping[str, str], twin: Mapping[str, str]) -> tuple[str, ...]:
    """In which facts a workload differs from its twin, each as "WHAT: ONE (twin: OTHER)"."""
    return tuple(f"{name}: {one.get(name)} (twin: {said})" for name, said in twin.items() if one.get(name) != said)


def _labels(item: Object) -> Mapping[str, str]:
    return item["metadata"].get("labels") or {}


def _has(item: Object, wanted: Mapping[str, str]) -> bool:
    return bool(wanted) and all(_labels(item).get(key) == value for key, value in wanted.items())


def _controller(item: Object) -> str:
    """The uid of the owner that controls it; empty where none does."""
    owners = item["metadata"].get("ownerReferences") or ()
    return next((str(each.get("uid", "")) for each in owners if each.get("controller")), "")


def _wanted(items: Iterable[Object]) -> int:
    return sum(int(each["spec"].get("replicas", 0)) for each in items)


def _service(world: World, ground: EditGround, before: World) -> str:
    """Whether it has its address still, and by which ports and type it is reached."""
    found = {id(w): [e for e in w.of(ground, "services") if e["metadata"]["name"] == ADDRESS] for w in (world, before)}
    now, was = found[id(world)], found[id(before)]
    if not now or not was:
        return "gone"
    spec = now[0]["spec"]
    same = "the same address" if spec.get("clusterIP") == was[0]["spec"].get("clusterIP") else "another address"
    ports = [f"{each.get('port')} to {each.get('targetPort')}" for each in spec.get("ports") or ()]
    return f"{same}, {spec.get('type')}, {', '.join(ports)}"


def _endpoints(world: World, ground: EditGround) -> str:
    """Of the Ready pods that have its label how many are named, in which slices and by which ports, and who else is."""
    followed = world.followed(ground)
    if not followed:
        return "no Service"
    one = followed[0]
    pods = {_ip(each) for each in world.workload(ground, WEB) if is_ready(each)}
    parts = []
    for what, named in (("Endpoints", one.endpoints), ("slices", one.slices)):
        parts.append(f"{what} {len(pods & {*named})} of {len(pods)} and {len({*named} - pods)} others")
    ports = {str(port.get("port")) for each in world.of(ground, "slices") for port in each.get("ports") or ()}
    ports |= {
        str(port.get("port"))
        for each in world.of(ground, "endpoints")
        for subset in each.get("subsets") or ()
        for port in subset.get("ports") or ()
    }
    return f"{'; '.join(parts)}; ports {', '.join(sorted(ports))}"


def _ip(pod: Object) -> str:
    return str((pod.get("status") or {}).get("podIP") or "")


def _controlled(items: Sequence[Object]) -> str:
    """How many it wants, and what its controller says that there is."""
    if not items:
        return "gone"
    status, metadata = items[0].get("status") or {}, items[0]["metadata"]
    names = (
        "replicas",
        "readyReplicas",
        "availableReplicas",
        "updatedReplicas",
        "currentNumberScheduled",
        "numberReady",
    )
    counts = ", ".join(f"{status[name]} {name}" for name in names if name in status)
    observed = "observed" if status.get("observedGeneration") == metadata.get("generation") else "not observed"
    return f"{items[0]['spec'].get('replicas', 'any')} wanted, {counts}, {observed}"


def _node(items: Sequence[Object]) -> str:
    if not items:
        return "gone"
    conditions = (items[0].get("status") or {}).get("conditions") or ()
    ready = next((each["status"] for each in conditions if each["type"] == "Ready"), "unknown")
    spec = items[0]["spec"]
    taints = sorted(f"{each.get('key')}:{each.get('effect')}" for each in spec.get("taints") or ())
    return f"Ready {ready}, {'unschedulable' if spec.get('unschedulable') else 'schedulable'}, taints {taints}"
