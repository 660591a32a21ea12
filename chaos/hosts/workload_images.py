"""Images of the servers that workloads run: which there are, which is taken, and how it comes to be there.

Where a published image is known by its digest (chaos.hosts.registry) and a registry has it, that is the default, and
nothing is built. Else our own is built here (chaos.hosts.workload_build).
"""

import json
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from chaos.basics.progress import Report, silent
from chaos.errors import OrdealError
from chaos.hosts import apparmor, registry
from chaos.hosts.engine import Engine, require
from chaos.hosts.go import goarch
from chaos.hosts.lock import locked
from chaos.hosts.workload_build import (
    LABEL,
    REPOSITORY,
    build_image,
    home,
    make_base,
    sweep,
    tag_of,
    try_server,
    why_not_built,
)
from chaos.hosts.workload_recipes import ImageRecipe, recipe


@dataclass(frozen=True, slots=True)
class WorkloadImage:
    """A workload's image that was built here."""

    name: str
    tag: str
    built_at: datetime
    size_bytes: int


def ensure(name: str, *, report: Report = silent, engine: Engine | None = None) -> WorkloadImage:
    """Our own image of that workload; built now unless the engine has it.

    Raises OrdealError for an unknown name, without an engine, root or room on disk; CommandError where a command fails.
    """
    return make(recipe(name), report=report, engine=engine)


def make(wanted: ImageRecipe, *, report: Report = silent, engine: Engine | None = None) -> WorkloadImage:
    """The image of any recipe, as `ensure` does it for those of RECIPES."""
    engine = engine or require()
    found = _inspect(engine, tag_of(wanted))
    if found is not None:
        return found
    with locked(home() / ".lock", lambda: report("another run is building workload images, waiting")):
        found = _inspect(engine, tag_of(wanted))
        if found is not None:
            return found
        started = time.monotonic()
        sweep(engine)
        base = make_base(report)
        report(f"building {tag_of(wanted)}")
        with tempfile.TemporaryDirectory(prefix=".building-", dir=home(), ignore_cleanup_errors=True) as work:
            try:
                build_image(engine, wanted, base, Path(work), report)
            finally:
                sweep(engine, folders=False)
        report(f"built the image of {wanted.name} in {time.monotonic() - started:.0f} s")
    found = _inspect(engine, tag_of(wanted))
    if found is None:
        raise OrdealError(f"the engine lost the image {tag_of(wanted)} as soon as it was built; is its disk full?")
    return found


def find(engine: Engine, name: str) -> WorkloadImage | None:
    """Our own image of that workload as its recipe is now; None where the engine has none."""
    return _inspect(engine, tag_of(recipe(name)))


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


def _published(wanted: ImageRecipe) -> str:
    """The published image by its digest; "" where that is not known, or there is none for this architecture."""
    return registry.known(wanted.published) if goarch() in wanted.published_for else ""


def _unknown(wanted: ImageRecipe) -> str:
    """The clause for a published image that is not taken only because its digest is not known; else ""."""
    if not wanted.published or goarch() not in wanted.published_for or registry.known(wanted.published):
        return ""
    return registry.not_known(wanted.published)


@cache
def _offer(engine: Engine, image: str) -> registry.Offer:
    """Asked once by a process: a registry that hangs takes a minute, and each replay that runs the image asks."""
    return registry.ask(engine, image)


def _pull(engine: Engine, wanted: ImageRecipe, image: str, report: Report) -> None:
    registry.bring(engine, image, report, otherwise=f"leave {wanted.option} out")
    try_server(engine, wanted, image)


def _inspect(engine: Engine, tag: str) -> WorkloadImage | None:
    said = engine.docker("image", "inspect", tag, check=False)
    if said.code != 0:
        return None
    (entry,) = json.loads(said.out)
    name = (entry["Config"]["Labels"] or {}).get(LABEL)
    if name is None:
        return None
    return WorkloadImage(name, tag, datetime.fromisoformat(entry["Created"]), int(entry["Size"]))
