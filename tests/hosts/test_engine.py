"""Which docker client is chosen, and what is said where none gets a usable answer. The client is a script here."""

import json
import os
import socket
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.hosts import engine, record
from chaos.hosts.engine import Engine, Silence
from chaos.hosts.record import MachineRecord
from tests.hosts.fake_docker import INFO, FakeDocker

TOO_OLD = "Error response from daemon: client version 1.41 is too old. Minimum supported API version is 1.44, please"
TOO_NEW = "Error response from daemon: client version 1.52 is too new. Maximum supported API version is 1.41"
Docker = Callable[..., FakeDocker]


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(engine, "SOCKET", tmp_path / "docker.sock")
    engine.chosen.cache_clear()
    engine.runs_here.cache_clear()
    yield
    engine.chosen.cache_clear()
    engine.runs_here.cache_clear()


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Installs a docker client; those that were installed are asked in that order, and no other."""
    there: list[FakeDocker] = []

    def install(**on: str) -> FakeDocker:
        there.append(FakeDocker(tmp_path / f"bin{len(there)}").install(**on))
        return there[-1]

    monkeypatch.setattr(engine, "clients", lambda: [each.client for each in there])
    return install


def says(words: str, code: int = 1) -> str:
    return f"echo '{words}' >&2; exit {code}"


def silence() -> Silence:
    answer = engine.ask()
    assert isinstance(answer, Silence)
    return answer


@pytest.fixture
def listening() -> Iterator[None]:
    """Somebody listens at the socket, and never answers."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as held:
        held.bind(str(engine.SOCKET))
        held.listen()
        yield


def test_each_client_in_path_is_one_and_no_program_is_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (FakeDocker(tmp_path / name).install() for name in ("a", "b"))
    (tmp_path / "c").symlink_to(tmp_path / "a")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "docker").write_text("no program")
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / name) for name in "abcd"))
    assert engine.clients()[:2] == [first.client, second.client]
    assert tmp_path / "c" / "docker" not in engine.clients()
    assert tmp_path / "d" / "docker" not in engine.clients()


def test_the_second_client_is_asked_where_the_first_is_refused(docker: Docker) -> None:
    docker(version=says(TOO_OLD))
    works = docker()
    found = engine.require()
    assert (found.client, found.version, found.ours) == (works.client, "27.0.1", False)
    assert found.environment()["PATH"].split(os.pathsep)[0] == str(works.folder)


@pytest.mark.parametrize(("words", "api"), [(TOO_OLD, "1.44"), (TOO_NEW, "1.41")])
def test_a_refused_client_is_told_the_version_that_the_engine_names(docker: Docker, words: str, api: str) -> None:
    wants = f"[ \"$DOCKER_API_VERSION\" = {api} ] && echo '29.1|Engine ' || {{ {says(words)}; }}"
    made = docker(version=wants, ps='echo "$DOCKER_API_VERSION"')
    found = engine.require()
    assert (found.version, found.api) == ("29.1", api)
    assert found.docker("ps").out.strip() == api
    assert found.environment()["DOCKER_API_VERSION"] == api
    assert found.argv("ps") == ["env", f"DOCKER_API_VERSION={api}", str(made.client), "ps"]


def test_a_client_that_no_version_helps_is_said_and_nothing_is_started_beside(docker: Docker) -> None:
    made = docker(version=says(TOO_OLD))
    said = silence()
    assert said.taken
    assert said.why.startswith("Docker holds its socket and does not answer: ")
    assert f"{made.client} says: {TOO_OLD}" in said.why
    assert "put a docker client that fits the engine first in PATH" in said.why


def test_a_slow_answer_is_waited_for_and_told(docker: Docker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine, "SLOW_S", 0.05)
    told: list[str] = []

    def tell(words: str) -> None:
        told.append(words)
        (tmp_path / "told").touch()

    made = docker(version=f"while [ ! -e {tmp_path}/told ]; do sleep 0.05; done; echo '27|Engine '")
    found = engine.require(tell)
    assert told == [f"{made.client} has no answer from the container engine yet, waiting"]
    assert found.answered_s >= 0.05


def test_no_answer_at_all_is_an_engine_that_hangs(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ANSWER_TIMEOUT_S", 0.3)
    docker(version="exec sleep 30")
    said = silence()
    assert said.taken
    assert "Docker holds its socket and does not answer" in said.why
    with pytest.raises(OrdealError, match="does not answer"):
        engine.require()


@pytest.mark.parametrize(
    ("words", "taken", "why"),
    [
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///run/x",
            True,
            "group docker",
        ),
        (
            "Cannot connect to the Docker daemon at unix:///run/user/1000/docker.sock. Is the",
            True,
            "run/user/1000/docker",
        ),
        (
            "failed to connect to the docker API at tcp://192.0.2.7:2375: i/o timeout",
            True,
            "told to use tcp://192.0.2.7",
        ),
        ("Emulate Docker CLI using podman. Create /etc/containers/nodocker to quiet msg.", True, "talks to Podman"),
        (
            "Cannot connect to the Docker daemon at unix://{SOCKET}. Is the docker daemon running?",
            False,
            "no container",
        ),
        ("error during connect: in the default daemon configuration", False, "error during connect"),
    ],
)
def test_a_refusal_is_told_apart(docker: Docker, words: str, taken: bool, why: str) -> None:
    docker(version=says(words.replace("{SOCKET}", str(engine.SOCKET))))
    said = silence()
    assert said.taken is taken
    assert why in said.why


@pytest.mark.parametrize(
    "on",
    [
        {"version": "echo '<no value>|'", "--version": "echo podman version 4.3.1"},
        {"version": says("nil pointer evaluating"), "--version": "echo podman version 4.3.1"},
        {"version": "echo '4.9.4|Podman Engine Conmon '"},
    ],
)
def test_podman_is_told_in_a_sentence_whoever_speaks_for_it(docker: Docker, on: dict[str, str]) -> None:
    docker(**on)
    said = silence()
    assert said.taken  # Debian's docker.io would take podman-docker away
    assert "talks to Podman, and kind's nodes need Docker's own engine" in said.why


@pytest.mark.usefixtures("docker")
def test_without_a_client_there_is_none() -> None:
    assert silence() == Silence("no container engine answers: there is no docker client", taken=False)
    with pytest.raises(OrdealError, match=r"no container engine answers.*; start Docker, or run `kube-ordeal setup`"):
        engine.require()


@pytest.mark.usefixtures("listening")
def test_a_socket_that_is_held_is_never_taken_over(docker: Docker) -> None:
    assert silence().taken  # without a client
    docker(version=says("Cannot connect to the Docker daemon at unix:///x. Is".replace("/x", str(engine.SOCKET))))
    assert silence().taken
    assert "holds its socket" in silence().why


def test_an_engine_is_chosen_once_and_not_where_it_runs_rootless(docker: Docker) -> None:
    rootless = json.dumps({**INFO, "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]})
    made = docker(info=f"echo '{rootless}'")
    with pytest.raises(OrdealError, match=r"runs rootless.*simulated clusters"):
        engine.chosen()
    made.install(info=f"echo '{json.dumps(INFO)}'")
    assert engine.chosen().client == made.client
    made.install(version="exit 1")
    assert engine.chosen().client == made.client


def test_an_engine_of_another_machine_is_known(docker: Docker) -> None:
    machine = os.uname()
    here = json.dumps({**INFO, "Name": machine.nodename, "KernelVersion": machine.release})
    made = docker()
    assert not engine.runs_here()
    engine.runs_here.cache_clear()
    made.install(info=f"echo '{here}'")
    assert engine.runs_here()


@pytest.mark.parametrize(
    ("root", "here", "ours"),
    [("engine", True, True), ("engine/1000.1000", True, True), ("theirs", True, False), ("engine", False, False)],
)
def test_ours_is_the_one_on_our_data_of_this_machine(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, here: bool, ours: bool
) -> None:
    """And not each that answers while ours runs."""
    machine = os.uname()
    monkeypatch.setattr(engine, "DATA_ROOT", tmp_path / "engine")
    of_this_machine = {"Name": machine.nodename, "KernelVersion": machine.release} if here else {}
    made = docker(info=f"echo '{json.dumps({**INFO, **of_this_machine, 'DockerRootDir': str(tmp_path / root)})}'")
    assert not engine.require().ours
    us = os.getpid()
    record.change(lambda _: MachineRecord(pid=us, started=record.start_ticks(us) or 0, boot=record.boot()))
    assert [engine.require().ours for _ in range(3)] == [ours] * 3
    calls = (made.folder / "calls").read_text().splitlines()
    assert len([each for each in calls if each.startswith("info")]) == 1


def test_an_engine_that_does_not_say_whose_it_is_is_none_to_use(docker: Docker) -> None:
    docker(info=says("it hangs"))
    us = os.getpid()
    record.change(lambda _: MachineRecord(pid=us, started=record.start_ticks(us) or 0, boot=record.boot()))
    said = silence()
    assert said.taken
    assert "does not say whether it is the one started here" in said.why


def test_what_an_engine_says_of_itself_is_read(docker: Docker) -> None:
    said = {
        **INFO,
        "SecurityOptions": ["name=userns", "name=selinux"],
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "DockerRootDir": "/srv/docker",
    }
    docker(info=f"echo '{json.dumps(said)}'")
    about = engine.info(engine.require())
    assert (about.remapped, about.selinux, about.containerd_store, about.rootless) == (True, True, True, False)
    assert about.data_root == "/srv/docker"


def test_a_build_needs_no_file_that_the_client_sees_and_no_umask(docker: Docker, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        context, recipe = tmp_path / "context", tmp_path / "recipes" / "x.Containerfile"
        for folder in (context / "programs", recipe.parent):
            folder.mkdir(parents=True)
        recipe.write_text("FROM scratch\n")
        (context / "programs" / "run").write_text("#!/bin/sh\n")
        (context / "programs" / "run").chmod(0o700)
        (context / "conf").write_text("x")
        made = docker(build=f"cat >{tmp_path}/context.tar", buildx="exit 1")
        engine.require().build("a:1", recipe, context, BASE="b:1")
    finally:
        os.umask(before)
    assert f"build --quiet --network=none --tag a:1 --file {recipe.name} --build-arg=BASE=b:1 -" in made.calls
    with tarfile.open(tmp_path / "context.tar") as sent:
        modes = {each.name.removeprefix("./"): each.mode & 0o777 for each in sent.getmembers()}
        assert {each.uid for each in sent.getmembers()} == {0}
    assert modes == {".": 0o755, "programs": 0o755, "programs/run": 0o755, "conf": 0o644, recipe.name: 0o644}


def test_an_archive_is_handed_over_by_a_pipe(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_text("all of it")
    docker(**{"import": f"cat >{tmp_path}/got"})
    Engine(engine.require().client, "27", ours=False).load_archive(tmp_path / "root.tar", "a:1")
    assert (tmp_path / "got").read_text() == "all of it"
