"""What is built from Go modules, and in which versions: Kubernetes, its tests, etcd, CoreDNS, the CNI, kind, kwok, CSI
drivers, pause. Bundles that share a module graph are built from the same files (chaos.hosts.pins).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from chaos.errors import OrdealError

DEFAULT_KUBERNETES = "1.34.4"
PINNED_KUBERNETES = ("1.34.4", "1.36.3")

CONTROL_PLANE, KUBERNETES = "control-plane", "kubernetes"  # what simulated clusters run; the rest of a release
SMALL = (
    "small"  # the graph of the programs around Kubernetes; its version is that of the Kubernetes whose modules it has
)
STAGING = "k8s.io/kubernetes"
_PLAIN = re.compile(r"v?(\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)\.\d+)?)(?![\w])")
_VERSION = re.compile(r"\d+\.\d+\.\d+(-(alpha|beta|rc)\.\d+)?")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Programs that are built together from one module version.

    `commands` maps a program's name to its Go package, and `tests` one to a package whose tests it runs (`go test -c`);
    `modules` are the modules that carry the bundle's version.
    `stamps` are linker variables (Go's `-X`): `{version}`, `{major}`
    and `{minor}` are filled in. `staging` says that the module replaces others by its own `./staging` directories,
    which are published as `v0.MINOR.PATCH` (only k8s.io/kubernetes does). `graph` names the module graph in
    manifests/go; without one the bundle has its own. A main of ours is named `kube-ordeal/GRAPH/FOLDER` and lies
    in that folder beside the graph's go.mod.
    """

    name: str
    default: str
    modules: tuple[str, ...]
    commands: Mapping[str, str]
    pinned: tuple[str, ...] = ()
    stamps: Mapping[str, str] = field(default_factory=dict)
    staging: bool = False
    tests: Mapping[str, str] = field(default_factory=dict)
    graph: str = ""

    @property
    def module_graph(self) -> str:
        """The name of its folder in manifests/go."""
        return self.graph or self.name

    @property
    def programs(self) -> Mapping[str, str]:
        """All of them: those of `commands` and of `tests`."""
        return {**self.commands, **self.tests}


def _kubernetes_stamps() -> dict[str, str]:
    # kubeadm refuses to work, and the API server to answer with a version, unless these are set by the linker. The
    # values are fixed, so that the same sources give the same bytes.
    values = {
        "gitVersion": "v{version}",
        "gitMajor": "{major}",
        "gitMinor": "{minor}",
        "gitCommit": "unknown",
        "gitTreeState": "archive",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return {f"{package}.{name}": value for package in packages for name, value in values.items()}


def _of_kubernetes(name: str, *programs: str) -> Bundle:
    return Bundle(
        name,
        DEFAULT_KUBERNETES,
        (STAGING,),
        {program: f"k8s.io/kubernetes/cmd/{program}" for program in programs},
        pinned=PINNED_KUBERNETES,
        stamps=_kubernetes_stamps(),
        staging=True,
        graph=KUBERNETES,
    )


_ALL = (
    # What a simulated cluster runs comes first, and by itself: it is used before the rest is built.
    _of_kubernetes(CONTROL_PLANE, "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    _of_kubernetes(KUBERNETES, "kubelet", "kube-proxy", "kubeadm", "kubectl"),
    # Its own versions of etcd's modules, and Kubernetes' of all others.
    Bundle(
        "etcd",
        "3.6.16",
        ("go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3"),
        {
            "etcd": "go.etcd.io/etcd/server/v3",
            "etcdctl": "go.etcd.io/etcd/etcdctl/v3",
            "etcdutl": "go.etcd.io/etcd/etcdutl/v3",
        },
    ),
    Bundle(
        "kwok",
        "0.8.0",
        ("sigs.k8s.io/kwok",),
        # Our own mains of kwok's packages: its own link what does not go with Kubernetes' modules.
        {"kwok": "kube-ordeal/small/kwok", "kwokctl": "kube-ordeal/small/kwokctl"},
        graph=SMALL,
    ),
    Bundle("kind", "0.33.0", ("sigs.k8s.io/kind",), {"kind": "sigs.k8s.io/kind"}, graph=SMALL),
    Bundle(
        "coredns",
        "1.14.1",
        ("github.com/coredns/coredns",),
        # Our own main: upstream's links every plugin, and with them four clouds' SDKs.
        {"coredns": "kube-ordeal/small/coredns"},
        graph=SMALL,
    ),
    Bundle(
        "cni",
        "1.9.1",
        ("github.com/containernetworking/plugins",),
        {
            name: f"github.com/containernetworking/plugins/plugins/{name_in}"
            for name, name_in in (
                ("loopback", "main/loopback"),
                ("bridge", "main/bridge"),
                ("ptp", "main/ptp"),
                ("host-local", "ipam/host-local"),
                ("portmap", "meta/portmap"),
            )
        },
        stamps={"github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion": "v{version}"},
        graph=SMALL,
    ),
    Bundle(
        "flannel",
        "0.28.4",
        ("github.com/flannel-io/flannel",),
        # Our own main of flannel's packages: its own links a back end that needs a C compiler.
        {"flanneld": "kube-ordeal/small/flannel"},
        graph=SMALL,
    ),
    Bundle(
        "local-path-provisioner",
        "0.0.30",
        ("github.com/rancher/local-path-provisioner",),
        {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
        stamps={"main.VERSION": "v{version}"},
        graph=SMALL,
    ),
    Bundle(
        "external-attacher",
        "4.13.0",
        ("github.com/kubernetes-csi/external-attacher/v4",),
        {"csi-attacher": "github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher"},
        stamps={"main.version": "v{version}"},
        graph=SMALL,
    ),
    Bundle(
        "csi-rbd-lock",
        "1.13.0",
        ("github.com/container-storage-interface/spec",),
        # Our own driver; its version is that of the CSI specification.
        {"csi-rbd-lock": "kube-ordeal/small/csi-rbd-lock"},
        graph=SMALL,
    ),
    # Upstream's end-to-end tests, and what is in the images that they run.
    Bundle(
        "conformance",
        DEFAULT_KUBERNETES,
        (STAGING,),
        {
            "agnhost": "k8s.io/kubernetes/test/images/agnhost",
            "nonewprivs": "k8s.io/kubernetes/test/images/nonewprivs",
            "sample-apiserver": "k8s.io/sample-apiserver",
        },
        pinned=PINNED_KUBERNETES,
        stamps=_kubernetes_stamps(),
        staging=True,
        tests={"e2e.test": "k8s.io/kubernetes/test/e2e"},
    ),
    # Our own few lines: the source is manifests/node-image/pause, and it requires no module.
    Bundle("pause", "1.0.0", (), {"pause": "kube-ordeal/pause"}),
)
BUNDLES: Mapping[str, Bundle] = {bundle.name: bundle for bundle in _ALL}


def pinned(bundle: str) -> tuple[str, ...]:
    """The versions of a bundle whose checksums are in the repository, the default one first."""
    known = find_bundle(bundle)
    return known.pinned or (known.default,)


def normal_version(text: str) -> str:
    """`v1.34.4` or `1.34.4` as `1.34.4`. Raises OrdealError for what is not a version."""
    bare = text.strip().removeprefix("v")
    if not _VERSION.fullmatch(bare):
        raise OrdealError(f"{text!r} is not a version; write it like {DEFAULT_KUBERNETES}.")
    return bare


def plain(version: str) -> str:
    """`v1.34.4+k3s1`, `v1.34.4-eks-a737599` and `v1.34.4-gke.1234` as `1.34.4`: a vendor's mark aside.

    `1.35.0-rc.1` is one of upstream's own, and stays.
    """
    found = _PLAIN.match(version.strip())
    return found[1] if found else version.strip().removeprefix("v")


def find_bundle(name: str) -> Bundle:
    """The bundle of that name. Raises OrdealError."""
    if name not in BUNDLES:
        raise OrdealError(f"no bundle is named {name!r}; there are {', '.join(BUNDLES)}.")
    return BUNDLES[name]


def wanted_version(known: Bundle, version: str | None) -> str:
    """The version that is asked for, None for the default. Raises OrdealError for what is no version."""
    return known.default if version is None else normal_version(version)


def ldflags(known: Bundle, wanted: str) -> str:
    """What the linker is told for a version: the stamps, and to leave out what only debuggers need."""
    major, minor = wanted.split(".")[:2]
    stamps = [
        f"-X={name}={value.format(version=wanted, major=major, minor=minor)}" for name, value in known.stamps.items()
    ]
    # -s -w: no symbol table for debuggers. A goroutine dump does not need one, and it is a third of the size.
    return " ".join(["-s", "-w", *stamps])
