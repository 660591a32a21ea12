"""The manifest of MySQL: what it asks the cluster for in each variant, and what its start script does."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos.errors import OrdealError
from chaos.subjects.mysql import workload as mysql
from chaos.subjects.mysql.workload import CLOCK_FILE, CLOCK_PROBE, MySQL, set_up_replication
from chaos.workloads.web import Deployed


def made(workload: MySQL) -> dict[str, Any]:
    return {m["kind"] + ":" + m["metadata"]["name"]: m for m in yaml.safe_load_all(workload.manifest("run", "ns"))}


def stateful_set(workload: MySQL) -> Any:
    return made(workload)["StatefulSet:mysql"]["spec"]


def script(workload: MySQL) -> str:
    return str(made(workload)["ConfigMap:mysql"]["data"]["start"])


def test_hardened_has_a_claim_a_member_and_logs_that_expire() -> None:
    spec = stateful_set(MySQL("image", storage_class="fast", volume_bytes=1 << 20, expire_s=10))
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert {v["name"] for v in spec["template"]["spec"]["volumes"]} == {"start", "clock"}
    assert "podAntiAffinity" in spec["template"]["spec"]["affinity"]
    assert "--loose-binlog-expire-logs-seconds=10" in script(MySQL("image", expire_s=10))


def test_without_a_class_data_is_on_ephemeral_storage_of_the_nodes_that_were_named() -> None:
    spec = stateful_set(MySQL("image", nodes=("small", "small", "other")))
    assert spec["volumeClaimTemplates"] == []
    assert {"name": "data", "emptyDir": {}} in spec["template"]["spec"]["volumes"]
    assert spec["replicas"] == 2
    assert "small" in str(spec["template"]["spec"]["affinity"])


def test_every_deployment_has_a_password_of_its_own() -> None:
    one, other = (
        next(each["value"] for each in container["env"] if each["name"] == mysql.PASSWORD)
        for container in (stateful_set(MySQL("image"))["template"]["spec"]["containers"][0] for _ in range(2))
    )
    assert one != other
    assert len(one) == 24


def test_the_probe_that_compares_clocks_is_there_in_the_control_alone() -> None:
    assert stateful_set(MySQL("image"))["template"]["spec"]["containers"][0]["livenessProbe"] is None
    probed = stateful_set(MySQL("image", own_clock=True, clock_probe=True))["template"]["spec"]["containers"][0]
    assert probed["livenessProbe"]["exec"]["command"] == ["sh", "-c", CLOCK_PROBE]


def run(tmp_path: Path, text: str, *, server: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the start script with a mysqld that writes down what it was called with."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dirname", "readlink", "rm", "touch", "cat", "sh", "printf", "env", "mkdir"):
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    if server:
        (programs / "mysqld").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
        (programs / "mysqld").chmod(0o755)
    (tmp_path / "data").mkdir()
    moved = text.replace("/var/lib/ordeal-clock", str(tmp_path)).replace("/var/lib/ordeal", str(tmp_path / "data"))
    moved = moved.replace("/tmp/init.sql", str(tmp_path / "init.sql"))
    environment = {"PATH": str(programs), "POD_NAME": "mysql-2", "PASSWORD": "secret"}
    sh = shutil.which("sh")
    assert sh
    return subprocess.run([sh, "-c", moved], env=environment, capture_output=True, text=True, timeout=20, check=False)


def test_the_first_start_initialises_and_the_next_does_not(tmp_path: Path) -> None:
    assert run(tmp_path, script(MySQL("image"))).returncode == 0
    first, second = (tmp_path / "calls").read_text().splitlines()
    assert "--initialize-insecure" in first
    assert "--initialize-insecure" not in second
    assert "--server-id=3" in second
    assert "--init-file=" in second
    said = (tmp_path / "init.sql").read_text().splitlines()
    assert said[0] == "SET SESSION sql_log_bin = 0;"
    assert said[1].endswith("BY 'secret';")
    shutil.rmtree(tmp_path / "bin")
    shutil.copytree(tmp_path / "data", tmp_path / "kept")
    shutil.rmtree(tmp_path / "data")
    assert (tmp_path / "kept" / "initialised").exists()


def test_an_image_without_a_server_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, script(MySQL("image")), server=False)
    assert (done.returncode, done.stderr) == (70, "kube-ordeal: the image has no mysqld on its PATH\n")


def refuses(tmp_path: Path, files: dict[str, str]) -> tuple[int, str]:
    """What the script says and does with a volume that holds these files; they must stay as they are."""
    (tmp_path / "volume").mkdir()
    for name, text in files.items():
        (tmp_path / "volume" / name).write_text(text)
    text = script(MySQL("image")).replace("/var/lib/ordeal/", f"{tmp_path}/volume/")
    done = run(tmp_path, text)
    assert {f.name: f.read_text() for f in (tmp_path / "volume").iterdir()} == files
    assert not (tmp_path / "calls").exists(), "a server was started"
    return done.returncode, done.stderr


def test_somebody_elses_data_is_not_touched(tmp_path: Path) -> None:
    assert refuses(tmp_path, {"ibdata1": "theirs"}) == (
        73,
        "kube-ordeal: the volume is not empty, it holds ibdata1: nothing of it is touched\n",
    )


def test_a_volume_with_another_password_is_told(tmp_path: Path) -> None:
    code, said = refuses(tmp_path, {"of": "ordeal-mysql-old\n", "initialised": ""})
    assert code == 72
    assert said.startswith("kube-ordeal: the volume holds the data of ordeal-mysql-old, whose password is another")


def test_servers_without_a_binary_log_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def ask_hosts(*given: object) -> dict[str, list[list[list[object]]]]:
        asked.append(given[-1])
        return {"mysql-0": [[[1, "ON", "8.0.36"]]], "mysql-1": [[[0, "OFF", "8.0.36"]]]}

    monkeypatch.setattr(mysql, "members", lambda _: ())
    monkeypatch.setattr(mysql, "ask_hosts", ask_hosts)
    cluster: Any = None
    with pytest.raises(
        OrdealError, match=r"mysql-1 \(MySQL 8.0.36\) has log_bin=0 and gtid_mode=OFF: without its binary"
    ):
        set_up_replication(Deployed("mysql", "ns", "mysql://10.0.0.1:3306/", 3, cluster))
    assert asked == [["SELECT @@log_bin, @@gtid_mode, VERSION()"]], "something was changed before"


@pytest.mark.skipif(bool(list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), reason="libfaketime is here")
def test_a_clock_of_its_own_needs_the_library(tmp_path: Path) -> None:
    done = run(tmp_path, script(MySQL("image", own_clock=True)))
    assert (done.returncode, done.stderr) == (71, "kube-ordeal: the image has no libfaketimeMT.so.1\n")
    assert CLOCK_FILE in script(MySQL("image", own_clock=True))
