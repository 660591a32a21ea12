"""kube-proxy's program, swapped on fake nodes and in a fake DaemonSet at the boundary."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.clusters.base import ClusterRef, Node
from chaos.errors import OrdealError
from chaos.harm import kube_proxy
from chaos.harm.kube_proxy import AT, VOLUME, SwapKubeProxy
from chaos.hosts.command import Output
from tests.harm.journalled import through_the_journal

OURS, SHIPPED = "a" * 64, "b" * 64


class FakeProxies:
    """Two nodes, and a DaemonSet that runs what its template says as soon as its pods are deleted."""

    ref = ClusterRef("fake", "fake", "")

    def __init__(self) -> None:
        self.volumes: list[Any] = [{"name": "config"}]
        self.mounts: list[Any] = [{"name": "config", "mountPath": "/var/lib/kube-proxy"}]
        self.files: set[tuple[str, str]] = set()
        self.runs = SHIPPED
        self.ready = 2

    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(n, control_plane=False, ready="True", address="", zone="", taints=()) for n in ("a", "b"))

    def node_exec(
        self, node: str, argv: Sequence[str], *, timeout_s: float = 30.0, check: bool = True, stdin: str | None = None
    ) -> Output:
        if argv[0] == "rm":
            self.files.discard((node, argv[2]))
        elif stdin is not None:
            self.files.add((node, argv[-1].split()[3].rstrip(";")))
        elif "sha256sum" in argv[-1]:
            return Output(0, f"{self.runs}  /proc/7/exe", "")
        return Output(0, "x86_64", "")

    @contextmanager
    def api(self) -> Iterator[Any]:
        yield self

    def sanitize_for_serialization(self, _: Any) -> Any:
        return {"volumes": list(self.volumes), "containers": [{"volumeMounts": list(self.mounts), "command": [AT]}]}

    def read_namespaced_daemon_set(self, *_: str) -> Any:
        spec = SimpleNamespace(
            volumes=[SimpleNamespace(name=each["name"]) for each in self.volumes],
            containers=[SimpleNamespace(command=[AT, "--config=x"])],
        )
        status = SimpleNamespace(
            observed_generation=1,
            updated_number_scheduled=2,
            number_ready=self.ready,
            current_number_scheduled=2,
            desired_number_scheduled=2,
        )
        template = SimpleNamespace(template=SimpleNamespace(spec=spec))
        return SimpleNamespace(spec=template, status=status, metadata=SimpleNamespace(generation=1))

    def patch_namespaced_daemon_set(self, _: str, __: str, change: Any) -> None:
        self.volumes, self.mounts = change[0]["value"], change[1]["value"]
        assert change[2]["value"] == [AT]

    def list_namespaced_pod(self, *_: str, label_selector: str) -> Any:
        return SimpleNamespace(items=[SimpleNamespace(metadata=SimpleNamespace(name="kube-proxy-x"))])

    def delete_namespaced_pod(self, *_: str, grace_period_seconds: int) -> None:
        self.runs = OURS if any(each["name"] == VOLUME for each in self.volumes) else SHIPPED


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("kubernetes.client.CoreV1Api", lambda client: client)
    monkeypatch.setattr("kubernetes.client.AppsV1Api", lambda client: client)
    monkeypatch.setattr(kube_proxy, "check_program", lambda *_: OURS)
    return FakeProxies()


def test_it_runs_from_our_file_and_from_its_own_again(proxies: Any, tmp_path: Path) -> None:
    program = tmp_path / "kube-proxy"
    program.write_bytes(b"\x7fELF")
    harm = SwapKubeProxy(str(program))
    before = (list(proxies.volumes), list(proxies.mounts))
    saved = through_the_journal(harm.plan(proxies))
    assert not harm.landed(proxies, saved)
    harm.apply(proxies, saved)
    assert proxies.files == {("a", saved.put), ("b", saved.put)}
    assert proxies.mounts[-1] == {"name": VOLUME, "mountPath": AT, "readOnly": True}
    assert proxies.volumes[-1]["hostPath"] == {"path": saved.put, "type": "File"}
    assert harm.landed(proxies, saved)
    assert harm.lasts(proxies, saved)
    assert not harm.undone(proxies, saved)
    with pytest.raises(OrdealError, match="another program already"):
        harm.plan(proxies)
    for _ in range(2):
        harm.undo(proxies, saved)
        assert (proxies.volumes, proxies.mounts) == before
    proxies.ready = 1
    assert not harm.undone(proxies, saved)
    proxies.ready = 2
    assert harm.undone(proxies, saved)
    assert proxies.files == set()
    assert not harm.lasts(proxies, saved)


def test_undo_of_what_was_only_planned_changes_nothing(proxies: Any, tmp_path: Path) -> None:
    harm = SwapKubeProxy(str(tmp_path / "kube-proxy"))
    saved = through_the_journal(harm.plan(proxies))
    before = list(proxies.volumes)
    harm.undo(proxies, saved)
    assert proxies.volumes == before
    assert harm.undone(proxies, saved)
