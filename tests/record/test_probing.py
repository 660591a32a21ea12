"""Probes from a real prober process against a real server on loopback; only the node's network is the host's own."""

import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import Clock
from chaos.errors import OrdealError
from chaos.record.history import History
from chaos.record.probing import ServiceProbes, _Prober, steady
from chaos.record.records import Blind, Probe, ProcessorWait, waited_by

pytestmark = pytest.mark.timed


class HostNetwork:
    """Nodes that all share the host's network; `namespace` stands for the inode that tells one network from another."""

    def __init__(self) -> None:
        self.namespace = "net:[1]"
        self.off = False
        self.refused = 0  # how often a network was asked for that is off

    def in_network_of(self, node: str, argv: Sequence[str]) -> list[str]:
        if self.off:
            self.refused += 1
            raise OrdealError(f"node {node} is not running")
        return ["echo", self.namespace] if argv[0] == "readlink" else list(argv)

    def addresses(self, node: str) -> tuple[str, ...]:
        return ("127.0.0.1",)


class Server:
    """An HTTP server whose answers can be made bad, slow or none."""

    def __init__(self) -> None:
        self.status = 200
        self.go_on = threading.Event()
        self.go_on.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.go_on.wait(10)
                self.send_response(outer.status)
                self.end_headers()
                self.wfile.write(b"web-1\nsecond line\n")

            def log_message(self, *args: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.go_on.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as made:
        yield made


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a prober may say nothing for seconds; where that is what is tried, the test says so."""
    monkeypatch.setattr("chaos.record.probing.SILENT_AFTER_S", 60.0)


@contextmanager
def probing(
    history: History,
    url: str,
    cluster: HostNetwork | None = None,
    nodes: Sequence[str] = ("worker",),
    timeout_s: float = 10.0,
) -> Iterator[ServiceProbes]:
    with ServiceProbes(
        cluster or HostNetwork(), history, target="web", url=url, nodes=nodes, interval_s=0.05, timeout_s=timeout_s
    ) as probes:
        yield probes


def soon(condition: Callable[[], object], what: str) -> None:
    eventually(condition, within_s=60, what=what, every_s=0.02)


def prober_of(node: str) -> psutil.Process:
    found = [p for p in psutil.Process().children() if f"--node\0{node}" in "\0".join(p.cmdline())]
    assert len(found) == 1
    return found[0]


def test_what_a_prober_itself_waited_for_is_told(server: Server) -> None:
    history = History()
    one = sorted(os.sched_getaffinity(0))[:1]
    busy = subprocess.Popen([sys.executable, "-c", f"import os; os.sched_setaffinity(0, {one})\nwhile True: pass"])
    try:
        with probing(history, server.url):
            prober_of("worker").cpu_affinity(one)
            soon(lambda: len(history.of(ProcessorWait)) > 1, "the prober to wait for a processor")
    finally:
        busy.kill()
        busy.wait()
    waits = history.of(ProcessorWait)
    assert {(each.who, each.uid) for each in waits} == {("worker->web", waited_by("worker", "web"))}
    assert waits[-1].waited_s > waits[0].waited_s


def test_answers_are_recorded_with_node_and_pod(server: Server) -> None:
    history = History()
    before = history.now()
    with probing(history, server.url, nodes=("a", "b")):
        soon(lambda: len(history.of(Probe)) >= 20, "twenty probes")
    probes = history.of(Probe)
    assert {p.node for p in probes} == {"a", "b"}
    assert {(p.ok, p.answered_by, p.error, p.target) for p in probes} == {(True, "web-1", "", "web")}
    assert all(before <= p.at <= p.at + p.took_s <= history.now() for p in probes)
    assert not history.of(Blind)
    assert not psutil.Process().children()


def test_an_outage_shows_as_failed_probes_between_good_ones(server: Server) -> None:
    history = History()
    with probing(history, server.url):
        server.status = 503
        soon(lambda: any(not p.ok for p in history.of(Probe)), "a failed probe")
        server.status = 200
        soon(lambda: history.of(Probe)[-1].ok, "a good probe")
    failed = [p for p in history.of(Probe) if not p.ok]
    assert {p.error for p in failed} == {"HTTP 503"}


def test_a_probe_that_hangs_does_not_delay_the_next(server: Server) -> None:
    history = History()
    with probing(history, server.url, timeout_s=0.4):
        server.go_on.clear()
        soon(lambda: sum("no answer" in p.error for p in history.of(Probe)) >= 4, "probes without an answer")
        server.go_on.set()
    hung = [p for p in history.of(Probe) if "no answer" in p.error]
    assert any(later.at - earlier.at < earlier.took_s for earlier, later in pairwise(hung))


def test_a_refused_connection_is_a_failed_probe(server: Server) -> None:
    server.http.server_close()
    history = History()
    with probing(history, server.url):
        soon(lambda: len(history.of(Probe)) >= 3, "probes")
    assert not any(p.ok for p in history.of(Probe))
    assert all("refused" in p.error or "Connect call failed" in p.error for p in history.of(Probe))


def test_a_service_of_the_users_own_is_asked_for_a_connection_and_nobody_goes_blind_for_ours(server: Server) -> None:
    history = History()
    url = server.url.replace("http://", "tcp://")
    with ServiceProbes(HostNetwork(), history, target="shop/front", url=url, nodes=("worker",), interval_s=0.05):
        soon(lambda: len(history.of(Probe)) >= 2, "two probes")
        prober_of("worker").kill()
        soon(lambda: any(not p.ok for p in history.of(Probe)) or history.of(Blind), "the prober to be there again")
        server.http.shutdown()
        server.http.server_close()
        soon(lambda: any(not p.ok for p in history.of(Probe)), "a refused connection")
    assert all(p.watched for p in history.of(Probe))
    assert history.of(Probe)[0].ok
    assert {blind.source for blind in history.of(Blind)} == {"watched:shop/front from worker"}


def test_a_prober_that_dies_is_blindness_and_is_started_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.record.probing.LOOK_EVERY_S", 0.2)
    history = History()
    with probing(history, server.url):
        prober_of("worker").kill()
        died = history.now()
        soon(lambda: history.of(Blind), "the prober to be there again")
    (blind,) = history.of(Blind)
    assert blind.source == "probe:worker"
    assert blind.at <= died <= blind.until
    assert not blind.complete
    assert "ended" in blind.why
    assert not [p for p in history.of(Probe) if died + 0.5 < p.at < blind.until]
    assert [p for p in history.of(Probe) if p.at >= blind.until]


def test_a_prober_that_stalls_leaves_a_gap_and_makes_nothing_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.record.probing.SILENT_AFTER_S", 0.6)
    history = History()
    with probing(history, server.url):
        soon(lambda: history.of(Probe), "a first probe")
        prober = prober_of("worker")
        prober.suspend()
        stalled = history.now()
        threading.Event().wait(2.0)
        resumed = history.now()  # asked before: on a busy machine it may have probed when this goes on
        prober.resume()
        soon(lambda: any(p.at > resumed + 0.2 for p in history.of(Probe)), "probes to go on")
    probes = history.of(Probe)
    assert not [p for p in probes if stalled + 0.1 < p.at < resumed]
    assert sum(resumed <= p.at <= resumed + 0.2 for p in probes) <= 6, "missed slots were made up for"
    # Among others: on a busy machine what was sent before may be read so late that it looks silent.
    assert any(blind.at <= stalled + 0.1 and blind.until >= resumed for blind in history.of(Blind))


# Hands on what a program says, but not while a file is there: then it keeps it.
KEEPER = """
import os, subprocess, sys, time
child = subprocess.Popen(sys.argv[2:], stdin=0, stdout=subprocess.PIPE)
while data := os.read(child.stdout.fileno(), 65536):
    while os.path.exists(sys.argv[1]):
        time.sleep(0.02)
    os.write(1, data)
"""


class Kept(HostNetwork):
    """The way to the node is cut while the file is there, and what its programs say is kept there."""

    def __init__(self, cut: Path) -> None:
        super().__init__()
        self.cut = cut

    def in_network_of(self, node: str, argv: Sequence[str]) -> list[str]:
        if self.cut.exists():
            return ["false"]
        kept = [sys.executable, "-c", KEEPER, str(self.cut)] if argv[0] == sys.executable else []
        return [*kept, *super().in_network_of(node, argv)]

    def kept_s(self) -> float:
        return 60.0


def test_what_is_read_late_is_no_gap_and_an_outage_meanwhile_is_seen(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"SILENT_AFTER_S": 0.3, "KILL_AFTER_S": 0.5, "LOOK_EVERY_S": 0.2}.items():
        monkeypatch.setattr(f"chaos.record.probing.{name}", value)
    history, cluster = History(), Kept(tmp_path / "cut")
    with probing(history, server.url, cluster):
        cluster.cut.touch()
        began = history.now()
        server.status = 503
        threading.Event().wait(1.2)
        server.status = 200
        ended = history.now()
        cluster.cut.unlink()
        soon(lambda: history.of(Probe)[-1].ok and history.of(Probe)[-1].at > ended, "probes to be answered again")
    meanwhile = [p for p in history.of(Probe) if began + 0.1 < p.at < ended]
    assert {p.ok for p in meanwhile} == {False}
    assert not [each for each in history.of(Blind) if each.until - each.at > 1.0]


def test_a_restarted_node_gets_a_prober_in_its_new_network(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.record.probing.LOOK_EVERY_S", 0.2)
    history, cluster = History(), HostNetwork()
    with probing(history, server.url, cluster):
        first = prober_of("worker").pid
        server.status = 500  # it only looks while nothing is answered
        cluster.namespace = "net:[2]"
        soon(lambda: history.of(Blind), "a prober in the new network")
        assert prober_of("worker").pid != first
    assert "another network namespace" in history.of(Blind)[0].why


def test_a_node_that_stays_off_is_blind_until_the_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.record.probing.LOOK_EVERY_S", 0.2)
    history, cluster = History(), HostNetwork()
    with probing(history, server.url, cluster):
        cluster.off = True
        server.status = 500
        soon(lambda: not psutil.Process().children(), "the prober to be ended")
        soon(lambda: cluster.refused > 1, "another one to be tried in vain")  # by then it knows that it is blind
    (blind,) = history.of(Blind)
    assert "not running" in blind.why
    assert blind.until >= history.of(Probe)[-1].at


def test_a_node_that_is_off_at_the_start_is_one_sentence(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.record.probing.FIRST_PROBE_WITHIN_S", 0.5)
    cluster = HostNetwork()
    cluster.off = True
    with (
        pytest.raises(OrdealError, match="worker: node worker is not running"),
        probing(History(), server.url, cluster),
    ):
        pass


def test_a_killed_parent_leaves_no_prober(server: Server, tmp_path: Path) -> None:
    parent = tmp_path / "parent.py"
    parent.write_text(
        textwrap.dedent(f"""
        import sys, time, psutil
        from chaos.record.history import History
        from chaos.record.probing import ServiceProbes
        from tests.record.test_probing import HostNetwork
        with ServiceProbes(HostNetwork(), History(), target="web", url={server.url!r}, nodes=["a", "b"]):
            print(*[p.pid for p in psutil.Process().children()], flush=True)
            time.sleep(60)
        """)
    )
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, str(parent)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}, text=True
    ) as child:
        assert child.stdout is not None
        pids = [int(pid) for pid in child.stdout.readline().split()]
        assert len(pids) == 2
        assert all(psutil.pid_exists(pid) for pid in pids)
        os.kill(child.pid, signal.SIGKILL)
    soon(lambda: not any(_alive(pid) for pid in pids), "the probers to end")


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_prober_ends_by_itself(server: Server) -> None:
    prober = Path(__file__).parents[2] / "chaos" / "record" / "prober.py"
    argv = [sys.executable, "-I", "-S", str(prober), "--url", server.url, "--for-s", "0.3"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        lines = [json.loads(line) for line in child.stdout]
        assert child.wait(10) == 0
    assert 1 <= len([line for line in lines if not line["canary"]]) <= 3
    assert [line["ok"] for line in lines if line["canary"]] == [False], "nobody listens there"


@pytest.mark.parametrize(
    "wrong", [["--url", "ftp://x/"], ["--url", "tcp:///"], ["--url", "http://127.0.0.1/", "--interval-s", "0"], []]
)
def test_the_prober_refuses_wrong_options(wrong: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chaos.record.prober", *wrong], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_prober_is_light_to_start() -> None:
    """It is started on every node and must not bring the API client or pytest along."""
    heavy = ("kubernetes", "msgspec", "urllib3", "pytest")
    code = f"import chaos.record.prober, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_monotonic_time_is_shared_with_the_prober(server: Server) -> None:
    history = History(began=time.monotonic() - 1000)
    with probing(history, server.url):
        soon(lambda: history.of(Probe), "a probe")
    assert all(999 < p.at < 2000 for p in history.of(Probe))


class OtherMachines(HostNetwork):
    """Nodes whose monotonic clock is behind this machine's by a thousand seconds, as theirs would be that say so."""

    def clock(self, node: str) -> Clock:
        return Clock(-1000.0, 0.001)


def test_times_of_another_machines_clock_are_this_ones_in_the_history(server: Server) -> None:
    history = History()
    with probing(history, server.url, cluster=OtherMachines()):
        soon(lambda: history.of(Probe), "a probe")
    assert all(1000 <= p.at < 2000 for p in history.of(Probe)), "the prober here reads this machine's clock"


def test_steady_is_ten_answers_in_a_row_from_every_node() -> None:
    def probes(node: str, answers: str) -> list[Probe]:
        return [Probe(0.1 * i, node, "web", ok=a == "+", took_s=0.01) for i, a in enumerate(answers)]

    assert steady(History.of_records([*probes("a", "-++++++++++"), *probes("b", "++++++++++")]), ["a", "b"])
    assert not steady(History.of_records([*probes("a", "++++++++++"), *probes("b", "+++++++++-")]), ["a", "b"])
    assert not steady(History.of_records([*probes("a", "++++++++++"), *probes("b", "+++++++++")]), ["a", "b"])
    assert not steady(History.of_records(probes("a", "++++++++++")), ["a", "b"])


class NameServer(socketserver.BaseRequestHandler):
    """Answers each query with one address, or with what `answers` was set to: a response code other than 0."""

    code = 0
    ports: ClassVar[list[int]] = []

    def handle(self) -> None:
        query, connection = self.request
        self.ports.append(self.client_address[1])
        answers = 0 if self.code else 1
        head = query[:2] + bytes([0x81, 0x80 | self.code]) + query[4:6] + answers.to_bytes(2, "big") + b"\0\0\0\0"
        record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x0a\x60\x00\x01" if answers else b""
        connection.sendto(head + query[12:] + record, self.client_address)


class EchoServer(socketserver.StreamRequestHandler):
    """Sends each line back, until it is told to break off."""

    broken = threading.Event()

    def handle(self) -> None:
        while (line := self.rfile.readline()) and not self.broken.is_set():
            self.wfile.write(line)


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def test_dns_is_asked_over_udp() -> None:
    NameServer.code = 0
    history = History()
    with (
        serving(socketserver.ThreadingUDPServer(("127.0.0.1", 0), NameServer)) as port,
        probing(history, f"dns://127.0.0.1:{port}/kubernetes.default.svc.cluster.local"),
    ):
        soon(lambda: len(history.of(Probe)) >= 3, "answers")
        NameServer.code = 3
        soon(lambda: not history.of(Probe)[-1].ok, "a name that is not there")
    probes = history.of(Probe)
    assert {p.answered_by for p in probes if p.ok} == {"10.96.0.1"}
    assert {p.error for p in probes if not p.ok} == {"no address: response code 3, 0 answers"}


def test_all_queries_of_a_flow_come_from_one_port_and_a_refusal_ends_none_of_the_later_ones() -> None:
    NameServer.code, NameServer.ports = 0, []
    history = History()
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
    with probing(history, f"flow://127.0.0.1:{port}/who.answers.test"):
        soon(lambda: any("refused" in p.error for p in history.of(Probe)), "a refusal")
        with serving(socketserver.ThreadingUDPServer(("127.0.0.1", port), NameServer)):
            soon(lambda: sum(p.ok for p in history.of(Probe)) >= 5, "answers")
    assert {p.answered_by for p in history.of(Probe) if p.ok} == {"10.96.0.1"}
    assert len(NameServer.ports) >= 5
    assert len(set(NameServer.ports)) == 1


def test_a_connection_is_kept_and_shows_when_it_was_made_anew() -> None:
    EchoServer.broken.clear()
    history = History()
    with (
        serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), EchoServer)) as port,
        probing(history, f"echo://127.0.0.1:{port}/"),
    ):
        soon(lambda: len(history.of(Probe)) >= 5, "echoes")
        assert {p.ok for p in history.of(Probe)} == {True}
        assert len({p.answered_by for p in history.of(Probe)}) == 1
        EchoServer.broken.set()
        soon(lambda: not history.of(Probe)[-1].ok, "the connection to break")
        EchoServer.broken.clear()
        soon(lambda: history.of(Probe)[-1].ok, "another connection")
    good = [p.answered_by for p in history.of(Probe) if p.ok]
    assert len(set(good)) >= 2
    assert any("ended the connection" in p.error for p in history.of(Probe))


def test_where_a_probe_that_nobody_can_answer_is_told_as_answered_nothing_was_seen(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = _Prober._take

    def answered(self: _Prober, line: bytes) -> None:
        take(self, json.dumps({**json.loads(line), "ok": True, "error": ""}).encode())

    monkeypatch.setattr(_Prober, "_take", answered)
    history = History()
    with probing(history, server.url):
        server.status = 503
        soon(lambda: len(history.of(Probe)) >= 10, "ten probes")
    assert all(p.ok for p in history.of(Probe))
    (blind,) = history.of(Blind)
    assert (blind.source, blind.why) == (
        "probe:worker",
        "a probe of a port at which nobody listens was told as answered",
    )
    assert blind.at == 0.0
    assert blind.until >= max(p.at for p in history.of(Probe))
