"""The Redis client against a server that keeps what it acknowledges, and against one that drops writes on purpose."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.basics.waiting import eventually
from chaos.judge.base import Finding, judge
from chaos.judge.data import acknowledged_numbers, no_acknowledged_write_lost, stored
from chaos.record.history import History
from chaos.record.records import Writes
from chaos.record.registry import Record
from chaos.writers.ranges import numbers_in
from chaos.writers.redis import CHUNK_BITS, commands, joined, key, runs

pytestmark = pytest.mark.timed


@dataclass
class Server:
    """A server with the four commands that the client uses. `drop_every`: it acknowledges, and forgets every so-many-th
    write. `replicas`: what WAIT returns. `moved_to`: it owns nothing and says who does. `stop_after`: it says nothing
    any more after so many writes.
    """

    drop_every: int = 0
    replicas: int = 1
    moved_to: str = ""
    error: str = ""
    stop_after: int = 0
    bits: dict[bytes, bytearray] = field(default_factory=dict)
    writes: int = 0

    def start(self) -> "Server":
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.peers: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for peer in self.peers:
            peer.close()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            with peer.makefile("rb") as lines:
                while count := lines.readline():
                    words = []
                    for _ in range(int(count[1:])):
                        size = int(lines.readline()[1:])
                        words.append(lines.read(size + 2)[:size])
                    if self.stop_after and self.writes >= self.stop_after:
                        continue
                    peer.sendall(self._answer(words))
        except OSError:
            return

    def _answer(self, words: list[bytes]) -> bytes:
        if self.error:
            return f"-{self.error}\r\n".encode()
        if self.moved_to:
            return f"-MOVED 7 {self.moved_to}\r\n".encode()
        if words[0] == b"WAIT":
            return b":%d\r\n" % self.replicas
        bits = self.bits.setdefault(words[1], bytearray(CHUNK_BITS // 8))
        if words[0] == b"GET":
            return b"$%d\r\n%s\r\n" % (len(bits), bytes(bits))
        assert words[0] == b"SETBIT"
        offset = int(words[2])
        mask = 0x80 >> offset % 8
        before = bool(bits[offset // 8] & mask)
        self.writes += 1
        if not self.drop_every or self.writes % self.drop_every:
            bits[offset // 8] |= mask
        return b":%d\r\n" % before


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for server in started:
        server.stop()


def settings(*servers: Server, **more: Any) -> dict[str, Any]:
    client = {"name": "c1", "tag": "s1"}
    return {
        "clients": [client],
        "members": [["127.0.0.1", s.port] for s in servers],
        "pipeline": 16,
        "timeout_s": 20.0,
        **more,
    }


def write(wanted: dict[str, Any], enough: int) -> list[Writes]:
    """Let the client write, as its parent would, until it has said so many writes; what it said."""
    child = subprocess.Popen(
        [sys.executable, "-I", "-m", "chaos.writers.redis", "write"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    lines: list[str] = []
    out = child.stdout
    reader = threading.Thread(target=lambda: lines.extend(iter(out.readline, "")))
    reader.start()
    try:
        child.stdin.write(json.dumps(wanted) + "\n")
        child.stdin.flush()
        eventually(
            lambda: sum(len(range(s["first"], s["last"] + 1)) for s in map(json.loads, list(lines))) >= enough,
            within_s=30,
            what=f"{enough} writes",
            every_s=0.02,
        )
    finally:
        child.stdin.close()
        reader.join(20)
        code = child.wait(20)
        errors = child.stderr.read() if child.stderr else ""
        out.close()
        if child.stderr:
            child.stderr.close()
    assert (code, errors) == (0, "")
    said = [json.loads(line) for line in lines]
    return [
        Writes(s["start"], "redis", s["client"], s["first"], s["last"], s["ok"], s["took_s"], s["error"]) for s in said
    ]


def read(wanted: dict[str, Any], highest: int) -> set[int]:
    clients = [{**client, "highest": highest} for client in wanted["clients"]]
    done = subprocess.run(
        [sys.executable, "-I", "-m", "chaos.writers.redis", "ask"],
        input=json.dumps({**wanted, "clients": clients}) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return numbers_in(json.loads(done.stdout)["c1"])


def judged(writes: list[Writes], there: set[int]) -> Finding:
    end = max(w.until for w in writes) + 1.0
    acknowledged = acknowledged_numbers(writes).get("c1", set())
    records: list[Record] = [*writes, stored(end, "redis", "cluster", "c1", acknowledged, there)]
    return judge(no_acknowledged_write_lost("redis", members=("cluster",)), History.of_records(records))


@pytest.mark.parametrize("confirm", [0, 1])
def test_a_server_that_keeps_every_write_has_lost_none(servers: list[Server], confirm: int) -> None:
    servers.append(Server().start())
    wanted = settings(*servers, confirm=confirm, per_s=4000)
    writes = write(wanted, 2000)
    assert all(w.ok for w in writes)
    there = read(wanted, max(w.last for w in writes))
    finding = judged(writes, there)
    assert finding.verdict == "held", finding.sentence
    assert servers[0].writes == finding.figures["acknowledged"] == max(w.last for w in writes) == len(there)


def test_a_server_that_drops_writes_is_told_so_to_the_last_one(servers: list[Server]) -> None:
    servers.append(Server(drop_every=100).start())
    wanted = settings(*servers, per_s=4000)
    writes = write(wanted, 2000)
    total = max(w.last for w in writes)
    finding = judged(writes, read(wanted, total))
    assert (finding.verdict, finding.reason) == ("violated", "lost")
    assert finding.figures["lost"] == total // 100
    assert "100, 200" in finding.sentence


def test_unconfirmed_writes_are_not_acknowledged(servers: list[Server]) -> None:
    servers.append(Server(replicas=0).start())
    writes = write(settings(*servers, confirm=1), 200)
    assert not any(w.ok for w in writes)
    assert {w.error for w in writes} == {"0 of 1 replicas have it"}


def test_it_goes_where_it_is_sent_and_tries_no_write_twice(servers: list[Server]) -> None:
    owner = Server().start()
    servers += [Server(moved_to=f"127.0.0.1:{owner.port}").start(), owner]
    wanted = settings(*servers)
    writes = write(wanted, 1000)
    refused = [w for w in writes if not w.ok]
    assert refused
    assert all(w.error.startswith("MOVED 7 ") for w in refused)
    assert sum(w.count for w in refused) == 16  # one pipeline
    assert judged(writes, read(wanted, max(w.last for w in writes))).verdict == "held"
    assert [w.first for w in writes] == [1, *(w.last + 1 for w in writes[:-1])]


def test_a_server_that_falls_silent_is_left_for_the_next(servers: list[Server]) -> None:
    servers += [Server(stop_after=160).start(), Server().start()]
    writes = write(settings(*servers, timeout_s=0.5), 1000)
    silent = [w for w in writes if not w.ok]
    assert silent[0].error == "no answer within 0.5 s"
    assert silent[0].took_s >= 0.5
    assert any(w.ok for w in writes[writes.index(silent[0]) + 1 :])
    assert servers[1].writes > 0


def test_without_any_server_each_try_is_one_write(servers: list[Server]) -> None:
    servers.append(Server().start())
    wanted = settings(*servers)
    servers.pop().stop()
    writes = write(wanted, 3)
    assert not any(w.ok for w in writes)
    assert all("refused" in w.error.lower() for w in writes)


def test_what_the_server_says_is_why(servers: list[Server]) -> None:
    servers.append(Server(error="CLUSTERDOWN The cluster is down").start())
    assert {w.error for w in write(settings(*servers), 32)} == {"CLUSTERDOWN The cluster is down"}


def test_it_keeps_to_its_pace(servers: list[Server]) -> None:
    servers.append(Server().start())
    writes = write(settings(*servers, per_s=400), 200)
    span_s = writes[-1].until - writes[0].at
    assert sum(w.count for w in writes) <= 400 * span_s + 32  # never faster; how much slower is the machine's affair


def test_a_pipeline_ends_with_its_chunk() -> None:
    said = commands("s1", CHUNK_BITS - 2, CHUNK_BITS - 1)
    assert said.count(b"SETBIT") == 2
    assert key("s1", CHUNK_BITS - 1) == b"{s1}:0"
    assert key("s1", CHUNK_BITS) == b"{s1}:1"
    assert said.endswith(b"$6\r\n{s1}:0\r\n$5\r\n65535\r\n$1\r\n1\r\n")


@given(st.sets(st.integers(0, 400)))
def test_runs_are_the_bits(numbers: set[int]) -> None:
    bits = bytearray(51)
    for n in numbers:
        bits[n // 8] |= 0x80 >> n % 8
    found = runs(bytes(bits))
    assert {n for first, last in found for n in range(first, last + 1)} == numbers
    assert found == joined(found)


def test_runs_across_chunks_are_one() -> None:
    assert joined([(0, 9), (10, 12), (20, 20)]) == [(0, 12), (20, 20)]
