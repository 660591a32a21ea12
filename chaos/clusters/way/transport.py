"""The line to one API server: TLS as the kubeconfig says, through its proxy, with its user's credentials.

It stands in the generated client where urllib3's pool manager stands, and has what is used of one.
"""

import os
import re
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import urllib3
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.util.ssl_ import ALPN_PROTOCOLS
from websocket import WebSocket, WebSocketBadStatusException

from chaos.clusters.way.credentials import Certificate, Credentials, Login, NoCredentialsError
from chaos.clusters.way.kubeconfig import Chosen, contents, server_url
from chaos.clusters.way.proxies import Proxy
from chaos.errors import OrdealError
from chaos.hosts import extras

# A server that is dead, or cut off, takes no connection. One that has taken it is only slow, however long its part of
# TLS takes: on a machine with two cores that made two clusters, more than 3 s.
CONNECT_TIMEOUT_S, HANDSHAKE_TIMEOUT_S = 3.0, 20.0
READ_TIMEOUT_S = 20.0
CONNECTIONS = 32  # that are kept open
UNAUTHORIZED = 401
# Where distributions keep the authorities that they trust, for a Python that was built elsewhere (crypto/x509,
# root_linux.go).
_TRUSTED = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Transport:
    """Sends requests, each with a deadline unless the call gives its own, and with the credentials of that moment.

    What is refused for its credentials is sent once more where there are new ones.
    """

    def __init__(self, chosen: Chosen, login: Login | None, proxy: Proxy | None) -> None:
        """Nothing is sent yet. Raises OrdealError where TLS or the proxy can't be had as the kubeconfig says."""
        self.proxy = proxy
        self._chosen, self._login = chosen, login
        self._lock = threading.Lock()
        self._presented: Certificate | None = None
        self._always = _impersonation(chosen)
        self._encrypted = server_url(chosen.cluster.server).startswith("https://")
        self._authorities = authorities(chosen) if self._encrypted else b""
        tls = _tls(chosen, self._authorities) if self._encrypted else None
        self._manager = _manager(chosen, tls, proxy)

    @property
    def connection_pool_kw(self) -> dict[str, Any]:
        """What connections are made with; a change counts for those that are made after `clear`."""
        return self._manager.connection_pool_kw

    def clear(self) -> None:
        """Close the connections that nobody uses at the moment."""
        self._manager.clear()

    def request(self, method: str, url: str, **how: Any) -> urllib3.BaseHTTPResponse:
        """As urllib3's. Raises its errors, and NoCredentialsError."""
        how["timeout"] = how.get("timeout") or urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)
        given = how.pop("headers", None)
        mine = self._credentials()
        answer = self._manager.request(method, url, headers=self._headers(given, mine), **how)
        if answer.status == UNAUTHORIZED and (other := self._other(mine)) is not None:
            answer.drain_conn()
            answer.release_conn()
            answer = self._manager.request(method, url, headers=self._headers(given, other), **how)
        return answer

    @contextmanager
    def websocket(self, url: str, subprotocol: str) -> Iterator[WebSocket]:
        """A WebSocket to a path of the server for as long as the block lasts; `url` is as for a request.

        Raises urllib3's errors, websocket-client's, OSError, and NoCredentialsError.
        """
        mine = self._credentials()  # before the connection is made, for it shows the certificate of that moment
        connection = self._connection(url)
        try:
            connection.connect()
            try:
                socket = self._upgraded(connection, url, subprotocol, mine)
            except WebSocketBadStatusException as error:
                other = self._other(mine) if error.status_code == UNAUTHORIZED else None
                if other is None:
                    raise
                connection.close()
                connection = self._connection(url)
                connection.connect()
                socket = self._upgraded(connection, url, subprotocol, other)
            yield socket
        finally:
            connection.close()

    def _connection(self, url: str) -> Any:
        """One that is not open yet, made as for a request. urllib3 has no public name for that; websocket-client would
        choose a proxy by rules of its own, and reads certificates from files only.
        """
        connection: Any = self._manager.connection_from_url(url)._new_conn()
        connection.timeout = CONNECT_TIMEOUT_S
        if self._manager.proxy is not None:
            target = urllib3.util.parse_url(url)
            connection.set_tunnel(
                target.host,
                target.port or (443 if self._encrypted else 80),
                headers=getattr(self._manager, "proxy_headers", {}),
                scheme=self._manager.proxy.scheme,
            )
        return connection

    def _upgraded(self, connection: Any, url: str, subprotocol: str, mine: Credentials) -> WebSocket:
        connection.sock.settimeout(READ_TIMEOUT_S)
        socket = WebSocket()
        connect: Callable[..., None] = socket.connect  # has no types
        connect(
            re.sub("^http", "ws", url),
            socket=connection.sock,
            header=[f"{name}: {value}" for name, value in self._headers(None, mine).items()],
            subprotocols=[subprotocol],
            suppress_origin=True,
            redirect_limit=0,
        )
        return socket

    def _credentials(self) -> Credentials:
        mine = self._login.now() if self._login is not None else Credentials()
        self._present(mine.certificate)
        return mine

    def _other(self, refused: Credentials) -> Credentials | None:
        if self._login is None or not self._login.renew(refused):
            return None
        return self._credentials()

    def _present(self, certificate: Certificate | None) -> None:
        """From the next connection on; for all threads, of which each may be the first to need it."""
        with self._lock:
            if certificate is None or certificate == self._presented or not self._encrypted:
                return
            try:
                tls = _tls(self._chosen, self._authorities, certificate)
            except OrdealError as error:
                raise NoCredentialsError(str(error)) from error
            before, manager = self._manager, _manager(self._chosen, tls, self.proxy)
            manager.connection_pool_kw |= {k: v for k, v in before.connection_pool_kw.items() if k == "socket_options"}
            self._manager, self._presented = manager, certificate
        before.clear()

    def _headers(self, given: Any, mine: Credentials) -> urllib3.HTTPHeaderDict:
        headers = urllib3.HTTPHeaderDict(given or {})
        if mine.authorization:
            headers["authorization"] = mine.authorization
        for name, value in self._always:
            headers.add(name, value)
        return headers


def _impersonation(chosen: Chosen) -> tuple[tuple[str, str], ...]:
    """The headers for whom the user acts as (client-go, transport/round_trippers.go)."""
    user = chosen.user
    if not user.as_user:
        return ()
    named = [("Impersonate-User", user.as_user)]
    named += [("Impersonate-Uid", user.as_uid)] if user.as_uid else []
    named += [("Impersonate-Group", group) for group in user.as_groups]
    for key, values in user.as_user_extra.items():
        escaped = "".join(c if c.isascii() and (c.isalnum() or c in "!#$&'*+-.^_`|~") else _percent(c) for c in key)
        named += [(f"Impersonate-Extra-{escaped}", value) for value in values]
    bad = next((value for _, value in named if not (value.isascii() and value.isprintable())), None)
    if bad is not None:
        raise chosen.wrong(f"{bad!r} can't be sent as the name of whom to act as")
    return tuple(named)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _manager(chosen: Chosen, tls: ssl.SSLContext | None, proxy: Proxy | None) -> urllib3.PoolManager:
    how: dict[str, Any] = {"retries": urllib3.Retry(0, redirect=False), "maxsize": CONNECTIONS}
    if tls is not None:
        how |= {"ssl_context": tls, "cert_reqs": tls.verify_mode}
        how |= {"server_hostname": chosen.cluster.tls_server_name} if chosen.cluster.tls_server_name else {}
    manager = urllib3.PoolManager(**how) if proxy is None else _through(proxy, tls, how)
    manager.pool_classes_by_scheme = _patient(manager.pool_classes_by_scheme)
    if chosen.cluster.insecure_skip_tls_verify:
        manager.pool_classes_by_scheme = _unverified(manager.pool_classes_by_scheme)
    return manager


def _through(proxy: Proxy, tls: ssl.SSLContext | None, how: dict[str, Any]) -> urllib3.PoolManager:
    if proxy.url.scheme.startswith("socks5"):
        extras.need(extras.SOCKS, f"{proxy.named_by} is {proxy}, and SOCKS")
        from urllib3.contrib.socks import SOCKSProxyManager  # noqa: PLC0415  (needs that package)

        host = f"[{proxy.url.hostname}]" if ":" in (proxy.url.hostname or "") else proxy.url.hostname
        where = f"socks5h://{host}:{proxy.url.port or 1080}"  # names are for the proxy to resolve, as for Go
        return SOCKSProxyManager(where, username=proxy.user, password=proxy.password, **how)
    headers = urllib3.make_headers(proxy_basic_auth=f"{proxy.user}:{proxy.password or ''}") if proxy.user else None
    # Go meets the proxy with the same trust, and shows it the same certificate, as the server.
    trust = tls if proxy.url.scheme == "https" else None
    return urllib3.ProxyManager(proxy.url.geturl(), proxy_headers=headers, proxy_ssl_context=trust, **how)


def _patient(classes: dict[str, Any]) -> dict[str, Any]:
    """Pools whose connections have more time for TLS than to be taken; urllib3 has one limit for both."""
    kind: type[HTTPSConnectionPool] = classes["https"]
    connection_of: Any = kind.ConnectionCls

    class Patient(connection_of):  # type: ignore[misc]
        def _new_conn(self) -> Any:
            taken = super()._new_conn()
            taken.settimeout(HANDSHAKE_TIMEOUT_S)
            return taken

    return {**classes, "https": type("PatientPool", (kind,), {"ConnectionCls": Patient})}


def _unverified(classes: dict[str, Any]) -> dict[str, Any]:
    """Pools that do not warn with every request: the user has said that the server is not to be verified."""
    kind: type[HTTPSConnectionPool] = classes["https"]
    connection_of: Any = kind.ConnectionCls

    class Unverified(connection_of):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            self.is_verified = True

    return {**classes, "https": type("UnverifiedPool", (kind,), {"ConnectionCls": Unverified})}


class _Context(ssl.SSLContext):
    """A context that stays as it was made: connections that other threads begin read it meanwhile, without a lock
    (OpenSSL, ssl_lib.c, SSL_new), and a change under their hands has crashed Python.
    """

    _protocols: tuple[str, ...] = ()

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """urllib3 asks for the same ones with each connection."""
        if (wanted := tuple(alpn_protocols)) != self._protocols:
            super().set_alpn_protocols(wanted)
            self._protocols = wanted


def authorities(chosen: Chosen) -> bytes:
    """The certificate authorities that the kubeconfig names, as PEM. Raises OrdealError where that can't be read."""
    cluster = chosen.cluster
    if cluster.insecure_skip_tls_verify:
        return b""
    return contents(chosen, "certificate-authority", cluster.certificate_authority_data, cluster.certificate_authority)


def certificates(pem: bytes) -> Iterator[bytes]:
    """The certificates in a PEM file, as DER; what can't be read is passed over."""
    for block in _PEM.findall(pem):
        with suppress(ValueError):
            yield ssl.PEM_cert_to_DER_cert(block.decode("ascii"))


def _tls(chosen: Chosen, authorities: bytes, certificate: Certificate | None = None) -> ssl.SSLContext:
    """As Go verifies: any certificate that is named is trusted, also one in the middle of a chain.

    `certificate`: what is shown to the server. Raises OrdealError where what the kubeconfig names can't be used.
    """
    cluster = chosen.cluster
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if certificate is not None:
        _load(chosen, context, certificate)
    if cluster.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if authorities or cluster.certificate_authority:
        _trust(chosen, context, authorities)
    else:
        _trust_system(context)
    return context


def _trust(chosen: Chosen, context: ssl.SSLContext, authorities: bytes) -> None:
    for certificate in certificates(authorities):
        with suppress(ssl.SSLError):  # Go, too, passes over one that it can't read
            context.load_verify_locations(cadata=certificate)
    if not context.cert_store_stats()["x509"]:
        raise chosen.wrong("its certificate-authority holds no certificate (PEM)")


def _trust_system(context: ssl.SSLContext) -> None:
    context.load_default_certs()
    known = ssl.get_default_verify_paths()
    if not (known.cafile or known.capath):
        for path in _TRUSTED:
            if Path(path).is_file():
                context.load_verify_locations(path)
                return


def _load(chosen: Chosen, context: ssl.SSLContext, certificate: Certificate) -> None:
    def locked() -> str:
        raise chosen.wrong("its client-key is encrypted, and nobody is asked for its password")

    with _in_memory(certificate.certificate) as one, _in_memory(certificate.key) as other:
        try:
            context.load_cert_chain(one, other, password=locked)
        except (ssl.SSLError, ValueError) as error:
            reason = str(getattr(error, "reason", None) or "").lower().replace("_", " ") or "no PEM"
            raise chosen.wrong(f"its client certificate and key can't be used ({reason})") from error


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A file that no disk has: the ssl module takes nothing else for a key."""
    number = os.memfd_create("kube-ordeal")
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(number, view) :]
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)
