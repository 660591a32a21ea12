"""What an API server says of its start hooks, and of why it ended."""

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3

from chaos.errors import OrdealError
from chaos.subjects.slow_start import asking
from chaos.subjects.slow_start.asking import last_words, readiness

NOT_READY = b"""[+]ping ok
[-]etcd failed: reason withheld
[+]poststarthook/generic-apiserver-start-informers ok
[-]poststarthook/start-service-ip-repair-controllers failed: reason withheld
[-]poststarthook/rbac/bootstrap-roles failed: reason withheld
readyz check failed
"""
FATAL = 'F1201 01:04:49.378142   23748 hooks.go:204] PostStartHook "start-service-x" failed: unable to check\n'


class FakeCluster:
    @contextmanager
    def api(self) -> Any:
        yield SimpleNamespace(configuration=SimpleNamespace(host="https://h"))


def answers(monkeypatch: pytest.MonkeyPatch, status: int, data: bytes = b"") -> None:
    def request(*_: object, **__: object) -> Any:
        if not status:
            raise urllib3.exceptions.ProtocolError("away")
        return SimpleNamespace(status=status, data=data)

    monkeypatch.setattr(asking, "transport_of", lambda _: SimpleNamespace(request=request))


def test_the_hooks_that_are_not_done_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster: Any = FakeCluster()
    answers(monkeypatch, 500, NOT_READY)
    said = readiness(cluster)
    pending = ("start-service-ip-repair-controllers", "rbac/bootstrap-roles")
    assert said == asking.Readiness(ready=False, pending=pending, etcd=False)
    answers(monkeypatch, 500, NOT_READY.replace(b"[-]etcd", b"[+]etcd"))
    assert readiness(cluster).etcd
    answers(monkeypatch, 200, b"readyz check passed")
    assert readiness(cluster) == asking.Readiness(ready=True, pending=(), etcd=True)


@pytest.mark.parametrize("status", [0, 403, 429])
def test_an_answer_that_tells_nothing_is_none(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    cluster: Any = FakeCluster()
    answers(monkeypatch, status)
    with pytest.raises(OrdealError):
        readiness(cluster)


def test_the_last_words_name_the_hook(tmp_path: Path) -> None:
    log = tmp_path / "kube-apiserver.log"
    assert last_words(log) == ("", "")
    log.write_text("I1201 fine\n" + FATAL.replace("start-service-x", "an-older-one") + "I1201 again\n" + FATAL)
    assert last_words(log) == ("start-service-x", 'PostStartHook "start-service-x" failed: unable to check')
    log.write_text("F1201 01:04:49.378142   23748 main.go:1] no hook at all\n")
    assert last_words(log) == ("", "no hook at all")
