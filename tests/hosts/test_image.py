"""The node image's recipe and what goes into it, without an engine."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import yaml

from chaos.errors import OrdealError
from chaos.hosts import image, image_build, image_programs
from chaos.hosts.go import goarch
from chaos.hosts.places import manifests_dir

RECIPE = manifests_dir() / "node-image"
NAMES = {
    **{name: f"k8s/{name}:v1.34.4" for name in (*image_build.CONTROL_PLANE, "kube-proxy")},
    "etcd": "k8s/etcd:3.6.5-0",
    "coredns": "k8s/coredns/coredns:v1.12.1",
    "pause": "k8s/pause:3.10.1",
}


def program(path: Path, machine: int, *, dynamic: bool = False) -> Path:
    """The head of a 64-bit ELF file with one program header."""
    head = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    )
    path.write_bytes(head + struct.pack("<I", 3 if dynamic else 1) + bytes(52))
    path.chmod(0o755)
    return path


HERE, ELSEWHERE = (62, 183) if goarch() == "amd64" else (183, 62)


def test_a_component_that_fits_is_taken_with_its_digest(tmp_path: Path) -> None:
    path = program(tmp_path / "x", HERE)
    assert image_programs._checked("kube-apiserver", path).path == path
    changed = program(tmp_path / "y", HERE, dynamic=True)
    assert image_programs._checked("kubelet", changed).sha256 != image_programs._checked("kubelet", path).sha256


def test_a_component_that_cannot_run_is_refused_with_the_reason(tmp_path: Path) -> None:
    fits = program(tmp_path / "fits", HERE)
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n" + "#" * 80)
    script.chmod(0o755)
    plain = program(tmp_path / "plain", HERE)
    plain.chmod(0o644)
    for name, path, why in (
        ("kubelt", fits, "no component is named 'kubelt'; there are kube-apiserver"),
        ("kubelet", tmp_path / "none", "there is no file"),
        ("kubelet", tmp_path, "there is no file"),
        ("kubelet", plain, "not executable; `chmod \\+x` it"),
        ("kubelet", script, "not a 64-bit little-endian ELF program"),
        ("kubelet", program(tmp_path / "other", ELSEWHERE), "for another architecture"),
        ("kube-apiserver", program(tmp_path / "dynamic", HERE, dynamic=True), "dynamically linked"),
    ):
        with pytest.raises(OrdealError, match=why):
            image_programs._checked(name, path)


def test_the_digest_is_of_every_program_and_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = {
        "kubelet": image_programs.NodeProgram(tmp_path, "aa"),
        "etcd": image_programs.NodeProgram(tmp_path, "bb"),
    }
    copy = tmp_path / "node-image"
    shutil.copytree(RECIPE, copy)
    monkeypatch.setattr(image, "recipes", lambda: copy)
    before = image._digest(programs)
    assert image._digest(dict(reversed(programs.items()))) == before
    assert image._digest(programs | {"kubelet": image_programs.NodeProgram(tmp_path, "cc")}) != before
    entrypoint = copy / "root/usr/local/bin/entrypoint"
    entrypoint.write_text(entrypoint.read_text() + "\n")
    assert image._digest(programs) != before


def test_kubeadm_says_what_the_images_are_called(tmp_path: Path) -> None:
    kubeadm = tmp_path / "kubeadm"
    kubeadm.write_text("#!/bin/sh\ncat <<END\n" + "\n".join(NAMES.values()) + "\nEND\n")
    kubeadm.chmod(0o755)
    assert image_build._kubeadm_names(kubeadm, "1.34.4") == NAMES
    kubeadm.write_text("#!/bin/sh\necho k8s/pause:1\n")
    with pytest.raises(OrdealError, match="names no image for coredns, etcd"):
        image_build._kubeadm_names(kubeadm, "1.34.4")


def test_the_nodes_files_name_only_images_that_the_node_has(tmp_path: Path) -> None:
    image_build._node_files(tmp_path, "1.34.4", NAMES)
    inside = {each.name for each in image_build._inner_images(NAMES)}
    named = set()
    for path in (tmp_path / "kind/manifests").iterdir():
        for document in yaml.safe_load_all(path.read_text()):
            template = document.get("spec", {}).get("template", {})
            named |= {each["image"] for each in template.get("spec", {}).get("containers", ())}
            if "helperPod.yaml" in document.get("data", {}):
                helper = yaml.safe_load(document["data"]["helperPod.yaml"])
                named |= {each["image"] for each in helper["spec"]["containers"]}
    assert named == {image_build._flannel_image(), image_build._local_path_image(), image_build.WORKLOAD_IMAGE}
    assert named <= inside
    assert 'sandbox_image = "k8s/pause:3.10.1"' in (tmp_path / "etc/containerd/config.toml").read_text()
    assert (tmp_path / "kind/version").read_text() == "v1.34.4"
    assert (tmp_path / "usr/local/bin/entrypoint").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "etc/systemd/system/kubelet.service").stat().st_mode & 0o777 == 0o644


def test_the_pod_network_is_a_template_that_kind_fills_in() -> None:
    text = (RECIPE / "root/kind/manifests/default-cni.yaml").read_text()
    assert "would you kindly template this file" in text  # what kind's installcni action looks for
    assert text.count("{{ .PodSubnet }}") == 1
    assert "would you kindly patch this file" not in text


@pytest.mark.parametrize(
    "script",
    [
        "root/usr/local/bin/entrypoint",
        "root/usr/local/libexec/kubelet-cgroups",
        "load-images",
        "images/flannel/write-cni-conf",
    ],
)
def test_the_scripts_parse(script: str) -> None:
    path = RECIPE / script
    shell = path.read_text().splitlines()[0].removeprefix("#!")
    subprocess.run([shell, "-n", str(path)], check=True)


def test_the_cni_configuration_is_written_from_flannels_subnet(tmp_path: Path) -> None:
    script = (RECIPE / "images/flannel/write-cni-conf").read_text()
    moved = script.replace("/run/flannel", str(tmp_path)).replace("/etc/cni/net.d", str(tmp_path))
    (tmp_path / "subnet.env").write_text(
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1500\nFLANNEL_IPMASQ=true\n"
    )
    subprocess.run(["sh", "-c", moved], check=True, timeout=10)
    conf = yaml.safe_load((tmp_path / "10-flannel.conflist").read_text())
    assert conf["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.244.3.0/24"}]]
    assert conf["plugins"][0]["mtu"] == 1500


@pytest.mark.parametrize(
    ("version", "cgroups", "needed"),
    [("1.34.4", 1, False), ("1.35.0", 1, True), ("1.36.3", 1, True), ("1.36.3", 2, False)],
)
def test_the_kubelet_is_told_to_take_cgroup_v1_from_1_35_on(version: str, cgroups: int, needed: bool) -> None:
    patches = image.kind_config_patches(version, cgroups)
    assert [yaml.safe_load(each)["failCgroupV1"] for each in patches] == ([False] if needed else [])
