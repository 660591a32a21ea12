"""Kubeconfigs as people have them, each with what comes of it: the cluster answers, or a sentence says why not.

What comes of each was asked of kubectl 1.34.4, too: it reaches the server with the same ones.
"""

import base64
import json
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.fake_apiserver import PKI

TOKEN = "sesame"
V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


@dataclass
class Kubeconfig:
    """The file that is about to be written, in its folder."""

    folder: Path
    config: dict[str, Any]

    @property
    def cluster(self) -> dict[str, Any]:
        found: dict[str, Any] = self.config["clusters"][0]["cluster"]
        return found

    @property
    def user(self) -> dict[str, Any]:
        found: dict[str, Any] = self.config["users"][0]["user"]
        return found

    @property
    def port(self) -> str:
        return str(self.cluster["server"]).rpartition(":")[2]

    def name_all(self, name: str) -> None:
        for kind in ("clusters", "users", "contexts"):
            self.config[kind][0]["name"] = name
        self.config["contexts"][0]["context"] = {"cluster": name, "user": name}
        self.config["current-context"] = name

    def plugin(self, script: str, *, version: str = V1, mode: str = "Never", **keys: Any) -> None:
        path = self.folder / "plugin"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        self.user["exec"] = {"apiVersion": version, "command": "./plugin", "interactiveMode": mode, **keys}


Change = Callable[[Kubeconfig], object]


@dataclass(frozen=True)
class Way:
    """`says` is empty where the cluster answers. `wants`: the Authorization header without which it does not."""

    change: Change
    says: str = ""
    wants: str = ""
    certificate: str = ""
    prefix: str = ""
    written: Callable[[str], bytes] = str.encode


def data(name: str) -> str:
    return base64.b64encode((PKI / name).read_bytes()).decode()


def credential(version: str = V1, **status: str) -> str:
    return json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})


def prints(what: str) -> str:
    return f"cat <<'END'\n{what}\nEND"


def jwt(ends_in_s: float) -> str:
    parts = ({"alg": "none"}, {"exp": int(time.time() + ends_in_s)})
    return ".".join([*(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts), "x"])


def cluster(**keys: Any) -> Change:
    """Those keys in the cluster, with dashes in their names; None takes one out."""

    def change(k: Kubeconfig) -> None:
        named = {key.replace("_", "-"): value for key, value in keys.items()}
        for key, value in named.items():
            if value is None:
                k.cluster.pop(key)
            else:
                k.cluster[key] = value.replace("PORT", k.port) if isinstance(value, str) else value

    return change


def user(**keys: Any) -> Change:
    return lambda k: k.user.update({key.replace("_", "-"): value for key, value in keys.items()})


def file(name: str, content: str, *changes: Change) -> Change:
    def change(k: Kubeconfig) -> None:
        (k.folder / name).write_text(content)
        for each in changes:
            each(k)

    return change


def plugin(script: str, **keys: Any) -> Change:
    return lambda k: k.plugin(script, **keys)


def both(first: Change, then: Change) -> Change:
    return lambda k: (first(k), then(k))


def top(**keys: Any) -> Change:
    return lambda k: k.config.update({key.replace("_", "-"): value for key, value in keys.items()})


def context(**keys: str) -> Change:
    return lambda k: k.config["contexts"][0]["context"].update(keys)


def named(name: str) -> Change:
    return lambda k: k.name_all(name)


def token_file(content: str, **more: str) -> Change:
    return file("token", content, lambda k: k.user.update({"tokenFile": "token", **more}))


def _laughs(levels: int) -> bytes:
    """A list of nine lists of nine lists..."""
    lists = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, levels)]
    return "".join(["a0: &a0 [x]\n", *lists]).encode()


NOTHING: Change = lambda _: None  # noqa: E731
BEARER = f"Bearer {TOKEN}"
ALICE = {"client_certificate": str(PKI / "alice.crt"), "client_key": str(PKI / "alice.key")}
ALICE_DATA = {"client_certificate_data": data("alice.crt"), "client_key_data": data("alice.key")}
INSECURE = {"certificate_authority": None, "insecure_skip_tls_verify": True}

CLUSTERS = {
    "as it is": Way(NOTHING),
    "authority as data": Way(cluster(certificate_authority=None, certificate_authority_data=data("ca.crt"))),
    "authority in lines": Way(
        cluster(certificate_authority=None, certificate_authority_data="\n".join(textwrap.wrap(data("ca.crt"), 60)))
    ),
    "authority beside the file": Way(
        file("ca.crt", (PKI / "ca.crt").read_text(), cluster(certificate_authority="ca.crt"))
    ),
    "authority among comments": Way(
        file("ca.crt", f"# Autorität\n{(PKI / 'ca.crt').read_text()}", cluster(certificate_authority="ca.crt"))
    ),
    "authority beside a broken one": Way(
        file(
            "ca.crt",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + (PKI / "ca.crt").read_text(),
            cluster(certificate_authority="ca.crt"),
        )
    ),
    "the server's own certificate as authority": Way(cluster(certificate_authority=str(PKI / "server.crt"))),
    "authority missing": Way(cluster(certificate_authority="gone.crt"), "gone.crt can't be read: No such file"),
    "authority a folder": Way(cluster(certificate_authority="."), "can't be read: Is a directory"),
    "authority empty": Way(file("ca.crt", "", cluster(certificate_authority="ca.crt")), "holds no certificate"),
    "authority twice": Way(cluster(certificate_authority_data=data("ca.crt")), "are both there"),
    "authority not base64": Way(
        cluster(certificate_authority=None, certificate_authority_data="%%%"),
        "certificate-authority-data is not base64",
    ),
    "authority no PEM": Way(
        cluster(certificate_authority=None, certificate_authority_data="aGVsbG8="), "holds no certificate"
    ),
    "another authority": Way(
        cluster(certificate_authority=str(PKI / "other-ca.crt")),
        "not to be trusted by what the kubeconfig says: self-signed",
    ),
    "the system's authorities": Way(
        cluster(certificate_authority=None), "not to be trusted by what the kubeconfig says: self-signed"
    ),
    "insecure": Way(cluster(**INSECURE)),
    "insecure with an authority": Way(cluster(insecure_skip_tls_verify=True), "are both there"),
    "insecure as a text": Way(cluster(insecure_skip_tls_verify="true"), "Expected `bool`, got `str`"),
    "another name for TLS": Way(cluster(tls_server_name="api.example")),
    "a wrong name for TLS": Way(
        cluster(tls_server_name="other.example"), "not to be trusted by what the kubeconfig says: Hostname mismatch"
    ),
    "a path": Way(cluster(server="https://127.0.0.1:PORT/k8s/clusters/c-1"), prefix="/k8s/clusters/c-1"),
    "a path with a slash": Way(cluster(server="https://127.0.0.1:PORT/k8s/"), prefix="/k8s"),
    "a path with a query": Way(cluster(server="https://127.0.0.1:PORT/k8s?x=1#y"), prefix="/k8s"),
    "a slash": Way(cluster(server="https://127.0.0.1:PORT/")),
    "no server": Way(cluster(server=""), "has no server"),
    "a password in the address": Way(
        cluster(server="https://ann:pw@127.0.0.1:PORT"), "holds a name or a password, which belongs to a user"
    ),
    "no such port": Way(cluster(server="https://127.0.0.1:99999"), "is no address such as"),
    "no such scheme": Way(cluster(server="ftp://127.0.0.1:PORT"), "is no address such as"),
    "no such host": Way(cluster(server="https://nowhere.invalid:6443"), "does not answer"),
    "compression and extensions": Way(
        cluster(
            disable_compression=True,
            extensions=[{"name": "minikube.sigs.k8s.io", "extension": {"last-update": "Tue", "version": 1}}],
        )
    ),
    "a socket as proxy": Way(cluster(proxy_url="unix:///run/proxy"), "proxy-url must begin with http://, https://"),
    "socks4 as proxy": Way(cluster(proxy_url="socks4://127.0.0.1:9"), "proxy-url must begin with http://, https://"),
    "a proxy that is not there": Way(
        cluster(proxy_url="http://127.0.0.1:9"), "does not answer through the proxy http://127.0.0.1:9"
    ),
    "a SOCKS proxy that is not there": Way(
        cluster(proxy_url="socks5://127.0.0.1:9"), "does not answer through the proxy socks5://127.0.0.1:9"
    ),
}
TOKENS = (jwt(3600.0), jwt(-3600.0))
USERS = {
    "token": Way(user(token=TOKEN), wants=BEARER),
    "no token": Way(NOTHING, "does not accept the kubeconfig's credentials", wants=BEARER),
    "a wrong token": Way(user(token="x"), "does not accept the kubeconfig's credentials", wants=BEARER),
    "token with the end of a line": Way(user(token=f"{TOKEN}\n"), "its token has characters", wants=BEARER),
    "token without quotes": Way(user(token=12345), "Expected `str`, got `int`", wants="Bearer 12345"),
    "token in a file": Way(token_file(f"{TOKEN}\n"), wants=BEARER),
    "token's file no path": Way(user(tokenFile="a\0b"), "can't be used: embedded null byte", wants=BEARER),
    "token's file gone": Way(user(tokenFile="gone"), "gone can't be read: No such file", wants=BEARER),
    "token's file empty": Way(token_file("\n"), "is empty", wants=BEARER),
    "token's file before the token": Way(token_file(TOKEN, token="old"), wants=BEARER),
    "token, and its file gone": Way(user(tokenFile="gone", token=TOKEN), wants=BEARER),
    "user and password": Way(user(username="ann", password="b:c"), wants="Basic YW5uOmI6Yw=="),
    "password and token": Way(user(username="ann", token=TOKEN), "take one out", wants=BEARER),
    "certificate": Way(user(**ALICE), certificate="alice"),
    "certificate as data": Way(user(**ALICE_DATA), certificate="alice"),
    "certificate and token": Way(user(**ALICE, token=TOKEN), certificate="alice", wants=BEARER),
    "certificate twice": Way(user(**ALICE, **ALICE_DATA), "are both there"),
    "certificate without key": Way(user(client_certificate=ALICE["client_certificate"]), "has no client-key"),
    "key without certificate": Way(user(client_key=ALICE["client_key"])),
    "certificate missing": Way(user(**{**ALICE, "client_certificate": "gone"}), "gone can't be read: No such file"),
    "key missing": Way(user(**{**ALICE, "client_key": "gone"}), "gone can't be read: No such file"),
    "certificate not base64": Way(
        user(**{**ALICE_DATA, "client_certificate_data": "%"}), "client-certificate-data is not base64"
    ),
    "certificate no PEM": Way(user(**{**ALICE_DATA, "client_certificate_data": "aGVsbG8="}), "can't be used (no PEM)"),
    "key no PEM": Way(
        user(**{**ALICE_DATA, "client_key_data": "aGVsbG8="}), "client certificate and key can't be used"
    ),
    "another's key": Way(user(**{**ALICE, "client_key": str(PKI / "bob.key")}), "can't be used (key values mismatch)"),
    "key with a password": Way(
        user(**{**ALICE, "client_key": str(PKI / "alice-locked.key")}), "client-key is encrypted"
    ),
    "as another": Way(user(**{"as": "jane", "as-groups": ["a", "b"], "as-uid": "1", "as-user-extra": {"x/y": ["1"]}})),
    "as a group alone": Way(user(**{"as-groups": ["a"]}), "need `as`"),
    "plugin": Way(plugin(prints(credential(token=TOKEN))), wants=BEARER),
    "plugin of v1beta1": Way(
        both(
            plugin(prints(credential(V1BETA1, token=TOKEN)), version=V1BETA1),
            lambda k: k.user["exec"].pop("interactiveMode"),
        ),
        wants=BEARER,
    ),
    "plugin of v1alpha1": Way(
        plugin(prints(credential(token=TOKEN)), version="client.authentication.k8s.io/v1alpha1"),
        "exec must have the apiVersion",
        wants=BEARER,
    ),
    "plugin that says nothing of the terminal": Way(
        plugin(prints(credential(token=TOKEN)), mode=""), "exec's interactiveMode must be", wants=BEARER
    ),
    "plugin that may ask": Way(plugin(prints(credential(token=TOKEN)), mode="IfAvailable"), wants=BEARER),
    "plugin that must ask": Way(
        plugin(prints(credential(token=TOKEN)), mode="Always"), "wants a terminal, which is not there", wants=BEARER
    ),
    "plugin with arguments and variables": Way(
        plugin(
            'printf \'{"apiVersion": "%s", "kind": "ExecCredential", "status": {"token": "%s%s"}}\' "$A" "$1" "$B"',
            args=["ses"],
            env=[{"name": "A", "value": V1}, {"name": "B", "value": "ame"}],
        ),
        wants=BEARER,
    ),
    "plugin that is told the cluster": Way(
        plugin(
            'case "$KUBERNETES_EXEC_INFO" in *\'"certificate-authority-data"\'*\'"interactive"\'*) ;; '
            "*'\"interactive\"'*'\"certificate-authority-data\"'*) ;; *) exit 1;; esac\n"
            + prints(credential(token=TOKEN)),
            provideClusterInfo=True,
        ),
        wants=BEARER,
    ),
    "plugin with a certificate": Way(
        plugin(
            prints(
                credential(
                    clientCertificateData=(PKI / "alice.crt").read_text(), clientKeyData=(PKI / "alice.key").read_text()
                )
            )
        ),
        certificate="alice",
    ),
    "plugin with half a certificate": Way(
        plugin(prints(credential(clientCertificateData=(PKI / "alice.crt").read_text()))),
        "a certificate or a key, not both",
    ),
    "plugin with a broken certificate": Way(
        plugin(prints(credential(clientCertificateData="x", clientKeyData="y"))),
        "client certificate and key can't be used",
    ),
    "plugin beside a token": Way(
        both(plugin("exit 3"), user(token=TOKEN)),
        wants=BEARER,
    ),
    "plugin missing": Way(
        user(
            exec={"apiVersion": V1, "command": "aws-of-nobody", "interactiveMode": "Never", "installHint": "get it\nso"}
        ),
        "aws-of-nobody, which is not there; get it so",
        wants=BEARER,
    ),
    "plugin missing in its folder": Way(
        user(exec={"apiVersion": V1, "command": "bin/none", "interactiveMode": "Never"}),
        "bin/none, which is not there",
        wants=BEARER,
    ),
    "plugin without a command": Way(user(exec={"apiVersion": V1, "interactiveMode": "Never"}), "exec names no command"),
    "plugin that fails": Way(
        plugin("echo hint; echo log in first >&2; exit 3"), "credentials, exited with 3: log in first", wants=BEARER
    ),
    "plugin that prints rubbish": Way(plugin("echo '{{'"), "gave none: it is no YAML", wants=BEARER),
    "plugin that prints nothing": Way(plugin(":"), "gave none: what it printed is no ExecCredential", wants=BEARER),
    "plugin that prints another version": Way(
        plugin(prints(credential(V1BETA1, token=TOKEN))), f"where {V1} is asked for", wants=BEARER
    ),
    "plugin that prints no token": Way(plugin(prints(credential())), "neither a token nor a certificate", wants=BEARER),
    "plugin with a wrong end": Way(
        plugin(prints(credential(token=TOKEN, expirationTimestamp="soon"))),
        "its expirationTimestamp is 'soon'",
        wants=BEARER,
    ),
    "plugin with an end": Way(
        plugin(prints(credential(token=TOKEN, expirationTimestamp="2099-01-01T00:00:00Z"))), wants=BEARER
    ),
    "provider of old": Way(
        user(auth_provider={"name": "gcp", "config": {"expiry": "2020-01-01T00:00:00Z"}}), "auth-provider 'gcp' is gone"
    ),
    "provider oidc": Way(
        lambda k: k.user.update(
            {
                "auth-provider": {
                    "name": "oidc",
                    "config": {"id-token": TOKENS[0], "idp-issuer-url": "https://issuer", "client-id": "me"},
                }
            }
        ),
        wants="JWT",
    ),
    "provider oidc that has run out": Way(
        lambda k: k.user.update(
            {
                "auth-provider": {
                    "name": "oidc",
                    "config": {"id-token": TOKENS[1], "idp-issuer-url": "https://issuer", "client-id": "me"},
                }
            }
        ),
        "has run out",
        wants="JWT",
    ),
}
FILES = {
    "ARN": Way(named("arn:aws:eks:eu-west-1:1:cluster/x")),
    "no current context": Way(
        top(current_context=""), "has no current-context; name one with --ordeal-context: it has 'fake'"
    ),
    "current context null": Way(top(current_context=None), "has no current-context"),
    "no such context": Way(top(current_context="gone"), "has no context 'gone'; it has 'fake'"),
    "no such cluster": Way(context(cluster="gone"), "of a cluster 'gone'; it has 'fake'"),
    "no such user": Way(context(user="gone")),
    "users null": Way(top(users=None)),
    "clusters null": Way(top(clusters=None), "it has none"),
    "contexts null": Way(top(contexts=None), "has no context 'fake'; it has none"),
    "user null": Way(lambda k: k.config["users"][0].update(user=None)),
    "unknown keys": Way(lambda k: (k.config.update({"color": 1}), k.cluster.update({"color": 1}))),
    "a namespace": Way(context(namespace="team")),
    "a name twice": Way(lambda k: k.config["users"].append({"name": "fake", "user": {}}), "two of the user 'fake'"),
    "a name like a number": Way(lambda k: k.config["users"].append({"name": 1}), "Expected `str`, got `int`"),
    "a name like a date": Way(NOTHING, written=lambda t: t.replace("fake", "2024-01-01").encode()),
    "JSON": Way(NOTHING, written=lambda t: json.dumps(yaml.safe_load(t), indent="\t").encode()),
    "byte order mark": Way(NOTHING, written=lambda t: b"\xef\xbb\xbf" + t.encode()),
    "UTF-16": Way(NOTHING, written=lambda t: t.encode("utf-16")),
    "ends of lines of Windows": Way(NOTHING, written=lambda t: t.replace("\n", "\r\n").encode()),
    "several documents": Way(NOTHING, written=lambda t: f"{t}---\nkind: Pod\n".encode()),
    "anchors": Way(NOTHING, written=lambda t: t.replace("name: fake", "name: &n fake", 1).encode() + b"x: *n\n"),
    "not UTF-8": Way(NOTHING, "is no YAML", written=lambda t: t.encode() + b"x: \xe4\n"),
    "no YAML": Way(NOTHING, "is no YAML", written=lambda _: b"apiVersion: ["),
    "tabs": Way(NOTHING, "is no YAML", written=lambda _: b"apiVersion: v1\nclusters:\n\t- name: x\n"),
    "a list": Way(NOTHING, "it holds no mapping", written=lambda _: b"- 1\n"),
    "a text": Way(NOTHING, "it holds no mapping", written=lambda _: b"hello\n"),
    "another kind": Way(top(kind="Pod"), "it is a Pod of v1, not a Config of v1"),
    "another version": Way(top(apiVersion="v2"), "it is a Config of v2, not a Config of v1"),
    "no kind": Way(lambda k: (k.config.pop("kind"), k.config.pop("apiVersion"))),
    "lists for mappings": Way(top(clusters={"fake": {}}), "Expected `array`, got `object`"),
    "a cluster that is a text": Way(
        lambda k: k.config["clusters"][0].update(cluster="x"), "Expected `object`, got `str`"
    ),
    "empty": Way(NOTHING, "has no current-context", written=lambda _: b""),
    "comments alone": Way(NOTHING, "has no current-context", written=lambda _: b"# nothing\n"),
    "nested without end": Way(NOTHING, "nested too deeply", written=lambda _: b"[" * 200_000),
    "nested in JSON": Way(NOTHING, "nested too deeply", written=lambda _: b"[" * 200_000 + b"]" * 200_000),
    "aliases of aliases": Way(
        NOTHING,
        "holds more than a kubeconfig can",
        written=lambda _: _laughs(30),
    ),
    "an alias of itself": Way(NOTHING, "holds more than a kubeconfig can", written=lambda _: b"a: &a [*a]\n"),
}  # fmt: skip
ALL = {**CLUSTERS, **USERS, **FILES}


def write(way: Way, config: dict[str, Any], folder: Path) -> Path:
    """The kubeconfig, in that folder."""
    made = Kubeconfig(folder, json.loads(json.dumps(config)))
    way.change(made)
    path = folder / "mine.yaml"
    path.write_bytes(way.written(yaml.safe_dump(made.config, sort_keys=False)))
    return path


def authorization(way: Way) -> set[str] | None:
    """What the server is to accept; None: anything."""
    if not way.wants:
        return None
    return {f"Bearer {TOKENS[0]}", f"Bearer {TOKENS[1]}"} if way.wants == "JWT" else {way.wants}
