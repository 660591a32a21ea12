"""Building a node image: the images inside of it, the node's files, and the commit that gives it its tag."""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import OrdealError
from chaos.hosts import binaries
from chaos.hosts.bundles import BUNDLES
from chaos.hosts.command import pour, run
from chaos.hosts.engine import Engine
from chaos.hosts.image_programs import ON_NODE, NodeProgram
from chaos.hosts.image_rootfs import BUILD_TIMEOUT_S, recipes

WORKLOAD_IMAGE = "localhost/kube-ordeal/busybox:1"  # sh, httpd, nc, wget (which has no -T: use timeout)
LABEL = "org.kube-ordeal"
BUILDER = "kube-ordeal-build-"  # the name of a build's container; not a label, which nodes of the image would inherit
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


@dataclass(frozen=True, slots=True)
class _Inner:
    """An image inside the node image: its final name, its Containerfile, its programs and its tools tree, if any."""

    name: str
    recipe: str
    programs: tuple[str, ...]
    tools: str = ""


def build_image(
    engine: Engine,
    version: str,
    tag: str,
    digest: str,
    programs: Mapping[str, NodeProgram],
    swapped: Mapping[str, str],
    rootfs: Path,
    work: Path,
) -> None:
    """Build the inner images and the node, load the former into the latter, and commit it under its tag."""
    for program in programs.values():
        binaries.check(program.path, program.sha256)
    names = _kubeadm_names(programs["kubeadm"].path, version)
    inner = _inner_images(names)
    temporary = {f"kube-ordeal/build-{index}:{digest}": each for index, each in enumerate(inner)}
    for name, each in temporary.items():
        context = work / "inner"
        _link_programs(context / "programs", each.programs, programs)
        if each.tools:
            shutil.copytree(rootfs / each.tools, context / "tools", symlinks=True)
        if each.name == _flannel_image():
            shutil.copy(recipes() / "images/flannel/write-cni-conf", context / "programs")
            (context / "programs/write-cni-conf").chmod(0o755)
        engine.build(name, recipes() / f"images/{each.recipe}.Containerfile", context)
        shutil.rmtree(context)

    base = f"kube-ordeal/build-node:{digest}"
    context = work / "node"
    _link_programs(context / "programs", ON_NODE, programs)
    _link_programs(context / "cni", BUNDLES["cni"].commands, programs)
    _node_files(context / "root", version, names)
    engine.build(base, recipes() / "Containerfile", context, ROOTFS=_import_rootfs(engine, rootfs))

    # It ends by itself: a build that was killed leaves no container for longer than that.
    container = engine.docker(
        "run", "-d", "--rm", "--network=none", f"--name={BUILDER}{digest}", "--entrypoint=/bin/sleep", base,
        str(int(BUILD_TIMEOUT_S)),
    ).out.strip()  # fmt: skip
    into = engine.argv("exec", "-i", container, "sh", "-c", "cat >/images.tar")
    pour(engine.argv("save", *temporary), [into], timeout_s=BUILD_TIMEOUT_S)
    pairs = [word for name, each in temporary.items() for word in (name, each.name)]
    script = (recipes() / "load-images").read_text()
    loaded = engine.docker(
        "exec", "-i", container, "sh", "-s", "--", *pairs, stdin=script, timeout_s=BUILD_TIMEOUT_S
    ).out.split()
    missing = {each.name for each in inner} - set(loaded)
    if missing:
        raise OrdealError(f"the node image lacks {', '.join(sorted(missing))}, which were loaded; it has {loaded}.")
    labels = {"digest": digest, "kubernetes": version, "components": json.dumps(dict(swapped), sort_keys=True)}
    changes = [f"LABEL {LABEL}.{key}={json.dumps(value)}" for key, value in labels.items()]
    changes += ['ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]', "CMD []"]
    engine.docker("commit", *(f"--change={each}" for each in changes), container, tag, timeout_s=BUILD_TIMEOUT_S)


def _inner_images(names: Mapping[str, str]) -> tuple[_Inner, ...]:
    component = [_Inner(names[name], "component", (name,)) for name in CONTROL_PLANE]
    return (
        *component,
        _Inner(names["etcd"], "component", ("etcd", "etcdctl", "etcdutl")),
        _Inner(names["coredns"], "coredns", ("coredns",)),
        _Inner(names["pause"], "pause", ("pause",)),
        _Inner(names["kube-proxy"], "network", ("kube-proxy",), "tools-network"),
        _Inner(_flannel_image(), "network", ("flanneld",), "tools-network"),
        _Inner(_local_path_image(), "component", ("local-path-provisioner",)),
        _Inner(WORKLOAD_IMAGE, "busybox", (), "tools-busybox"),
    )


def _flannel_image() -> str:
    return f"localhost/kube-ordeal/flannel:v{BUNDLES['flannel'].default}"


def _local_path_image() -> str:
    return f"localhost/kube-ordeal/local-path-provisioner:v{BUNDLES['local-path-provisioner'].default}"


def _kubeadm_names(kubeadm: Path, version: str) -> dict[str, str]:
    """The image names that kubeadm of this version will ask for, by program: `pause` -> `.../pause:3.10.1`."""
    said = run([str(kubeadm), "config", "images", "list", "--kubernetes-version", f"v{version}"])
    names = {line.rpartition("/")[2].partition(":")[0]: line.strip() for line in said.out.splitlines() if ":" in line}
    missing = {*CONTROL_PLANE, "kube-proxy", "etcd", "coredns", "pause"} - names.keys()
    if missing:
        raise OrdealError(f"{kubeadm} names no image for {', '.join(sorted(missing))}; is it a kubeadm of {version}?")
    return names


def _node_files(out: Path, version: str, names: Mapping[str, str]) -> None:
    """Copy the node's own files, with the image names filled in and modes that do not hang on the checkout's."""
    filled = {
        "@PAUSE_IMAGE@": names["pause"],
        "@FLANNEL_IMAGE@": _flannel_image(),
        "@LOCAL_PATH_IMAGE@": _local_path_image(),
        "@BUSYBOX_IMAGE@": WORKLOAD_IMAGE,
    }
    source = recipes() / "root"
    for path in source.rglob("*"):
        copy = out / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text()
        for mark, value in filled.items():
            text = text.replace(mark, value)
        copy.write_text(text)
        copy.chmod(0o755 if "usr/local" in str(copy.parent) else 0o644)
    (out / "kind/version").write_text(f"v{version}")


def _link_programs(out: Path, wanted: Iterable[str], programs: Mapping[str, NodeProgram]) -> None:
    out.mkdir(parents=True)
    for name in wanted:
        shutil.copyfile(programs[name].path, out / name)
        (out / name).chmod(0o755)


def _import_rootfs(engine: Engine, rootfs: Path) -> str:
    tag = f"kube-ordeal/rootfs:{rootfs.name}"
    if engine.docker("image", "inspect", tag, check=False).code != 0:
        engine.load_archive(rootfs / "rootfs.tar", tag)
    return tag
