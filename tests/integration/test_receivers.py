"""What a run tells Prometheus, as its own programs take it, on loopback: a Pushgateway, node_exporter, promtool.

They are Debian's packages: fetched, not installed, and kept in the cache.
"""

import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client", reason="the extra [metrics] is not installed")

from chaos.agent.server import free_port
from chaos.basics.waiting import eventually
from chaos.exports.metrics import CREDENTIALS, Pushgateway, TextFile, text_of
from chaos.exports.receivers import of_metrics
from chaos.hosts.places import cache_dir
from chaos.results.saved import SavedRun, load
from tests.exports.test_metrics import by, run, told  # noqa: F401  (a fixture)
from tests.report.made import outcome, results

LOOPBACK = "127.0.0.1"
# A password's hash (bcrypt, as web-config.yml of Prometheus' programs takes it): that of "loopback".
USER, PASSWORD = "ordeal", "loopback"
HASHED = "$2b$05$P2B9inP7YiNQrQW04NQMi.rX8UWmmWeW.fY/pCKLUjm2kjeXTsuQu"


def program(package: str, name: str) -> str:
    """A program of a Debian package, unpacked into the cache where it is not there. Skips where it can't be had."""
    folder = cache_dir() / "debian"
    folder.mkdir(exist_ok=True)
    if missing := [each for each in ("apt-get", "dpkg-deb") if shutil.which(each) is None]:
        pytest.skip(f"there is no {missing[0]}, which fetches the package {package}")
    if not (made := folder / package / "usr" / "bin" / name).is_file():
        fetch = ["apt-get", "download", "--quiet", package]
        fetched = subprocess.run(fetch, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        found = sorted(folder.glob(f"{package}_*.deb"))
        if not found:
            pytest.skip(f"the package {package} can't be fetched: {fetched.stderr.strip()[-300:]}")
        subprocess.run(["dpkg-deb", "--extract", found[-1], folder / package], check=True, timeout=300)
    return str(made)


@contextmanager
def serving(argv: Sequence[str], port: int, log: Path) -> Iterator[str]:
    """The URL of a program that serves on that port of loopback; it has ended with the block."""
    with log.open("wb") as said, subprocess.Popen([*argv], stdout=said, stderr=said) as process:
        try:
            eventually(lambda: _answers(port, process, log), within_s=60, what="a receiver to listen", every_s=0.02)
            yield f"http://{LOOPBACK}:{port}"
        finally:
            process.terminate()


def _answers(port: int, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with socket.socket() as asked:
        return asked.connect_ex((LOOPBACK, port)) == 0


def page(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


@contextmanager
def pushgateway(folder: Path, *more: str) -> Iterator[str]:
    port = free_port(LOOPBACK)
    argv = [
        program("prometheus-pushgateway", "prometheus-pushgateway"),
        f"--web.listen-address={LOOPBACK}:{port}",
        *more,
    ]
    with serving(argv, port, folder / "pushgateway.log") as url:
        yield url


def test_a_pushgateway_has_what_the_last_run_said(run: SavedRun, tmp_path: Path) -> None:  # noqa: F811
    with pushgateway(tmp_path) as url:
        to = Pushgateway(of_metrics(url))
        assert to.run_ended(run, 30.0) == ""
        said = told(page(f"{url}/metrics"))
        assert by(said["kube_ordeal_run_replays"], "became")["unknown"] == 2
        assert [*by(said["kube_ordeal_run_failed_replays"], "job")] == ["kube-ordeal"]
        assert "kube_ordeal_replay_figure" in said
        made = results(tmp_path / "next")
        made.add(outcome())
        assert to.run_ended(load(tmp_path / "next"), 30.0) == ""
        said = told(page(f"{url}/metrics"))
        assert by(said["kube_ordeal_run_replays"], "became")["unknown"] == 0
        assert len(said["kube_ordeal_replay_passed"]) == 1  # nothing of the run before is left


def test_a_pushgateway_s_refusal_is_told(tmp_path: Path) -> None:
    with pushgateway(tmp_path) as url:
        to = Pushgateway(of_metrics(url))
        with pytest.raises(Exception, match=r"^it refused with status 400: .*text format parsing error"):
            to.push(b"no metrics\n")


def test_a_pushgateway_that_wants_a_password_gets_it_from_the_url(run: SavedRun, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "web.yml").write_text(f"basic_auth_users:\n  {USER}: {HASHED}\n")
    with pushgateway(tmp_path, f"--web.config.file={tmp_path / 'web.yml'}") as url:
        why = f"it lets nobody in without credentials (status 401): {CREDENTIALS}"
        assert Pushgateway(of_metrics(url)).run_ended(run, 30.0) == f"the metrics were not pushed to {url}: {why}"
        assert Pushgateway(of_metrics(url.replace("//", f"//{USER}:{PASSWORD}@"))).run_ended(run, 30.0) == ""


def test_node_exporter_reads_the_file(run: SavedRun, tmp_path: Path) -> None:  # noqa: F811
    assert TextFile(tmp_path / "ordeal.prom").run_ended(run, 1.0) == ""
    port = free_port(LOOPBACK)
    argv = [
        program("prometheus-node-exporter", "prometheus-node-exporter"),
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={tmp_path}",
        f"--web.listen-address={LOOPBACK}:{port}",
    ]
    with serving(argv, port, tmp_path / "node_exporter.log") as url:
        text = page(f"{url}/metrics").decode()
    assert "node_textfile_scrape_error 0" in text
    ours = {line for line in text_of(run).decode().splitlines() if not line.startswith("#")}
    assert len([line for line in text.splitlines() if line.startswith("kube_ordeal_")]) == len(ours)
    assert f'node_textfile_mtime_seconds{{file="{tmp_path}/ordeal.prom"}}' in text


def test_promtool_finds_nothing_to_mend(run: SavedRun) -> None:  # noqa: F811
    promtool = [program("prometheus", "promtool"), "check", "metrics"]
    done = subprocess.run(promtool, input=text_of(run), capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
    bad = b"# TYPE runs_total gauge\nruns_total 1\n"
    assert subprocess.run(promtool, input=bad, capture_output=True, timeout=60, check=False).returncode != 0
