"""Which kubeconfigs there are, and how several make one: as kubectl finds and merges them."""

import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos.clusters.base import ClusterRef
from chaos.clusters.way import kubeconfig_files
from chaos.clusters.way.client import api_client, server_version
from chaos.clusters.way.kubeconfig import read
from chaos.clusters.way.kubeconfig_files import find
from chaos.errors import OrdealError
from chaos.hosts.places import journals_dir
from chaos.record.journal import Journal
from chaos.run import undo
from tests.fake_apiserver import PKI, FakeApiServer


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def written(
    path: Path,
    *,
    current: str = "",
    contexts: Mapping[str, tuple[str, str]] = {},
    clusters: Mapping[str, str] = {},
    users: Mapping[str, str] = {},
    **cluster: Any,
) -> str:
    """A kubeconfig: contexts are (cluster, user), clusters have a server, users a token."""
    config = {
        "current-context": current,
        "contexts": [{"name": n, "context": {"cluster": c, "user": u}} for n, (c, u) in contexts.items()],
        "clusters": [{"name": n, "cluster": {"server": server, **cluster}} for n, server in clusters.items()],
        "users": [{"name": n, "user": {"token": token}} for n, token in users.items()],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return str(path)


def whole(path: Path, name: str, *, current: bool = True) -> str:
    """One that has all of a context of that name."""
    return written(
        path,
        current=name if current else "",
        contexts={name: (name, name)},
        clusters={name: f"https://{name}"},
        users={name: f"token-of-{name}"},
    )


def found(environment: Mapping[str, str], context: str = "") -> tuple[str, str, str]:
    """The server, the token and the context that the environment leads to, read from the file that was found."""
    path, chosen = find(None, context, environment)
    one = read(path).choose(chosen)
    return one.cluster.server, one.user.token, one.context


def test_of_several_files_the_first_counts_for_each_name_and_for_the_current_context(tmp_path: Path) -> None:
    first = written(tmp_path / "1", clusters={"a": "https://first"}, users={"other": "x"})
    second = written(
        tmp_path / "2", current="b", contexts={"b": ("a", "u")}, clusters={"a": "https://second"}, users={"u": "2"}
    )
    third = whole(tmp_path / "3", "c")
    environment = {"KUBECONFIG": f"{first}:{second}::{tmp_path}/none:{third}:{first}"}
    assert found(environment) == ("https://first", "2", "b")
    assert found(environment, "c") == ("https://c", "token-of-c", "c")
    with pytest.raises(OrdealError, match=r"has no context 'd'; it has '[bc]', '[bc]'"):
        find(None, "d", environment)


def test_a_context_that_one_file_has_whole_is_taken_from_that_file(tmp_path: Path) -> None:
    one, other = whole(tmp_path / "1", "one"), whole(tmp_path / "2", "other")
    assert find(None, "other", {"KUBECONFIG": f"{one}:{other}"}) == (Path(other), "other")
    assert not (tmp_path / "state").exists()


def test_one_that_is_put_together_is_written_for_its_owner_alone_and_means_the_same_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "ca.crt").write_text((PKI / "ca.crt").read_text())
    old = os.umask(0o002)
    try:
        with FakeApiServer(tmp_path, tls=True) as api:
            api.accepts = {"Bearer sesame"}
            authority: dict[str, Any] = {"certificate-authority": "ca.crt"}
            written(tmp_path / "a" / "clusters", clusters={"c": api.url}, **authority)
            written(tmp_path / "b" / "users", current="x", contexts={"x": ("c", "u")}, users={"u": "sesame"})
            path, context = find(None, "", {"KUBECONFIG": "a/clusters:b/users"})
            monkeypatch.chdir("/")
            with api_client(path, context) as client:
                assert server_version(client) == "1.34.4"
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.is_relative_to(tmp_path / "state")


def test_what_is_given_goes_before_the_environment_and_is_found_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole(tmp_path / "given", "given")
    monkeypatch.chdir(tmp_path)
    assert find(Path("given"), "", {"KUBECONFIG": "none"}) == (tmp_path / "given", "given")


def test_without_a_variable_it_is_the_home_folders(tmp_path: Path) -> None:
    path = whole(tmp_path / ".kube" / "config", "home")
    assert find(None, "", {"HOME": str(tmp_path), "KUBECONFIG": ""}) == (Path(path), "home")


def test_a_pod_has_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfig_files, "SERVICE_ACCOUNT", tmp_path)
    (tmp_path / "ca.crt").write_text((PKI / "ca.crt").read_text())
    with FakeApiServer(tmp_path, tls=True) as api:
        api.accepts = {"Bearer sesame"}
        pod = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port), "HOME": "/nonexistent"}
        with pytest.raises(OrdealError, match="there is no kubeconfig"):
            find(None, "", pod)
        (tmp_path / "token").write_text("sesame\n")
        path, context = find(None, "", {**pod, "KUBECONFIG": os.devnull})
        with api_client(path, context) as client:
            assert server_version(client) == "1.34.4"
    assert "sesame" not in path.read_text()
    mine = whole(tmp_path / "mine", "mine")
    assert find(None, "", {**pod, "KUBECONFIG": mine}) == (Path(mine), "mine")


def test_a_pod_may_be_on_ipv6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfig_files, "SERVICE_ACCOUNT", tmp_path)
    (tmp_path / "token").write_text("sesame")
    pod = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443", "HOME": "/nonexistent"}
    assert found(pod)[0] == "https://[fd00::1]:443"


def fifo(path: Path) -> None:
    os.mkfifo(path)


def large(path: Path) -> None:
    path.write_bytes(b"# nothing but comments\n" * 1_000_000)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Path.mkdir, "is not a usable kubeconfig: it is a folder"),
        (fifo, "is not a usable kubeconfig: it is a pipe, which can be read but once"),
        (large, "is not a usable kubeconfig: it is larger than 16 MiB"),
        (lambda path: path.symlink_to("/proc/self/mem"), "is not a usable kubeconfig: it can't be read"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a usable kubeconfig: it is no ordinary file"),
        (lambda path: path.symlink_to(path), "is not a usable kubeconfig: it can't be read: Too many levels"),
        (lambda path: (path.parent / "file").write_text(""), "there is no kubeconfig at"),
    ],
    ids=["folder", "pipe", "large", "unreadable", "device", "loop", "missing"],
)
def test_what_is_no_file_of_that_kind_is_one_sentence(make: Any, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    make(path)
    with pytest.raises(OrdealError) as error:
        find(path, "")
    assert says in str(error.value)
    assert str(path) in str(error.value)


def test_one_with_a_thousand_contexts_is_read(tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(1000)]
    config = written(
        tmp_path / "many",
        current="c999",
        contexts={n: (n, n) for n in names},
        clusters=dict.fromkeys(names, "https://many"),
        users=dict.fromkeys(names, "t" * 1000),
    )
    assert found({"KUBECONFIG": config})[2] == "c999"


def test_a_second_server_has_all_else_of_the_first(tmp_path: Path) -> None:
    first = whole(tmp_path / "first", "a")
    (tmp_path / "second").write_text(read(Path(first)).choose("a").text("https://second"))
    second = read(tmp_path / "second").choose()
    assert (second.cluster.server, second.user.token, second.context) == ("https://second", "token-of-a", "a")


def test_nothing_is_lost_where_a_context_is_written(tmp_path: Path) -> None:
    plugin = {
        "command": "/bin/login",
        "args": ["a", "b"],
        "env": [{"name": "A", "value": "1"}],
        "apiVersion": "client.authentication.k8s.io/v1",
        "interactiveMode": "Never",
        "provideClusterInfo": True,
    }
    mine = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
        "users": [
            {"name": "u", "user": {"exec": plugin, "as": "x", "as-groups": ["g"], "as-user-extra": {"k": ["v"]}}}
        ],
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": "https://c",
                    "tls-server-name": "d",
                    "proxy-url": "socks5://p:1",
                    "extensions": [{"name": "e", "extension": {"deep": [1, {"x": True}]}}],
                },
            }
        ],
    }
    (tmp_path / "mine").write_text(yaml.safe_dump(mine))
    text = read(tmp_path / "mine").choose().text()
    assert yaml.safe_load(text) == {"apiVersion": "v1", "kind": "Config", **mine}


# --- what is put together does not stay


def put_together(tmp_path: Path) -> Path:
    written(tmp_path / "clusters", clusters={"c": "https://one"})
    written(tmp_path / "users", current="x", contexts={"x": ("c", "u")}, users={"u": "sesame"})
    return find(None, "", {"KUBECONFIG": f"{tmp_path / 'clusters'}:{tmp_path / 'users'}"})[0]


def test_it_is_there_as_long_as_its_process_needs_it(tmp_path: Path) -> None:
    path = put_together(tmp_path)
    kubeconfig_files.sweep()
    assert path.exists()
    kubeconfig_files.sweep(ended=True)
    assert not list(kubeconfig_files.folder().iterdir())


def test_that_of_a_killed_run_and_what_its_write_left_go_with_the_next_run(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from tests.clusters.test_kubeconfig import put_together
path = put_together(Path(sys.argv[1]))
(path.parent / f".{path.name}.0011223344556677").write_text(path.read_text())  # as `place` leaves it
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60, cwd=Path(__file__).parents[2])
    mine = put_together(tmp_path)
    (mine.parent / "0123456789ab.yaml").write_text("of an earlier version")
    assert len(list(kubeconfig_files.folder().iterdir())) == 4
    assert undo.undo_all(print, undo.Permission()) == ()
    assert list(kubeconfig_files.folder().iterdir()) == [mine]


def test_what_undo_still_needs_stays_until_it_is_undone(tmp_path: Path) -> None:
    path = put_together(tmp_path)
    with Journal(journals_dir() / "run.jsonl") as journal:
        entry = journal.planned("a-fault", ClusterRef("existing", "theirs", str(path), "x"), {})
        kubeconfig_files.sweep(ended=True)
        assert path.exists()
        journal.undone(entry)
    kubeconfig_files.sweep(ended=True)
    assert not path.exists()


def test_nothing_is_made_to_be_swept() -> None:
    kubeconfig_files.sweep(ended=True)
    assert not kubeconfig_files.folder().parent.exists()
