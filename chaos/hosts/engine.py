"""The container engine that answers: which docker client talks to it, and why none can be used where that is so.

This is the one place that chooses. All who run the client, and programs that call `docker` by name, go by an Engine.
"""

import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from chaos.basics.progress import Report, silent
from chaos.errors import OrdealError
from chaos.hosts import record
from chaos.hosts.command import CommandError, Output, pour, run

SOCKET = Path("/var/run/docker.sock")  # where an engine listens that is told nothing else, ours among them
# A data directory of our own: what a user's Docker keeps in /var/lib/docker is neither read nor written.
DATA_ROOT = Path("/var/lib/kube-ordeal/docker")
SLOW_S, ANSWER_TIMEOUT_S = 5.0, 60.0
INFO_TIMEOUT_S = 60.0
BUILD_TIMEOUT_S = 900.0
# What an engine says to a client that speaks another version of its API (moby, api/server/middleware/version.go).
_OTHER_API = re.compile(r"(?:Minimum|Maximum) supported API version is (\d+\.\d+)")
_UNREACHED = re.compile(r"cannot connect|failed to connect|connection refused|no such file or directory", re.IGNORECASE)
_ENDPOINT = re.compile(r" at ((?:unix|tcp|ssh|fd|https?)://[^\s;,]*[^\s;,.])")
_PODMAN = "podman"
# The server's version and the parts it is made of: Podman says there that it is none of Docker's.
_FORMAT = "{{.Server.Version}}|{{range .Server.Components}}{{.Name}} {{end}}"


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine that answered: the client program, the server's version, and whether we started it.

    `api`: the version of the API that this client has to be told, since the engine refuses the client's own; "" where
    they agree by themselves. `answered_s`: how long the answer took, in seconds.
    """

    client: Path
    version: str
    ours: bool
    api: str = ""
    answered_s: float = field(default=0.0, compare=False)

    def argv(self, *arguments: str) -> list[str]:
        """The argument list of the client with these arguments."""
        told = ["env", f"DOCKER_API_VERSION={self.api}"] if self.api else []
        return [*told, str(self.client), *arguments]

    def docker(
        self,
        *arguments: str,
        timeout_s: float = 120.0,
        check: bool = True,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Output:
        """Run the client. Raises CommandError as `run` does."""
        return run(self.argv(*arguments), timeout_s=timeout_s, check=check, stdin=stdin, env=env)

    def build(self, tag: str, recipe: Path, context: Path, *, timeout_s: float = BUILD_TIMEOUT_S, **given: str) -> None:
        """Build an image from a Containerfile with these build arguments, without a network. Raises CommandError.

        The context is handed over by a pipe: a client that is confined (snap's) sees few of this machine's folders.
        Everything in it can be read by everybody in the image, whatever this process's umask is.
        """
        # The client without its buildx plug-in refuses to build unless told to use the engine's own builder.
        plain = self.docker("buildx", "version", check=False).code != 0
        arguments = [f"--build-arg={key}={value}" for key, value in given.items()]
        pour(
            ["tar", "--create", "--numeric-owner", "--owner=0", "--group=0", "--mode=u+w,a+rX",
             f"--directory={context}", ".", f"--directory={recipe.absolute().parent}", recipe.name],
            [self.argv("build", "--quiet", "--network=none", "--tag", tag, "--file", recipe.name, *arguments, "-")],
            timeout_s=timeout_s, env={"DOCKER_BUILDKIT": "0"} if plain else None,
        )  # fmt: skip

    def load_archive(self, archive: Path, tag: str, *, timeout_s: float = BUILD_TIMEOUT_S) -> None:
        """Make an image of a tar archive of a root file system (`docker import`). Raises CommandError."""
        pour(["cat", str(archive)], [self.argv("import", "-", tag)], timeout_s=timeout_s)

    def environment(self) -> dict[str, str]:
        """What a program that calls `docker` by name (kind does) needs to use this client as it is used here."""
        found = {"PATH": f"{self.client.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
        return found | ({"DOCKER_API_VERSION": self.api} if self.api else {})


@dataclass(frozen=True, slots=True)
class Silence:
    """No engine can be used: why, in words without a full stop; `taken`: something is there all the same, so that no
    engine of ours is to be started beside it.
    """

    why: str
    taken: bool


@dataclass(frozen=True, slots=True)
class Info:
    """What an engine says of itself. `here`: it runs on this machine, not on another one or in a virtual machine."""

    data_root: str = ""
    rootless: bool = False
    remapped: bool = False
    selinux: bool = False
    containerd_store: bool = False
    here: bool = True
    id: str = ""  # its own; two engines of one machine may have the same


def ask(report: Report = silent) -> Engine | Silence:
    """The engine that answers now, asked of each docker client there is; else why none can be used.

    An answer is waited for as long as a busy engine may need; that it is slow is reported meanwhile.
    """
    silences = []
    for client in clients():
        answer = _ask(client, report)
        if isinstance(answer, Engine):
            return answer
        silences.append(answer)
    if taken := [each for each in silences if each.taken]:
        return taken[0]
    if _listens(SOCKET):
        said = silences[0].why if silences else "there is no docker client to ask it: install one"
        return Silence(f"Docker holds its socket {SOCKET} and does not answer: {said}", taken=True)
    return silences[0] if silences else Silence("no container engine answers: there is no docker client", taken=False)


def find(report: Report = silent) -> Engine | None:
    """The engine that answers now; None where none can be used."""
    answer = ask(report)
    return answer if isinstance(answer, Engine) else None


def require(report: Report = silent) -> Engine:
    """The engine that answers. Raises OrdealError, with the reason, where none can be used."""
    answer = ask(report)
    if isinstance(answer, Engine):
        return answer
    raise OrdealError(f"{answer.why}." if answer.taken else f"{answer.why}; start Docker, or run `kube-ordeal setup`.")


@cache
def chosen() -> Engine:
    """The engine that the clusters of this process are on: asked once, then taken for granted.

    Raises OrdealError, each time anew, where none can be used, or it can't serve kind's nodes.
    """
    found = require()
    if why := unfit(found, info(found)):
        raise OrdealError(f"{why}.")
    return found


@cache
def runs_here() -> bool:
    """Whether the processes of the chosen engine's containers are on this machine. Raises OrdealError as `chosen`."""
    return info(chosen()).here


def info(engine: Engine) -> Info:
    """Ask the engine what it is. Raises OrdealError where it does not answer any more."""
    said = json.loads(engine.docker("info", "--format", "{{json .}}", timeout_s=INFO_TIMEOUT_S).out)
    if errors := said.get("ServerErrors"):
        raise OrdealError(f"the container engine does not answer any more: {errors[0]}")
    options = {each.partition(",")[0] for each in said.get("SecurityOptions") or ()}
    status = {str(pair[0]): str(pair[1]) for pair in said.get("DriverStatus") or ()}
    machine = os.uname()
    return Info(
        data_root=said.get("DockerRootDir", ""),
        rootless="name=rootless" in options,
        remapped="name=userns" in options,
        selinux="name=selinux" in options,
        containerd_store=status.get("driver-type", "").startswith("io.containerd."),
        here=(said.get("Name"), said.get("KernelVersion")) == (machine.nodename, machine.release),
        id=said.get("ID", ""),
    )


def unfit(engine: Engine, about: Info) -> str:
    """Why kind's nodes can't be had from this engine, in words without a full stop; "" where they can."""
    if about.rootless:
        return (
            f"Docker {engine.version} runs rootless: the networks of its containers are in a namespace of its own, "
            f"which no fault reaches; use a Docker that root runs (`unset DOCKER_HOST`, `docker context use default`), "
            f"or simulated clusters"
        )
    return ""


def clients() -> list[Path]:
    """The docker clients of this machine: those in PATH, and Debian's, which an older engine may get on with better."""
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/bin"]
    found: dict[Path, Path] = {}
    for client in (Path(folder, "docker") for folder in folders if folder):
        if client.is_file() and os.access(client, os.X_OK):
            found.setdefault(client.resolve(), client)
    return list(found.values())


def _ask(client: Path, report: Report, api: str = "") -> Engine | Silence:
    asked = Engine(client, "", ours=False, api=api)
    began = time.monotonic()
    try:
        with _told_when_slow(f"{client} has no answer from the container engine yet, waiting", report):
            said = asked.docker("version", "--format", _FORMAT, timeout_s=ANSWER_TIMEOUT_S, check=False)
    except CommandError as error:
        why = f"{client} has no answer after {ANSWER_TIMEOUT_S:g} s; look at the engine's log, or restart it"
        late = time.monotonic() - began >= ANSWER_TIMEOUT_S
        return Silence(f"Docker holds its socket and does not answer: {why}" if late else str(error), taken=late)
    version, _, parts = said.out.strip().partition("|")
    if said.code == 0 and version and version != "<no value>" and _PODMAN not in parts.lower():
        found = Engine(client, version, ours=False, api=api, answered_s=time.monotonic() - began)
        try:
            return replace(found, ours=_is_ours(found))
        except OrdealError as error:
            return Silence(f"Docker answers, and does not say whether it is the one started here: {error}", taken=True)
    return _silence(client, report, api, parts, said)


def _is_ours(found: Engine) -> bool:
    """Whether it is the engine on record: a client may be told to use another one while that runs.

    Raises OrdealError where the engine does not say.
    """
    known = record.read()
    told = tuple(os.environ.get(name, "") for name in ("DOCKER_HOST", "DOCKER_CONTEXT"))
    return known.runs and _is_on_our_data(found, told, known.started)


@cache
def _is_on_our_data(found: Engine, _told: tuple[str, ...], _started: int) -> bool:
    """Asked once of each engine: an answer takes a while on a busy machine."""
    about = info(found)
    return about.here and Path(about.data_root).resolve().is_relative_to(DATA_ROOT.resolve())


def _silence(client: Path, report: Report, api: str, parts: str, said: Output) -> Engine | Silence:
    """What a refusal means; an engine where the client gets an answer with the API version that the engine names."""
    text = said.err.strip() or said.out.strip()
    words = text.splitlines()[-1].strip() if text else "it said nothing"
    other = _OTHER_API.search(text)
    if other and not api:
        answer = _ask(client, report, other[1])
        if isinstance(answer, Engine):
            return answer
    found = _ENDPOINT.search(text)
    elsewhere = found[1] if found and found[1] not in {f"unix://{SOCKET}", f"unix://{SOCKET.resolve()}"} else ""
    why = ""
    if other:
        why = (
            f"Docker holds its socket and does not answer: {client} says: {words}; put a docker client that fits the "
            f"engine first in PATH"
        )
    elif _PODMAN in f"{text}{parts}".lower() or _is_podman(client):
        why = (
            f"{client} talks to Podman, and kind's nodes need Docker's own engine: install Docker beside it and put "
            f"its client first in PATH, or use simulated clusters"
        )
    elif "permission denied" in text.lower():
        why = (
            f"this user may not talk to Docker ({client}: {words}); add it to the group docker and log in again, or "
            f"run this as root"
        )
    elif elsewhere:
        why = (
            f"docker is told to use {elsewhere} (by DOCKER_HOST, or a docker context), and no engine answers there: "
            f"start it, or `unset DOCKER_HOST` and `docker context use default`"
        )
    if why:
        return Silence(why, taken=True)
    if _UNREACHED.search(text):
        return Silence("no container engine answers", taken=False)
    return Silence(f"no container engine answers: {client} says: {words}", taken=False)


def _is_podman(client: Path) -> bool:
    """Whether the client is Podman under Docker's name, which has no server to speak of."""
    try:
        return _PODMAN in run([str(client), "--version"], timeout_s=ANSWER_TIMEOUT_S, check=False).out.lower()
    except CommandError:
        return False


@contextmanager
def _told_when_slow(what: str, report: Report) -> Iterator[None]:
    timer = threading.Timer(SLOW_S, report, [what])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _listens(path: Path) -> bool:
    """Whether a process takes connections at a socket; one that may not be asked counts too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(SLOW_S)
        try:
            asking.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return False
        except OSError:  # no room in its queue, no permission
            return True
    return True
