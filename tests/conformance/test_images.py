"""Which of upstream's images are made here, and from what."""

import re

import pytest

from chaos.conformance import images
from chaos.conformance.images import PROGRAMS, UPSTREAM, makes, short
from chaos.hosts.binaries import BUNDLES
from chaos.hosts.places import manifests_dir

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
def test_a_recipe_copies_only_what_is_put_beside_it(path: "images.Path") -> None:
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
