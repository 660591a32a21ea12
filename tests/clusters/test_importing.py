"""What nodes import images with, tried with a containerd of this test's own: archives as engines write them."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.kind import docker, node_images
from chaos.hosts.command import CommandError, Output, run
from chaos.hosts.go import goarch

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containerd needs root"),
    pytest.mark.skipif(not (shutil.which("containerd") and shutil.which("ctr")), reason="there is no containerd here"),
]
NAME = "docker.io/library/busybox:1.37"
MANIFEST, INDEX = (f"application/vnd.oci.image.{kind}.v1+json" for kind in ("manifest", "index"))
CONFIG = """version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.overlayfs"]
[grpc]
address = "{0}/socket"
"""


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def described(kind: str, content: bytes, **more: object) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest(content), "size": len(content), **more}


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


LAYER = archive({"hello": b"hi"})
IMAGE = json.dumps(
    {"architecture": goarch(), "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(LAYER)]}}
).encode()


def as_the_older_store_saves() -> bytes:
    """One image, one platform: manifest.json, its configuration and its layers."""
    listed = [{"Config": "image.json", "RepoTags": ["busybox:1.37"], "Layers": ["layer.tar"]}]
    return archive({"layer.tar": LAYER, "image.json": IMAGE, "manifest.json": json.dumps(listed).encode()})


def as_containerds_store_saves() -> tuple[bytes, str]:
    """The index of all platforms, and of these only what this machine has; with the digest of the index."""
    layer = described("application/vnd.oci.image.layer.v1.tar", LAYER)
    config = described("application/vnd.oci.image.config.v1+json", IMAGE)
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}).encode()
    absent = [
        described(MANIFEST, name.encode(), platform={"os": system, "architecture": name})
        for system, name in (("linux", "s390x"), ("unknown", "unknown"))
    ]
    here = described(MANIFEST, manifest, platform={"os": "linux", "architecture": goarch()})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [here, *absent]}).encode()
    named = described(INDEX, index, annotations={"io.containerd.image.name": NAME})
    blobs = {f"blobs/sha256/{digest(each)[7:]}": each for each in (LAYER, IMAGE, manifest, index)}
    layout = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    whole = {"index.json": json.dumps({"schemaVersion": 2, "manifests": [named]}).encode()}
    return archive({**layout, **blobs, **whole}), digest(index)


class Node:
    """A containerd that stands for a node's."""

    def __init__(self, folder: Path) -> None:
        self._address = f"{folder}/socket"

    def ctr(self, *argv: str, stdin: bytes | None = None) -> str:
        command = ["ctr", "--address", self._address, *argv]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
            env=self._env,  # native: mounts nothing
        )
        if done.returncode:
            raise CommandError(command, f"exited with {done.returncode}", done.stderr.decode())
        return done.stdout.decode()

    @property
    def _env(self) -> dict[str, str]:
        return {**os.environ, "CONTAINERD_SNAPSHOTTER": "native"}

    def execute(self, _node: str, argv: list[str], **options: Any) -> Output:
        text = options["stdin"]
        return Output(0, self.ctr(*argv[1:], stdin=text.encode() if text is not None else None), "")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    (tmp_path / "config.toml").write_text(CONFIG.format(tmp_path))
    command = ["containerd", "--config", str(tmp_path / "config.toml")]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            made = Node(tmp_path)
            asked = ["ctr", "--address", f"{tmp_path}/socket", "version"]
            eventually(lambda: run(asked, check=False, timeout_s=20).code == 0, within_s=60, what="containerd")
            monkeypatch.setattr(docker, "execute", made.execute)
            yield made
        finally:
            process.terminate()


def importing() -> list[str]:
    return [*node_images._importing()[1:], "-"]


def test_an_image_of_the_older_store_is_imported(node: Node) -> None:
    node.ctr(*importing(), stdin=as_the_older_store_saves())
    assert node_images.names("w1") == (NAME,)


def test_an_index_that_names_what_is_not_there_is_imported_and_known_again(node: Node) -> None:
    saved, of_index = as_containerds_store_saves()
    everything = ["--all-platforms" if each == "--platform" else each for each in importing()]
    with pytest.raises(CommandError, match="not found"):
        node.ctr(*(each for each in everything if not each.startswith("linux/")), stdin=saved)
    node.ctr(*importing(), stdin=saved)
    assert node_images.names("w1") == (NAME,)
    assert node_images._has("w1", NAME, of_index)  # what that store calls the image's id
    assert not node_images._has("w1", NAME, digest(b"another"))


def test_one_whose_name_is_gone_is_named_again_from_its_content(node: Node) -> None:
    node.ctr(*importing(), stdin=as_containerds_store_saves()[0])
    for each in node.ctr("--namespace", "k8s.io", "content", "ls", "--quiet").split():
        with suppress(CommandError):  # what no image refers to is collected at some time after an import
            node.ctr("--namespace", "k8s.io", "content", "label", each, "containerd.io/gc.root=kube-ordeal")
    (image,) = node_images._images("w1").values()
    node.ctr("--namespace", "k8s.io", "images", "rm", NAME)
    assert node_images.names("w1") == ()
    node_images._name_again("w1", [image])
    assert node_images.names("w1") == (NAME,)
