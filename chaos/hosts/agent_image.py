"""The image of the node agent: Debian's Python, the programs that faults use there, and this package as it is here."""

import hashlib
import importlib.metadata
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import chaos
from chaos.basics.progress import Report, silent
from chaos.errors import OrdealError
from chaos.hosts import extras, registry, workload_build, workload_images
from chaos.hosts.command import CommandError, run
from chaos.hosts.engine import Engine, require
from chaos.hosts.go import goarch
from chaos.hosts.lock import locked
from chaos.hosts.places import manifests_dir
from chaos.hosts.workload_recipes import ImageRecipe

NAME = "agent"
TOOLS = ImageRecipe(
    "agent-tools",
    "python3",
    ("python3", "iproute2", "iptables", "nftables", "procps", "util-linux", "tar"),
    published="",
)
# What the agent imports; what these need comes with them.
DISTRIBUTIONS = (
    "cryptography", "durationpy", "kubernetes", "msgspec", "packaging", "pymysql", "pyyaml", "tenacity", "urllib3",
    "websocket-client",
)  # fmt: skip
PYTHON = "3.11"  # Debian bookworm's
PLATFORMS = {
    "amd64": ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux2014_x86_64"),
    "arm64": ("manylinux_2_34_aarch64", "manylinux_2_28_aarch64", "manylinux2014_aarch64"),
}
LAYOUT = "1"  # raise it when this file puts other things into the image; sources and versions are digested anyway
BUILD_TIMEOUT_S = 300.0


def tag() -> str:
    """The tag of the image as it would be built now: of this package's sources, and of what it needs as installed."""
    digest = hashlib.sha256(f"{LAYOUT} {workload_build.tag_of(TOOLS)}".encode())
    for name in sorted(_needed()):
        digest.update(f"\0{name}=={importlib.metadata.version(name)}".encode())
    for path in (_recipe(), *_sources()):
        digest.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes())
    return f"{workload_build.REPOSITORY}/{NAME}:{digest.hexdigest()[:12]}"


def ensure(report: Report = silent, engine: Engine | None = None) -> str:
    """The image's tag; built now unless the engine has it.

    Raises OrdealError without an engine, root or room on disk, or where what is installed here is not; CommandError.
    """
    engine = engine or require()
    wanted = tag()
    if registry.is_on_engine(engine, wanted):
        return wanted
    tools = workload_images.make(TOOLS, report=report, engine=engine)
    with locked(workload_build.home() / ".agent.lock", lambda: report("another run is building the agent, waiting")):
        if registry.is_on_engine(engine, wanted):
            return wanted
        report(f"building {wanted}")
        with tempfile.TemporaryDirectory(prefix=".building-", dir=workload_build.home()) as work:
            context = Path(work) / "context"
            _install(context / "site")
            shutil.copytree(Path(chaos.__path__[0]), context / "chaos", ignore=shutil.ignore_patterns("__pycache__"))
            beside = context / "chaos" / "_beside" / "manifests"
            shutil.copytree(manifests_dir(), beside, dirs_exist_ok=True)
            engine.build(wanted, _recipe(), context, timeout_s=BUILD_TIMEOUT_S, BASE=tools.tag)
    return wanted


def _recipe() -> Path:
    return manifests_dir() / "agent" / "Containerfile"


def _sources() -> Iterator[Path]:
    package = Path(chaos.__path__[0])
    yield from sorted(path for path in package.rglob("*.py") if "_beside" not in path.relative_to(package).parts)


def _needed() -> frozenset[str]:
    """The distributions, and all that they need on a node. Raises OrdealError where one is not installed here."""
    found: set[str] = set()
    asked = [canonicalize_name(each) for each in DISTRIBUTIONS]
    while asked:
        name = asked.pop()
        if name in found:
            continue
        found.add(name)
        try:
            wanted = [Requirement(each) for each in importlib.metadata.requires(name) or ()]
        except importlib.metadata.PackageNotFoundError:
            mend = extras.command(extras.AGENT)
            raise OrdealError(f"the agent needs {name}, which is not installed here: {mend}") from None
        there = {"extra": "", "python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}
        asked += [canonicalize_name(each.name) for each in wanted if each.marker is None or each.marker.evaluate(there)]
    return frozenset(found)


def _install(target: Path) -> None:
    """Fetch the versions that are installed here, as wheels for the image's Python. Raises CommandError."""
    platforms = [f"--platform={each}" for each in PLATFORMS[goarch()]]
    pinned = [f"{name}=={importlib.metadata.version(name)}" for name in sorted(_needed())]
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    argv += ["--no-compile", "--only-binary=:all:", f"--python-version={PYTHON}", *platforms, f"--target={target}"]
    try:
        run([*argv, *pinned], timeout_s=BUILD_TIMEOUT_S)
    except CommandError as error:
        raise OrdealError(f"what the agent needs can't be fetched by pip: {error}") from error
