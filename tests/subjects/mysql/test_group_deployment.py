"""The manifest of a Galera group: what it asks the cluster for, who begins the group, and what ends with the server."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from chaos.subjects.mysql.group import Galera

PROGRAMS = ("rm", "touch", "cat", "sh", "mkdir")
CALLED = '#!/bin/sh\necho "$@" >> {folder}/calls\nexit {code}\n'


def made(workload: Galera) -> dict[str, Any]:
    return {m["kind"] + ":" + m["metadata"]["name"]: m for m in yaml.safe_load_all(workload.manifest("run", "ns"))}


def run(
    folder: Path, workload: Galera, *, pod: str = "galera-0", begun: bool = False, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run the start script with a server that writes down what it was called with, and ends with `code`."""
    programs = folder / "bin"
    shutil.rmtree(programs, ignore_errors=True)
    programs.mkdir()
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    install = f'#!/bin/sh\necho "$@" >> {folder}/installed\n'
    for name, text in (("mariadbd", CALLED.format(folder=folder, code=code)), ("mariadb-install-db", install)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    for name in ("data", "begun"):
        (folder / name).mkdir(exist_ok=True)
    if begun:
        (folder / "begun" / "begun").touch()
    moved = str(made(workload)["ConfigMap:galera"]["data"]["start"])
    moved = moved.replace("/tmp/", f"{folder}/").replace("/var/lib/ordeal", f"{folder}/data")
    moved = moved.replace(" /begun/", f" {folder}/begun/")
    environment = {"PATH": str(programs), "POD_NAME": pod, "POD_IP": "10.0.0.7", "PASSWORD": "secret"}
    sh = shutil.which("sh")
    assert sh
    return subprocess.run([sh, "-c", moved], env=environment, capture_output=True, text=True, timeout=20, check=False)


def test_the_first_member_alone_begins_the_group_and_once(tmp_path: Path) -> None:
    for pod, begun, begins in (("galera-0", False, True), ("galera-0", True, False), ("galera-1", False, False)):
        folder = tmp_path / f"{pod}-{begun}"
        folder.mkdir()
        done = run(folder, Galera("image"), pod=pod, begun=begun)
        assert done.returncode == 0, done.stderr
        assert ("--wsrep-new-cluster" in (folder / "calls").read_text()) is begins, (pod, begun)
        assert (folder / "init.sql").exists() is begins, "who joins is given the users of the others"


def test_a_member_that_has_data_never_begins_a_group(tmp_path: Path) -> None:
    for _ in range(2):
        assert run(tmp_path, Galera("image")).returncode == 0
    first, second = (tmp_path / "calls").read_text().splitlines()
    assert first.endswith("--wsrep-new-cluster")
    assert "--wsrep-new-cluster" not in second
    assert len((tmp_path / "installed").read_text().splitlines()) == 1


def test_what_it_is_told_is_in_a_file_that_the_servers_scripts_read_too(tmp_path: Path) -> None:
    assert run(tmp_path, Galera("image", expire_s=10), pod="galera-2").returncode == 0
    lines = (tmp_path / "my.cnf").read_text().splitlines()
    assert lines[0] == "[mysqld]"
    for line in (
        "server-id=3",
        "wsrep-node-name=galera-2",
        "wsrep-node-address=10.0.0.7",
        "wsrep-cluster-address=gcomm://galera-0.galera,galera-1.galera,galera-2.galera",
        "binlog-expire-logs-seconds=10",
        "log-bin=binlog",
    ):
        assert line in lines
    assert f"--defaults-file={tmp_path}/my.cnf" in (tmp_path / "calls").read_text()


def test_the_servers_end_is_the_containers(tmp_path: Path) -> None:
    for workload in (Galera("image"), Galera("image", behind_shell=True)):
        folder = tmp_path / str(workload.behind_shell)
        folder.mkdir()
        assert run(folder, workload, code=7).returncode == 7


def test_the_signal_to_end_gets_to_the_server_unless_a_shell_keeps_it() -> None:
    def script(workload: Galera) -> list[str]:
        return str(made(workload)["ConfigMap:galera"]["data"]["start"]).splitlines()

    assert 'exec mariadbd "$@" || code=$?' in script(Galera("image"))
    assert 'mariadbd "$@" || code=$?' in script(Galera("image", behind_shell=True))


def test_somebody_elses_data_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ibdata1").write_text("theirs")
    done = run(tmp_path, Galera("image"))
    assert (done.returncode, done.stderr) == (
        73,
        "kube-ordeal: the volume is not empty, it holds ibdata1: nothing of it is touched\n",
    )
    (tmp_path / "data" / "ibdata1").unlink()
    (tmp_path / "data" / "of").write_text("ordeal-old\n")
    done = run(tmp_path, Galera("image"))
    assert done.returncode == 72
    assert done.stderr.startswith("kube-ordeal: the volume holds the data of ordeal-old, which is another group")
    assert not (tmp_path / "calls").exists(), "a server was started"


def test_volumes_or_the_nodes_that_were_named() -> None:
    spec = made(Galera("image", storage_class="fast", volume_bytes=1 << 20))["StatefulSet:galera"]["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert {v["name"] for v in spec["template"]["spec"]["volumes"]} == {"start", "begun"}
    assert "podAntiAffinity" in spec["template"]["spec"]["affinity"]
    small = made(Galera("image", nodes=("small", "small", "other")))["StatefulSet:galera"]["spec"]
    assert small["volumeClaimTemplates"] == []
    assert {"name": "data", "emptyDir": {}} in small["template"]["spec"]["volumes"]
    assert "small" in str(small["template"]["spec"]["affinity"])
    assert small["replicas"] == 1, "one begins the group before the others are there"
