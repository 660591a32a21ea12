"""Who asks: what goes with each request, and the certificate of the connection; asked for anew where it has run out.

The rules are client-go's (k8s.io/client-go: transport/token_source.go, plugin/pkg/client/auth/exec and oidc).
"""

import base64
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from urllib3.exceptions import HTTPError

from chaos.basics.untrusted import json_of
from chaos.clusters.way.kubeconfig import (
    ALWAYS,
    NEVER,
    PLUGIN_CONFIG,
    Chosen,
    Exec,
    contents,
    interactive_mode,
    server_url,
)
from chaos.clusters.way.kubeconfig_text import parse
from chaos.errors import OrdealError

FILES_FOR_S = 60.0  # how long what was read from a token's or a certificate's file is believed
PLUGIN_WITHIN_S, PERSON_WITHIN_S = 60.0, 300.0
PLUGIN_EVERY_S = 5.0  # a plugin whose credentials are refused is not asked again sooner
_EVER = float("inf")


class _Claims(msgspec.Struct):
    """What a token says of itself."""

    exp: float


class NoCredentialsError(OrdealError, HTTPError):
    """Nothing could be sent, because there are no credentials. Whoever awaits urllib3's errors meets it, too."""


@dataclass(frozen=True)
class Certificate:
    """A client's certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True)
class Credentials:
    """What a request goes with. `authorization`: the header; empty for none."""

    authorization: str = ""
    certificate: Certificate | None = None


class Login:
    """The credentials of a kubeconfig's user, for any number of threads and clients."""

    def __init__(self, chosen: Chosen, again: Callable[[], Chosen]) -> None:
        """`again` reads the kubeconfig once more: a login elsewhere may have changed it.

        Raises OrdealError for what can be told now: a file or a program that is not there. No plugin is started yet.
        """
        self._chosen, self._read_again = chosen, again
        self._lock = threading.Lock()
        self._held: Credentials | None = None
        self._until = 0.0  # monotonic: a clock that is set back would make what has run out good for longer
        self._asked_at = -PLUGIN_EVERY_S  # of the plugin, monotonic
        if self._plugin is not None:
            _program(chosen, self._plugin)
        else:
            self._ask()

    def now(self) -> Credentials:
        """What to send now. Raises NoCredentialsError where there is nothing."""
        with self._lock:
            if self._held is None or time.monotonic() >= self._until:
                try:
                    self._ask()
                except NoCredentialsError:
                    if self._held is None or self._plugin is not None:
                        raise
                    # a file that is being replaced: the last one counts on
                    self._until = time.monotonic() + FILES_FOR_S
            assert self._held is not None
            return self._held

    def renew(self, refused: Credentials) -> bool:
        """A server has refused those: whether there are others now. Raises NoCredentialsError."""
        with self._lock:
            if refused is not self._held:
                return True
            try:
                self._chosen = self._read_again()
            except OrdealError:  # it is being written
                return False
            if self._plugin is not None and time.monotonic() < self._asked_at + PLUGIN_EVERY_S:
                return False
            self._ask()
            return self._held != refused

    @property
    def _plugin(self) -> Exec | None:
        """The plugin, where it counts: whatever stands in the file itself goes before it."""
        user = self._chosen.user
        stands = user.token or user.token_file or user.username or user.password
        certified = user.client_certificate or user.client_certificate_data
        return None if stands or certified else user.exec

    def _ask(self) -> None:
        try:
            self._held, self._until = self._asked()
        except NoCredentialsError:
            raise
        except OrdealError as error:
            raise NoCredentialsError(str(error)) from error

    def _asked(self) -> tuple[Credentials, float]:
        """The credentials, and until when they hold (monotonic)."""
        user, plugin, chosen = self._chosen.user, self._plugin, self._chosen
        if plugin is not None:
            try:
                return _of_plugin(chosen, plugin)
            finally:
                self._asked_at = time.monotonic()
        files = user.token_file or user.client_certificate or user.client_key
        until = time.monotonic() + FILES_FOR_S if files else _EVER
        certificate = _certificate(chosen)
        if user.username or user.password:
            pair = base64.b64encode(f"{user.username}:{user.password}".encode()).decode()
            return Credentials(f"Basic {pair}", certificate), until
        if user.token or user.token_file:
            return Credentials(_bearer(chosen, _token(chosen)), certificate), until
        if user.auth_provider is not None:
            token, until = _of_provider(chosen)
            return Credentials(_bearer(chosen, token), certificate), until
        return Credentials("", certificate), until


def _certificate(chosen: Chosen) -> Certificate | None:
    user = chosen.user
    if not (user.client_certificate or user.client_certificate_data):
        return None
    return Certificate(
        contents(chosen, "client-certificate", user.client_certificate_data, user.client_certificate),
        contents(chosen, "client-key", user.client_key_data, user.client_key),
    )


def _token(chosen: Chosen) -> str:
    """The file's token where there is one; `token`, where both are given and the file can't be read."""
    user = chosen.user
    if not user.token_file:
        return user.token
    try:
        said = contents(chosen, "tokenFile", "", user.token_file).decode(errors="replace").strip()
        if not said:
            raise chosen.wrong(f"tokenFile {user.token_file} is empty")
    except OrdealError:
        if not user.token:
            raise
        return user.token
    return said


def _bearer(chosen: Chosen, token: str) -> str:
    if not (token.isascii() and token.isprintable()):
        raise chosen.wrong("its token has characters that no token has, such as the end of a line")
    return f"Bearer {token}"


def _of_provider(chosen: Chosen) -> tuple[str, float]:
    """The token of auth-provider oidc and its end (monotonic), for as long as it is valid: to renew it is left to
    kubectl, which keeps the new one in the file, as the issuer may forget the old one.
    """
    provider = chosen.user.auth_provider
    assert provider is not None
    if provider.name != "oidc":
        raise chosen.wrong(
            f"auth-provider {provider.name!r} is gone from Kubernetes; use the plugin that came in its place (`exec`)"
        )
    token = str(provider.config.get("id-token", ""))
    try:
        until = msgspec.convert(json_of(base64.urlsafe_b64decode(f"{token.split('.')[1]}==")), _Claims).exp
    except (IndexError, ValueError) as error:
        raise chosen.wrong("the id-token of auth-provider oidc is no token; log in again") from error
    if time.time() >= until:
        raise chosen.wrong(
            "the id-token of auth-provider oidc has run out; `kubectl version` renews it, where kubectl can"
        )
    return token, _monotonic(until)


def _program(chosen: Chosen, plugin: Exec) -> str:
    """Where the plugin's program is. Raises OrdealError where it is nowhere."""
    found = shutil.which(plugin.command)
    if found is None:
        hint = f"; {' '.join(plugin.install_hint.split())}" if plugin.install_hint.strip() else ""
        raise chosen.wrong(f"its credentials come from the program {plugin.command}, which is not there{hint}")
    return found


def _of_plugin(chosen: Chosen, plugin: Exec) -> tuple[Credentials, float]:
    said = _run(chosen, plugin)
    try:
        return _read(said, plugin)
    except ValueError as error:
        raise NoCredentialsError(f"{_named(chosen, plugin)} gave none: {error}") from error


def _named(chosen: Chosen, plugin: Exec) -> str:
    return f"the program {plugin.command}, which {chosen.where} asks for credentials,"


def _run(chosen: Chosen, plugin: Exec) -> bytes:
    """What the plugin prints. Raises OrdealError."""
    mode = interactive_mode(plugin)
    person = mode != NEVER and _is_terminal()
    named = _named(chosen, plugin)
    if mode == ALWAYS and not person:
        raise NoCredentialsError(f"{named} wants a terminal, which is not there (pytest takes it, unless -s is given)")
    within_s = PERSON_WITHIN_S if person else PLUGIN_WITHIN_S
    try:
        done = subprocess.run(
            [_program(chosen, plugin), *plugin.args],
            stdin=None if person else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if person else subprocess.PIPE,
            timeout=within_s,
            check=False,
            env=_environment(chosen, plugin, interactive=person),
        )
    except subprocess.TimeoutExpired as error:
        raise NoCredentialsError(f"{named} did not end within {within_s:g} s{_last(error.stderr)}") from error
    except (OSError, ValueError) as error:
        raise NoCredentialsError(f"{named} could not start: {error}") from error
    if done.returncode != 0:
        raise NoCredentialsError(f"{named} exited with {done.returncode}{_last(done.stderr)}")
    return done.stdout


def _is_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False


def _environment(chosen: Chosen, plugin: Exec, *, interactive: bool) -> dict[str, str]:
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.provide_cluster_info:
        cluster = chosen.cluster
        authority = contents(
            chosen, "certificate-authority", cluster.certificate_authority_data, cluster.certificate_authority
        )
        told = {
            "server": server_url(cluster.server),
            "tls-server-name": cluster.tls_server_name,
            "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
            "certificate-authority-data": base64.b64encode(authority).decode(),
            "proxy-url": cluster.proxy_url,
            "disable-compression": cluster.disable_compression,
            "config": next((e.extension for e in cluster.extensions if e.name == PLUGIN_CONFIG), None),
        }
        spec["cluster"] = {name: value for name, value in told.items() if value}
    info = {"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec}
    own = {each.name: each.value for each in plugin.env}
    return {**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(info)}


def _read(said: bytes, plugin: Exec) -> tuple[Credentials, float]:
    """What a plugin printed. Raises ValueError with the end of a sentence."""
    told = parse(said)
    if not isinstance(told, dict) or told.get("kind") != "ExecCredential" or not isinstance(told.get("status"), dict):
        raise ValueError("what it printed is no ExecCredential with a status")
    if told.get("apiVersion") != plugin.api_version:
        raise ValueError(f"it printed one of {told.get('apiVersion')}, where {plugin.api_version} is asked for")
    status = told["status"]
    token, certificate, key, end = (
        status.get(name, "") for name in ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp")
    )
    if not all(isinstance(each, str) for each in (token, certificate, key, end)):
        raise ValueError("its status holds something else than texts")
    if not token and not certificate and not key:
        raise ValueError("its status has neither a token nor a certificate")
    if bool(certificate) != bool(key):
        raise ValueError("its status has a certificate or a key, not both")
    if token and not (token.isascii() and token.isprintable()):
        raise ValueError("its token has characters that no token has")
    try:
        until = _monotonic(datetime.fromisoformat(end).timestamp()) if end else _EVER
    except ValueError as error:
        raise ValueError(f"its expirationTimestamp is {end!r}") from error
    pair = Certificate(certificate.encode(), key.encode()) if certificate else None
    return Credentials(f"Bearer {token}" if token else "", pair), until


def _monotonic(unix_s: float) -> float:
    """A date on the monotonic clock, as this machine's clock is now."""
    return time.monotonic() + unix_s - time.time()


def _last(said: bytes | None) -> str:
    lines = (said or b"").decode(errors="replace").strip().splitlines()
    return f": {lines[-1].strip()[:300]}" if lines else ""
