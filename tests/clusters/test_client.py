"""The way to a cluster: whatever kubectl can use works, and what it can't is one sentence before anything is sent."""

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos.clusters.way import credentials, podexec, transport
from chaos.clusters.way.client import api_client, raw_get, read_nodes, server_version, transport_of
from chaos.clusters.way.podexec import exec_in_pod, exit_code
from chaos.errors import OrdealError
from chaos.hosts import extras
from chaos.hosts.command import CommandError
from tests.clusters import first_requests
from tests.clusters.ways import ALL, Way, authorization, write
from tests.fake_apiserver import PKI, FakeApiServer
from tests.fake_proxy import FakeProxy


@pytest.mark.parametrize("way", ALL.values(), ids=ALL)
def test_a_kubeconfig_works_or_is_one_sentence(way: Way, tmp_path: Path) -> None:
    with FakeApiServer(tmp_path, tls=True) as api:
        api.accepts, api.prefix = authorization(way), way.prefix
        kubeconfig = write(way, api.config, tmp_path)
        try:
            with api_client(kubeconfig) as client:
                said = server_version(client)
        except OrdealError as error:
            said = str(error)
    assert way.says in said, said
    assert "\n" not in said
    assert (said == "1.34.4") == (not way.says), said
    if not way.says:
        assert api.asked[-1].certificate == way.certificate


def test_threads_that_send_the_first_requests_at_once_are_all_answered(tmp_path: Path) -> None:
    """Each of them loaded the certificate into a context that another one had just begun to use: Python crashed."""
    argv = [sys.executable, "-m", first_requests.__name__, str(tmp_path), "60"]
    done = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_context_that_connections_use_is_never_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for the next connection, and not when the user's certificate has been renewed."""
    used: set[ssl.SSLContext] = set()

    def guarded(name: str) -> Callable[..., None]:
        change = getattr(ssl.SSLContext, name)

        def checked(self: ssl.SSLContext, *given: Any, **named: Any) -> None:
            assert self not in used
            change(self, *given, **named)

        return checked

    def wrapped(self: ssl.SSLContext, *given: Any, wrap: Any = ssl.SSLContext.wrap_socket, **named: Any) -> Any:
        used.update(() if named.get("server_side") else (self,))
        return wrap(self, *given, **named)

    for name in ("load_cert_chain", "load_verify_locations", "set_alpn_protocols"):
        monkeypatch.setattr(ssl.SSLContext, name, guarded(name))
    with FakeApiServer(tmp_path, tls=True) as server:
        monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrapped)
        monkeypatch.setattr(credentials, "FILES_FOR_S", 0.0)
        server.config["users"][0]["user"] = {"client-certificate": "user.crt", "client-key": "user.key"}
        server.kubeconfig.write_text(yaml.safe_dump(server.config))
        shown: list[str] = []
        for who in ("alice", "alice", "bob", "bob"):
            for kind in ("crt", "key"):
                (tmp_path / f"user.{kind}").write_bytes((PKI / f"{who}.{kind}").read_bytes())
            if not shown:
                client = server.client()
            transport_of(client).clear()
            raw_get(client, "/version")
            shown.append(server.asked[-1].certificate)
    assert shown == ["alice", "alice", "bob", "bob"]
    assert len(used) == 2


def test_who_is_acted_as_is_told_with_each_request(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path, tls=True) as api:
        kubeconfig = write(ALL["as another"], api.config, tmp_path)
        with api_client(kubeconfig) as client:
            server_version(client)
        seen = api.asked[-1]
    assert seen.all("Impersonate-User") == ["jane"]
    assert seen.all("Impersonate-Group") == ["a", "b"]
    assert seen.all("Impersonate-Uid") == ["1"]
    assert seen.all("Impersonate-Extra-x%2Fy") == ["1"]


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_a_server_may_have_an_ipv6_address(tmp_path: Path) -> None:
    try:
        made = FakeApiServer(tmp_path, tls=True, address="::1")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with made as api, api.client() as client:
        assert "[::1]" in api.url
        assert server_version(client) == "1.34.4"


@pytest.mark.parametrize(
    ("scheme", "how", "named"),
    [
        ("http", {}, "api.example:6443"),
        ("https", {"tls": True}, "api.example:6443"),
        ("socks5", {"socks": True}, "api.example"),
    ],
)
@pytest.mark.parametrize("by", ["proxy-url", "HTTPS_PROXY"])
def test_a_proxy_leads_to_the_server_for_requests_and_for_commands_in_pods(
    by: str, scheme: str, how: dict[str, bool], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeApiServer(tmp_path, tls=True) as api, FakeProxy(api.port, **how) as proxy:
        url = f"{scheme}://me:p%40ss@localhost:{proxy.port}"
        cluster = api.config["clusters"][0]["cluster"]
        cluster["server"] = "https://api.example:6443"  # resolved by the proxy: nobody else knows it
        if by == "proxy-url":
            cluster["proxy-url"] = url
        else:
            monkeypatch.setenv(by, url)
        api.kubeconfig.write_text(yaml.safe_dump(api.config))
        api.runs["cat it"] = ("grüß " * 100, "", 0)
        with api.client() as client:
            assert server_version(client) == "1.34.4"
            assert exec_in_pod(client, "default", "one", ["cat", "it"]).out == "grüß " * 100
    assert set(proxy.asked) == {named}
    assert len(proxy.asked) == 2
    assert set(proxy.as_whom) == ({"me:p@ss"} if how.get("socks") else {"Basic bWU6cEBzcw=="})


def test_a_server_that_has_taken_the_connection_has_time_for_its_part_of_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that made two clusters, 3 s were not enough, and a replay was unknown before it began."""
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT_S", 0.05)
    with FakeApiServer(tmp_path, tls=True) as api, api.client() as client:
        api.shakes_hands.clear()
        threading.Timer(0.5, api.shakes_hands.set).start()
        assert server_version(client) == "1.34.4"
        api.shakes_hands.clear()
        monkeypatch.setattr(transport, "HANDSHAKE_TIMEOUT_S", 0.05)
        with api.client() as another, pytest.raises(OrdealError, match="does not answer"):
            server_version(another)


def test_a_proxy_is_shown_the_same_certificate_as_the_server(tmp_path: Path) -> None:
    """As by Go: it has one set-up of TLS for both (net/http, transport.go, addTLS)."""
    with FakeApiServer(tmp_path, tls=True) as api, FakeProxy(api.port, tls=True) as proxy:
        cluster = api.config["clusters"][0]["cluster"]
        cluster |= {"server": "https://api.example:6443", "proxy-url": f"https://localhost:{proxy.port}"}
        user = {"client-certificate": str(PKI / "alice.crt"), "client-key": str(PKI / "alice.key")}
        api.config["users"][0]["user"] = user
        api.kubeconfig.write_text(yaml.safe_dump(api.config))
        with api.client() as client:
            assert server_version(client) == "1.34.4"
    assert (api.asked[-1].certificate, proxy.certificates) == ("alice", ["alice"])


def test_an_insecure_server_behind_a_proxy_gives_no_warning_either(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path, tls=True) as api, FakeProxy(api.port, socks=True) as proxy:
        cluster = api.config["clusters"][0]["cluster"]
        del cluster["certificate-authority"]
        cluster |= {"insecure-skip-tls-verify": True, "proxy-url": f"socks5://127.0.0.1:{proxy.port}"}
        api.kubeconfig.write_text(yaml.safe_dump(api.config))
        with api.client() as client:
            assert server_version(client) == "1.34.4"


def test_without_the_package_for_socks_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.MODULES, extras.SOCKS, ("no_socks_here",))
    with FakeApiServer(tmp_path, tls=True) as api:
        api.config["clusters"][0]["cluster"]["proxy-url"] = "socks5://127.0.0.1:1080"
        api.kubeconfig.write_text(yaml.safe_dump(api.config))
        with pytest.raises(OrdealError, match=r"proxy-url is socks5://127.0.0.1:1080, .* 'kube-ordeal\[socks\]'"):
            api.client()


def test_the_proxies_of_the_environment_are_not_for_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "ftp://rubbish")
    for tls in (True, False):
        with FakeApiServer(tmp_path, tls=tls) as api, api.client() as client:
            api.runs["true"] = ("", "", 0)
            assert server_version(client) == "1.34.4"
            assert exec_in_pod(client, "default", "one", ["true"]).code == 0


def test_a_proxy_of_the_environment_that_is_not_there_is_named_with_the_way_round_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:9")
    with FakeApiServer(tmp_path, tls=True) as api:
        cluster = api.config["clusters"][0]["cluster"]
        cluster["server"] = "https://api.example:6443"
        api.kubeconfig.write_text(yaml.safe_dump(api.config))
        with api.client() as client, pytest.raises(OrdealError) as error:
            server_version(client)
        with api_client(api.kubeconfig, direct=True) as client, pytest.raises(OrdealError, match="Failed to resolve"):
            server_version(client)
    said = str(error.value)
    assert "http://127.0.0.1:9 (HTTPS_PROXY)" in said
    assert "Connection refused" in said
    assert "NO_PROXY" in said
    assert "secret" not in said


def test_a_commands_words_come_whole_and_its_exit_code_too(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path, tls=True) as api, api.client() as client:
        api.runs["sh -c exit 3"] = ("ä" * 500, "no such thing", 3)
        said = exec_in_pod(client, "default", "one", ["sh", "-c", "exit 3"], check=False)
        assert (said.code, said.out, said.err) == (3, "ä" * 500, "no such thing")
        with pytest.raises(CommandError, match="exited with 3") as error:
            exec_in_pod(client, "default", "one", ["sh", "-c", "exit 3"])
        assert "no such thing" in str(error.value)
        api.refuse = 403
        with pytest.raises(OrdealError, match=r"nothing can be run in pod default/one: .*refused"):
            exec_in_pod(client, "default", "one", ["sh", "-c", "exit 3"])


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (b'{"status": "Success"}', 0),
        (b'{"status": "Success", "metadata": {}, "details": null}', 0),
        (b'{"status": "Failure", "details": {"causes": [{"reason": "x"}, {"reason": "ExitCode", "message": "3"}]}}', 3),
        (b"", -1),
        (b"Success", -1),
        (b"{}", -1),
        (b"[]", -1),
        (b"null", -1),
        (b'"Success"', -1),
        (b'{"status": 0}', -1),
        (b'{"status": "Failure", "details": null}', -1),
        (b'{"status": "Failure", "details": []}', -1),
        (b'{"status": "Failure", "details": {"causes": null}}', -1),
        (b'{"status": "Failure", "details": {"causes": ["ExitCode"]}}', -1),
        (b'{"status": "Failure", "details": {"causes": [{"reason": "ExitCode"}]}}', -1),
        (b'{"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": 3}]}}', -1),
        (b'{"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "three"}]}}', -1),
        (
            b'{"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "%s"}]}}' % (b"3" * 9999),
            -1,
        ),
        (b"[" * 10_000, -1),
        (b'{"status": "Success", "message": "%s"}' % (b"x" * 100_000), -1),
        (b'{"status": "\xff"}', -1),
    ],
    ids=lambda each: repr(each[:80]) if isinstance(each, bytes) else None,
)
def test_a_last_word_that_says_nothing_of_use_is_told_from_an_end(status: bytes, code: int) -> None:
    assert exit_code(status) == code


def test_a_last_word_of_anything_is_one_sentence(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path, tls=True) as api, api.client() as client:
        api.runs["true"] = ("", "", 0)
        api.ends_with = b"[]"
        with pytest.raises(CommandError, match="exited with -1"):
            exec_in_pod(client, "default", "one", ["true"])


def test_a_command_that_never_stops_talking_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podexec, "MOST_BYTES", 1000)
    with FakeApiServer(tmp_path, tls=True) as api, api.client() as client:
        api.runs["yes"] = ("y\n" * 450, "", 0)
        assert exec_in_pod(client, "default", "one", ["yes"]).out == "y\n" * 450
        api.runs["yes"] = ("y\n" * 400, "no\n" * 100, 0)
        with pytest.raises(CommandError, match="`exec default/one yes` said more than 0 MiB; its last output:\n    no"):
            exec_in_pod(client, "default", "one", ["yes"])


def test_a_command_in_a_pod_goes_with_a_new_token_where_the_old_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one")
    with FakeApiServer(tmp_path, tls=True) as api:
        api.config["users"][0]["user"] = {"tokenFile": "token"}
        api.kubeconfig.write_text(yaml.safe_dump(api.config))
        api.runs["true"] = ("", "", 0)
        with api.client() as client:
            (tmp_path / "token").write_text("two")
            api.accepts = {"Bearer two"}
            assert exec_in_pod(client, "default", "one", ["true"]).code == 0


def test_a_command_in_a_pod_may_be_the_first_to_show_the_certificate(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path, tls=True) as api:
        user = {"client-certificate": str(PKI / "alice.crt"), "client-key": str(PKI / "alice.key")}
        api.config["users"][0]["user"] = user
        api.kubeconfig.write_text(yaml.safe_dump(api.config))
        api.runs["true"] = ("", "", 0)
        with api.client() as client:
            assert exec_in_pod(client, "default", "one", ["true"]).code == 0
    assert [each.certificate for each in api.asked] == ["alice"]


def test_a_servers_answer_is_told_in_its_own_words(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path, tls=True) as api, api.client() as client:
        api.forbidden = {("list", "nodes")}
        with pytest.raises(OrdealError, match=r'refuses: nodes is forbidden: User "few" cannot list resource "nodes"'):
            read_nodes(client)
