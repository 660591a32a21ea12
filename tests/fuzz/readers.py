"""A harness for each reader: it takes any bytes, and lets nothing but an OrdealError be raised.

A harness goes on to what is done with a thing that was read: judged, drawn, compared, told. It returns something true
where it came so far. Where a reader takes several files, a NUL divides them. All is written below the given folder.
"""

import collections.abc
import gc
import inspect
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import msgspec

from chaos.basics import scrub, visible
from chaos.clusters.agent import protocol
from chaos.clusters.kind.home import IDENTITY, home_of, made_here
from chaos.clusters.power import ipmi, virsh
from chaos.clusters.simulated import home as simulated_home
from chaos.clusters.simulated import processes as simulated_processes
from chaos.clusters.way import credentials, kubeconfig, podexec
from chaos.conformance import estimate, listing, program
from chaos.errors import OrdealError
from chaos.hosts import binaries, bundles, ownership, record, registry
from chaos.hosts.bundles import plain
from chaos.hosts.mutants import MUTANTS
from chaos.hosts.mutants.build import _read as read_mutant
from chaos.hosts.mutants.build import _target as folder_of_mutant
from chaos.judge import load_all
from chaos.judge.availability import outage_at_most, watched_service_answers
from chaos.judge.base import _PROMISES, Invariant, judge
from chaos.record import journal, stacks
from chaos.record.given import LimitGiven
from chaos.record.history import History
from chaos.record.probing import _Prober
from chaos.report import (
    allowed,
    archive,
    bar,
    brief,
    bundle,
    cncf,
    compare,
    html,
    past_runs,
    product,
    prune,
    signature,
    summary,
    verify,
)
from chaos.report.answer import answer
from chaos.report.page_trends import page_trends
from chaos.report.table import verdict_table
from chaos.report.timeline import timeline
from chaos.results import junit, past_limits, run_history, saved, trend
from chaos.results.past import past_of
from chaos.results.saved import SavedRun
from chaos.run import durations, limits, policy, suites
from chaos.run.policy import Consent, NodeToHarm
from chaos.run.watched import WatchedService
from chaos.subjects.pleg import sampler
from tests.fuzz.outside import nothing_written_outside

ROOT = Path(__file__).parent
TODAY = date(2026, 1, 1)
RUN = "run"  # the folder of the run that is read
HISTORY = "test_x/history/0.jsonl"  # the recording that the results in the corpus name
VERSION = "1.34.4"


def _file(data: bytes, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _run(data: bytes, folder: Path) -> SavedRun:
    """results.json, and behind a NUL the recording that was judged."""
    content, _, recorded = data.partition(b"\0")
    _file(recorded or _RECORDED, folder / RUN / HISTORY)
    return saved.load(folder, str(_file(content, folder / RUN / saved.RESULTS)))


_RECORDED = (
    b'{"at":1.0,"wall":2.0,"source":"run","kind":"phase","object":"judge","data":{"name":"judge","detail":""}}\n'
)


def results(data: bytes, folder: Path) -> object:
    """results.json of anybody's run, what is told of it, and a bundle of it."""
    run = _run(data, folder)
    said = answer(run, run.unreadable())
    brief.markdown(run, said)
    junit.document(run)
    verdict_table(run.outcomes)
    prune.prune(folder, 0, dry_run=True)
    with suppress(OrdealError):  # one in which nothing was replayed, or that goes on
        kept_of_it = past_of(run, datetime(9000, 1, 1, tzinfo=UTC))
        run_history.add(folder / "of-results.sqlite", [kept_of_it], replace=True)
        assert kept_of_it in run_history.load(folder / "of-results.sqlite").runs
    packed = bundle.pack(run, folder / "packed.zip", product.template(), evidence=False)
    for version in cncf.versions(run)[:1]:
        bundles.normal_version(plain(version))
        cncf.submit(run, version, [each.spec for each in run.own_specs], product.template(), folder / "cncf")
    return packed


def past(data: bytes, folder: Path) -> object:
    """A history of runs that anybody has made: shown, drawn, counted, limits taken from it, and one more run added."""
    path = _file(data, folder / "history.sqlite")
    runs = run_history.load(path).runs
    past_runs.runs_table(runs)
    past_runs.figures_table(trend.trends(runs))
    past_runs.verdicts_table(trend.verdicts(runs))
    told = [past_runs.trend_json(each) for each in trend.trends(runs)], [past_runs.run_json(each) for each in runs]
    run = _run((ROOT / "corpus" / "page" / "restored-no-bump").read_bytes(), folder)
    page_trends(run, runs).beside(run.outcomes[0], run.outcomes[0].findings[0])
    run_history.add(path, [past_of(run, datetime(9000, 1, 1, tzinfo=UTC))], replace=True)
    if runs:
        bar.sentences(bar.bar(runs))
        for _, _, at in trend.replayed(runs[:1]):
            basis = past_limits.Basis(at.kubernetes, at.profile, at.cpus)
            past_limits.document(past_limits.limits_from(runs, 99, basis, 1))
    return json.dumps(told, allow_nan=False) if runs else None


def page(data: bytes, folder: Path) -> object:
    """The page of anybody's run."""
    return html.page(_run(data, folder), folder)


def compared(data: bytes, folder: Path) -> object:
    """Two runs of anybody's, divided by a NUL, side by side."""
    base, _, candidate = data.partition(b"\0")
    sides = (("base", base), ("candidate", candidate or base))
    first, second = (_file(content, folder / name / saved.RESULTS).parent for name, content in sides)
    found = compare.compare(compare.load_side(folder, str(first)), compare.load_side(folder, str(second)))
    summary.markdown(found)
    summary.terminal(found)
    return json.dumps(summary.as_json(found), allow_nan=False)


def history(data: bytes, folder: Path) -> object:
    """A recording; then every promise judges it, and it is drawn."""
    read = History.load(_file(data, folder / "history.jsonl"))
    for each in _invariants():
        judge(each, read)
    timeline(read, 60)
    return len(read)


def archived(data: bytes, folder: Path) -> object:
    """The archive that a vendor hands in."""
    return _verified(_file(data, folder / "bundle.zip")).judged


def _verified(path: Path) -> verify.Verified:
    """Without the time limit, whose signal is libFuzzer's own, and without importing all suites each time."""
    with _instead(verify, "replays", _replays):
        return verify._verify(path, None)


_replays = cache(suites.replays)


def claims(data: bytes, folder: Path) -> object:
    """What is in such an archive, whose form is right: its results, its manifest, its recording."""
    content, manifest, recorded, *_ = (*data.split(b"\0", 2), b"", b"")
    inside = {bundle.RESULTS: content, bundle.MANIFEST: manifest or _MANIFEST, HISTORY: recorded or _RECORDED}
    archive.write(folder / "claims.zip", inside)
    return _verified(folder / "claims.zip").judged


_MANIFEST = json.dumps(
    {
        "format": bundle.FORMAT, "tool": "kube-ordeal", "version": "0", "run": "r",
        "created": "2026-01-01T00:00:00.000Z", "chaos_sha256": "", "suites_sha256": "", "files": {},
    }
).encode()  # fmt: skip


def signed(data: bytes, folder: Path) -> object:
    """A signature, and the file of allowed signers, which ssh-keygen reads; what it says of them."""
    by, _, allowed_signers = data.partition(b"\0")
    claimed = _file(b"a bundle", folder / "signed.zip")
    _file(by, signature.beside(claimed))
    return signature.signer(claimed, _file(allowed_signers, folder / "signers"))


def product_facts(data: bytes, folder: Path) -> object:
    """PRODUCT.yaml."""
    return product.read(_file(data, folder / "PRODUCT.yaml"))


def allow_list(data: bytes, folder: Path) -> object:
    """What may be worse, in a comparison."""
    return allowed.load(_file(data, folder / "allowed.yaml"), TODAY).entries


def power_file(data: bytes, folder: Path) -> object:
    """A power driver's file, of either kind."""
    _file(data, folder / "power.yaml")
    with suppress(OrdealError):
        return virsh.virsh("power.yaml", folder)._domain("worker-1")
    return ipmi.ipmi("power.yaml", folder)._bmc("worker-1")


def kube_config(data: bytes, folder: Path) -> object:
    """A kubeconfig, and what its context says."""
    chosen = kubeconfig.read(_file(data, folder / "config")).choose()
    if chosen.user.auth_provider is not None:
        credentials._of_provider(chosen)
    return chosen.text()


def credential(data: bytes, folder: Path) -> object:
    """What a kubeconfig's plugin printed."""
    with suppress(ValueError):  # whose caller makes the sentence
        return credentials._read(data, kubeconfig.Exec(command="x", api_version=kubeconfig.V1))
    return None


def journals(data: bytes, folder: Path) -> object:
    """What a run that was killed has left to undo."""
    return journal.pending(_file(data, folder / "journal" / "run.jsonl").parent)


def took(data: bytes, folder: Path) -> object:
    """How long things took here, specs too; a file that is damaged counts as none."""
    known_here = durations.Durations(durations._read(_file(data, folder / "durations.json")))
    known_here.replay_s("a", "plain", "smoke", "1.34")
    specs_took = estimate.load() if _file(data, estimate._path()) else {}
    estimate.said(sum(specs_took.values()))
    return known_here.own or specs_took


def set_up(data: bytes, folder: Path) -> object:
    """What set-up has changed here."""
    _file(data, record.path())
    return record.read() != record.MachineRecord()


def simulated_cluster(data: bytes, folder: Path) -> object:
    """A simulated cluster's own record."""
    return simulated_home.read_record(_file(data, folder / "cluster" / "cluster.json").parent)


def kind_cluster(data: bytes, folder: Path) -> object:
    """What a kind cluster was when it was made here."""
    _file(data, home_of("a") / IDENTITY)
    return made_here("a").identity


def process(data: bytes, folder: Path) -> object:
    """A process of a simulated cluster; whether it is there."""
    found = simulated_processes.read(_file(data, folder / "process"))
    if found is not None:
        found.state()
    return found


def built(data: bytes, folder: Path) -> object:
    """What was built here, or taken out of an image; what is damaged is made again."""
    bundle_of = bundles.BUNDLES[program.BUNDLE]
    mutant = next(iter(MUTANTS))
    for path in (folder / "built", program.taken(VERSION), folder_of_mutant(mutant, VERSION, "0")):
        for name in (*bundle_of.programs, program.KUBECTL, mutant.component):
            if not (path / name).is_file():
                _file(b"x", path / name).chmod(0o700)
        for name in (binaries.RECORD, program.RECORD):
            _file(data, path / name)
    found = binaries._read(bundle_of, VERSION, folder / "built"), read_mutant(mutant, VERSION, "0")
    return any((*found, program._taken(VERSION)))


def lists(data: bytes, folder: Path) -> object:
    """Lists of a line each: the digests of images, folders to hand back; and the digest beside a program."""
    _file(data, folder / "published-images")
    with _instead(registry, "manifests_dir", lambda: folder), suppress(OrdealError):
        registry.known("registry.example/a:v1")
    _file(data, folder / ".program.sha256")
    binaries._digest_of.__wrapped__(_file(b"", folder / "program"), "")
    return ownership._named_in(folder / "published-images")


def specs(data: bytes, folder: Path) -> object:
    """The specs of an e2e.test, as they were kept; what is damaged is asked for again."""
    listed = listing._read(_file(data, folder / "specs.json"))
    if listed is not None:
        listed.in_order(listed.specs)
    return listed


def prober(data: bytes, folder: Path) -> object:
    """What a prober writes; whose lines are no answers, it is started again, so any error of a kind is fine."""
    recorded = History.of_records(())
    one = _Prober(SimpleNamespace(), recorded, "node", "web", [], missed_s=0.5)
    for line in data.splitlines():
        try:
            one._take(line)
        except (ValueError, RecursionError):
            break
    return len(recorded)


def kubelet(data: bytes, folder: Path) -> object:
    """What a kubelet says: its metrics, its word in its Node's condition, its goroutines; true where it says all."""
    text = data.decode(errors="replace")
    stacks.summary(text)
    try:
        metrics = sampler.parse(text)
    except ValueError:  # whose caller makes a gap of it
        metrics = {}
    return bool(metrics) and sampler.reported_age_s(text) is not None and stacks.parse(text)


def ended(data: bytes, folder: Path) -> object:
    """How a command in a pod ended; -1 is no answer."""
    return podexec.exit_code(data) != -1


def texts(data: bytes, folder: Path) -> object:
    """Text of a cluster: its secrets are taken out, and it is shown. Doing it twice changes nothing."""
    text = data.decode(errors="replace")
    once = scrub.scrub(text)
    assert scrub.scrub(once) == once, "a second time takes out more"
    shown = visible.lines(once)
    assert visible.lines(shown) == shown, "what is visible is not shown as it is"
    return shown != text


def owners_guard(data: bytes, folder: Path) -> object:
    """What the owner of a cluster allows, and a question that comes to it."""
    found = policy.read(data.decode(errors="replace"))
    node = NodeToHarm("w1", {"kube-ordeal/allowed": "true"}, control_plane=False)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    Consent(found).refuses("mass-termination", "cut-off", [node], ["ordeal-web"], harmed=(), of=3, at=at)
    return found


def own_limits(data: bytes, folder: Path) -> object:
    """Limits of the user's own; a recording that begins with them is written, read again, and judged by each."""
    given = limits.read(_file(data, folder / "limits.yaml"), (WatchedService("shop", "front"),))
    kept = folder / "limits.jsonl"
    kept.unlink(missing_ok=True)
    history = History(kept)
    for limit in given:
        history.add(limit)
    history.close()
    again = History.load(kept)
    judge(outage_at_most(2.0), again)
    judge(watched_service_answers("shop/front"), again)
    return again.of(LimitGiven)


def agents_words(data: bytes, folder: Path) -> object:
    """What a run says to an agent, and an agent to a run: whoever has the key may say anything."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.sendall(data[:100_000])
        theirs.shutdown(socket.SHUT_WR)
        try:
            return protocol.receive(ours, protocol.Request | protocol.Answer)
        except (OSError, EOFError, ValueError, msgspec.MsgspecError) as error:
            raise OrdealError(f"no message: {error!r}") from error


READERS: Mapping[str, Callable[[bytes, Path], object]] = {
    "results": results,
    "page": page,
    "run-history": past,
    "compare": compared,
    "history": history,
    "bundle": archived,
    "claims": claims,
    "signature": signed,
    "product": product_facts,
    "allowed": allow_list,
    "power": power_file,
    "kubeconfig": kube_config,
    "credential": credential,
    "journal": journals,
    "durations": took,
    "set-up": set_up,
    "cluster": simulated_cluster,
    "kind": kind_cluster,
    "process": process,
    "built": built,
    "lists": lists,
    "specs": specs,
    "prober": prober,
    "kubelet": kubelet,
    "ended": ended,
    "guard": owners_guard,
    "limits": own_limits,
    "agent": agents_words,
    "text": texts,
}


def fuzz(reader: str, data: bytes, folder: Path) -> bool:
    """Whether it was read to the end. Any other error than an OrdealError is a crash, and so are one without a sentence
    and a file that is changed elsewhere.

    The state and the cache have to be below that folder.
    """
    gc.unfreeze()  # History.load leaves what is there out of the collector's rounds: fuzzing would fill the memory
    try:
        with nothing_written_outside(folder):
            return bool(READERS[reader](data, folder))
    except OrdealError as error:
        if not str(error):
            raise AssertionError("an error without a sentence") from error
        return False


@contextmanager
def _instead(module: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


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
