"""Credentials are asked for anew: when they run out, when their file changes, and when a server refuses them."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from urllib3.exceptions import HTTPError

from chaos.basics.waiting import eventually
from chaos.clusters.way import credentials
from chaos.clusters.way.client import Access, raw_get, server_version
from chaos.conformance import api_watch
from chaos.conformance.api_watch import ApiWatch
from chaos.errors import OrdealError
from tests.clusters.ways import V1, Kubeconfig
from tests.fake_apiserver import PKI, FakeApiServer

FUTURE, PAST = "2099-01-01T00:00:00Z", "2000-01-01T00:00:00Z"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApiServer]:
    with FakeApiServer(tmp_path, tls=True) as made:
        yield made


def save(api: FakeApiServer, **user: Any) -> None:
    api.config["users"][0]["user"] = {key.replace("_", "-"): value for key, value in user.items()}
    api.kubeconfig.write_text(yaml.safe_dump(api.config))


def accept(api: FakeApiServer, *tokens: str) -> None:
    api.accepts = {f"Bearer {token}" for token in tokens}


def plugin(api: FakeApiServer, folder: Path) -> Path:
    """A plugin that counts how often it was asked, and prints what is in the file that is returned."""
    k = Kubeconfig(folder, api.config)
    k.plugin(f"echo >>{folder}/asked; cat {folder}/prints")
    api.kubeconfig.write_text(yaml.safe_dump(api.config))
    return folder / "prints"


def prints(path: Path, **status: str) -> None:
    path.write_text(json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status}))


def asked(folder: Path) -> int:
    return len((folder / "asked").read_text())


def test_a_token_that_is_rotated_is_read_again_as_soon_as_the_old_one_is_refused(
    api: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_watch, "EVERY_S", 0.02)
    (tmp_path / "token").write_text("one")
    save(api, tokenFile="token")
    accept(api, "one")
    with ApiWatch(api.kubeconfig) as watch:
        eventually(lambda: api.asked, within_s=10, what="a request", every_s=0.01)
        (tmp_path / "token").write_text("two")
        accept(api, "two")
        first = len(api.asked)
        eventually(lambda: len(api.asked) > first + 4, within_s=10, what="more requests", every_s=0.01)
        assert watch.why == ""
    assert api.asked[-1].all("Authorization") == ["Bearer two"]


def later(monkeypatch: pytest.MonkeyPatch, by_s: float, *, set_by_s: float = 0.0) -> None:
    """So long after now, on a machine whose clock was set meanwhile."""
    now = SimpleNamespace(monotonic=lambda: time.monotonic() + by_s, time=lambda: time.time() + by_s + set_by_s)
    monkeypatch.setattr(credentials, "time", now)


@pytest.mark.parametrize("set_by_s", [3600, -7200])
def test_what_was_read_is_believed_no_longer_and_no_shorter_where_the_clock_is_set(
    api: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_by_s: float
) -> None:
    (tmp_path / "token").write_text("one")
    save(api, tokenFile="token")
    with Access(api.kubeconfig).client() as client:
        server_version(client)
        (tmp_path / "token").write_text("two")
        later(monkeypatch, 1, set_by_s=set_by_s)
        server_version(client)
        assert api.asked[-1].all("Authorization") == ["Bearer one"]
        later(monkeypatch, 61, set_by_s=set_by_s)
        server_version(client)
        assert api.asked[-1].all("Authorization") == ["Bearer two"]


def test_a_files_token_is_read_again_after_a_minute_though_the_old_one_is_accepted(
    api: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("one")
    save(api, tokenFile="token")
    with Access(api.kubeconfig).client() as client:
        server_version(client)
        (tmp_path / "token").write_text("two")
        server_version(client)
        assert api.asked[-1].all("Authorization") == ["Bearer one"]
        later(monkeypatch, 61)
        server_version(client)
        assert api.asked[-1].all("Authorization") == ["Bearer two"]
        (tmp_path / "token").unlink()
        later(monkeypatch, 122)
        server_version(client)  # the last one that was read goes on counting
        accept(api, "three")
        with pytest.raises(OrdealError, match=r"tokenFile .*/token can't be read: No such file"):
            server_version(client)


def test_a_token_in_the_kubeconfig_that_a_login_has_changed_is_read_again(api: FakeApiServer) -> None:
    save(api, token="one")
    accept(api, "one")
    with Access(api.kubeconfig).client() as client:
        server_version(client)
        save(api, token="two")
        accept(api, "two")
        assert server_version(client) == "1.34.4"
        api.kubeconfig.write_text("{")  # being written
        accept(api, "three")
        with pytest.raises(OrdealError, match="does not accept the kubeconfig's credentials"):
            server_version(client)


def test_a_certificate_that_is_renewed_is_shown_from_then_on(api: FakeApiServer, tmp_path: Path) -> None:
    for name, source in (("c.crt", "alice.crt"), ("c.key", "alice.key")):
        (tmp_path / name).write_text((PKI / source).read_text())
    save(api, client_certificate="c.crt", client_key="c.key")
    with Access(api.kubeconfig).client() as client:
        server_version(client)
        assert api.asked[-1].certificate == "alice"
        for name, source in (("c.crt", "bob.crt"), ("c.key", "bob.key")):
            (tmp_path / name).write_text((PKI / source).read_text())
        api.refuse = 401
        with pytest.raises(OrdealError, match="does not accept the kubeconfig's credentials"):
            server_version(client)
        assert api.asked[-1].certificate == "bob"


def test_a_plugin_is_asked_once_for_all_clients_until_its_credentials_run_out(
    api: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = plugin(api, tmp_path)
    prints(said, token="one", expirationTimestamp=FUTURE)
    accept(api, "one", "two")
    access = Access(api.kubeconfig)
    assert not (tmp_path / "asked").exists(), "no plugin is started before there is something to ask"
    for _ in range(3):
        with access.client() as client:
            server_version(client)
    assert asked(tmp_path) == 1
    prints(said, token="two", expirationTimestamp=PAST)
    later(monkeypatch, 100 * 366 * 86400)
    with access.client() as client:
        server_version(client)
        assert api.asked[-1].all("Authorization") == ["Bearer two"]
        server_version(client)
    assert asked(tmp_path) == 3, "what has run out already is asked for with each request"


def test_a_plugin_whose_token_is_refused_is_asked_again_but_not_without_end(
    api: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = plugin(api, tmp_path)
    prints(said, token="one")
    accept(api, "one")
    with Access(api.kubeconfig).client() as client:
        server_version(client)
        prints(said, token="two")
        accept(api, "two")
        later(monkeypatch, 6, set_by_s=-7200)
        assert server_version(client) == "1.34.4"
        accept(api, "three")
        for _ in range(5):
            with pytest.raises(OrdealError, match="does not accept"):
                server_version(client)
    assert asked(tmp_path) == 2


def test_a_plugin_that_fails_later_is_a_sentence_for_those_who_await_an_http_error(
    api: FakeApiServer, tmp_path: Path
) -> None:
    said = plugin(api, tmp_path)
    prints(said, token="one", expirationTimestamp=PAST)
    with Access(api.kubeconfig).client() as client:
        server_version(client)
        said.unlink()
        with pytest.raises(HTTPError, match=r"plugin, which .* asks for credentials, exited with 1: cat: "):
            raw_get(client, "/version")


def test_a_plugin_that_hangs_is_ended_with_what_it_said(
    api: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "PLUGIN_WITHIN_S", 0.3)
    Kubeconfig(tmp_path, api.config).plugin("echo to sign in, open https://device >&2; exec sleep 60")
    api.kubeconfig.write_text(yaml.safe_dump(api.config))
    with (
        Access(api.kubeconfig).client() as client,
        pytest.raises(OrdealError, match=r"did not end within 0.3 s: to sign in, open https://device"),
    ):
        server_version(client)


def test_nobody_is_told_credentials_over_plain_http_but_this_machine(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path) as api:
        save(api, token="secret")
        with Access(api.kubeconfig).client() as client:
            server_version(client)
        assert api.asked[-1].all("Authorization") == ["Bearer secret"]
        api.config["clusters"][0]["cluster"]["server"] = "http://api.example"
        api.config["clusters"][0]["cluster"]["proxy-url"] = api.url
        save(api, token="secret")
        with Access(api.kubeconfig).client() as client:
            raw_get(client, "/version")
        assert api.asked[-1].path == "http://api.example/version"
        assert api.asked[-1].all("Authorization") == []
