"""`chaos run` of a made-up experiment, as a user calls it: exit code and journal."""

import json
import warnings
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from chaos.hosts.places import journals_dir
from chaos.toolkit.session import SESSION
from tests.toolkit.fakes import FakeCluster

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # chaoslib imports a module by its old name
    from chaostoolkit.cli import cli

ACTIONS, PROBES, STEPS = "chaos.toolkit.actions", "chaos.toolkit.probes", "tests.toolkit.fakes"


def step(func: str, module: str = ACTIONS, **arguments: object) -> dict[str, Any]:
    provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
    return {"type": "action", "name": func, "provider": provider}


class Run:
    """The exit code and the journal of a `chaos run`."""

    def __init__(
        self,
        *method: dict[str, Any],
        options: tuple[str, ...] = (),
        guarded: bool = True,
        logged: bool = False,
        configuration: dict[str, object] | None = None,
        path: Path = Path("experiment.yaml"),
    ) -> None:
        """`path`: of a file that is there and is run as it stands; without, one is made of the method."""
        tolerance = {"type": "regex", "target": "outcome", "pattern": "^passed$"}
        verdict = step("verdict", PROBES) | {"type": "probe", "tolerance": tolerance}
        experiment = {
            "title": "a test",
            "description": "of the runs",
            "configuration": configuration or {},
            "runtime": {"hypothesis": {"strategy": "after-method-only"}, "rollbacks": {"strategy": "always"}},
            "controls": [{"name": "guard", "provider": {"type": "python", "module": "chaos.toolkit.guard"}}],
            "steady-state-hypothesis": {"title": "kept", "probes": [verdict]},
            "method": list(method),
            "rollbacks": [step("power_on"), step("clean_up")],
        }
        if not guarded:
            del experiment["controls"]
        if not path.is_absolute():
            path.write_text(yaml.safe_dump(experiment))
        log = ("--log-file", "chaos.log", "--verbose") if logged else ("--no-log-file",)
        argv = ["--no-version-check", *log, "run", *options, str(path)]
        self.result = CliRunner().invoke(cli, argv)
        self.code = self.result.exit_code
        self.journal: dict[str, Any] = json.loads(Path("journal.json").read_text())
        self.status: str = self.journal["status"]
        self.deviated: bool = self.journal["deviated"]

    @property
    def verdict(self) -> str:
        return str(self.journal["kube-ordeal"]["verdict"])

    @property
    def why(self) -> str:
        return str(self.journal["kube-ordeal"]["why"])


def nothing_left(cluster: FakeCluster) -> bool:
    """Whether neither harm, nor a journal, nor a session is left of it."""
    return not cluster.off and not list(journals_dir().iterdir()) and not SESSION.is_open
