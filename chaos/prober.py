"""The prober: a small program that asks one HTTP URL at a steady pace and writes one JSON line for each answer.

It runs as a child process inside a node's network namespace, so it imports only the standard library and nothing else
of this package. Each probe is a TCP connection of its own, sent in its slot of an absolute schedule whatever became
of the ones before it. A slot that could not be kept (the machine stalled) is left out: it shows as a gap, never as an
answer. It ends when its standard input ends, so that a killed parent leaves no prober, and after --for-s at the latest.

A line: {"start": monotonic seconds, "ok": bool, "took_s": seconds, "by": the body's first line, "error": text}.
CLOCK_MONOTONIC is one clock for all processes of a machine, so the parent can use "start" as it is.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from urllib.parse import urlsplit

IN_FLIGHT_LIMIT = 20
HEADER_LIMIT_BYTES = 16_384
BODY_LIMIT_BYTES = 2_048


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


async def probe(host: str, port: int, path: str, timeout_s: float) -> None:
    """Ask once and write the line."""
    start = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            ok, by, error = await ask(host, port, path)
    except TimeoutError:
        ok, by, error = False, "", f"no answer within {timeout_s:g} s"
    except (OSError, EOFError, asyncio.LimitOverrunError) as failure:
        ok, by, error = False, "", str(failure) or type(failure).__name__
    took_s = time.monotonic() - start
    line = {"start": round(start, 6), "ok": ok, "took_s": round(took_s, 6), "by": by, "error": error[:200]}
    try:
        os.write(sys.stdout.fileno(), json.dumps(line).encode() + b"\n")
    except BrokenPipeError:
        os._exit(0)  # nobody reads any more


async def run(host: str, port: int, path: str, interval_s: float, timeout_s: float, for_s: float) -> None:
    """Probe until standard input ends or `for_s` is over; the probes under way are then waited for."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def listen() -> None:
        with suppress(BlockingIOError):
            if not os.read(sys.stdin.fileno(), 4096):
                loop.remove_reader(sys.stdin.fileno())
                stop.set()

    os.set_blocking(sys.stdin.fileno(), False)
    loop.add_reader(sys.stdin.fileno(), listen)
    under_way: set[asyncio.Task[None]] = set()
    began = time.monotonic()
    slot = 0
    while not stop.is_set() and slot * interval_s < for_s:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(began + slot * interval_s):
                await stop.wait()
        if stop.is_set():
            break
        if len(under_way) < IN_FLIGHT_LIMIT:
            task = asyncio.create_task(probe(host, port, path, timeout_s))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        # The next slot that is not over yet; those a stall has swallowed are not made up for.
        slot = max(slot + 1, int((time.monotonic() - began) / interval_s))
    if under_way:
        await asyncio.wait(under_way)


def main(argv: list[str] | None = None) -> int:
    """The command: `python -m chaos.prober --url http://10.96.1.2:80/`."""
    parser = argparse.ArgumentParser(prog="chaos.prober", description="Ask one URL at a steady pace.")
    parser.add_argument("--url", required=True, help="http://HOST[:PORT]/PATH")
    parser.add_argument("--node", default="", help="only so that a person sees in the process list whose prober it is")
    parser.add_argument("--interval-s", type=float, default=0.1)
    parser.add_argument("--timeout-s", type=float, default=0.8)
    parser.add_argument("--for-s", type=float, default=6 * 3600.0)
    options = parser.parse_args(argv)
    url = urlsplit(options.url)
    if url.scheme != "http" or not url.hostname:
        parser.error(f"--url must be http://HOST[:PORT]/PATH, not {options.url!r}")
    if options.interval_s <= 0 or options.timeout_s <= 0:
        parser.error("--interval-s and --timeout-s must be above 0")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends us by our standard input
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    asyncio.run(run(url.hostname, url.port or 80, path, options.interval_s, options.timeout_s, options.for_s))
    return 0


if __name__ == "__main__":
    sys.exit(main())
