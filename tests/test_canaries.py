"""A secret is planted wherever one can be, and all that a run writes is searched for it."""

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient
from rich.console import Console

from chaos.basics.scrub import REMOVED
from chaos.basics.waiting import eventually
from chaos.cli import output
from chaos.clusters.base import ClusterRef
from chaos.clusters.shape import Shape
from chaos.clusters.way.client import Access, unanswered
from chaos.conformance.outcome import Reason, SpecOutcome, State
from chaos.conformance.podlogs import PodLogs
from chaos.conformance.rows import row
from chaos.errors import OrdealError
from chaos.exports.receivers import Receiver
from chaos.hosts import extras
from chaos.hosts.command import CommandError, Output
from chaos.judge import base, load_all
from chaos.judge.base import Finding, Invariant, Judgement, Recipe, Verdict, judge, violated
from chaos.judge.catalogue import find
from chaos.record import evidence, objects
from chaos.record.evidence import Piece
from chaos.record.history import History
from chaos.record.journal import Journal
from chaos.record.recorder import Recorder
from chaos.record.records import Blind, FaultStep, Observation, Phase, Probe, SpecRun, Writes
from chaos.report import product
from chaos.report.bundle import pack
from chaos.report.close import close
from chaos.report.verify import verify
from chaos.results.results import Results
from chaos.results.saved import LeftOut, SavedRun, load
from chaos.run.promised import beginning
from chaos.run.verdict import outcome_of
from chaos.session.telling import made_visible
from chaos.setup import steps
from tests.canaries import CANARY, SAYINGS, found_in
from tests.exports.listening import receiver
from tests.fake_apiserver import FakeApiServer

SAID = "\n".join(SAYINGS)
OURS = "ordeal-web-1a2b3c"
PROXY = f"http://user:{CANARY}@proxy.invalid:3128"


def tells_what_it_saw(name: str) -> Invariant:
    """A promise that is broken by what it finds, and says it word for word."""

    def check(history: History) -> Judgement:
        seen = [o for o in history.of(Observation) if o.name == name]
        return violated(f"it saw {seen[0].seen}", seen, reason="seen", last=seen[-1].seen)

    return Invariant("tells-what-it-saw", check)


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch) -> Invariant:
    """That promise, which only this test has, of what was `said`."""
    load_all()
    monkeypatch.setattr(base, "_PROMISES", dict(base._PROMISES))
    return base.promise(tells_what_it_saw)("said")


class Cluster:
    """One whose API is a fake server, and whose node answers every command with secrets."""

    ref = ClusterRef("existing", "theirs", "/kubeconfig", "")
    shape = Shape()
    kubernetes = "1.34.4"

    def __init__(self, client: Callable[[], ApiClient]) -> None:
        self.api = client

    def facts(self) -> dict[str, str]:
        return {"flags": f"--etcd-password={CANARY}", "proxy": PROXY}

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        if argv[0] == "pidof":
            return Output(0, "77\n", "")
        if argv[0] == "dmesg":
            return Output(0, f"Command line: x={CANARY}\nOut of memory: Killed process 1 (a), password={CANARY}\n", "")
        if argv[0] == "sh" and "pods" in argv[-1]:
            raise CommandError(["docker", "exec", node, "curl", "--proxy", PROXY], "exit code 1", SAID)
        return Output(0, "S" if "stat" in argv[-1] else SAID, "")


def plant(server: FakeApiServer) -> None:
    """Into every object of ours, of the system's and of somebody else's."""
    words = [f"--a={CANARY}", CANARY]
    container = {"name": "c", "env": [{"name": "A", "value": CANARY}], "args": words, "command": ["sh", *words]}
    metadata = {"annotations": {"a/b": CANARY, objects.LAST_APPLIED: CANARY}, "managedFields": [{"manager": CANARY}]}
    server.objects["namespaces"] = {}
    for resource in ("leases", "persistentvolumes", "persistentvolumeclaims", "volumeattachments", "namespaces"):
        server.objects.setdefault(resource, {})
        server.log.setdefault(resource, [])
    for namespace in (OURS, "kube-system", "payroll"):
        server.put("namespaces", namespace, metadata={"annotations": metadata["annotations"]})
        about = {**metadata, "namespace": namespace}
        spec = {"containers": [container], "initContainers": [container], "nodeName": "n1"}
        status = {"phase": "Running", "message": SAID}
        server.put("pods", f"pod-{namespace}", metadata=about, spec=spec, status=status)
        regarding = {"kind": "Pod", "namespace": namespace, "name": f"pod-{namespace}"}
        server.put(
            "events", f"event-{namespace}", metadata=about, involvedObject=regarding, message=SAID, reason="Said"
        )
        server.put("leases", f"lease-{namespace}", metadata=about, spec={"holderIdentity": f"token={CANARY}"})
        server.put("persistentvolumeclaims", f"claim-{namespace}", metadata=about, spec={})
    server.put("pods", f"only-theirs-{CANARY}", metadata={"namespace": "payroll"}, spec=spec, status=status)
    server.put("nodes", "n1", metadata=metadata, status={"images": [{"names": [CANARY]}]})
    volume = {"csi": {"volumeAttributes": {"user": CANARY}}}
    server.put("persistentvolumes", "pv", metadata=metadata, spec=volume)
    server.put("volumeattachments", "va", metadata=metadata, status={"attachmentMetadata": {"a": CANARY}})
    server.texts |= {
        evidence.GOROUTINES.format(node="n1").partition("?")[0]: f"goroutine 1 [running]:\nmain.f({SAID})\n",
        evidence.METRICS.format(node="n1"): f"# {SAID}\n",
    }


def secret_kubeconfig(server: FakeApiServer, folder: Path) -> Path:
    """The server's, with a token, a password and a proxy, each of them secret."""
    config = json.loads(json.dumps(server.config))
    config["clusters"][0]["cluster"]["proxy-url"] = PROXY
    config["users"][0]["user"] = {"token": CANARY, "username": "me", "password": CANARY}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def test_nothing_that_a_run_writes_has_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], telling: Invariant
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, PROXY)
    monkeypatch.setattr(evidence, "CONTAINERD_STACKS", "/x/{pid}")
    written = tmp_path / "written"
    results = Results(written / "results", "20260101-000000-abcd", {"kubeconfig": f"token={CANARY}"})
    with FakeApiServer(tmp_path) as server:
        plant(server)
        cluster: Any = Cluster(server.client)
        pieces = evidence.collect(cluster, ("n1",), results.directory / "t" / "evidence")
        history = recorded(server, results.directory / "t" / "history" / "0.jsonl")
        with pytest.raises(OrdealError) as away:
            ask_through_the_proxy(secret_kubeconfig(server, tmp_path))
        specs = spec_of(cluster, results.directory)
    assert [piece.name for piece in pieces if piece.path is None] == ["n1-pods.log"]
    assert (results.directory / "t" / "evidence" / "pods.json").read_text().count('"name":"pod-') == 2

    journal = Journal(written / "journal.jsonl")
    journal.failed(journal.planned("cut", cluster.ref, {}), f"{SAID}; {away.value}")

    lab: Any = SimpleNamespace(
        incident=find("mass-termination"), control=None, findings=[judge(telling, history)],
        not_run_controls={"c": SAID}, cluster_kind="existing",
        stage=SimpleNamespace(used=cluster, image_facts={"image redis": SAID}),
        profile=SimpleNamespace(name="smoke"), duration_s=1.0, replay="", facts={"said": SAID, "password": CANARY},
        tables={"t": [{"said": SAID, "token": CANARY}]}, histories=[history.path], evidence=pieces,
        broken=[Finding("kept", Verdict.VIOLATED, SAID)],
    )  # fmt: skip
    results.begin("t", "mass-termination", cluster="existing", profile="smoke")
    results.add(outcome_of(lab, "t", f"the fault did not land: {SAID}"))
    results.add(outcome_of(lab, "u", ""))
    results.begin("s", "mass-termination", cluster="existing", profile="smoke")
    results.skip("s", f"{away.value}; {SAID}")
    results.leave_out([LeftOut("l", "", SAID)])
    results.add_specs([specs])
    close(results.directory, print)

    capsys.readouterr()
    assert list(found_in(written)) == []
    run = load(written / "results", "20260101-000000-abcd")
    tell_others(run, written)
    assert run.outcomes[0].why.startswith("the fault did not land: password=(removed)")  # it was there to be removed
    for evidence_too in (True, False):
        target = written / f"bundle-{evidence_too}.zip"
        pack(run, target, product.template(), evidence=evidence_too)
        unpack(target, written / target.stem)
    assert list(found_in(written)) == []
    there = [results.directory, *results.directory.rglob("*"), *written.glob("*.zip"), journal.path]
    assert [path for path in there if path.stat().st_mode & 0o077] == []


def test_what_is_judged_again_from_disk_is_what_was_judged(tmp_path: Path, telling: Invariant) -> None:
    results = Results(tmp_path, "20260101-000000-abcd", {})
    path = results.directory / "t" / "history" / "0.jsonl"
    history = History(path, began=0.0, began_wall=0.0)
    history.add(beginning("mass-termination", "", control="", cluster="kind", profile="smoke"))
    for each in SAYINGS:
        history.add(Observation(1.0, "said", "a", each))
    history.close()
    finding = judge(telling, history)
    assert judge(telling, History.load(path)).proof == finding.proof
    assert finding.recipe == Recipe("tells_what_it_saw", {"name": "said"})
    lab: Any = SimpleNamespace(
        incident=find("mass-termination"), control=None, findings=[finding], not_run_controls={},
        stage=SimpleNamespace(used=None, image_facts={}),
        cluster_kind="kind", profile=SimpleNamespace(name="smoke"), duration_s=1.0, replay="", facts={},
        tables={},
        histories=[path], evidence=[Piece("metrics", None, SAID)],
    )  # fmt: skip
    results.add(outcome_of(lab, "t", ""))
    results.end()
    pack(load(tmp_path, str(results.directory)), tmp_path / "bundle.zip", product.template())
    assert verify(tmp_path / "bundle.zip").differs == ()


def recorded(server: FakeApiServer, path: Path) -> History:
    """A history of all records that hold what somebody else says."""
    history = History(path)
    with Recorder(history, server.client, resources=("events",)):
        server.put("events", "new", involvedObject={"kind": "Pod", "name": "x"}, message=SAID)
        eventually(lambda: len(history) > 0, within_s=20, what="the event", every_s=0.02)
    history.add(Observation(1.0, "said", "a", SAID))
    history.add(Probe(1.0, "n1", "web", ok=False, took_s=0.1, error=SAID))
    history.add(FaultStep(1.0, "cut", "not-landed", SAID))
    history.add(Phase(1.0, "hold", SAID))
    history.add(Blind(1.0, "watch:pods", 2.0, SAID))
    history.add(Writes(1.0, "redis", "c", 1, 1, ok=False, took_s=0.1, error=SAID))
    history.add(SpecRun(1.0, "before", "[sig-node] x", "failed", 1.0, message=SAID))
    history.close()
    return history


def ask_through_the_proxy(kubeconfig: Path) -> None:
    client = Access(kubeconfig).client()
    try:
        raise unanswered(client, OSError(f"no route; {PROXY}"))
    finally:
        client.close()  # type: ignore[no-untyped-call]


def spec_of(cluster: Any, folder: Path) -> Any:
    """What a conformance spec and its pods left to read."""
    logs = PodLogs(cluster)
    logs._seen = {"e2e/pod": SAID}
    where = folder / "t" / "conformance" / "x"
    pods = logs.take("", where)
    said = SpecOutcome("x-1", "[sig-node] x", "node", State.FAILED, Reason.FAILED, SAID, 2.0, 1, SAID)
    return row(said, "1.34.4", where, folder, pods, test="t")


def tell_others(run: SavedRun, folder: Path) -> None:
    """What those get who are told of a run, as far as their libraries are installed."""
    if not extras.lacking(extras.METRICS):
        from chaos.exports.metrics import TextFile  # noqa: PLC0415

        assert TextFile(folder / "a.prom").run_ended(run, 1.0) == ""
    if not extras.lacking(extras.OTEL):
        from chaos.exports.traces import Traces  # noqa: PLC0415

        with receiver() as to:
            traces = Traces(Receiver(to.url))
            for each in run.outcomes:
                traces.replay_ended(run, each.test)
            assert traces.run_ended(run, 30.0) == ""
        (folder / "traces").write_bytes(b"".join(asked.body for asked in to.asked))


def unpack(archive: Path, to: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        file.extractall(to)


def test_what_is_said_while_it_goes_on_has_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    for said in SAYINGS:
        for tell in (output.timestamped(), output.aside(), steps._Shown(Console(), None)._line):
            tell(said)
    told = capsys.readouterr()
    assert CANARY not in told.out + told.err
    assert REMOVED in told.out
    assert REMOVED in told.err


def test_what_pytest_shows_of_a_failure_has_no_secret() -> None:
    report: Any = SimpleNamespace(longrepr=SAID, sections=[("Captured stdout call", SAID)])
    made_visible(report)
    assert REMOVED in report.longrepr
    assert CANARY not in f"{report.longrepr}{report.sections}"
