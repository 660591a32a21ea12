"""Drivers of power against the real thing: libvirt's own driver for tests in its daemon, and OpenIPMI's BMC simulator.

No cluster is made. What they need is Debian's: without it they are skipped.
"""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.abilities import OFF, RUNNING
from chaos.clusters.base import PowerRef
from chaos.clusters.power import drivers, switch
from chaos.clusters.power.switch import PowerSwitch
from chaos.errors import OrdealError
from chaos.hosts.command import run
from tests.canaries import CANARY

pytestmark = pytest.mark.timeout(180)
NODE = "worker-1"


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a killed run is on its way here."""
    monkeypatch.setattr(switch, "SETTLES_S", 0.01)


def need(packages: str, *programs: str) -> None:
    lacking = [each for each in programs if shutil.which(each, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    if lacking:
        pytest.skip(f"this machine has no {', '.join(lacking)}: apt-get install {packages}")


@contextmanager
def going_on(argv: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A daemon for the block's length, with a standard input that stays open."""
    with log.open("wb") as said:
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT)
        try:
            yield child
        finally:
            child.kill()
            child.communicate()


def power(told: str, folder: Path, name: str) -> PowerSwitch:
    return drivers.switch(PowerRef(name, told, str(folder)))


def goes_off_and_on(power: PowerSwitch) -> None:
    assert power.power_state(NODE) == RUNNING
    for _ in range(2):  # an undo comes again, and a fault may be done to what is off already
        power.power_off(NODE)
        assert power.power_state(NODE) == OFF
    for _ in range(2):
        power.power_on(NODE)
        assert power.power_state(NODE) == RUNNING


# --- libvirt


@pytest.fixture(scope="module")
def libvirt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a daemon of its own, which is nobody and has no network: it changes nothing of this machine.

    Its driver for tests has one machine, called "test". It forgets what was done to it when nobody is connected.
    """
    need("libvirt-daemon libvirt-clients", "libvirtd", "virsh", "unshare")
    folder = tmp_path_factory.mktemp("libvirt")
    uri = f"test+unix:///default?socket={folder}/libvirt/libvirt-sock"
    home = [f"{name}={folder}" for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")]
    daemon = ["unshare", "--user", "--net", "env", *home, "libvirtd", "--pid-file", str(folder / "pid")]
    with going_on(daemon, folder / "log"):
        ask = ["virsh", "--connect", uri, "--quiet", "list", "--all"]
        eventually(lambda: "test" in run(ask, timeout_s=20).out, within_s=60, what="libvirtd to answer")
        with going_on(["virsh", "--connect", uri], folder / "connected") as connected:
            assert connected.stdin is not None
            connected.stdin.write(b"list\n")
            connected.stdin.flush()
            eventually(lambda: "test" in (folder / "connected").read_text(), within_s=60, what="somebody to stay there")
            yield uri


@pytest.fixture
def domains(libvirt: str, tmp_path: Path) -> PowerSwitch:
    (tmp_path / "domains.yaml").write_text(f"connect: {libvirt}\nnodes: {{{NODE}: test}}\n")
    return power("domains.yaml", tmp_path, "virsh")


def test_a_domain_goes_off_and_on(domains: PowerSwitch) -> None:
    goes_off_and_on(domains)


def test_a_domain_is_called_as_its_node_is_unless_the_file_says_otherwise(libvirt: str, tmp_path: Path) -> None:
    by_uri = power(libvirt, tmp_path, "virsh")
    assert by_uri.power_state("test") == RUNNING
    with pytest.raises(OrdealError, match=f"failed to get domain '{NODE}'"):
        by_uri.power_state(NODE)


def test_a_domain_that_stands_still_is_neither_running_nor_off(libvirt: str, domains: PowerSwitch) -> None:
    run(["virsh", "--connect", libvirt, "suspend", "test"])
    try:
        with pytest.raises(OrdealError, match="libvirt says that the domain test is 'paused'"):
            domains.power_state(NODE)
        with pytest.raises(OrdealError, match="'paused'"):
            domains.power_on(NODE)
    finally:
        run(["virsh", "--connect", libvirt, "resume", "test"])


def test_a_daemon_that_is_away_is_one_sentence(libvirt: str, tmp_path: Path) -> None:
    away = power(f"test+unix:///default?socket={tmp_path}/none", tmp_path, "virsh")
    with pytest.raises(OrdealError, match=r"exited with 1; its last output:\n(.*\n)*.*Failed to connect socket"):
        away.power_state("test")


# --- IPMI

BMC = """name "it"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{folder}/machine"
  user 1 false "" "" user 10 none md2 md5 straight
  user 2 true "admin" "{password}" admin 10 none md2 md5 straight
"""
EMULATED = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n"
# The machine beneath: whether it has power is a file. It is called with "get power" or "set power 0|1".
MACHINE = """#!/bin/sh
echo "$*" >>{folder}/asked
case "$1 $2" in
  "get power") echo "power:$(cat {folder}/power)" ;;
  "get "*) echo "$2:default" ;;
  "set power") echo "$3" >{folder}/power ;;
esac
"""


@pytest.fixture(scope="module")
def bmc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a BMC's simulator, with the driver's file for it."""
    need("ipmitool openipmi", "ipmitool", "ipmi_sim")
    folder = tmp_path_factory.mktemp("bmc")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        tried.bind(("127.0.0.1", 0))
        port = tried.getsockname()[1]
    (folder / "power").write_text("1\n")
    (folder / "machine").write_text(MACHINE.format(folder=folder))
    (folder / "machine").chmod(0o755)
    (folder / "lan.conf").write_text(BMC.format(port=port, folder=folder, password=CANARY))
    (folder / "emulated").write_text(EMULATED)
    (folder / "state").mkdir()
    (folder / "password").write_text(f"{CANARY}\n")
    (folder / "bmcs.yaml").write_text(
        # The simulator does not say which suites it has, and ipmitool waits for that.
        f"user: admin\npassword_file: password\ncipher_suite: 3\nnodes:\n"
        f"  {NODE}: {{host: 127.0.0.1, port: {port}}}\n"
        f"  nobody: {{host: 127.0.0.1, port: 9}}\n"
    )
    argv = ["ipmi_sim", "-n", "-c", str(folder / "lan.conf"), "-f", str(folder / "emulated")]
    with going_on([*argv, "-s", str(folder / "state")], folder / "log"):
        there = power("bmcs.yaml", folder, "ipmi")
        eventually(lambda: there.power_state(NODE), within_s=60, what="the BMC to answer")
        yield folder


def test_a_machine_goes_off_and_on_by_its_bmc(bmc: Path) -> None:
    goes_off_and_on(power("bmcs.yaml", bmc, "ipmi"))
    asked = (bmc / "asked").read_text()
    assert "set power 0" in asked
    assert "set power 1" in asked


def test_a_wrong_password_is_one_sentence_without_it(bmc: Path) -> None:
    (bmc / "password").write_text("wrong-one\n")
    try:
        with pytest.raises(OrdealError, match="exited with 1; its last output:\n") as refused:
            power("bmcs.yaml", bmc, "ipmi").power_state(NODE)
    finally:
        (bmc / "password").write_text(f"{CANARY}\n")
    assert "wrong-one" not in str(refused.value)


def test_a_bmc_that_is_away_is_one_sentence(bmc: Path) -> None:
    with pytest.raises(OrdealError, match=r"chassis power status` (exited with 1|did not end within 10 s)"):
        power("bmcs.yaml", bmc, "ipmi").power_state("nobody")
