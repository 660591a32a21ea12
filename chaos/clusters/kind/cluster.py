"""kind clusters: real kubelets in containers on this machine. Also kind clusters that somebody else made."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import yaml
from kubernetes import client as k8s
from kubernetes.client import ApiClient

from chaos.basics.files import place
from chaos.basics.waiting import eventually
from chaos.clusters.abilities import OwnFileSystem, SecondControlPlane
from chaos.clusters.base import KIND, ClusterRef, Images, Node
from chaos.clusters.identity import Identity, NodeIdentity
from chaos.clusters.kind import docker, loopfs, networks, node_images, node_versions, pytestkind
from chaos.clusters.kind.config import KindSetup, check_addresses, kind_config
from chaos.clusters.kind.home import (
    CONFIG,
    IDENTITY,
    bringer,
    copier,
    file_systems_of,
    home_of,
    make_file_systems,
    make_shared,
)
from chaos.clusters.kind.pytestkind import KindTools
from chaos.clusters.kind.second_control_plane import SECOND_PORT, second_static_pod
from chaos.clusters.shape import SHARED, Shape, Timers
from chaos.clusters.way import kubeconfig, kubeconfig_files
from chaos.clusters.way.client import Access, api_client, container_runtime, read_nodes, server_version
from chaos.errors import OrdealError
from chaos.hosts import engine, registry
from chaos.hosts.command import Output, run
from chaos.hosts.image import REPOSITORY, list_images
from chaos.hosts.image_build import WORKLOAD_IMAGE
from chaos.hosts.places import private, state_dir

NO_SCHEDULE = "NoSchedule"
READY_WITHIN_S = 180.0
MANIFESTS = "/etc/kubernetes/manifests"
ASIDE = "/etc/kubernetes/kube-ordeal"
CONTROL_PLANE_PARTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
SECOND_CONFS = ("controller-manager", "scheduler")
KUBELET_CONF = "/etc/kubernetes/kubelet.conf"
FIRST_PORT = 6443


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
        check_addresses(shape)
        running = engine.chosen()
        if setup.node_image is not None:
            registry.bring(running, setup.node_image, report, otherwise="name another with --ordeal-kind-image")
        if setup.images.busybox != WORKLOAD_IMAGE:  # a node image that was not built here holds no workloads
            registry.bring(running, setup.images.busybox, report, otherwise="name another with --ordeal-busybox-image")
        home = home_of(name)
        private(home)
        config = home / CONFIG
        config.write_text(kind_config(shape, setup, make_file_systems(name, shape, setup), make_shared(name, shape)))
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
        try:
            api = self._access.identity()
        except OrdealError:  # a deletion that was cut short has taken the kubeconfig's context: the containers tell
            api = Identity()
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
        docker.remove(copier(self._ref.name))
        docker.remove(bringer(self._ref.name))
        docker.remove(docker.trial_of(f"{self._ref.name}-control-plane"))  # of a run that was killed
        networks.remove(self._ref.name)
        loopfs.take_down(file_systems_of(self._ref.name))
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
                dns: Any = k8s.AppsV1Api(client).read_namespaced_deployment_status("coredns", "kube-system").status
                return bool(dns.ready_replicas)

            eventually(ready, within_s=within_s, what=f"cluster {self._ref.name} to be Ready")

    # --- RunsContainers

    def container_runtime(self, node: str) -> str:
        with self.api() as client:
            return container_runtime(client, node)

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
            nodes: list[Any] = k8s.CoreV1Api(client).list_node().items
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
        with node_versions.source(bringer(self._ref.name), image) as source:
            for node in self._names():
                at = self._container(node)
                node_versions.bring(source, at, folder, control_plane=node == self.control_plane)
        return folder

    # --- NodePower

    def power_state(self, node: str) -> str:
        return docker.inspect(self._container(node)).state

    def power_off(self, node: str) -> None:
        docker.power_off(self._container(node))

    def power_on(self, node: str) -> None:
        docker.power_on(self._container(node))

    # --- NodeAddresses

    def address(self, node: str) -> str:
        return docker.inspect(self._container(node)).address

    def free_address(self) -> str:
        return docker.free_address(self._container(self.control_plane))

    def power_on_at(self, node: str, address: str) -> None:
        docker.power_on(self._container(node), address)

    # --- NodePause

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
        return kubeconfig_files.folder() / f"{self._ref.kind}-{self._ref.name}-second.yaml"


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
