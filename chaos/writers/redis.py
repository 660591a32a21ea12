"""A Redis cluster client as a process of its own: it writes numbered bits in pipelines, or reads back which are there.

`python -m chaos.writers.redis write|ask`, settings as one JSON line on standard input. Only the standard library is
used: redis-py does not keep up with redis-benchmark (docs/figures.md).

write: {"clients": [{"name", "tag"}], "members": [[host, port], ...], "pipeline", "per_s", "confirm", "confirm_ms",
"timeout_s"}. Each client has one connection; it writes number after number, `pipeline` of them at a time, `per_s` a
second (0: as many as can be). With `confirm` > 0 each pipeline ends with WAIT, and its writes are acknowledged only
when so many replicas have them. It goes to the first member, from there where MOVED sends it, and after a failure to
the next. Says the lines of chaos.writers.batches. A client that waits for a connection lets the others of its process
wait: where links break, give each a process.

ask: {"clients": [{"name", "tag", "highest"}], "members", "timeout_s"}. Says {name: ["1-17", ...]}: the numbers up to
`highest` that are there.

The write of number N is SETBIT {TAG}:CHUNK OFFSET 1, so that millions of writes take little memory and are all told
apart. Every key of a client has its tag, so that one shard has all of them (Redis cluster specification, hash tags).
"""

import json
import os
import selectors
import socket
import sys
import time
from contextlib import suppress
from functools import lru_cache
from typing import Any

from chaos.writers.batches import Batches

CHUNK_BITS = 65_536
PAUSE_S = 0.1  # after writes that failed
RECEIVE_BYTES = 65_536
OK = b":0\r\n"  # SETBIT returns the bit that was there
REDIRECTS = 5
_TAILS = [b"$%d\r\n%d\r\n$1\r\n1\r\n" % (len(str(offset)), offset) for offset in range(CHUNK_BITS)]

Address = tuple[str, int]


def key(tag: str, number: int) -> bytes:
    """The key that has the bit of a number."""
    return f"{{{tag}}}:{number // CHUNK_BITS}".encode()


@lru_cache(maxsize=1024)
def _head(tag: str, chunk: int) -> bytes:
    name = key(tag, chunk * CHUNK_BITS)
    return b"*4\r\n$6\r\nSETBIT\r\n$%d\r\n%s\r\n" % (len(name), name)


def commands(tag: str, first: int, last: int) -> bytes:
    """The writes of the numbers `first` to `last`, of one chunk."""
    head, offset = _head(tag, first // CHUNK_BITS), first % CHUNK_BITS
    return head + head.join(_TAILS[offset : offset + last - first + 1])


class Client:
    """One connection and its writes."""

    def __init__(self, name: str, tag: str, settings: dict[str, Any], selector: selectors.BaseSelector) -> None:
        self._tag, self._selector, self._batches = tag, selector, Batches(name)
        self._members: list[Address] = [(str(host), int(port)) for host, port in settings["members"]]
        self._pipeline, self._confirm = int(settings.get("pipeline", 1)), int(settings.get("confirm", 0))
        self._timeout_s = float(settings.get("timeout_s", 1.0))
        per_s = float(settings.get("per_s", 0.0))
        self._every_s = self._pipeline / per_s if per_s else 0.0
        self._wait = b""
        if self._confirm:
            counted, patience = str(self._confirm).encode(), str(int(settings.get("confirm_ms", 500))).encode()
            self._wait = b"*3\r\n$4\r\nWAIT\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (
                len(counted), counted, len(patience), patience,
            )  # fmt: skip
        self._socket: socket.socket | None = None
        self._first, self._last = 1, 0  # what is under way; nothing while first is above last
        self._start = self.due = time.monotonic()
        self._said = b""

    @property
    def under_way(self) -> bool:
        """Whether writes were sent that are not answered yet."""
        return self._first <= self._last

    def wake_at(self) -> float:
        """When something is to be done for it, monotonic seconds."""
        return self._start + self._timeout_s if self.under_way else self.due

    def wake(self) -> None:
        """Send the next writes, or give up those that are not answered in time."""
        now = time.monotonic()
        if now < self.wake_at():
            return
        if self.under_way:
            self._settle([], f"no answer within {self._timeout_s:g} s")
            self._turn_to_next()
            return
        self._first = self._last + 1
        last = min(self._first + self._pipeline - 1, self._first - self._first % CHUNK_BITS + CHUNK_BITS - 1)
        self._start = now
        try:
            connection = self._connected()
            connection.sendall(commands(self._tag, self._first, last) + self._wait)
        except OSError as error:
            self._last = self._first if self._socket is None else last  # without a connection one write is tried
            self._settle([], str(error) or type(error).__name__)
            self._turn_to_next()
            return
        self._last = last
        self.due = max(self.due + self._every_s, now - 1.0) if self._every_s else now

    def readable(self) -> None:
        """Take what was said; when every write has its answer, say what became of them."""
        assert self._socket is not None
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            data, why = b"", str(error)
        else:
            why = "the connection was ended"
        if not data:
            if self.under_way:
                self._settle(self._said.split(b"\r\n")[:-1], why)
            self._turn_to_next()
            return
        self._said += data
        count = self._last - self._first + 1
        if self._said == OK * count and not self._confirm:  # nearly always, so it is looked for first
            self._batches.add_range(self._first, self._last, ok=True, start=self._start, end=time.monotonic())
            self._said, self._first = b"", self._last + 1
            return
        if self._said.count(b"\r\n") < count + bool(self._confirm):
            return
        self._settle(self._said.split(b"\r\n")[:-1], "no answer")

    def finish(self) -> None:
        """Write down what is there, and let go."""
        self._batches.flush()
        self._let_go()

    def _settle(self, answers: list[bytes], why: str) -> None:
        """Say what became of what was under way: `why` for those without an answer."""
        end, count = time.monotonic(), self._last - self._first + 1
        of_writes, of_wait = answers[:count], answers[count:]
        unconfirmed = ""
        if self._confirm:
            have = int(of_wait[0][1:]) if of_wait and of_wait[0][:1] == b":" else -1
            if have < self._confirm:
                unconfirmed = f"{have} of {self._confirm} replicas have it" if of_wait else why
        outcomes = [self._error(answer) or unconfirmed for answer in of_writes]
        outcomes += [why] * (count - len(outcomes))
        start = 0
        for at in range(1, count + 1):
            if at == count or outcomes[at] != outcomes[start]:
                error = outcomes[start]
                first, last = self._first + start, self._first + at - 1
                self._batches.add_range(first, last, ok=not error, start=self._start, end=end, error=error)
                start = at
        self._said, self._first = b"", self._last + 1
        moved = next((o.split() for o in outcomes if o.startswith("MOVED ")), None)
        if moved:
            host, _, port = moved[2].rpartition(":")
            self._turn_to((host, int(port)))
        if any(outcomes):
            self._batches.flush()  # so that the reader knows at once
            self.due = end if moved and not all(o.startswith("MOVED ") for o in outcomes) else end + PAUSE_S

    @staticmethod
    def _error(answer: bytes) -> str:
        """Empty where a SETBIT was done and had not been before."""
        if answer == b":0":
            return ""
        if answer[:1] == b"-":
            return answer[1:].decode(errors="replace")
        return f"not the answer to a first write: {answer[:40]!r}"

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._said = b""
            connection = socket.create_connection(self._members[0], timeout=self._timeout_s)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = connection
            self._selector.register(connection, selectors.EVENT_READ, self)
        return self._socket

    def _turn_to(self, address: Address) -> None:
        """Go on with that member."""
        self._let_go()
        self._members = [address, *(member for member in self._members if member != address)]

    def _turn_to_next(self) -> None:
        self._let_go()
        self._members = [*self._members[1:], self._members[0]]
        self.due = max(self.due, time.monotonic() + PAUSE_S)

    def _let_go(self) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None


def write(settings: dict[str, Any]) -> None:
    """Write until standard input ends; what is under way then is waited for."""
    selector = selectors.DefaultSelector()
    clients = [Client(c["name"], c["tag"], settings, selector) for c in settings["clients"]]
    selector.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
    ending, look_at = False, 0.0  # look_at: when any client is to be woken that nothing was said to
    while not ending or any(client.under_way for client in clients):
        for ready, _ in selector.select(max(0.0, look_at - time.monotonic())):
            client = ready.data
            if client is not None:
                client.readable()
                if not ending and not client.under_way:
                    client.wake()
                look_at = min(look_at, client.wake_at())
            elif not os.read(sys.stdin.fileno(), 4096):
                selector.unregister(sys.stdin.fileno())
                ending = True
        if time.monotonic() >= look_at or ending:
            for client in clients:
                if not ending or client.under_way:
                    client.wake()
            waiting = [client.wake_at() for client in clients if not ending or client.under_way]
            look_at = min(waiting, default=0.0)
    for client in clients:
        client.finish()


def ask(settings: dict[str, Any]) -> None:
    """Read back what is there. Ends with a sentence where a key can't be read."""
    members = [(str(host), int(port)) for host, port in settings["members"]]
    timeout_s = float(settings.get("timeout_s", 5.0))
    said = {}
    for client in settings["clients"]:
        highest, there = int(client["highest"]), []
        for chunk in range(highest // CHUNK_BITS + 1):
            bits = read_key(members, key(client["tag"], chunk * CHUNK_BITS), timeout_s)
            there += [(first + chunk * CHUNK_BITS, last + chunk * CHUNK_BITS) for first, last in runs(bits)]
        said[client["name"]] = [
            f"{first}-{min(last, highest)}" for first, last in joined(there) if 0 < first <= highest
        ]
    sys.stdout.write(json.dumps(said))


def read_key(members: list[Address], name: bytes, timeout_s: float) -> bytes:
    """GET from the member that has the key; empty where it is not there. Exits with a sentence where none answers."""
    address, trouble = members[0], ""
    for _ in range(REDIRECTS):
        try:
            with socket.create_connection(address, timeout=timeout_s) as connection:
                connection.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(name), name))
                with connection.makefile("rb") as answer:
                    line = answer.readline().rstrip(b"\r\n")
                    if line[:1] == b"$":
                        return b"" if line == b"$-1" else answer.read(int(line[1:]))
        except OSError as error:
            sys.exit(f"{address[0]}:{address[1]} does not answer: {error}")
        trouble = line.decode(errors="replace")
        if not trouble.startswith("-MOVED "):
            break
        host, _, port = trouble.split()[2].rpartition(":")
        address = (host, int(port))
    sys.exit(f"{address[0]}:{address[1]} does not give {name.decode()}: {trouble or 'an empty answer'}")


def runs(bits: bytes) -> list[tuple[int, int]]:
    """The first and the last offset of each run of ones; the first bit is the highest of the first byte (SETBIT)."""
    found: list[tuple[int, int]] = []
    begin: int | None = None
    for at, byte in enumerate(bits):
        if byte == 0xFF:
            begin = at * 8 if begin is None else begin
            continue
        for bit in range(8):
            offset = at * 8 + bit
            if byte & (0x80 >> bit):
                begin = offset if begin is None else begin
            elif begin is not None:
                found.append((begin, offset - 1))
                begin = None
    if begin is not None:
        found.append((begin, len(bits) * 8 - 1))
    return found


def joined(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs that touch each other as one, as at the edge of a chunk."""
    together: list[tuple[int, int]] = []
    for first, last in found:
        if together and together[-1][1] + 1 == first:
            together[-1] = (together[-1][0], last)
        else:
            together.append((first, last))
    return together


def main(argv: list[str]) -> int:
    """The command."""
    known = {"write": write, "ask": ask}
    if len(argv) != 1 or argv[0] not in known:
        sys.stderr.write(f"usage: python -m chaos.writers.redis {'|'.join(known)}\n")
        return 2
    with suppress(KeyboardInterrupt):
        known[argv[0]](json.loads(sys.stdin.readline()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
