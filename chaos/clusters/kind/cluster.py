"""kind clusters: real kubelets in containers on this machine. Also kind clusters that somebody else made."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import yaml
from kubernetes.client import ApiClient, AppsV1Api, CoreV1Api

from chaos.basics.files import place
from chaos.basics.untrusted import json_file
from chaos.basics.waiting import eventually
from chaos.clusters.base import (
    KIND,
    SHARED,
    VOLUME,
    ClusterRef,
    Images,
    Node,
    OwnFileSystem,
    Power,
    SecondControlPlane,
    Shape,
    Timers,
)
from chaos.clusters.identity import Identity, NodeIdentity
from chaos.clusters.kind import docker, loopfs, networks, node_images, node_versions, pytestkind
from chaos.clusters.kind.loopfs import LoopFileSystem
from chaos.clusters.kind.pytestkind import KindTools
from chaos.clusters.way import kubeconfig
from chaos.clusters.way.client import Access, api_client, read_nodes, server_version
from chaos.errors import OrdealError
from chaos.hosts import engine, registry, trusted
from chaos.hosts.command import Output, run
from chaos.hosts.image import REPOSITORY, kind_config_patches, list_images
from chaos.hosts.image_build import WORKLOAD_IMAGE
from chaos.hosts.places import private, state_dir, state_path

NO_SCHEDULE = "NoSchedule"
POD_SUBNET = "10.244.0.0/16"
SERVICE_SUBNET = "10.96.0.0/16"
READY_WITHIN_S = 180.0
MANIFESTS = "/etc/kubernetes/manifests"
ASIDE = "/etc/kubernetes/kube-ordeal"
CONTROL_PLANE_PARTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
SECOND_CONFS = ("controller-manager", "scheduler")
KUBELET_CONF = "/etc/kubernetes/kubelet.conf"
FIRST_PORT, SECOND_PORT = 6443, 7443
CONFIG, IDENTITY = "kind.yaml", "identity.json"  # in the home of a cluster that was begun, and that is done
IMAGEFS, NODEFS = "/var/lib/containerd", "/var/lib/kubelet"
Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KindSetup:
    """What a kind cluster is made with: the node image (None: kind's published default), its programs, images."""

    tools: KindTools
    version: str
    node_image: str | None
    images: Images
    cgroup_v1: bool


class KindCluster:
    """A kind cluster: its nodes can be reached from the host's side. What it can do: the protocols of base.py."""

    def __init__(self, ref: ClusterRef, shape: Shape, images: Images, tools: KindTools | None) -> None:
        """`tools` is None for a cluster that is not ours: it is never deleted."""
        self._ref, self._shape, self._images, self._tools = ref, shape, images, tools

    @classmethod
    def create(cls, name: str, shape: Shape, setup: KindSetup, report: Callable[[str], None]) -> "KindCluster":
        """Make the cluster and wait until every node and CoreDNS are Ready.

        Raises OrdealError where an image can't be had, before anything is made; CommandError where kind fails. Whatever
        was made by then is for the caller to delete: it has the name in its journal, and has made sure that nobody
        else's cluster has it.
        """
        _check_addresses(shape)
        running = engine.chosen()
        if setup.node_image is not None:
            registry.bring(running, setup.node_image, report, otherwise="name another with --ordeal-kind-image")
        if setup.images.busybox != WORKLOAD_IMAGE:  # a node image that was not built here holds no workloads
            registry.bring(running, setup.images.busybox, report, otherwise="name another with --ordeal-busybox-image")
        home = home_of(name)
        private(home)
        config = home / CONFIG
        config.write_text(kind_config(shape, setup, _make_file_systems(name, shape, setup), _make_shared(name, shape)))
        kubeconfig = home / "kubeconfig"
        report(f"kind creates {name}: 1 control plane, {shape.workers} workers, Kubernetes {setup.version}")
        network = networks.make(name, report)
        pytestkind.create(name, kubeconfig, setup.node_image, config, setup.tools, network)
        cluster = cls(ClusterRef(KIND, name, str(kubeconfig)), shape, loaded(setup.images), setup.tools)
        if setup.images.busybox != WORKLOAD_IMAGE:
            cluster.load_image(setup.images.busybox)
        report("waiting for every node and CoreDNS to be Ready")
        cluster.wait_ready(READY_WITHIN_S)
        cluster.identify()
        place(home / IDENTITY, msgspec.json.encode(cluster.ref.identity).decode())
        if shape.imagefs_bytes:
            node_images.keep_content(cluster.workers[0])
        return cluster

    @property
    def ref(self) -> ClusterRef:
        return self._ref

    def identity(self) -> Identity:
        api = self._access.identity()
        machines = {node.name: node.machine for node in api.nodes}
        containers = docker.ids_in_cluster(self._ref.name)
        nodes = tuple(NodeIdentity(name, machines.get(name, ""), each) for name, each in containers.items())
        return replace(api, engine=docker.engine_id(), nodes=nodes)

    def identify(self) -> None:
        """From now on it is what it is now, and its nodes are the containers that they are now."""
        self._ref = replace(self._ref, identity=self.identity())

    @property
    def shape(self) -> Shape:
        return self._shape

    @property
    def images(self) -> Images:
        return self._images

    @cached_property
    def kubernetes(self) -> str:
        with self.api() as client:
            return server_version(client)

    @cached_property
    def _access(self) -> Access:
        """Kept: whoever edits a kubeconfig in the middle of a run must not lead its undo to another cluster."""
        return Access(Path(self._ref.kubeconfig), self._ref.context)

    def api(self) -> ApiClient:
        return self._access.client()

    def nodes(self) -> tuple[Node, ...]:
        with self.api() as client:
            return read_nodes(client)

    def facts(self) -> Mapping[str, str]:
        timers = self._shape.timers
        return {
            "provider": "kind",
            **self._image_facts(),
            "kubernetes": self.kubernetes,
            "workers": str(self._shape.workers),
            "grace": f"{timers.monitor_grace_s:g} s",
            "monitor period": f"{timers.monitor_period_s:g} s",
            "toleration": f"{timers.toleration_s} s",
            "eviction rate": f"{timers.eviction_rate:g}/s, secondary {timers.secondary_eviction_rate:g}/s",
            "leader lease": f"{timers.leader_lease_s:g} s",
            "container runtime": self.container_runtime(self.control_plane),
        }

    def _image_facts(self) -> Mapping[str, str]:
        """Where what others published was taken, by which digest: as the engine tells it."""
        running, node = engine.chosen(), self._container(self.control_plane)
        found = {"node image": docker.image_of(node), "busybox image": self._images.busybox}
        digests = {"node image": docker.image_id_of(node), "busybox image": self._images.busybox}
        told = {f"{name} is": registry.told(running, image) for name, image in digests.items()}
        return found | {name: said for name, said in told.items() if said}

    def delete(self) -> None:
        if self._tools is None:
            return
        pytestkind.delete(self._ref.name, Path(self._ref.kubeconfig), self._tools)
        docker.remove(_copier(self._ref.name))
        docker.remove(_bringer(self._ref.name))
        docker.remove(docker.trial_of(f"{self._ref.name}-control-plane"))  # of a run that was killed
        networks.remove(self._ref.name)
        loopfs.take_down(_file_systems_of(self._ref.name))
        shutil.rmtree(home_of(self._ref.name), ignore_errors=True)

    @cached_property
    def control_plane(self) -> str:
        """The control-plane node's name. Raises OrdealError where there is not exactly one."""
        names = self._names("control-plane")
        if len(names) != 1:
            raise OrdealError(f"cluster {self._ref.name} has {len(names)} control-plane nodes; these faults need one")
        return names[0]

    @cached_property
    def workers(self) -> tuple[str, ...]:
        """The worker nodes' names."""
        return self._names("worker")

    def wait_ready(self, within_s: float) -> None:
        """Wait until every node is Ready and CoreDNS serves. Raises WaitedInVainError."""
        want = 1 + len(self.workers)
        with self.api() as client:  # one connection for all questions: the cluster needs the processors for itself

            def ready() -> bool:
                nodes = read_nodes(client)
                if len(nodes) != want or any(n.ready != "True" for n in nodes):
                    return False
                dns: Any = AppsV1Api(client).read_namespaced_deployment_status("coredns", "kube-system").status
                return bool(dns.ready_replicas)

            eventually(ready, within_s=within_s, what=f"cluster {self._ref.name} to be Ready")

    # --- RunsContainers

    def container_runtime(self, node: str) -> str:
        with self.api() as client:
            status: Any = CoreV1Api(client).read_node(node).status
            return str(status.node_info.container_runtime_version)

    # --- NodeExec

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        return docker.execute(self._container(node), argv, timeout_s=timeout_s, check=check, stdin=stdin)

    # --- NodeProcesses

    def on_node(self, node: str, argv: Sequence[str]) -> list[str]:
        return docker.interactive(self._container(node), argv)

    # --- OwnFileSystems

    def own_file_systems(self, node: str) -> tuple[OwnFileSystem, ...]:
        if not engine.runs_here():  # its paths are another machine's
            return ()
        container = self._container(node)
        shared = {Path(p).stat().st_dev for p in ("/", str(state_dir()), docker.data_root())}
        found = []
        for bind in docker.binds(container):
            host = Path(bind.source)
            # Where it is no mount any more (the machine was restarted), the folder is on the machine's own disk.
            if not (host.is_dir() and host.is_mount()) or (device := host.stat().st_dev) in shared:
                continue
            seen = docker.execute(
                container, ["stat", "--format=%d", bind.destination], timeout_s=20, check=False, stdin=None
            )
            if seen.code != 0 or seen.out.strip() == str(device):  # a node that is off can't be asked
                found.append(OwnFileSystem(bind.destination, str(host)))
        return tuple(found)

    # --- SharesFolder

    def shared_folder(self) -> str:
        binds = docker.binds(self._container(self.control_plane)) if engine.runs_here() else ()
        found = next((bind for bind in binds if bind.destination == SHARED), None)
        if found is None:
            raise OrdealError(f"cluster {self._ref.name} was made without a folder that its nodes share")
        return found.source

    # --- NodeImages

    def image_names(self, node: str) -> tuple[str, ...]:
        return node_images.names(self._container(node))

    def restore_images(self, node: str, names: Sequence[str]) -> None:
        others = [self._container(other) for other in self._names() if other != node]
        node_images.restore(self._container(node), others, names, called=node)

    # --- LoadsImages

    def load_image(self, image: str) -> str:
        return node_images.load([self._container(node) for node in self._names()], image)

    def load_images_as(self, images: Mapping[str, str]) -> None:
        with self.api() as client:
            nodes: list[Any] = CoreV1Api(client).list_node().items
        closed = {n.metadata.name for n in nodes if any(t.effect == NO_SCHEDULE for t in n.spec.taints or ())}
        node_images.load_as([self._container(n) for n in self._names() if n not in closed], images)

    # --- BringsVersions

    def bring_version(self, version: str) -> str:
        image = next((i.tag for i in list_images() if i.kubernetes == version and not i.components), "")
        if not image:
            raise OrdealError(
                f"there is no node image of Kubernetes {version}: run `kube-ordeal image build --kubernetes {version}`"
            )
        folder = f"/usr/local/kube-ordeal-{version}"
        with node_versions.source(_bringer(self._ref.name), image) as source:
            for node in self._names():
                at = self._container(node)
                node_versions.bring(source, at, folder, control_plane=node == self.control_plane)
        return folder

    # --- NodePower

    def power(self, node: str) -> Power:
        return docker.power(self._container(node))

    def power_off(self, node: str) -> None:
        docker.power_off(self._container(node))

    def power_on(self, node: str, *, address: str | None = None) -> None:
        docker.power_on(self._container(node), address)

    def free_address(self) -> str:
        return docker.free_address(self._container(self.control_plane))

    def pause(self, node: str) -> None:
        docker.pause(self._container(node))

    def unpause(self, node: str) -> None:
        docker.unpause(self._container(node))

    # --- NodeNetwork

    def in_network_of(self, node: str, argv: Sequence[str]) -> list[str]:
        return docker.in_network_of(self._container(node), argv)

    def addresses(self, node: str) -> tuple[str, ...]:
        container = docker.inspect(self._container(node))
        return tuple(a for a in (container.address, container.address6) if a)

    # --- ControlPlaneSwap: static pods are moved aside, and a second set is put beside them, on the same etcd

    def stop_first_control_plane(self) -> None:
        moves = "; ".join(
            f"[ ! -e {MANIFESTS}/{part}.yaml ] || mv {MANIFESTS}/{part}.yaml {ASIDE}/" for part in CONTROL_PLANE_PARTS
        )
        self._on_control_plane(f"mkdir -p {ASIDE}; {moves}")

    def first_control_plane_running(self) -> bool:
        return self._listens(FIRST_PORT)

    def start_first_control_plane(self) -> None:
        moves = "; ".join(
            f"[ ! -e {ASIDE}/{part}.yaml ] || mv {ASIDE}/{part}.yaml {MANIFESTS}/" for part in CONTROL_PLANE_PARTS
        )
        self._on_control_plane(moves)

    def start_second_control_plane(self, timers: Timers, controllers: str) -> SecondControlPlane:
        for part in CONTROL_PLANE_PARTS:
            pod = yaml.safe_load(self._on_control_plane(f"cat {ASIDE}/{part}.yaml").out)
            second = second_static_pod(pod, part, timers, controllers)
            self._on_control_plane(f"cat > {ASIDE}/{part}-second.yaml", stdin=yaml.safe_dump(second))
        rewrite = f"sed 's#server: .*#server: https://localhost:{SECOND_PORT}#'"
        confs = "; ".join(f"{rewrite} /etc/kubernetes/{c}.conf > /etc/kubernetes/{c}-second.conf" for c in SECOND_CONFS)
        moves = "; ".join(f"mv {ASIDE}/{part}-second.yaml {MANIFESTS}/" for part in CONTROL_PLANE_PARTS)
        # The new machine's own kubelet reports to its own API server, as that of any new control plane does: so not
        # every node is lost, and the zone's state stays Normal.
        follow = (
            f"[ -e {KUBELET_CONF}-first ] || cp -p {KUBELET_CONF} {KUBELET_CONF}-first; "
            f"{rewrite} {KUBELET_CONF}-first > {KUBELET_CONF}; systemctl restart kubelet"
        )
        self._on_control_plane(f"{confs}; {moves}; {follow}")
        return SecondControlPlane(self._second_kubeconfig(), controllers)

    def stop_second_control_plane(self) -> None:
        names = " ".join(f"{MANIFESTS}/{part}-second.yaml" for part in CONTROL_PLANE_PARTS)
        confs = " ".join(f"/etc/kubernetes/{c}-second.conf" for c in SECOND_CONFS)
        back = (
            f"[ ! -e {KUBELET_CONF}-first ] || {{ mv {KUBELET_CONF}-first {KUBELET_CONF}; systemctl restart kubelet; }}"
        )
        self._on_control_plane(f"rm -f {names} {confs}; {back}")
        self._second.unlink(missing_ok=True)

    def second_control_plane_running(self) -> bool:
        return self._listens(SECOND_PORT)

    def second_api(self) -> ApiClient:
        return api_client(Path(self._second_kubeconfig()), direct=True)  # a node's own address

    # --- inside

    def _names(self, role: str | None = None) -> tuple[str, ...]:
        """The nodes' names. Where it is known what the cluster is, only of nodes that it had then."""
        there = docker.names_in_cluster(self._ref.name, role)
        known = self._ref.identity
        return there if known is None else tuple(n for n in there if n in {node.name for node in known.nodes})

    def _container(self, node: str) -> str:
        """What the engine is asked for to have the node: its container's id, which no other container can have.

        The name, while the cluster is being made. Raises OrdealError for what is none of its nodes: a Node may have any
        name, such as that of a container that has nothing to do with the cluster.
        """
        known = self._ref.identity
        if known is None:
            nodes = {name: name for name in docker.names_in_cluster(self._ref.name)}
        else:
            nodes = {each.name: each.container for each in known.nodes}
        if not nodes.get(node):
            raise OrdealError(f"{node} is none of the containers of the kind cluster {self._ref.name}")
        return nodes[node]

    def _on_control_plane(self, script: str, stdin: str | None = None) -> Output:
        return self.node_exec(self.control_plane, ["sh", "-ec", script], stdin=stdin)

    def _listens(self, port: int) -> bool:
        argv = self.in_network_of(self.control_plane, ["ss", "-Hltn", f"sport = :{port}"])
        return bool(run(argv, timeout_s=10).out.strip())

    def _second_kubeconfig(self) -> str:
        chosen = kubeconfig.read(Path(self._ref.kubeconfig)).choose(self._ref.context)
        address = docker.inspect(self._container(self.control_plane)).address
        path = self._second
        private(path.parent)
        place(path, chosen.text(f"https://{address}:{SECOND_PORT}"))
        return str(path)

    @property
    def _second(self) -> Path:
        """Not in the cluster's home: that is of clusters that are made here, and this one may be somebody's own."""
        return kubeconfig.folder() / f"{self._ref.kind}-{self._ref.name}-second.yaml"


def images_of(ref: ClusterRef) -> Images:
    """The images for a running kind cluster: ours where its nodes came from our node image, else published ones, whose
    names are empty where their digests are not known.
    """
    node = next(iter(docker.names_in_cluster(ref.name)), "")
    image = docker.image_of(node) if node else ""
    return Images(WORKLOAD_IMAGE if image.startswith(REPOSITORY) else registry.known(registry.BUSYBOX))


def loaded(images: Images) -> Images:
    """The same as the pods of a cluster name them that was made here, whose nodes were given them."""
    return Images(registry.on_nodes(images.busybox))


def home_of(name: str) -> Path:
    """Where the kubeconfig, kind config and loop-backed file systems are kept of a cluster that is made here."""
    return state_dir() / "clusters" / trusted.inside(name)


def made_here(name: str) -> ClusterRef:
    """The reference of a cluster that was made here, with what it was when it was done; half-made it has no identity.

    Raises OrdealError where what is kept of it can't be read.
    """
    kept = home_of(name) / IDENTITY
    trusted.check(kept, state_path())
    try:
        identity = msgspec.convert(json_file(kept), Identity) if kept.is_file() else None
    except (OSError, ValueError) as error:
        raise OrdealError(
            f"{kept} can't be read ({error}); remove it if the cluster {name} is yours to lose"
        ) from error
    return ClusterRef(KIND, name, str(home_of(name) / "kubeconfig"), identity=identity)


def all_made_here() -> tuple[ClusterRef, ...]:
    """The clusters that were made here, or begun, and not deleted. Raises OrdealError as `made_here`."""
    homes = home_of("-").parent
    names = sorted(each.name for each in homes.iterdir()) if homes.is_dir() else []
    begun = [n for n in names if (home_of(n) / CONFIG).is_file() or _file_systems_of(n).is_dir()]
    return tuple(made_here(name) for name in begun)


def exists(name: str) -> bool:
    """Whether anything is left of the kind cluster of that name: a node, its network, or a file system of a node."""
    return bool(docker.names_in_cluster(name)) or _surroundings_left(name)


def only_surroundings_left(name: str) -> bool:
    """Whether the cluster's nodes are gone, and their network, or file systems of theirs, are still there."""
    return not docker.names_in_cluster(name) and _surroundings_left(name)


def _surroundings_left(name: str) -> bool:
    return networks.is_there(name) or loopfs.left(_file_systems_of(name))


def kind_config(
    shape: Shape, setup: KindSetup, file_systems: Sequence[Sequence[LoopFileSystem]] = (), shared: Path | None = None
) -> str:
    """kind's configuration for a shape, as YAML. Times become whole seconds where the flag takes no fraction.

    `file_systems` are each worker's own, `shared` is a folder that every node has.
    """
    timers = shape.timers
    manager = {**timers.controller_manager_flags(), **dict(shape.controller_manager)}
    if shape.node_cidr_bits != Shape().node_cidr_bits:
        manager["node-cidr-mask-size"] = str(shape.node_cidr_bits)
    apiserver = {**timers.apiserver_flags(), **dict(shape.apiserver)}
    kubelet: Manifest = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # A quarter of it is the kubelet's renew interval (pkg/kubelet/kubelet.go, nodeLeaseRenewIntervalFraction):
        # four renewals must fit into the grace period, or a healthy node would be declared lost.
        "nodeLeaseDurationSeconds": min(40, max(4, int(timers.monitor_grace_s))),
    }
    if shape.max_pods:
        kubelet["maxPods"] = shape.max_pods
    cluster = {
        "kind": "ClusterConfiguration",
        "apiServer": {"extraArgs": _extra_args(apiserver, setup.version)},
        "controllerManager": {"extraArgs": _extra_args(manager, setup.version)},
        "scheduler": {"extraArgs": _extra_args(timers.leader_election_flags(), setup.version)},
    }
    for_cgroups = kind_config_patches(setup.version, 1 if setup.cgroup_v1 else 2)
    node = {"image": setup.node_image} if setup.node_image else {}
    nodes: list[Manifest] = [{"role": "control-plane", **node}]
    nodes += [{"role": "worker", **node} for _ in range(shape.workers)]
    own = [(), *file_systems, *[()] * (shape.workers - len(file_systems))]
    for each, its_own in zip(nodes, own, strict=True):
        mounts = [{"hostPath": str(f.mounted), "containerPath": f.path} for f in its_own]
        mounts += [{"hostPath": str(shared), "containerPath": SHARED}] if shared else []
        if mounts:
            each["extraMounts"] = mounts
    config = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"ipFamily": "ipv4", "podSubnet": POD_SUBNET, "serviceSubnet": SERVICE_SUBNET},
        "kubeadmConfigPatches": [yaml.safe_dump(cluster), yaml.safe_dump(kubelet), *for_cgroups],
        "nodes": nodes,
    }
    return yaml.safe_dump(config, sort_keys=False)


def second_static_pod(pod: Manifest, part: str, timers: Timers, controllers: str) -> Manifest:
    """The static pod of a second control plane made from the first one's: other name, other ports, other flags."""
    settings = {
        "kube-apiserver": {"secure-port": str(SECOND_PORT), **timers.apiserver_flags()},
        "kube-controller-manager": {
            "secure-port": "20257",
            "kubeconfig": "/etc/kubernetes/controller-manager-second.conf",
            "authentication-kubeconfig": "/etc/kubernetes/controller-manager-second.conf",
            "authorization-kubeconfig": "/etc/kubernetes/controller-manager-second.conf",
            "controllers": controllers,
            **timers.controller_manager_flags(),
        },
        "kube-scheduler": {
            "secure-port": "20259",
            "kubeconfig": "/etc/kubernetes/scheduler-second.conf",
            "authentication-kubeconfig": "/etc/kubernetes/scheduler-second.conf",
            "authorization-kubeconfig": "/etc/kubernetes/scheduler-second.conf",
        },
    }[part]
    spec = pod["spec"]
    container = spec["containers"][0]
    program, *flags = container["command"]
    kept = [f for f in flags if f.lstrip("-").split("=", 1)[0] not in settings]
    moved = [f"--{name}={value}" for name, value in settings.items()]
    container = {k: v for k, v in container.items() if not k.endswith("Probe")}
    container["command"] = [program, *kept, *moved]
    container["ports"] = []
    volumes = [
        {**v, "hostPath": {**v["hostPath"], "path": v["hostPath"]["path"].replace(".conf", "-second.conf")}}
        if v.get("hostPath", {}).get("path", "").endswith(".conf")
        else v
        for v in spec["volumes"]
    ]
    container["volumeMounts"] = [
        {**m, "mountPath": m["mountPath"].replace(".conf", "-second.conf")} for m in container["volumeMounts"]
    ]
    name = pod["metadata"]["name"] + "-second"
    labels = {"component": f"{part}-second", "tier": "control-plane"}
    return {
        **pod,
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
        "spec": {**spec, "containers": [container], "volumes": volumes},
    }


def _file_systems_of(name: str) -> Path:
    return home_of(name) / "filesystems"


def _copier(name: str) -> str:
    """The name of the container that copies out of the node image."""
    return f"{name}-copies-images"


def _bringer(name: str) -> str:
    """The name of the container that another version is brought from."""
    return f"{name}-brings-version"


def _make_file_systems(name: str, shape: Shape, setup: KindSetup) -> tuple[tuple[LoopFileSystem, ...], ...]:
    """Each worker's own file systems, mounted on the host; the first one's have what the node image has there."""
    folder, first = _file_systems_of(name), []
    for its_name, path, size_bytes in (
        ("imagefs", IMAGEFS, shape.imagefs_bytes),
        ("nodefs", NODEFS, shape.nodefs_bytes),
    ):
        if not size_bytes:
            continue
        if not shape.workers or setup.node_image is None:
            raise OrdealError(
                "a file system of its own is for the first worker, and is filled from a node image: name both"
            )
        first.append(loopfs.make(folder, its_name, path, size_bytes))
        loopfs.fill_from_image(first[-1], setup.node_image, _copier(name))
    made: list[tuple[LoopFileSystem, ...]] = [tuple(first), *[()] * (shape.workers - 1)][: shape.workers]
    if shape.volume_bytes:
        made = [(*own, loopfs.make(folder, f"volume-{i}", VOLUME, shape.volume_bytes)) for i, own in enumerate(made)]
    return tuple(made)


def _make_shared(name: str, shape: Shape) -> Path | None:
    """The folder of the host that every node is to have, empty; None where the shape wants none."""
    if not shape.shared_folder:
        return None
    folder = home_of(name) / "shared"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # whatever the umask is: a pod's user is not this one
    return folder


def _check_addresses(shape: Shape) -> None:
    """Raises OrdealError where a node's range of pod addresses can't serve its maxPods."""
    pods = shape.max_pods or 110
    usable = 2 ** (32 - shape.node_cidr_bits) - 3  # without the network's, the broadcast's and the gateway's
    if pods > usable:
        raise OrdealError(
            f"maxPods={pods} on a node with a /{shape.node_cidr_bits} can't be served: it has {usable} addresses for "
            f"pods; give nodes a larger range (--node-cidr-mask-size) or lower maxPods"
        )


def _extra_args(flags: Mapping[str, str], version: str) -> object:
    """kubeadm v1beta3 takes a map; kind uses v1beta4, which takes a list, from Kubernetes 1.36 on."""
    if _minor(version) >= 36:
        return [{"name": name, "value": value} for name, value in flags.items()]
    return dict(flags)


def _minor(version: str) -> int:
    return int(version.removeprefix("v").split(".")[1])
