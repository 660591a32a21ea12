"""The digest of kind's own node image is the one that the pinned kind takes by itself."""

import re

from chaos.hosts import bundles, pins, registry


def test_the_node_image_of_kinds_own_kubernetes_is_the_one_that_kind_pins() -> None:
    version = bundles.BUNDLES["kind"].default
    source = pins.module_directory("kind", version, "sigs.k8s.io/kind")
    text = (source / "pkg" / "apis" / "config" / "defaults" / "image.go").read_text()
    pinned = re.search(rf'"{registry.NODE}:v(\d+\.\d+\.\d+)@(sha256:[0-9a-f]{{64}})"', text)
    assert pinned is not None
    assert registry.published_node(pinned[1]) == f"{registry.NODE}@{pinned[2]}"
