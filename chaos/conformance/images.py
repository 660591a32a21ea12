"""The images that upstream's specs run, made here and put onto a cluster's nodes under upstream's own names.

What is in them is built from the same module as e2e.test (agnhost, ...), or is Debian's (Apache, nginx, dig, ...).
manifests/conformance-images/NAME.Containerfile makes the image whose name, without registry, path and tag, is NAME.
Each gets the arguments TOOLS, BUSYBOX and AGNHOST, images to stand on, and in its context the programs that it copies
(PROGRAMS), the files beside it, and those of upstream's module (UPSTREAM).
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from chaos.basics.progress import Report, silent
from chaos.clusters.abilities import LoadsImages
from chaos.clusters.base import Cluster
from chaos.conformance.program import BUNDLE, E2eProgram, ask, find, not_built
from chaos.errors import OrdealError
from chaos.hosts import binaries, image_rootfs, pins, registry, workload_build, workload_images
from chaos.hosts.bundles import plain
from chaos.hosts.command import run
from chaos.hosts.engine import Engine, require
from chaos.hosts.lock import locked
from chaos.hosts.places import cache_dir, manifests_dir
from chaos.hosts.workload_build import REPOSITORY
from chaos.hosts.workload_recipes import ImageRecipe

AGNHOST, BUSYBOX = "agnhost", "busybox"
TOOLS = ImageRecipe(
    "conformance-tools",
    "dig",
    (
        "bind9-dnsutils",
        "curl",
        "netcat-openbsd",
        "iproute2",
        "iperf",
        "apache2",
        "nginx-light",
        "ca-certificates",
        "bash-static",
    ),
    published="",
    version_flag="-v",
)
# Each image's programs, by the bundle that has them (chaos.hosts.bundles); "conformance" is of the specs' version.
PROGRAMS: Mapping[str, tuple[tuple[str, str], ...]] = {
    AGNHOST: ((BUNDLE, "agnhost"),),
    "nonewprivs": ((BUNDLE, "nonewprivs"),),
    "sample-apiserver": ((BUNDLE, "sample-apiserver"),),
    "etcd": (("etcd", "etcd"), ("etcd", "etcdctl")),
    "pause": (("pause", "pause"),),
}
# Files of upstream's module, by image: below test/images.
UPSTREAM: Mapping[str, tuple[str, ...]] = {
    AGNHOST: ("agnhost/porter/localhost.crt", "agnhost/porter/localhost.key"),
    "kitten": ("kitten/html/data.json", "kitten/html/kitten.jpg"),
    "nautilus": ("nautilus/html/data.json", "nautilus/html/nautilus.jpg"),
}
ON_AGNHOST = ("kitten", "nautilus")
LAYOUT = "1"  # raise it when this file puts other things into an image; Containerfiles and programs are digested anyway
LABEL, OF_VERSION = "org.kube-ordeal.conformance", "org.kube-ordeal.conformance.kubernetes"
BUILD_TIMEOUT_S, LIST_TIMEOUT_S = 300.0, 120.0


@dataclass(frozen=True, slots=True)
class SpecImage:
    """An image for specs that was built here: its name as in upstream's, and the Kubernetes version of its programs."""

    name: str
    tag: str
    kubernetes: str
    built_at: datetime
    size_bytes: int


@cache  # each replay asks, and a start of e2e.test takes seconds
def wanted(program: E2eProgram) -> tuple[str, ...]:
    """The images that this e2e.test may ask for, by their whole names. Raises CommandError."""
    said = ask(program.path, "--list-images", timeout_s=LIST_TIMEOUT_S)
    return tuple(sorted({line.strip() for line in said.splitlines() if line.strip()}))


def makes(upstream: Iterable[str]) -> dict[str, str]:
    """Of upstream's images those that can be made here: the whole name, and the one of its Containerfile."""
    known = {path.stem for path in _recipes().glob("*.Containerfile")}
    return {each: name for each in upstream if (name := short(each)) in known and not _needs_a_login(each)}


def short(upstream: str) -> str:
    """`registry/path/agnhost:2.56` as `agnhost`."""
    return upstream.rpartition("/")[2].partition(":")[0].partition("@")[0]


def build(program: E2eProgram, *, report: Report = silent, engine: Engine | None = None) -> dict[str, str]:
    """Every image that can be made for this e2e.test, built unless the engine has it: upstream's name, and our tag.

    Raises OrdealError without an engine, root or room on disk; CommandError where a command fails.
    """
    engine = engine or require()
    return _build(program, makes(wanted(program)), report, engine)


def tags(program: E2eProgram) -> dict[str, str]:
    """Upstream's name and our tag of every image that can be made, whether it is there or not."""
    return {each: _tag(program, name) for each, name in makes(wanted(program)).items()}


def provide(
    cluster: Cluster, program: E2eProgram, *, only: Collection[str] | None = None, report: Report = silent
) -> None:
    """Put the images, or `only` those of these Containerfiles, onto the nodes: upstream's where their digests are known
    (chaos.hosts.registry), else ours, built now where that is needed.

    Nothing is done for a cluster that we can't load images into: its nodes pull them, as e2e.test names them. Raises
    OrdealError and CommandError as `build` does.
    """
    if not isinstance(cluster, LoadsImages):
        return
    names = makes(wanted(program))
    found = _had(program, {each: name for each, name in names.items() if only is None or name in only}, report)
    report(f"putting {len(found)} images for specs onto the nodes")
    cluster.load_images_as(found)


def obstacle(cluster: Cluster, program: E2eProgram, only: Collection[str]) -> str:
    """Why what `provide` would put onto the nodes can't be had here, as far as that can be told beforehand; else ""."""
    why = workload_build.why_not_built(TOOLS) if isinstance(cluster, LoadsImages) else ""
    for each, name in makes(wanted(program)).items() if why else ():
        if name in only and not registry.known(each) and not _there(require(), program, name):
            return f"{registry.not_known(each)}, and an image of our own is not there: {why}"
    return ""


def agnhost(cluster: Cluster, *, report: Report = silent) -> str:
    """The name of upstream's agnhost of the cluster's version, which its nodes have now, or pull: by its digest, where
    that is known, else as e2e.test names it.

    Raises OrdealError where e2e.test of that version is not built, and as `build` does.
    """
    version = plain(cluster.kubernetes)
    program = find(version)
    if program is None:
        raise OrdealError(not_built(version))
    names = {each: name for each, name in makes(wanted(program)).items() if name == AGNHOST}
    upstream = next(iter(names), "")
    if not upstream:
        raise OrdealError(f"e2e.test of Kubernetes {version} names no image {AGNHOST}")
    if not isinstance(cluster, LoadsImages):
        return registry.known(upstream) or upstream
    cluster.load_images_as(_had(program, names, report))
    return upstream


def list_images(engine: Engine | None = None) -> tuple[SpecImage, ...]:
    """Those that were built here, by version and name, of older recipes too. Raises OrdealError without an engine."""
    engine = engine or require()
    said = engine.docker("image", "ls", "--filter", f"label={LABEL}", "--format", "{{.Repository}}:{{.Tag}}")
    tags = [tag for tag in said.out.split() if tag.startswith(f"{REPOSITORY}/")]
    entries = json.loads(engine.docker("image", "inspect", *tags).out) if tags else []
    found = [_of(entry, tag) for entry in entries for tag in entry["RepoTags"] if tag in tags]
    return tuple(sorted(set(found), key=lambda each: (each.kubernetes, each.name, each.tag)))


def remove(version: str, engine: Engine | None = None) -> tuple[SpecImage, ...]:
    """Remove the images of that Kubernetes version; returns what was removed."""
    engine = engine or require()
    gone = tuple(each for each in list_images(engine) if each.kubernetes == version)
    for each in gone:
        engine.docker("image", "rm", each.tag)
    return gone


def _had(program: E2eProgram, names: Mapping[str, str], report: Report) -> dict[str, str]:
    """Of these the engine's names: ours where it is there, upstream's where its digest is known and it can be pulled,
    else ours, built now. `names` as `_build` has it.
    """
    engine, found = require(), {}
    for each, name in names.items():
        image = "" if _there(engine, program, name) else registry.known(each)
        if image and (registry.is_on_engine(engine, image) or registry.ask(engine, image).there):
            registry.bring(engine, image, report)
            found[each] = registry.tagged(engine, image)
    ours = {each: name for each, name in names.items() if each not in found}
    return found | _build(program, ours, report, engine)


def _build(program: E2eProgram, names: Mapping[str, str], report: Report, engine: Engine) -> dict[str, str]:
    """`names`: upstream's name, and the one of its Containerfile."""
    lacking = sorted({name for name in names.values() if not _there(engine, program, name)})
    if lacking:
        with locked(_home() / ".lock", lambda: report("another run is building images for specs, waiting")):
            arguments = {
                "TOOLS": workload_images.make(TOOLS, report=report, engine=engine).tag,
                "BUSYBOX": _busybox(engine, report),
                "AGNHOST": _tag(program, AGNHOST),  # the first in the order
            }
            for name in lacking:
                if not _there(engine, program, name):
                    report(f"building the image {name} of Kubernetes {program.version}")
                    _make(engine, program, name, arguments)
    return {each: _tag(program, name) for each, name in names.items()}


def _make(engine: Engine, program: E2eProgram, name: str, arguments: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix=".building-", dir=_home(), ignore_cleanup_errors=True) as work:
        context = Path(work) / "context"
        context.mkdir()
        for source in _programs(program, name):
            shutil.copy(source, context)  # with its mode
        for beside in sorted(_recipes().glob(f"{name}.*")):
            if beside.suffix != ".Containerfile":
                shutil.copy(beside, context)
        for path in UPSTREAM.get(name, ()):
            source = pins.module_directory(BUNDLE, program.version, "k8s.io/kubernetes") / "test" / "images" / path
            shutil.copyfile(source, context / source.name)
            (context / source.name).chmod(0o644)
        recipe = Path(work) / "Containerfile"
        text = (_recipes() / f"{name}.Containerfile").read_text()
        recipe.write_text(f"{text}LABEL {LABEL}={name} {OF_VERSION}={program.version}\n")
        engine.build(_tag(program, name), recipe, context, timeout_s=BUILD_TIMEOUT_S, **arguments)


def _busybox(engine: Engine, report: Report) -> str:
    """busybox with nothing beside, as the node image has it."""
    folder = image_rootfs.busybox(report)
    tag = f"{REPOSITORY}/conformance-{BUSYBOX}-base:{folder.parent.name}"
    if not registry.is_on_engine(engine, tag):
        with tempfile.TemporaryDirectory(dir=_home()) as work:
            archive = Path(work) / "busybox.tar"
            owner = ["--numeric-owner", "--owner=0", "--group=0", "--mode=a+rX"]
            run(["tar", *owner, "-C", str(folder), "-cf", str(archive), "."])
            engine.load_archive(archive, tag)
    return tag


def _there(engine: Engine, program: E2eProgram, name: str) -> bool:
    return registry.is_on_engine(engine, _tag(program, name))


def _programs(program: E2eProgram, name: str) -> list[Path]:
    return [
        (binaries.build(bundle, program.version) if bundle == BUNDLE else binaries.build(bundle)).path(each)
        for bundle, each in PROGRAMS.get(name, ())
    ]


def _tag(program: E2eProgram, name: str) -> str:
    digest = hashlib.sha256(f"{LAYOUT} {program.version} {TOOLS.described} {name}".encode())
    for path in sorted(_recipes().glob(f"{name}.*")):
        digest.update(b"\0" + path.read_bytes())
    if name in ON_AGNHOST:
        digest.update(f"\0{_tag(program, AGNHOST)}".encode())
    for bundle, _ in PROGRAMS.get(name, ()):
        version = program.version if bundle == BUNDLE else None
        digest.update(f"\0{bundle} {pins.module_files(bundle, version)[1]}".encode())
    return f"{REPOSITORY}/conformance-{name}:{digest.hexdigest()[:12]}"


def _of(entry: Mapping[str, object], tag: str) -> SpecImage:
    config = entry["Config"]
    assert isinstance(config, dict)
    labels = config["Labels"]
    return SpecImage(
        labels[LABEL],
        tag,
        labels[OF_VERSION],
        datetime.fromisoformat(str(entry["Created"])),
        int(str(entry["Size"])),
    )


def _needs_a_login(upstream: str) -> bool:
    """Images that only who is logged in may pull: a spec that gets them without has found a fault."""
    return "authenticated" in upstream or upstream.startswith("invalid")


def _recipes() -> Path:
    return manifests_dir() / "conformance-images"


def _home() -> Path:
    home = cache_dir() / "conformance"
    home.mkdir(parents=True, exist_ok=True)
    return home
