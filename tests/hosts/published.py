"""The file of images whose digests are known, a test's own in the place of the one that is shipped."""

from pathlib import Path

import pytest

from chaos.hosts import registry

DIGEST = f"sha256:{'ab' * 32}"


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch, *images: str) -> Path:
    """Let the digests of just these images, IMAGE:TAG, be known, all the same one; returns the file, to be changed."""
    manifests = folder / "manifests"
    manifests.mkdir()
    path = manifests / registry.KNOWN
    path.write_text("".join(f"{image} {DIGEST}\n" for image in images))
    monkeypatch.setattr(registry, "manifests_dir", lambda: manifests)
    return path
