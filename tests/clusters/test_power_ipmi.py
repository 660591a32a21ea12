"""How ipmitool is asked, here and by ssh, and that no command line has a password; a real BMC's simulator is in
tests/integration/test_power_drivers.py.
"""

from pathlib import Path

import pytest

from chaos.clusters.abilities import OFF, RUNNING
from chaos.clusters.power.ipmi import ipmi
from chaos.errors import OrdealError
from tests.canaries import CANARY

FILE = "user: admin\npassword_file: secrets/bmc\nnodes:\n  w1: {host: 192.0.2.1}\n"
WHERE = "-I lanplus -H 192.0.2.1 -p 623 -U admin"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of an ipmitool that says what is in the file "says", and keeps how it was called and by which password; and of an
    ssh that runs here what it is to run there, as sshd does: a shell gets one text.
    """
    (tmp_path / "bin").mkdir()
    for name, script in {
        "ipmitool": f'echo "ipmitool $*" >>{tmp_path}/calls; printf %s "$IPMI_PASSWORD" >{tmp_path}/password; '
        f"cat {tmp_path}/says",
        "ssh": f'echo "ssh $*" >>{tmp_path}/calls; for last; do :; done; exec sh -c "$last"',
    }.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (tmp_path / "says").write_text("Chassis Power is on\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "bmc").write_text(f"{CANARY}\n")
    write(tmp_path, FILE)
    return tmp_path


def write(folder: Path, content: str) -> None:
    (folder / "bmcs.yaml").write_text(content)


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def password(folder: Path) -> str:
    return (folder / "password").read_text()


@pytest.mark.parametrize(("said", "state"), [("on", RUNNING), ("off", OFF)])
def test_a_bmc_is_asked_by_a_password_that_is_in_no_command_line(folder: Path, said: str, state: str) -> None:
    (folder / "says").write_text(f"Chassis Power is {said}\n")
    assert ipmi("bmcs.yaml", folder).state("w1") == state
    assert calls(folder) == [f"ipmitool {WHERE} -E -N 1 -R 2 chassis power status"]
    assert password(folder) == CANARY


@pytest.mark.parametrize("verb", ["off", "on"])
def test_power_is_cut_and_given_back(folder: Path, verb: str) -> None:
    getattr(ipmi("bmcs.yaml", folder), verb)("w1")
    assert [each.partition(" -R 2 ")[2] for each in calls(folder)] == [f"chassis power {verb}"]


@pytest.mark.parametrize("secret", [CANARY, 'it\'s "quoted" $HOME `id` \\n  ', ""])
def test_by_ssh_the_password_goes_by_its_input(folder: Path, secret: str) -> None:
    write(folder, f"{FILE}ssh: root@jump\n")
    (folder / "secrets" / "bmc").write_text(secret)
    assert ipmi("bmcs.yaml", folder).state("w1") == RUNNING
    by, ipmitool = calls(folder)
    assert by.startswith("ssh -o BatchMode=yes -o ConnectTimeout=5 -- root@jump sh -c ")
    assert not secret or secret not in by
    assert ipmitool == f"ipmitool {WHERE} -E -N 1 -R 2 chassis power status"
    assert password(folder) == secret


def test_what_one_node_has_of_its_own_goes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RACK_2", "of the second rack")
    own = '{host: "2001:db8::1", port: 6230, user: operator, password_env: RACK_2}'
    write(folder, f"{FILE}  w2: {own}\ninterface: lan\ncipher_suite: 17\n")
    driver = ipmi("bmcs.yaml", folder)
    driver.state("w2")
    assert password(folder) == "of the second rack"
    driver.state("w1")
    assert password(folder) == CANARY
    assert [each.partition(" -E")[0] for each in calls(folder)] == [
        "ipmitool -I lan -H 2001:db8::1 -p 6230 -U operator -C 17",
        "ipmitool -I lan -H 192.0.2.1 -p 623 -U admin -C 17",
    ]


def test_a_password_that_was_changed_is_read_anew(folder: Path) -> None:
    driver = ipmi("bmcs.yaml", folder)
    driver.state("w1")
    (folder / "secrets" / "bmc").write_text("another")
    driver.state("w1")
    assert password(folder) == "another"


@pytest.mark.parametrize("said", ["", "Chassis Power is unknown", "Unable to get Chassis Power Status"])
def test_what_is_no_state_is_named(folder: Path, said: str) -> None:
    (folder / "says").write_text(said)
    with pytest.raises(OrdealError) as refused:
        ipmi("bmcs.yaml", folder).state("w1")
    assert str(refused.value) == f"the BMC of node w1 (192.0.2.1) says {said!r}, neither on nor off"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (FILE.replace("w1", "w2"), "names no BMC of node w1"),
        (FILE.replace("secrets/bmc", "gone"), "the BMC's password can't be read from {folder}/gone: No such file"),
        (FILE.replace("password_file: secrets/bmc", "password_env: NOT_SET"), "the variable NOT_SET, which is not set"),
        (FILE.replace("password_file: secrets/bmc\n", ""), "gives the BMC of node w1 no password"),
        (f"{FILE}password_env: ALSO\n", "gives both password_file and password_env to node w1"),
    ],
)
def test_what_lacks_in_the_file_is_one_sentence(folder: Path, content: str, says: str) -> None:
    write(folder, content)
    with pytest.raises(OrdealError) as refused:
        ipmi("bmcs.yaml", folder).state("w1")
    assert says.format(folder=folder) in str(refused.value)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("nodes: {w1: {}}", "missing required field `host`"),
        ("nodes: {w1: {host: -Uroot}}", "matching regex"),
        ("nodes: {w1: {host: a, port: 0}}", ">= 1"),
        ("nodes: {w1: {host: a, password: x}}", "unknown field `password`"),
        ("user: admin", "missing required field `nodes`"),
    ],
)
def test_a_file_that_says_something_else_is_refused(folder: Path, content: str, says: str) -> None:
    write(folder, content)
    with pytest.raises(OrdealError) as refused:
        ipmi("bmcs.yaml", folder)
    assert says in str(refused.value)


def test_what_failed_is_told_without_the_password(folder: Path) -> None:
    failing = folder / "bin" / "ipmitool"
    failing.write_text("#!/bin/sh\necho 'Error: Unable to establish IPMI v2 / RMCP+ session' >&2\nexit 1\n")
    for content in (FILE, f"{FILE}ssh: jump\n"):
        write(folder, content)
        with pytest.raises(OrdealError, match=r"exited with 1; its last output:\n    Error: Unable") as refused:
            ipmi("bmcs.yaml", folder).off("w1")
        assert CANARY not in str(refused.value)
