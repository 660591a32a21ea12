"""An agent that answers on this machine, with keys of its own, whose connections can be cut."""

import socket
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chaos.agent.armed import Armory
from chaos.agent.home import Home
from chaos.agent.programs import StartedPrograms
from chaos.agent.server import Agent, _Server
from chaos.clusters.agent import keys
from chaos.clusters.agent.channel import Address, Channel, Known, write_down

HERE, NODE, RUN = "127.0.0.1", "w1", "20260101-000000-cafe"


def key_of(folder: Path, who: str) -> tuple[Path, str]:
    """A folder with a new key, and its certificate."""
    mine = folder / who
    mine.mkdir(mode=0o700)
    return mine, keys.make(mine, who)


class _Kept:
    """A context that keeps the connections that it has made."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context, self.made = context, list[ssl.SSLSocket]()

    def wrap_socket(self, plain: socket.socket, *, server_side: bool) -> ssl.SSLSocket:
        made = self._context.wrap_socket(plain, server_side=server_side)
        self.made.append(made)
        return made


class Serving:
    """The agent of the node, and what its run has to reach it."""

    def __init__(self, folder: Path, host: str = HERE) -> None:
        self._host = host
        self.folder, certificate = key_of(folder, "run")
        self._own, self._certificate = key_of(folder, "agent")
        self._run_certificate = certificate
        self._channels = list[Channel]()
        self.armory = Armory(NODE, folder, lambda _: None)
        self.agent = self._new_agent()
        self._listen(0)
        write_down(self.folder, Known("image", {NODE: self.address}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each in self._channels:
            each.close()
        self.go_away()
        self.agent.programs.end_all()
        self.armory.close()

    @property
    def address(self) -> Address:
        return Address(self._host, self.port, self._certificate)

    @property
    def connections(self) -> int:
        """How many were made with the right key."""
        return len(self._tls.made)

    def channel(self, folder: Path | None = None, certificate: str = "") -> Channel:
        """The run's, or that of somebody with another key, or who takes the agent for another one."""
        address = Address(self._host, self.port, certificate or self._certificate)
        self._channels.append(Channel(folder or self.folder, NODE, address))
        return self._channels[-1]

    def cut(self) -> None:
        """Break each connection, in the middle of whatever it carries."""
        for each in self._tls.made:
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)  # TLS is not told

    def go_away(self) -> None:
        """Nobody listens any more, and the connections are cut."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.cut()

    def come_back(self) -> None:
        """Listen there again."""
        self._listen(self.port)

    def start_anew(self) -> None:
        """Another agent is there, which knows nothing of the programs that this one had."""
        self.go_away()
        self.agent.programs.end_all()
        self.agent = self._new_agent()
        self.come_back()

    def _new_agent(self) -> Agent:
        home = Home(RUN, NODE, self._host, 0, self._run_certificate)
        return Agent(home, self.armory, StartedPrograms(), time.monotonic(), threading.Event())

    def _listen(self, port: int) -> None:
        home = self.agent.home
        self.agent.home = Home(home.run, home.node, home.address, port, home.runner)
        self._tls = _Kept(keys.server(self._own, self._run_certificate))
        tls: Any = self._tls  # it is asked for nothing else
        self._server = _Server(self.agent, tls)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
