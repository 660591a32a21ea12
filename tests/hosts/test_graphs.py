"""Graphs that share Kubernetes' modules have its versions: a module that differs is compiled a second time."""

import re
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.hosts import graphs
from chaos.hosts.bundles import BUNDLES, DEFAULT_KUBERNETES, SMALL
from chaos.hosts.pins import module_files, resolve
from chaos.hosts.places import manifests_dir

# Modules by the makers of what is built stay as those want them.
OWN = {
    "etcd": ("go.etcd.io/etcd/",),
    "kwok": ("github.com/coredns/", "github.com/container-storage-interface/"),
}


def required(mod: Path) -> dict[str, str]:
    """Module to version, of everything in a go.mod's require blocks."""
    blocks = "\n".join(re.findall(r"^require \((.*?)^\)", mod.read_text(), re.MULTILINE | re.DOTALL))
    return dict(re.findall(r"^\s+(\S+) (v\S+)", blocks, re.MULTILINE))


@pytest.mark.parametrize("bundle", OWN)
def test_a_shared_module_has_the_version_that_kubernetes_is_built_with(bundle: str) -> None:
    like = required(module_files("kubernetes", DEFAULT_KUBERNETES)[0] / "go.mod")
    own = required(module_files(bundle)[0] / "go.mod")
    shared = {path for path in own.keys() & like.keys() if not path.startswith(OWN[bundle])}
    assert {"google.golang.org/grpc", "github.com/prometheus/client_golang", "go.opentelemetry.io/otel"} <= shared
    assert {path: own[path] for path in shared} == {path: like[path] for path in shared}


def test_the_small_programs_have_kubernetes_own_modules() -> None:
    own = required(module_files("kwok")[0] / "go.mod")
    assert own["k8s.io/client-go"] == "v0." + DEFAULT_KUBERNETES.split(".", 1)[1]


def test_every_main_of_ours_is_there_and_is_built() -> None:
    folder = manifests_dir() / "go" / SMALL / DEFAULT_KUBERNETES
    packages = {package for bundle in BUNDLES.values() for package in bundle.commands.values()}
    mains = {f"kube-ordeal/{SMALL}/{path.parent.name}" for path in folder.glob("*/main.go")}
    assert mains == {package for package in packages if package.startswith(f"kube-ordeal/{SMALL}/")}


def test_a_main_of_ours_decides_only_its_own_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def digests() -> dict[str, str]:
        return {name: module_files(name)[1] for name, bundle in BUNDLES.items() if bundle.module_graph == SMALL}

    before = digests()
    copy = tmp_path / "manifests"
    (copy / "go").mkdir(parents=True)
    source = manifests_dir() / "go" / SMALL
    for path in source.rglob("*"):
        if path.is_file():
            target = copy / "go" / SMALL / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    monkeypatch.setattr("chaos.hosts.pins.manifests_dir", lambda: copy)
    assert digests() == before
    with (copy / "go" / SMALL / DEFAULT_KUBERNETES / "coredns" / "main.go").open("a") as main:
        main.write("// changed\n")
    after = digests()
    assert {name for name in before if before[name] != after[name]} == {"coredns"}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("v0.9.1", "v0.10.0"),
        ("v1.0.0-rc.1", "v1.0.0"),
        ("v0.0.0-20240719175910-8a7402abbf56", "v0.0.0-20250218142911-aa4b98e5adaa"),
        ("v1.1.4-0.20250930002214-15135a999495", "v1.1.4"),
        ("v2.3.0+incompatible", "v2.5.0+incompatible"),
    ],
)
def test_versions_sort_as_go_sorts_them(older: str, newer: str) -> None:
    assert graphs._order(older) < graphs._order(newer)


def test_the_go_mod_asks_for_tools_and_leaves_our_own_mains_out(tmp_path: Path) -> None:
    graphs.write(tmp_path, "small", {"example.org/a": "1.2.3"}, ["example.org/a/cmd", "kube-ordeal/small/coredns"])
    assert (tmp_path / "go.mod").read_text() == (
        "module kube-ordeal/small\n\ngo 1.24.0\n\ntool (\n\texample.org/a/cmd\n)\n\n"
        "require (\n\texample.org/a v1.2.3\n)\n"
    )


def test_a_graph_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(OrdealError, match="no module graph is named 'smal'; there are conformance, etcd, kube"):
        resolve("smal", "1.34.4", tmp_path)


def test_coredns_has_the_plugins_of_kubeadms_corefile_and_no_clouds() -> None:
    main = (manifests_dir() / "go" / SMALL / DEFAULT_KUBERNETES / "coredns" / "main.go").read_text()
    plugins = set(re.findall(r'_ "github.com/coredns/coredns/plugin/(\w+)"', main))
    # kubeadm's manifests.go, CoreDNSConfigMap; the plugin `prometheus` is the package metrics.
    corefile = [
        "errors",
        "health",
        "ready",
        "kubernetes",
        "metrics",
        "forward",
        "cache",
        "loop",
        "reload",
        "loadbalance",
    ]
    assert set(corefile) <= plugins
    assert {"hosts", "log", "rewrite", "template"} <= plugins
    assert not {"route53", "azure", "clouddns", "etcd", "nomad", "trace"} & plugins
    sums = (module_files("coredns")[0] / "go.mod").read_text()
    required_blocks = "".join(re.findall(r"^require \(.*?^\)", sums, re.MULTILINE | re.DOTALL))
    assert not re.search(r"aws-sdk|azure-sdk|datadog|google.golang.org/api ", required_blocks)
