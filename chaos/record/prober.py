"""The prober: a small program that asks one URL at a steady pace and writes one JSON line for each answer.

http://HOST[:PORT]/PATH is one GET on a TCP connection of its own; dns://HOST[:PORT]/NAME one UDP query for the name's
IPv4 address, and flow:// the same, but all from one port; echo://HOST:PORT/ one line on a single TCP connection that is
kept, and made anew only after it broke; tcp://HOST:PORT/ a TCP connection that is made, and closed without a word.

It runs as a child process inside a node's network namespace, so it imports only the standard library and nothing else
of this package. Each probe is sent in its slot of an absolute schedule whatever became
of the ones before it. A slot that could not be kept (the machine stalled) is left out: it shows as a gap, never as an
answer. It ends when its standard input ends, so that a killed parent leaves no prober, and after --for-s at the latest.

At the first probe, and every two seconds, it asks a port of its own at which nobody listens, too: a canary. One that is
answered shows that answers mean nothing here.

A line: {"start": monotonic seconds, "ok": bool, "took_s": seconds, "by": who answered, "error": text, "canary": bool,
"waited_s": for how long the prober itself has waited for a processor since it began, as far as the kernel counts it}.
Who answered is the body's first line; for dns the address; for echo the connection's own port, so that another
connection shows.
CLOCK_MONOTONIC is one clock for all processes of a machine, so the parent can use "start" as it is.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

IN_FLIGHT_LIMIT = 20
HEADER_LIMIT_BYTES = 16_384
BODY_LIMIT_BYTES = 2_048
CANARY_EVERY_S = 2.0


async def ask(host: str, port: int, path: str) -> tuple[bool, str, str]:
    """One GET on a connection of its own: whether the status was 2xx, the body's first line, and the error if any."""
    reader, writer = await asyncio.open_connection(host, port, limit=HEADER_LIMIT_BYTES)
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: kube-ordeal\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        parts = head.split("\r\n", 1)[0].split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/") or not parts[1].isdigit():
            return False, "", f"not an HTTP answer: {head[:60]!r}"
        body = await _body(reader, head)
        line = body.decode(errors="replace").strip().split("\n", 1)[0].strip()[:200]
        ok = parts[1].startswith("2")
        return ok, line, "" if ok else f"HTTP {parts[1]}"
    finally:
        writer.transport.abort()  # at once, also where the deadline has cut us off


async def _body(reader: asyncio.StreamReader, head: str) -> bytes:
    """The body's first bytes; the whole body where it is short."""
    length = BODY_LIMIT_BYTES
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-length" and value.strip().isdigit():
            length = min(length, int(value))
    body = b""
    while len(body) < length and (more := await reader.read(length - len(body))):
        body += more
    return body


class Lookup(asyncio.DatagramProtocol):
    """The answer to one DNS query, as a future."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        if not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def look_up(host: str, port: int, name: str) -> tuple[bool, str, str]:
    """One query for the name's A record over UDP (RFC 1035, section 4.1), from a port of its own."""
    number = os.urandom(2)
    loop = asyncio.get_running_loop()
    transport, lookup = await loop.create_datagram_endpoint(Lookup, remote_addr=(host, port))
    try:
        transport.sendto(_query(number, name))
        said = await lookup.answer
    finally:
        transport.abort()
    return _address(number, said)


def _query(number: bytes, name: str) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split("."))
    return number + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"


def _address(number: bytes, said: bytes) -> tuple[bool, str, str]:
    if len(said) < 12:
        return False, "", f"not a DNS answer: {said!r}"
    code, answers = said[3] & 0x0F, int.from_bytes(said[6:8], "big")
    if said[:2] != number or code or not answers:
        return False, "", f"no address: response code {code}, {answers} answers"
    return True, ".".join(str(byte) for byte in said[-4:]), ""


class Flow(asyncio.DatagramProtocol):
    """Queries for one name, all from one port that is kept: who translates addresses on the way takes them for one."""

    def __init__(self, host: str, port: int, name: str) -> None:
        self._to, self._name = (host, port), name
        self._turn = asyncio.Lock()
        self._transport: asyncio.DatagramTransport | None = None
        self._asked: dict[bytes, asyncio.Future[bytes]] = {}
        self._number = 0

    async def ask(self) -> tuple[bool, str, str]:
        """Send one query and wait for its answer: those of earlier ones are none."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            if self._transport is None:
                self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=self._to)
        self._number = (self._number + 1) % 2**16
        number, answer = self._number.to_bytes(2, "big"), loop.create_future()
        self._asked[number] = answer
        try:
            self._transport.sendto(_query(number, self._name))
            return _address(number, await answer)
        finally:
            del self._asked[number]

    def datagram_received(self, data: bytes, _addr: object) -> None:
        answer = self._asked.get(data[:2])
        if answer is not None and not answer.done():
            answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        """A refusal does not say which query it is for."""
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(exc)


class Echo:
    """One connection to an echo server, kept for as long as it lives."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> tuple[bool, str, str]:
        """Send a line and wait until it comes back. A line that is late is no broken connection: it is kept."""
        async with self._turn:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port)
            reader, writer = self._streams
            line = os.urandom(8).hex().encode() + b"\n"
            try:
                writer.write(line)
                while (said := await reader.readline()) != line:
                    if not said:
                        raise ConnectionResetError("the other side ended the connection")
            except (OSError, EOFError):
                self._streams = None
                writer.transport.abort()
                raise
            return True, f"port {writer.get_extra_info('sockname')[1]}", ""


async def connect(host: str, port: int) -> tuple[bool, str, str]:
    """Whether somebody takes a connection."""
    _, writer = await asyncio.open_connection(host, port)
    writer.transport.abort()
    return True, "", ""


@contextmanager
def nobody() -> Iterator[int]:
    """A port of this machine that is ours, and at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def waited_s() -> float:
    """For how long this process has waited for a processor: /proc/self/schedstat, the second number, in ns."""
    try:
        with Path("/proc/self/schedstat").open("rb") as counted:
            return int(counted.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


async def probe(
    ask_once: Callable[[], Coroutine[None, None, tuple[bool, str, str]]], timeout_s: float, *, canary: bool = False
) -> None:
    """Ask once and write the line."""
    start = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            ok, by, error = await ask_once()
    except TimeoutError:
        ok, by, error = False, "", f"no answer within {timeout_s:g} s"
    except (OSError, EOFError, asyncio.LimitOverrunError) as failure:
        ok, by, error = False, "", str(failure) or type(failure).__name__
    took_s = time.monotonic() - start
    line: dict[str, object] = {"start": round(start, 6), "ok": ok, "took_s": round(took_s, 6), "by": by}
    line |= {"error": error[:200], "canary": canary, "waited_s": round(waited_s(), 6)}
    try:
        os.write(sys.stdout.fileno(), json.dumps(line).encode() + b"\n")
    except BrokenPipeError:
        os._exit(0)  # nobody reads any more


async def run(
    url: SplitResult,
    interval_s: float,
    timeout_s: float,
    for_s: float,
    canary_ask: Callable[[], Coroutine[None, None, tuple[bool, str, str]]],
) -> None:
    """Probe until standard input ends or `for_s` is over; the probes under way are then waited for."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def listen() -> None:
        with suppress(BlockingIOError):
            if not os.read(sys.stdin.fileno(), 4096):
                loop.remove_reader(sys.stdin.fileno())
                stop.set()

    ask_once = asker(url)
    os.set_blocking(sys.stdin.fileno(), False)
    loop.add_reader(sys.stdin.fileno(), listen)
    under_way: set[asyncio.Task[None]] = set()
    canaries: set[asyncio.Task[None]] = set()
    canary_due = began = time.monotonic()
    slot = 0
    while not stop.is_set() and slot * interval_s < for_s:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(began + slot * interval_s):
                await stop.wait()
        if stop.is_set():
            break
        if len(under_way) < IN_FLIGHT_LIMIT:
            task = asyncio.create_task(probe(ask_once, timeout_s))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        if time.monotonic() >= canary_due and not canaries:
            canary = asyncio.create_task(probe(canary_ask, timeout_s, canary=True))
            canaries.add(canary)
            canary.add_done_callback(canaries.discard)
            canary_due = time.monotonic() + CANARY_EVERY_S
        # The next slot that is not over yet; those a stall has swallowed are not made up for.
        slot = max(slot + 1, int((time.monotonic() - began) / interval_s))
    if under_way | canaries:
        await asyncio.wait(under_way | canaries)


def asker(url: SplitResult) -> Callable[[], Coroutine[None, None, tuple[bool, str, str]]]:
    """What asks this URL once."""
    host = url.hostname or ""
    if url.scheme == "dns":
        return lambda: look_up(host, url.port or 53, url.path.strip("/"))
    if url.scheme == "flow":
        return Flow(host, url.port or 53, url.path.strip("/")).ask
    if url.scheme == "echo":
        return Echo(host, url.port or 7).ask
    if url.scheme == "tcp":
        return lambda: connect(host, url.port or 0)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return lambda: ask(host, url.port or 80, path)


def main(argv: list[str] | None = None) -> int:
    """The command: `python -m chaos.record.prober --url http://10.96.1.2:80/`."""
    parser = argparse.ArgumentParser(prog="chaos.record.prober", description="Ask one URL at a steady pace.")
    parser.add_argument("--url", required=True, help="http://, dns://, flow://, echo:// or tcp://HOST[:PORT]/PATH")
    parser.add_argument("--node", default="", help="only so that a person sees in the process list whose prober it is")
    parser.add_argument("--interval-s", type=float, default=0.1)
    parser.add_argument("--timeout-s", type=float, default=0.8)
    parser.add_argument("--for-s", type=float, default=6 * 3600.0)
    options = parser.parse_args(argv)
    url = urlsplit(options.url)
    if url.scheme not in {"http", "dns", "flow", "echo", "tcp"} or not url.hostname:
        parser.error(f"--url must be http://HOST[:PORT]/PATH (or dns, flow, echo, tcp), not {options.url!r}")
    if options.interval_s <= 0 or options.timeout_s <= 0:
        parser.error("--interval-s and --timeout-s must be above 0")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends us by our standard input
    with nobody() as port:
        asyncio.run(run(url, options.interval_s, options.timeout_s, options.for_s, lambda: connect("127.0.0.1", port)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
