"""e2e.test: found, taken from the published image, refused for a cluster of another version."""

from pathlib import Path

import pytest

from chaos.conformance import program
from chaos.conformance.program import E2eProgram, check_version
from chaos.errors import OrdealError
from chaos.hosts import registry
from chaos.hosts.bundles import plain
from chaos.hosts.command import CommandError
from chaos.hosts.engine import Engine
from tests.hosts.fake_docker import FakeDocker


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def known_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of images whose digests are known, here with one in it."""
    monkeypatch.setattr(registry, "manifests_dir", lambda: tmp_path)
    path = tmp_path / "published-images"
    path.write_text(f"# a comment\n\nregistry.k8s.io/conformance:v1.34.4 {DIGEST}\n")
    return path


DIGEST = f"sha256:{'ab' * 32}"
IMAGE = f"registry.k8s.io/conformance@{DIGEST}"
# What `docker cp CONTAINER:PATH -` writes: an archive with the file in it.
COPY = 'name=$(basename "$2"); cd "$(mktemp -d)"; echo "$2" >"$name"; tar -c "$name"; rm -r "$PWD"'


def an_engine(folder: Path, *, registry: bool, **on: str) -> tuple[Engine, FakeDocker]:
    """One that lacks the image, whose registry has it or not."""
    pull = "" if registry else "echo 'manifest unknown' >&2; exit 1"
    made = FakeDocker(folder / "bin").install(image="exit 1", pull=pull or "true", create="echo id-1", cp=COPY, **on)
    return Engine(made.client, "27", ours=False), made


def test_the_published_image_of_exactly_that_version_is_taken_once(tmp_path: Path) -> None:
    engine, made = an_engine(tmp_path, registry=True)
    taken = program.take("1.34.4", engine)
    assert taken is not None
    assert taken.path.read_text() == "id-1:/usr/local/bin/e2e.test\n"
    assert f"pull --quiet {IMAGE}" in made.calls
    assert "rm id-1" in made.calls
    assert not any(call.startswith("manifest") for call in made.calls)
    assert program.take("1.34.4", an_engine(tmp_path, registry=False)[0]) == taken
    assert program.find("1.34.4") == taken


@pytest.mark.parametrize("of", ["", "registry.k8s.io/conformance:v1.34.3"])
def test_a_program_whose_image_has_no_known_digest_is_not_run(tmp_path: Path, known_images: Path, of: str) -> None:
    known_images.write_text(f"{of} {DIGEST}\n" if of else "")
    engine, made = an_engine(tmp_path, registry=True)
    said: list[str] = []
    assert program.take("1.34.4", engine, report=said.append) is None
    assert made.calls == []
    where = "registry.k8s.io/conformance:v1.34.4"
    assert said == [f"e2e.test is not taken out of {where}: its digest is not in manifests/published-images"]


def test_what_was_taken_from_another_image_or_changed_since_is_not_run(tmp_path: Path, known_images: Path) -> None:
    taken = program.take("1.34.4", an_engine(tmp_path, registry=True)[0])
    assert taken is not None
    (taken.path.parent / program.RECORD).rename(tmp_path / "record")  # as an earlier version left it
    assert program.find("1.34.4") is None
    (tmp_path / "record").rename(taken.path.parent / program.RECORD)
    before = known_images.read_text()
    known_images.write_text(before.replace("ab", "cd"))
    assert program.find("1.34.4") is None
    known_images.write_text(before)
    assert program.find("1.34.4") == taken
    taken.path.write_text("id-1:/usr/local/bin/e2e.tesT\n")
    with pytest.raises(OrdealError, match=r"e2e\.test is not what was built"):
        program.find("1.34.4")


@pytest.mark.parametrize("line", ["x", "registry.k8s.io/x:1 sha256:ab", f"x {DIGEST}", f"x:1 {DIGEST} more"])
def test_a_file_of_digests_of_another_shape_is_one_sentence(tmp_path: Path, known_images: Path, line: str) -> None:
    known_images.write_text(line)
    with pytest.raises(OrdealError, match=f"published-images: '{line}' is not `IMAGE:TAG sha256:DIGEST`"):
        program.take("1.34.4", an_engine(tmp_path, registry=True)[0])


def test_the_file_of_digests_that_is_shipped_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert registry.known("none:1") == ""


def test_without_a_registry_nothing_is_taken(tmp_path: Path) -> None:
    assert program.take("1.34.4", an_engine(tmp_path, registry=False)[0]) is None
    assert program.find("1.34.4") is None
    with pytest.raises(OrdealError, match="conformance build --kubernetes 1.34.4` makes it"):  # noqa: RUF043
        program.require("1.34.4")


def test_an_image_without_the_program_leaves_nothing_that_would_be_trusted(tmp_path: Path) -> None:
    engine, made = an_engine(tmp_path, registry=True)
    made.install(cp=f'case "$2" in */e2e.test) echo "there is no such file" >&2; exit 1 ;; *) {COPY} ;; esac')
    with pytest.raises(CommandError, match="there is no such file"):
        program.take("1.34.4", engine)
    assert "rm id-1" in made.calls
    assert program.find("1.34.4") is None


MARKED = (
    *("v1.34.4", "1.34.4", "v1.34.4+vendor1", "v1.34.4+k3s1", "v1.34.4-eks-a737599", "v1.34.4-gke.1234"),
    *("v1.34.4-41+b5cdb79a4060a3", "v1.34.4-aliyun.1", "v1.34.4-rancher1-1", "v1.34.4-rc2+k3s1", "v1.34.4-dirty"),
)


@pytest.mark.parametrize("cluster", MARKED)
def test_a_vendors_mark_is_no_other_version(tmp_path: Path, cluster: str) -> None:
    check_version(E2eProgram(Path("e2e.test"), "1.34.4"), cluster)
    assert program.find(cluster) is None
    program.take("1.34.4", an_engine(tmp_path, registry=True)[0])
    found = program.find(cluster)
    assert found is not None
    assert found.version == "1.34.4"


@pytest.mark.parametrize("own", ["v1.35.0-rc.1", "v1.35.0-alpha.2", "1.35.0-beta.0+k3s1"])
def test_a_release_before_the_release_is_another_version(own: str) -> None:
    assert plain(own) == own.removeprefix("v").partition("+")[0]
    with pytest.raises(OrdealError, match="what fails would say nothing"):
        check_version(E2eProgram(Path("e2e.test"), "1.35.0"), own)


def test_another_version_is_refused_unless_asked_for() -> None:
    other = E2eProgram(Path("e2e.test"), "1.33.0")
    with pytest.raises(
        OrdealError, match=r"of Kubernetes 1\.33\.0 and the cluster of v1\.34\.4.*--ordeal-conformance-version"
    ):
        check_version(other, "v1.34.4")
    check_version(other, "v1.34.4", asked_for=True)
