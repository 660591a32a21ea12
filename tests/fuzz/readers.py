"""A harness for each reader: it takes any bytes, and lets nothing but an OrdealError be raised.

A harness goes on to what is done with a thing that was read: judged, drawn, compared, told.
"""

import atexit
import collections.abc
import inspect
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

from chaos import durations, journal
from chaos.clusters import credentials, kubeconfig, simulated_home, simulated_processes
from chaos.conformance import listing
from chaos.errors import OrdealError
from chaos.history import History
from chaos.hosts import record
from chaos.invariants import load_all
from chaos.invariants.base import _PROMISES, Invariant, judge
from chaos.probing import _Prober
from chaos.report import allowed, archive, brief, junit, product, saved, verify
from chaos.report.answer import answer
from chaos.report.bundle import MANIFEST, RESULTS
from chaos.report.table import verdict_table
from chaos.report.timeline import timeline

ROOT = Path(__file__).parent
TODAY = date(2026, 1, 1)


@cache
def _folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="kube-ordeal-fuzz-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _file(data: bytes, name: str) -> Path:
    path = _folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def results(data: bytes) -> None:
    """results.json of anybody's run, and what is told of it."""
    run = saved.load(_folder(), str(_file(data, "run/results.json")))
    run.missing()
    said = answer(run, run.unreadable())
    brief.markdown(run, said)
    junit.document(run)
    verdict_table(run.outcomes)


def history(data: bytes) -> None:
    """A recording; then every promise judges it, and it is drawn."""
    read = History.load(_file(data, "history.jsonl"))
    for each in _invariants():
        judge(each, read)
    timeline(read, 60)


def bundle(data: bytes) -> None:
    """The archive that a vendor hands in."""
    verify.verify(_file(data, "bundle.zip"))


def claims(data: bytes) -> None:
    """What is in such an archive, whose form is right: its results, and its manifest behind the first NUL."""
    content, _, manifest = data.partition(b"\0")
    path = _folder() / "claims.zip"
    archive.write(path, {RESULTS: content, MANIFEST: manifest or _MANIFEST, "test_x/history/0.jsonl": _RECORDED})
    verify.verify(path)


_MANIFEST = json.dumps(
    {
        "format": 1, "tool": "kube-ordeal", "version": "0", "run": "r", "created": "2026-01-01T00:00:00.000Z",
        "chaos_sha256": "", "suites_sha256": "", "files": {},
    }
).encode()  # fmt: skip
_RECORDED = (
    b'{"at":1.0,"wall":2.0,"source":"run","kind":"phase","object":"judge","data":{"name":"judge","detail":""}}\n'
)


def product_facts(data: bytes) -> None:
    """PRODUCT.yaml."""
    product.read(_file(data, "PRODUCT.yaml"))


def allow_list(data: bytes) -> None:
    """What may be worse, in a comparison."""
    allowed.load(_file(data, "allowed.yaml"), TODAY)


def kube_config(data: bytes) -> None:
    """A kubeconfig, and what its context says."""
    kubeconfig.read(_file(data, "config")).choose().text()


def credential(data: bytes) -> None:
    """What a kubeconfig's plugin printed."""
    with suppress(ValueError):  # whose caller makes the sentence
        credentials._read(data, kubeconfig.Exec(command="x", api_version=kubeconfig.V1))


def journals(data: bytes) -> None:
    """What a run that was killed has left to undo."""
    journal.pending(_file(data, "journal/run.jsonl").parent)


def took(data: bytes) -> None:
    """How long things took here; one that is damaged counts as none."""
    known = durations.Durations(durations._read(_file(data, "durations.json")))
    known.replay_s("a", "plain", "smoke", "1.34")


def set_up(data: bytes) -> None:
    """What set-up has changed here."""
    path = _file(data, "engine.json")
    before, record.path = record.path, lambda: path
    try:
        record.read()
    finally:
        record.path = before


def cluster(data: bytes) -> None:
    """A simulated cluster's own record."""
    simulated_home.read_record(_file(data, "cluster/cluster.json").parent)


def process(data: bytes) -> None:
    """A process of a simulated cluster; whether it is there."""
    found = simulated_processes.read(_file(data, "process"))
    if found is not None:
        found.state()


def specs(data: bytes) -> None:
    """The specs of an e2e.test, as they were kept; what is damaged is asked for again."""
    known = listing._read(_file(data, "specs.json"))
    if known is not None:
        known.in_order(known.specs)


def prober(data: bytes) -> None:
    """What a prober writes; whose lines are no answers, it is started again, so any error of a kind is fine."""
    recorded = History.of_records(())
    one = _Prober(SimpleNamespace(), recorded, "node", "web", [])  # type: ignore[arg-type]
    for line in data.splitlines():
        try:
            one._take(line)
        except (ValueError, RecursionError):
            return


READERS: Mapping[str, Callable[[bytes], None]] = {
    "results": results,
    "history": history,
    "bundle": bundle,
    "claims": claims,
    "product": product_facts,
    "allowed": allow_list,
    "kubeconfig": kube_config,
    "credential": credential,
    "journal": journals,
    "durations": took,
    "set-up": set_up,
    "cluster": cluster,
    "process": process,
    "specs": specs,
    "prober": prober,
}


def fuzz(reader: str, data: bytes) -> None:
    """Any other error than an OrdealError is a crash, and so is one of more than a line."""
    try:
        READERS[reader](data)
    except OrdealError as error:
        if not str(error):
            raise AssertionError("an error without a sentence") from error


def kept(reader: str) -> list[Path]:
    """The inputs that are kept: the corpus, and all that ever crashed the reader."""
    return sorted(path for where in ("corpus", "found") for path in (ROOT / where / reader).glob("*"))


@cache
def _invariants() -> tuple[Invariant, ...]:
    """One of each promise, with some arguments that fit its types."""
    load_all()
    return tuple(made for make in _PROMISES.values() if (made := _made(make)) is not None)


def _made(make: Callable[..., Invariant]) -> Invariant | None:
    hints = get_type_hints(make)
    given = {
        name: _some(hints[name], name)
        for name, parameter in inspect.signature(make).parameters.items()
        if parameter.default is inspect.Parameter.empty
    }
    try:
        return make(**given)
    except (OrdealError, ValueError, TypeError, AttributeError):
        return None


def _some(hint: Any, name: str) -> object:
    texts = {"store": "mysql", "workload": "web", "fault": "cut", "member": "mysql-0"}
    if hint in {int, float}:
        return 10
    if hint is str:
        return texts.get(name, "a")
    return ["mysql-0", "a"] if getattr(hint, "__origin__", None) in {collections.abc.Sequence, tuple, list} else None
