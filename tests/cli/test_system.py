"""On a system that is not Linux it is one sentence, and other people's tests go on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos import __main__ as entry

SAYS = "kube-ordeal runs on Linux, and this is freebsd14: use a Linux machine, or a virtual one"
SUITE = """
from chaos.run.incident import incident

@incident("mass-termination", on=("kind",))
def test_one(lab): pass
"""
ELSEWHERE = """
import sys, pytest
sys.platform = "freebsd14"
sys.exit(pytest.main(sys.argv[1:]))
"""


def test_the_command_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "freebsd14")
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert (ended.value.code, capsys.readouterr().err) == (2, f"kube-ordeal: {SAYS}\n")


def elsewhere(folder: Path, *given: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", ELSEWHERE, "-p", "no:cacheprovider", "-p", "chaos.plugin", *given]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # others' plugins may take it for what it is
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_a_run_says_so(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    done = elsewhere(tmp_path, "--ordeal-cluster", "kind")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert SAYS in done.stderr
    assert "Traceback" not in done.stderr
    done = elsewhere(tmp_path)
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert SAYS in done.stdout
    assert "Traceback" not in done.stdout


def test_other_tests_go_on(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text("def test_one(): pass\n")
    done = elsewhere(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
