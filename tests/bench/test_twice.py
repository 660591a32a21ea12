"""Two builds of a program: the same bytes, or what differs in them is named. Nothing is built."""

import os
from pathlib import Path

import pytest

from chaos.hosts import binaries
from chaos.hosts.binaries import Binaries
from tests.bench import twice
from tests.bench.twice import Compared, answer, compare, go_on, line


def two(folder: Path, one: bytes, other: bytes) -> tuple[Path, Path]:
    paths = (folder / "one" / "etcd", folder / "two" / "etcd")
    for path, content in zip(paths, (one, other), strict=True):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    return paths


def test_the_same_bytes_are_told_with_their_digest(tmp_path: Path) -> None:
    same = compare(*two(tmp_path, b"elf", b"elf"), (tmp_path,), lambda _: ())
    assert same.same
    assert line("etcd", "3.6.16", same) == f"etcd 3.6.16: etcd, 0.0 MB, the same bytes, SHA-256 {same.sha256[0]}"
    assert answer([same]) == "1 of 1 programs are the same bytes"


@pytest.mark.parametrize(
    ("one", "other", "about", "why"),
    [
        (b"elf /here/etcd", b"elf /thre/etcd", (), "the path /here is in one of them"),
        (b"at 2026-01-02 03:04:05", b"at 2026-01-02 03:04:06", (), "2026-01-02 03:04:05, 2026-01-02 03:04:06"),
        (b"elf a", b"elf b", ("build -trimpath=true",), "of the first 'build -trimpath=true', of the second 'nothing"),
        (b"elf a", b"elf b", ("build GOARCH=a",), "of the first 'build GOARCH=a', of the second 'build GOARCH=2'"),
        (b"elf a", b"elf b", (), f"{twice.UNKNOWN} 4 of 5, and nothing tells why"),
        (b"elf", b"elf more", (), f"{twice.UNKNOWN} 3 of 3"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, one: bytes, other: bytes, about: tuple[str, ...], why: str) -> None:
    def told(path: Path) -> tuple[str, ...]:
        return about if path.parent.name == "one" else ("build GOARCH=2",) if about else ()

    found = compare(*two(tmp_path, one, other), (Path("/here"),), told)
    assert not found.same
    assert why in "; ".join(found.why)
    assert found.named is (twice.UNKNOWN not in why)
    assert "DIFFERS" in line("etcd", "3", found)


class Builds:
    """Bundles whose programs are built in a moment: what is in them is asked of `content`, by the place's name."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, bytes]) -> None:
        self.content, self.caches = content, list[str]()
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "here"))
        monkeypatch.setenv("GOCACHE", "mine")
        monkeypatch.setattr(binaries, "build", self)
        monkeypatch.setattr(twice, "build_info", lambda _: ())

    def __call__(self, bundle: str, version: str | None, **_: object) -> Binaries:
        place = Path(os.environ["XDG_CACHE_HOME"])
        self.caches.append(os.environ["GOCACHE"])
        program = place / bundle / "program"
        program.parent.mkdir(parents=True)
        program.write_bytes(self.content[place.parent.name])
        return Binaries(bundle, version or "1", program.parent, {"program": "as it was once"})


@pytest.mark.parametrize(("second", "code"), [(b"elf", 0), (b"elF", 1), (b"at 2026-01-02 03:04:05", 0)])
def test_each_bundle_is_built_elsewhere_with_another_cache_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: bytes, code: int
) -> None:
    there = tmp_path / "there"
    builds = Builds(tmp_path, monkeypatch, {tmp_path.name: b"elf", "there": second})
    said: list[str] = []
    assert go_on(["etcd", "kubernetes"], "1.36.3", there, said.append) == code
    assert builds.caches == ["mine", str(there / "go-build")] * 2
    assert os.environ["GOCACHE"] == "mine"
    assert any(each.startswith("kubernetes 1.36.3: program") for each in said)
    same = 2 if second == b"elf" else 0
    assert said[-1].startswith(f"{same} of 2 programs are the same bytes")


def test_what_is_unnamed_is_counted() -> None:
    named = Compared("a", ("1", "2"), 1, ("times are in one of them: x",))
    unnamed = Compared("b", ("1", "2"), 1, (f"{twice.UNKNOWN} 1 of 1, and nothing tells why",))
    told = "0 of 2 programs are the same bytes; 2 differ, 1 of them for no known reason"
    assert answer([named, unnamed]) == told
