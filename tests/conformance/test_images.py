"""Which of upstream's images are made here, and from what."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.conformance import images
from chaos.conformance.images import PROGRAMS, UPSTREAM, makes, short
from chaos.hosts import workload_build
from chaos.hosts.bundles import BUNDLES
from chaos.hosts.engine import Engine
from chaos.hosts.places import manifests_dir
from tests.hosts.fake_docker import FakeDocker
from tests.hosts.published import DIGEST, publish

HERE = manifests_dir() / "conformance-images"


@pytest.mark.parametrize(
    ("upstream", "name"),
    [
        ("registry.k8s.io/e2e-test-images/agnhost:2.56", "agnhost"),
        ("registry.k8s.io/pause:3.10.1", "pause"),
        ("localhost:5000/busybox", "busybox"),
        ("far/away@sha256:00", "away"),
    ],
)
def test_an_image_is_known_by_the_last_part_of_its_name(upstream: str, name: str) -> None:
    assert short(upstream) == name


def test_only_images_with_a_recipe_are_made_and_none_that_needs_a_login() -> None:
    upstream = ["r/agnhost:2.56", "r/agnhost:2.55", "r/csi-provisioner:v5", "gcr.io/k8s-authenticated-test/agnhost:2.6"]
    assert makes(upstream) == {"r/agnhost:2.56": "agnhost", "r/agnhost:2.55": "agnhost"}


@pytest.mark.parametrize("path", sorted(HERE.glob("*.Containerfile")), ids=lambda p: p.stem)
def test_a_recipe_copies_only_what_is_put_beside_it(path: Path) -> None:
    text, name = path.read_text(), path.stem
    copied = {
        each for line in re.findall(r"^COPY (?!--from=tools )(.+) \S+$", text, re.MULTILINE) for each in line.split()
    }
    given = {program for _, program in PROGRAMS.get(name, ())}
    given |= {each.rpartition("/")[2] for each in UPSTREAM.get(name, ())}
    given |= {each.name for each in HERE.glob(f"{name}.*") if each.suffix != ".Containerfile"}
    assert copied == given
    for bundle, program in PROGRAMS.get(name, ()):
        assert program in BUNDLES[bundle].programs
    assert re.findall(r"^FROM (?:scratch|\$\{(?:TOOLS|BUSYBOX|AGNHOST)\})(?: AS tools)?$", text, re.MULTILINE)


UPSTREAMS = ("far/e2e/agnhost:2.56", "far/e2e/busybox:1")


class Nodes:
    """A cluster that images are loaded into; what came is in `has`, by upstream's name."""

    def __init__(self) -> None:
        self.has: dict[str, str] = {}

    def load_image(self, image: str) -> str:
        return image

    def load_images_as(self, images: Mapping[str, str]) -> None:
        self.has |= images


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """An engine without any image, whose registry has whatever it is asked for; what lacks is built in a moment."""
    made = FakeDocker(tmp_path / "bin").install(image_inspect="exit 1")
    monkeypatch.setattr(images, "require", lambda: Engine(made.client, "27", ours=False))
    monkeypatch.setattr(images, "wanted", lambda _: UPSTREAMS)
    monkeypatch.setattr(images, "_tag", lambda _, name: f"localhost/ours/{name}:1")
    monkeypatch.setattr(images, "_build", lambda _, names, *__: {each: f"ours/{name}" for each, name in names.items()})
    return made


E2E: Any = object()  # the program


def test_images_of_specs_are_upstreams_by_their_digests_alone_and_else_ours(
    engine: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry that has upstream's names does not choose what a spec runs."""
    publish(tmp_path, monkeypatch, "far/e2e/busybox:1")
    cluster: Any = Nodes()
    images.provide(cluster, E2E)
    loaded = f"localhost/kube-ordeal-published/far/e2e/busybox:{DIGEST.replace(':', '-')}"
    assert cluster.has == {"far/e2e/agnhost:2.56": "ours/agnhost", "far/e2e/busybox:1": loaded}
    pulled = f"far/e2e/busybox@{DIGEST}"
    assert {call for call in engine.calls if call.startswith("pull")} == {f"pull {pulled}", f"pull --quiet {pulled}"}
    assert f"tag {pulled} {loaded}" in engine.calls


@pytest.mark.usefixtures("engine")
def test_images_of_specs_that_cannot_be_built_are_told_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, cluster = publish(tmp_path, monkeypatch), cast("Any", Nodes())
    monkeypatch.setattr(workload_build, "why_not_built", lambda _: "building it takes root")
    assert images.obstacle(cluster, E2E, ("agnhost", "busybox")) == (
        "far/e2e/agnhost:2.56 is not taken, as its digest is not in manifests/published-images, and an image of our "
        "own is not there: building it takes root"
    )
    known.write_text("".join(f"{each} {DIGEST}\n" for each in UPSTREAMS))
    assert images.obstacle(cluster, E2E, ("agnhost", "busybox")) == ""
    known.write_text("")
    assert images.obstacle(cast("Any", object()), E2E, ("agnhost",)) == ""  # its nodes pull what e2e.test names
    monkeypatch.setattr(workload_build, "why_not_built", lambda _: "")
    assert images.obstacle(cluster, E2E, ("agnhost", "busybox")) == ""
