"""e2e.test: found, taken from the published image, refused for a cluster of another version."""

from pathlib import Path

import pytest

from chaos.conformance import program
from chaos.conformance.program import Program, check_version
from chaos.errors import OrdealError
from chaos.hosts.command import CommandError, Output


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Engine:
    """One with a registry that has the image, or none; `lacks` is a program that the image has not."""

    def __init__(self, *, registry: bool, lacks: str = "") -> None:
        self.registry, self.lacks = registry, lacks
        self.calls: list[tuple[str, ...]] = []

    def docker(self, *arguments: str, timeout_s: float = 0, check: bool = True) -> Output:
        self.calls.append(arguments)
        if arguments[0] == "manifest":
            return Output(0 if self.registry else 1, "", "")
        if arguments[0] == "cp":
            if arguments[1].endswith(f"/{self.lacks}"):
                raise CommandError(["docker", *arguments], "failed", "there is no such file")
            Path(arguments[2]).write_text(arguments[1])
        return Output(0, "id-1\n", "")


def test_the_published_image_of_exactly_that_version_is_taken_once() -> None:
    engine = Engine(registry=True)
    taken = program.take("1.34.4", engine)  # type: ignore[arg-type]
    assert taken is not None
    assert taken.path.read_text() == "id-1:/usr/local/bin/e2e.test"
    assert engine.calls[1][-1].endswith("conformance:v1.34.4")
    assert ("rm", "id-1") in engine.calls
    assert program.take("1.34.4", Engine(registry=False)) == taken  # type: ignore[arg-type]
    assert program.find("1.34.4") == taken


def test_without_a_registry_nothing_is_taken() -> None:
    assert program.take("1.34.4", Engine(registry=False)) is None  # type: ignore[arg-type]
    assert program.find("1.34.4") is None
    with pytest.raises(OrdealError, match="conformance build --kubernetes 1.34.4` makes it"):  # noqa: RUF043
        program.require("1.34.4")


def test_an_image_without_the_program_leaves_nothing_that_would_be_trusted() -> None:
    engine = Engine(registry=True, lacks="e2e.test")
    with pytest.raises(CommandError):
        program.take("1.34.4", engine)  # type: ignore[arg-type]
    assert ("rm", "id-1") in engine.calls
    assert program.find("1.34.4") is None


MARKED = (
    *("v1.34.4", "1.34.4", "v1.34.4+vendor1", "v1.34.4+k3s1", "v1.34.4-eks-a737599", "v1.34.4-gke.1234"),
    *("v1.34.4-41+b5cdb79a4060a3", "v1.34.4-aliyun.1", "v1.34.4-rancher1-1", "v1.34.4-rc2+k3s1", "v1.34.4-dirty"),
)


@pytest.mark.parametrize("cluster", MARKED)
def test_a_vendors_mark_is_no_other_version(cluster: str) -> None:
    check_version(Program(Path("e2e.test"), "1.34.4"), cluster)
    assert program.find(cluster) is None
    program.take("1.34.4", Engine(registry=True))  # type: ignore[arg-type]
    found = program.find(cluster)
    assert found is not None
    assert found.version == "1.34.4"


@pytest.mark.parametrize("own", ["v1.35.0-rc.1", "v1.35.0-alpha.2", "1.35.0-beta.0+k3s1"])
def test_a_release_before_the_release_is_another_version(own: str) -> None:
    assert program.plain(own) == own.removeprefix("v").partition("+")[0]
    with pytest.raises(OrdealError, match="what fails would say nothing"):
        check_version(Program(Path("e2e.test"), "1.35.0"), own)


def test_another_version_is_refused_unless_asked_for() -> None:
    other = Program(Path("e2e.test"), "1.33.0")
    with pytest.raises(
        OrdealError, match=r"of Kubernetes 1\.33\.0 and the cluster of v1\.34\.4.*--conformance-version"
    ):
        check_version(other, "v1.34.4")
    check_version(other, "v1.34.4", asked_for=True)
