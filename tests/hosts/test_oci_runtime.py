"""The runtime that leaves out what the machine lacks, as functions and as the script that the engine runs."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from chaos.hosts import daemon, oci_runtime

FULL = "Name:\tx\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t0\n"
NO_RESOURCE = FULL.replace("000001ffffffffff", "000001fffeffffff")


def test_what_is_lacking() -> None:
    assert oci_runtime.lacking(FULL) == ()
    assert oci_runtime.lacking(NO_RESOURCE) == ("CAP_SYS_RESOURCE",)
    assert oci_runtime.lacking("CapBnd:\t0000000000000001\n", last=2) == ("CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH")


def test_every_set_loses_it_and_nothing_else() -> None:
    process: dict[str, object] = {
        "args": ["sh"],
        "capabilities": {"bounding": ["CAP_KILL", "CAP_SYS_RESOURCE"], "effective": ["CAP_KILL"]},
    }
    assert oci_runtime.without(process, ("CAP_SYS_RESOURCE",)) == {
        "args": ["sh"],
        "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"]},
    }
    assert oci_runtime.without({"args": ["sh"]}, ("CAP_KILL",)) == {"args": ["sh"]}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--root", "/r", "create", "--bundle", "/b", "id"], ("/b/config.json", True)),
        (["--root", "/r", "create", "--bundle=/b", "id"], ("/b/config.json", True)),
        (["run", "-b", "/b", "id"], ("/b/config.json", True)),
        (["create", "id"], ("./config.json", True)),
        (["exec", "--process", "/p.json", "-d", "id"], ("/p.json", False)),
        (["exec", "id", "ls"], None),
        (["--root", "/r", "kill", "id", "9"], None),
        (["state", "id"], None),
    ],
)
def test_which_file_is_changed(arguments: list[str], found: tuple[str, bool] | None) -> None:
    assert oci_runtime.target(arguments) == found


def test_the_script_changes_the_bundle_and_becomes_runc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    runc = tmp_path / "runc"
    runc.write_text('#!/bin/sh\necho "runc $*"\nexit 7\n')
    runc.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(runc))
    script = daemon._write_runtime()

    missing = daemon.missing_capabilities()
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    asked = ["CAP_KILL", "CAP_SYS_RESOURCE"]
    spec = {"root": {"path": "x"}, "process": {"capabilities": {"bounding": asked}}}
    (bundle / "config.json").write_text(json.dumps(spec))
    done = subprocess.run([script, "create", "--bundle", bundle, "id"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, f"runc create --bundle {bundle} id\n")
    changed = json.loads((bundle / "config.json").read_text())
    assert changed["process"]["capabilities"]["bounding"] == [cap for cap in asked if cap not in missing]
    assert changed["root"] == {"path": "x"}
