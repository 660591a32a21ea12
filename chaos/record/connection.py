"""The connection to the API server that a recorder's streams share."""

import socket
import threading
from collections.abc import Callable

from kubernetes.client import ApiClient
from urllib3.connection import HTTPConnection


class Connection:
    """The client to the API server, made when first needed and shared by the streams; it can be changed."""

    def __init__(self, make: Callable[[], ApiClient]) -> None:
        self._lock = threading.Lock()
        self._make = make
        self._client: ApiClient | None = None

    def client(self) -> ApiClient:
        """The client to use now. A connection that a dead server leaves is closed within seconds."""
        with self._lock:
            if self._client is None:
                self._client = self._make()
                self._client.rest_client.pool_manager.connection_pool_kw["socket_options"] = [
                    *HTTPConnection.default_socket_options,
                    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
                    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000),  # milliseconds
                ]
            return self._client

    def change(self, make: Callable[[], ApiClient]) -> None:
        """Go on with another way to make a client; the one there was is closed."""
        with self._lock:
            old, self._client, self._make = self._client, None, make
        if old is not None:
            old.close()  # type: ignore[no-untyped-call]

    def renew(self) -> None:
        """Make the client anew: its credentials may have run out."""
        self.change(self._make)

    def drop_idle(self) -> None:
        """Close the connections that nobody uses at the moment: they may be dead."""
        with self._lock:
            if self._client is not None:
                self._client.rest_client.pool_manager.clear()

    def close(self) -> None:
        """Close the client; it is made anew where it is asked for again."""
        self.change(self._make)
