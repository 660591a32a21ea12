"""Which specs an e2e.test has, and in which order it keeps them; read once for each program, then from the cache.

The process is started with a focus that nothing matches and handed one number after the other: it reports the spec of
each as skipped. That needs no cluster, and gives each spec's number, which Ginkgo's order makes the same for a seed.
"""

import hashlib
import os
import queue
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import msgspec

from chaos.basics.files import place
from chaos.basics.progress import Report as Say
from chaos.basics.progress import silent
from chaos.basics.untrusted import LISTING, json_file
from chaos.conformance.ginkgo import SPEC, Asked, Host, Report
from chaos.conformance.program import E2eProgram
from chaos.conformance.spec import Spec, id_of, spec
from chaos.errors import OrdealError
from chaos.hosts.lock import locked
from chaos.hosts.places import cache_dir

SEED = 1
LAYOUT = 1  # raise it when this file writes something else
TIMEOUT_S = 600.0
_LOOK_S = 0.2
_NOTHING = "^nothing has this name$"


class NumberedSpec(msgspec.Struct, frozen=True):
    """A spec, and its number. Several specs have one number where upstream keeps them together, in that order."""

    text: str
    labels: tuple[str, ...]
    number: int
    serial: bool


class Listing(msgspec.Struct, frozen=True, dict=True):
    """All specs of an e2e.test, in its own order: those that may run side by side, then the serial ones."""

    version: str
    listed: tuple[NumberedSpec, ...]

    @cached_property
    def specs(self) -> tuple[Spec, ...]:
        """The specs, in that order. Of several with the same full name, which nobody can tell apart, the first."""
        return tuple(spec(each.text, each.labels) for each in self._places.values())

    @cached_property
    def by_id(self) -> dict[str, Spec]:
        """Each spec by its id."""
        return {each.id: each for each in self.specs}

    @cached_property
    def by_text(self) -> dict[str, Spec]:
        """Each spec by its full name."""
        return {each.text: each for each in self.specs}

    @cached_property
    def _places(self) -> dict[str, NumberedSpec]:
        places: dict[str, NumberedSpec] = {}
        for each in self.listed:
            places.setdefault(each.text, each)
        return places

    def place(self, of: Spec) -> NumberedSpec:
        """Where e2e.test has it. Raises OrdealError where it has no such spec."""
        try:
            return self._places[of.text]
        except KeyError:
            raise OrdealError(f"e2e.test of Kubernetes {self.version} has no spec {of.text!r}") from None

    def serial(self, of: Spec) -> bool:
        """Whether it runs alone, after all others: what Ginkgo says, which need not be the label."""
        return self.place(of).serial

    def group(self, of: Spec) -> tuple[Spec, ...]:
        """The spec, and those that upstream runs together with it."""
        place = self.place(of)
        if place.serial:
            return (of,)
        together = (at for at in self._places.values() if at.number == place.number and not at.serial)
        return tuple(self.by_text[at.text] for at in together)

    def in_order(self, some: Iterable[Spec]) -> tuple[Spec, ...]:
        """Those specs, once each: the ones that may run side by side as they are given, then the serial ones in
        e2e.test's own order.
        """
        given = tuple(dict.fromkeys(some))
        wanted = {s.text for s in given if self.serial(s)}
        return (
            *(s for s in given if s.text not in wanted),
            *(each for each in self.specs if each.text in wanted),
        )


def listing(program: E2eProgram, *, report: Say = silent) -> Listing:
    """The specs of an e2e.test. Raises OrdealError where it can't be asked, or has no spec."""
    path = _path(program)
    if (known := _read(path)) is not None:
        return known
    with locked(path.parent / ".lock", lambda: report("another run is listing specs, waiting")):
        if (known := _read(path)) is not None:
            return known
        report(f"listing the specs of e2e.test {program.version} (once)")
        made = Listing(program.version, tuple(_ask(program)))
        if not made.listed:
            raise OrdealError(f"{program.path} has no spec; is it an e2e.test?")
        _check_ids(made)
        place(path, msgspec.json.encode(made))
    return made


def arguments(host: Host, focus: Iterable[str]) -> list[str]:
    """The arguments by which an e2e.test becomes a process of that host, with the order of the listing."""
    return [
        "-test.timeout=0",
        "--ginkgo.timeout=240h",
        f"--ginkgo.seed={SEED}",
        "--ginkgo.no-color",
        "--ginkgo.parallel.process=1",
        "--ginkgo.parallel.total=2",  # with one, Ginkgo would ask nobody; the second never comes
        f"--ginkgo.parallel.host={host.url}",
        "--ginkgo.output-interceptor-mode=none",  # a crash's last words go to the process's own output
        *(f"--ginkgo.focus={each}" for each in focus),
    ]


def environment(temporary: Path) -> dict[str, str]:
    """What the process inherits. `temporary`: a folder for what each e2e.test makes when it starts, and leaves."""
    return {**os.environ, "GINKGO_PARALLEL_PROTOCOL": "HTTP", "TMPDIR": str(temporary)}


def _ask(program: E2eProgram) -> list[NumberedSpec]:
    """Hand out every number. After the one that has no specs of its own the serial ones are reported."""
    host = Host()
    batches: list[list[Report]] = []
    with tempfile.TemporaryDirectory() as work, (Path(work) / "output").open("w+") as output:
        process = subprocess.Popen(
            [str(program.path), *arguments(host, [_NOTHING]), "--provider=skeleton"],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=work, env=environment(Path(work)),
        )  # fmt: skip
        try:
            for event in _events(host, process):
                if isinstance(event, Asked):
                    host.answer(len(batches))
                    batches.append([])
                elif event.leaf_node_type == SPEC and batches:
                    batches[-1].append(event)
        finally:
            process.kill()
            process.wait()
            host.close()
        output.seek(0)
        said = output.read()[-2000:].strip()
    if not any(batches) or any(not batch for batch in batches[:-1]):
        raise OrdealError(f"{program.path} can't be asked for its specs; it said: {said or 'nothing'}")
    *side_by_side, serial = batches
    return [
        *(
            NumberedSpec(r.text, r.labels, number, serial=False)
            for number, batch in enumerate(side_by_side)
            for r in batch
        ),
        *(NumberedSpec(r.text, r.labels, number, serial=True) for number, r in enumerate(serial)),
    ]


def _events(host: Host, process: "subprocess.Popen[bytes]") -> Iterator[Asked | Report]:
    """All until the process has ended."""
    until = time.monotonic() + TIMEOUT_S
    while True:
        ended = process.poll() is not None  # looked at first: what it sent before its end is in the queue by then
        try:
            yield host.events.get(timeout=_LOOK_S)
        except queue.Empty:
            if ended:
                return
            if time.monotonic() > until:
                raise OrdealError(f"e2e.test did not list its specs within {TIMEOUT_S:.0f} s") from None


def _check_ids(made: Listing) -> None:
    ids = [id_of(text) for text in dict.fromkeys(each.text for each in made.listed)]
    twice = sorted({each for each in ids if ids.count(each) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise OrdealError(f"two specs of e2e.test {made.version} have the same id: {', '.join(twice[:5])}")


def _path(program: E2eProgram) -> Path:
    at = program.path.stat()
    digest = hashlib.sha256(f"{LAYOUT} {program.path.resolve()} {at.st_size} {at.st_mtime_ns}".encode()).hexdigest()[
        :12
    ]
    folder = cache_dir() / "conformance"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"specs-{program.version}-{digest}.json"


def _read(path: Path) -> Listing | None:
    try:
        return msgspec.convert(json_file(path, LISTING), Listing)
    except (OSError, ValueError):
        return None
