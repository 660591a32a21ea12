"""Image registries, always asked by the engine: it knows the proxy, the mirrors and the logins that a client may not.

An image is pulled only where the engine lacks it. Why one can't be had is told in words. What is not the user's choice
is pulled by the digest that manifests/published-images has, and never by a tag: what a tag means,
a registry or a mirror of it decides.
"""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos.basics.progress import Report, silent
from chaos.basics.untrusted import text_file
from chaos.errors import OrdealError
from chaos.hosts.command import CommandError, pour
from chaos.hosts.engine import Engine
from chaos.hosts.places import manifests_dir

NODE, BUSYBOX = "kindest/node", "busybox:latest"  # what nodes and small workloads are, where that is not built here
KNOWN = "published-images"  # in manifests/
ON_NODES = "localhost/kube-ordeal-published"
ASK_TIMEOUT_S, PULL_TIMEOUT_S, TAKE_TIMEOUT_S = 60.0, 1200.0, 120.0
# The engine says it once it has the image's manifest: the registry has the image, and hands it out.
_BEGUN = "Pulling from"
_KNOWN = re.compile(r"[^\s@]+:[\w.-]+ sha256:[0-9a-f]{64}")
# What engines say, by what it means. The first that is found counts.
_REASONS = (
    ("toomanyrequests|rate limit", "the registry's limit of pulls is used up: log in, or wait", False),
    ("no matching manifest", "the registry has no such image for this machine's architecture", True),
    ("no such manifest|manifest unknown|: not found", "the registry has no such image", True),
    ("unauthorized|denied|authentication required|no basic auth", "the registry has none, or wants a login", True),
    (r"no such host|server misbehaving|name resolution", "the engine can't resolve the registry's name", False),
    (r"timeout|timed out|deadline exceeded|request canceled", "the registry did not answer in time", False),
    ("x509|certificate|tls:", "the engine does not trust the registry's certificate", False),
    ("refused|no route to host|is unreachable|connection reset", "the engine can't reach the registry", False),
    ("no space left on device", "the engine's disk is full", False),
)


@dataclass(frozen=True, slots=True)
class Offer:
    """Whether the engine can pull an image, and where it can't why, in words. `reached`: a registry gave the answer."""

    image: str
    there: bool
    why: str = ""
    reached: bool = True


def ask(engine: Engine, image: str) -> Offer:
    """Whether the engine can pull the image. The pull is broken off as soon as that is known; nothing of it is kept.

    Source: moby, daemon's pull: it reports "Pulling from" when it has the manifest, and ends with its client.
    """
    with subprocess.Popen(
        engine.argv("pull", image),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as pulling:
        late = threading.Event()

        def end() -> None:
            late.set()
            _end(pulling)

        timer = threading.Timer(ASK_TIMEOUT_S, end)
        timer.start()
        assert pulling.stdout is not None
        said = []
        try:
            for line in pulling.stdout:
                said.append(line)
                if _BEGUN in line:
                    return Offer(image, there=True)
            code = pulling.wait()
        finally:
            timer.cancel()
            _end(pulling)
    if late.is_set():
        return Offer(image, there=False, why=f"the registry did not answer within {ASK_TIMEOUT_S:g} s", reached=False)
    return Offer(image, there=True) if code == 0 else _refused(image, "".join(said))


def known(image: str) -> str:
    """The published image by the digest that manifests/published-images has of it; "" where it has none.

    Raises OrdealError where the file is not of that shape.
    """
    path = manifests_dir() / KNOWN
    try:
        lines = [line for line in text_file(path).splitlines() if line and not line.startswith("#")]
    except (OSError, ValueError) as error:
        raise OrdealError(f"{path} can't be read: {error}") from error
    if wrong := next((line for line in lines if not _KNOWN.fullmatch(line)), ""):
        raise OrdealError(f"{path}: {wrong!r} is not `IMAGE:TAG sha256:DIGEST`")
    digest = next((digest for name, digest in map(str.split, lines) if name == image), "")
    return f"{image.rpartition(':')[0]}@{digest}" if digest else ""


def not_known(image: str) -> str:
    """The clause for one that is not taken, since `known` does not have it."""
    return f"{image} is not taken, as its digest is not in manifests/{KNOWN}"


def published_node(version: str) -> str:
    """The published node image of a Kubernetes version by its digest; "" where that is not known, or that of the
    busybox that workloads run on such nodes is not.
    """
    return known(f"{NODE}:v{version}") if known(BUSYBOX) else ""


def busybox() -> str:
    """The published image of small workloads, by its digest. Raises OrdealError where that is not known."""
    if found := known(BUSYBOX):
        return found
    raise OrdealError(f"{not_known(BUSYBOX)}: name an image for small workloads with --ordeal-busybox-image")


def on_nodes(image: str) -> str:
    """The name under which nodes are given an image of the engine: its own, or a tag that holds the digest.

    An archive of images names them by tags alone, and a runtime that imports one counts another digest.
    """
    name, by_digest, digest = image.partition("@")
    if not by_digest:
        return image
    path = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
    return f"{ON_NODES}/{path.replace(':', '-')}:{digest.replace(':', '-')}"


def tagged(engine: Engine, image: str) -> str:
    """The same, once the engine knows the image by that name. Raises CommandError where it lacks the image."""
    name = on_nodes(image)
    if name != image:
        engine.docker("tag", image, name)
    return name


def told(engine: Engine, image: str) -> str:
    """What the engine says that an image is: the digests that a registry gave it, else its own id; "" where there is
    none. `image`: a name or an id.
    """
    asked = ("image", "inspect", "--format", "{{json .RepoDigests}} {{.Id}}", image)
    said = engine.docker(*asked, timeout_s=60, check=False)
    digests, _, its_id = said.out.strip().rpartition(" ")
    return ", ".join(json.loads(digests or "null") or [its_id]) if said.code == 0 else ""


def is_on_engine(engine: Engine, image: str) -> bool:
    """Whether the engine has the image."""
    return engine.docker("image", "inspect", "--format", "{{.Id}}", image, timeout_s=60, check=False).code == 0


def bring(engine: Engine, image: str, report: Report = silent, *, otherwise: str = "") -> None:
    """Pull the image unless the engine has it. Raises OrdealError that says why it can't be had, and how to bring it.

    `otherwise`: what else a user can do, as a clause.
    """
    if is_on_engine(engine, image):
        return
    report(f"pulling {image}")
    try:
        engine.docker("pull", "--quiet", image, timeout_s=PULL_TIMEOUT_S)
    except CommandError as error:
        hint = f", or {otherwise}" if otherwise else ""
        raise OrdealError(
            f"the image {image} is not on this machine and can't be pulled ({_refused(image, error.output).why}); load "
            f"it into the engine with `docker load`{hint}."
        ) from error


def take_out(engine: Engine, image: str, folder: str, names: Sequence[str], target: Path) -> None:
    """Put files of an image's folder into the folder `target`, in their order. Raises CommandError where one lacks."""
    target.parent.mkdir(parents=True, exist_ok=True)
    container = engine.docker("create", image).out.strip()
    try:
        with TemporaryDirectory(prefix=".taking-", dir=target.parent, ignore_cleanup_errors=True) as work:
            for name in names:
                out = engine.argv("cp", f"{container}:{folder}/{name}", "-")
                pour(out, [["tar", f"--directory={work}", "-xf", "-"]], timeout_s=TAKE_TIMEOUT_S)
            target.mkdir(exist_ok=True)
            for name in names:
                (Path(work) / name).replace(target / name)
    finally:
        engine.docker("rm", container, check=False)


def _refused(image: str, said: str) -> Offer:
    for pattern, why, reached in _REASONS:
        if re.search(pattern, said, re.IGNORECASE):
            return Offer(image, there=False, why=why, reached=reached)
    last = said.strip().splitlines()[-1:] or ["it said nothing"]
    return Offer(image, there=False, why=f"the engine says: {last[0].strip()}", reached=False)


def _end(pulling: "subprocess.Popen[str]") -> None:
    """End the client, and what it may have started: the engine ends the pull with it."""
    if pulling.poll() is None:
        os.killpg(pulling.pid, signal.SIGKILL)
