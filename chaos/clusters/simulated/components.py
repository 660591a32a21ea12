"""The processes of a simulated cluster by their names: what runs, what each is started with, and from which program."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import urllib3
import yaml

from chaos.basics.waiting import eventually
from chaos.clusters.simulated.home import LOOPBACK, Keys, free_port, keys_of, process_record, workdir
from chaos.clusters.simulated.nodes import status
from chaos.clusters.simulated.processes import OwnProcess, kill, read, start
from chaos.clusters.way.client import api_client
from chaos.errors import OrdealError
from chaos.hosts import trusted
from chaos.hosts.places import state_path

ANSWER_WITHIN_S = 60.0
PAGE_READ_S = 60.0  # a component collects its garbage before it answers for its heap


@dataclass(frozen=True, slots=True)
class Components:
    """Those of the cluster whose home is `directory`. A name is a component's, or another one that it is started by."""

    directory: Path

    @property
    def logs(self) -> Path:
        """The folder with what they say."""
        return self.directory / "logs"

    @property
    def keys(self) -> Keys:
        """What whoever serves the API server may serve with."""
        return keys_of(self.directory)

    def free_port(self) -> int:
        """As `home.free_port`."""
        return free_port(self.directory)

    def process(self, name: str) -> OwnProcess | None:
        """The process that was started last by that name; None where none ever was."""
        return read(process_record(self.directory, name))

    def runs(self, name: str) -> bool:
        """What the kernel says."""
        process = self.process(name)
        return process is not None and process.state() != "gone"

    def kill(self, *names: str) -> None:
        """End those of them that run."""
        kill(process for name in names if (process := self.process(name)) is not None)

    def start_where_off(self, *names: str) -> None:
        """Start those components, as they were set up, that do not run."""
        for name in names:
            if not self.runs(name):
                self.start(name, self.command(name))

    def start(self, name: str, argv: Sequence[str]) -> None:
        """Start a process of that name."""
        self.logs.mkdir(exist_ok=True)
        start(
            process_record(self.directory, name),
            argv,
            log=self.logs / f"{name}.log",
            cwd=self.directory,
            mark=str(self.directory),
        )

    def running_program(self, name: str) -> str:
        """The file that the process was started from, as the kernel says; empty where it does not run."""
        process = self.process(name)
        if process is None or process.state() == "gone":
            return ""
        try:
            return str(Path(f"/proc/{process.pid}/exe").readlink())
        except FileNotFoundError:  # it ended in between
            return ""

    def page(self, name: str, port: int, path: str) -> bytes:
        """What a component answers at a path of its own port, asked with the cluster's certificate.

        Raises OrdealError where it does not answer, or with something else than HTTP 200.
        """
        keys, url = self.keys, f"https://{LOOPBACK}:{port}{path}"
        wait = urllib3.Timeout(connect=3, read=PAGE_READ_S)
        try:
            with urllib3.PoolManager(
                ca_certs=str(keys.authority), cert_file=str(keys.certificate), key_file=str(keys.key)
            ) as pool:
                answer = pool.request("GET", url, timeout=wait, retries=False)
        except urllib3.exceptions.HTTPError as error:
            raise OrdealError(f"{name} does not answer at {url}: {error}") from error
        if answer.status != 200:
            raise OrdealError(f"{name} answered HTTP {answer.status} at {url}")
        return answer.data

    def override(self, component: str) -> Path:
        """Names the program that a component is started from instead of its own."""
        return self.directory / "programs" / component

    def command(self, name: str) -> list[str]:
        """A component's command line, as kwokctl wrote it down; another program where one was asked for.

        Raises OrdealError where there is no such component, or others could have written what it is.
        """
        written, override = workdir(self.directory) / "kwok.yaml", self.override(name)
        for each in (written, override):
            trusted.check(each, state_path())
        config = next(
            document
            for document in yaml.safe_load_all(written.read_text())
            if document["kind"] == "KwokctlConfiguration"
        )
        for component in config["components"]:
            if component["name"] == name:
                program = override.read_text() if override.exists() else component["binary"]
                return [program, *component["args"]]
        raise OrdealError(f"kwokctl set up no {name} in {self.directory}")


def with_flags(argv: Sequence[str], flags: Mapping[str, str]) -> list[str]:
    """A command line with some flags set anew, the others as they were."""
    kept = [arg for arg in argv if arg.lstrip("-").split("=", 1)[0] not in flags]
    return [*kept, *(f"--{key}={value}" for key, value in flags.items())]


def answers(kubeconfig: Path) -> None:
    """Wait until the API server that a kubeconfig names is ready. Raises WaitedInVainError."""

    def ready() -> bool:
        with api_client(kubeconfig) as client:
            return status(client, "GET", "/readyz") == 200

    eventually(ready, within_s=ANSWER_WITHIN_S, what=f"the API server of {kubeconfig} to answer", every_s=0.1)
