"""Builds: one at a time, explained in a sentence where the disk or the module proxy is at fault, nothing left over."""

import http.server
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.hosts import go
from chaos.hosts.command import CommandError
from chaos.hosts.places import cache_dir


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GOCACHE", go.go(["env", "GOCACHE"], cwd=tmp_path).out.strip())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_dir()


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A go that says it is new enough, and does this for a build."""
    program = folder / "go"
    program.write_text(
        textwrap.dedent(
            f"""\
            #!/bin/sh
            case "$*" in
            "env GOVERSION") echo go1.99.0 ;;
            "env GOPROXY") echo https://proxy.example,direct ;;
            *) {script} ;;
            esac
            """
        )
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(go, "candidates", lambda: [(program, None)])


def build(folder: Path) -> None:
    go.build("kwok 0.8.0", ["build", "./..."], cwd=folder, env={}, report=lambda _: None)


def test_a_full_disk_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, "echo 'write /c/x.a: no space left on device' >&2; exit 1")
    with pytest.raises(OrdealError, match=r"^the disk ran full while kwok 0\.8\.0 was built") as caught:
        build(tmp_path)
    assert "\n" not in str(caught.value)


def test_another_failure_is_told_with_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, "echo 'main.go:3: undefined: x' >&2; exit 1")
    with pytest.raises(CommandError, match="undefined: x"):
        build(tmp_path)


def test_the_folder_for_what_is_built_goes_with_the_build(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = cache / ".go-build-killed"
    left.mkdir()
    fake(tmp_path, monkeypatch, 'echo "$GOTMPDIR" >seen; touch "$GOTMPDIR/half"')
    build(tmp_path)
    assert Path((tmp_path / "seen").read_text().strip()).parent == cache
    assert not list(cache.glob(".go-build-*"))


def test_two_builds_never_run_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A build makes a folder and takes it away: one that runs beside another finds the folder there.
    fake(tmp_path, monkeypatch, "mkdir alone || exit 1; sleep 0.3; rmdir alone")
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from chaos.hosts import go
        go.candidates = lambda: [(Path({str(tmp_path / "go")!r}), None)]
        go.build("kwok 0.8.0", ["build"], cwd=Path({str(tmp_path)!r}), env={{}}, report=print)
        """
    )
    runs = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert any("another build is going on, waiting" in each for each in said)


class _Proxy(http.server.BaseHTTPRequestHandler):
    """A module proxy that gives the list of versions and closes the connection when it is asked for the source."""

    def do_GET(self) -> None:
        if self.path.endswith((".info", ".mod")):
            text = '{"Version":"v1.0.0"}' if self.path.endswith(".info") else "module example.org/a\n"
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())
            return
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxy() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module kube-ordeal/a\n\ngo 1.24.0\n\nrequire example.org/a v1.0.0\n")
    (folder / "main.go").write_text('package main\n\nimport _ "example.org/a"\n\nfunc main() {}\n')
    return folder


def settings(at: str, tmp_path: Path) -> dict[str, str]:
    return {"GOFLAGS": "-mod=mod -modcacherw", "GONOSUMDB": "*", "GOMODCACHE": str(tmp_path / "mod"), "GOPROXY": at}


def test_a_proxy_that_goes_away_in_the_middle_is_said_in_a_sentence(module: Path, tmp_path: Path) -> None:
    with (
        proxy() as at,
        pytest.raises(OrdealError, match=r"^a module that a 1 is built from can't be fetched") as caught,
    ):
        go.build("a 1", ["build", "."], cwd=module, env=settings(at, tmp_path), report=lambda _: None)
    assert at in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_proxy_that_is_not_there_is_said_in_a_sentence(module: Path, tmp_path: Path) -> None:
    with pytest.raises(OrdealError, match=r"can't be fetched \(.*connection refused.*GOPROXY \(http://127"):
        go.build("a 1", ["build", "."], cwd=module, env=settings("http://127.0.0.1:9", tmp_path), report=lambda _: None)
