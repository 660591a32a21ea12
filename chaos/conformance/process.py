"""One e2e.test process: it runs a spec when it is asked to, and says what became of it."""

import os
import queue
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chaos.basics.files import appended
from chaos.basics.scrub import scrub_file
from chaos.conformance.ginkgo import PAST_THE_LAST, SPEC, Asked, Host, Report
from chaos.conformance.listing import Listing, arguments, environment
from chaos.conformance.program import E2eProgram
from chaos.conformance.spec import Spec
from chaos.errors import OrdealError
from chaos.hosts.places import make_private

START_TIMEOUT_S = 180.0  # upstream waits for nodes and system pods first
INTERRUPT_TIMEOUT_S = 45.0  # a spec that is interrupted cleans up after itself
END_TIMEOUT_S = 60.0
LAST_BYTES = 8000
_LOOK_S = 0.1
_EVERYTHING = "."  # without a focus e2e.test leaves out the specs of features


class EndedError(OrdealError):
    """The process ended, or had to be ended, before the spec did. `hung`: because of the time."""

    def __init__(self, message: str, *, hung: bool, reports: Sequence[Report] = ()) -> None:
        super().__init__(message)
        self.hung, self.reports = hung, tuple(reports)


class NotStartedError(OrdealError):
    """The process did not get as far as its first spec."""


@dataclass(frozen=True, slots=True)
class ClusterUnderTest:
    """The cluster, and further flags of e2e.test."""

    kubeconfig: Path
    context: str = ""
    flags: tuple[str, ...] = ()


class ProgramProcess:
    """Started with the first spec that is asked for. To be used by one thread, which outlives it: the process is
    interrupted when that thread ends, also when this program is killed, and then takes away what it has made.
    """

    def __init__(
        self, program: E2eProgram, listing: Listing, target: ClusterUnderTest, work: Path, serial: Sequence[Spec]
    ) -> None:
        """`work`: a folder of its own; its name is the one that the objects on the cluster say who made them.

        `serial`: the serial specs that it is to run, in the listing's order; empty for one that runs the others.
        """
        self._program, self._listing, self._target = program, listing, target
        self._work = work.absolute()  # e2e.test is started there
        self._serial = tuple(s.text for s in serial)
        self._at = -1  # of the serial specs, the last one begun
        self._host: Host | None = None
        self._process: subprocess.Popen[bytes] | None = None
        # Not below `work`: specs make sockets in it, whose paths have to be short.
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def manager(self) -> str:
        """Who made an object, in its managedFields: the program's file name (client-go's user agent)."""
        return f"e2e.test-{self._work.name}"

    @property
    def output(self) -> Path:
        """What the process writes by itself, as when it crashes."""
        return self._work / "output.log"

    def can_run(self, spec: Spec) -> bool:
        """Whether this process, as far as it is, can still run it."""
        if not self._listing.serial(spec):
            return not self._serial
        return spec.text in self._serial[self._at + 1 : self._at + 2]

    def run(self, spec: Spec, timeout_s: float) -> list[Report]:
        """Run the spec, and those that upstream keeps together with it; returns what is said of each.

        Raises NotStartedError, EndedError; the process is gone then.
        """
        host, process = self._started()
        if self._listing.serial(spec):
            host.answer(PAST_THE_LAST)  # later ones wait in the report before them, where any number will do
            self._at = self._serial.index(spec.text)
        else:
            host.answer(self._listing.place(spec).number)
        return self._collect(host, process, spec, timeout_s)

    def end(self) -> None:
        """Let it end in good order, which takes what its suite has made away. Safe to repeat."""
        host, process = self._host, self._process
        if host is None or process is None:
            return
        host.end()
        self._wait(process, END_TIMEOUT_S, interrupt=True)
        self._gone()

    def interrupt(self) -> None:
        """Have the spec in flight break off and clean up; from any thread."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)

    def _started(self) -> tuple[Host, "subprocess.Popen[bytes]"]:
        if self._host is not None and self._process is not None:
            if self._process.poll() is None:
                return self._host, self._process
            self._gone()  # it ended between two specs: no spec is to blame
        make_private(self._work)
        to_hold = set(self._serial)

        def hold(report: Report) -> bool:
            if report.leaf_node_type != SPEC or report.text not in to_hold:
                return False
            to_hold.remove(report.text)  # upstream has specs of the same name
            return True

        host = Host(hold)
        program = self._work / self.manager
        program.unlink(missing_ok=True)
        program.symlink_to(self._program.path.resolve())
        self._temporary = tempfile.TemporaryDirectory(prefix="e2e-", ignore_cleanup_errors=True)
        surroundings = environment(Path(self._temporary.name))
        with appended(self.output) as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "INT", str(program), *self._arguments(host)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                cwd=self._work, env=surroundings, start_new_session=True,  # a Ctrl-C in the terminal is for us
            )  # fmt: skip
        self._host, self._process = host, process
        said: list[str] = []
        until = time.monotonic() + START_TIMEOUT_S
        while True:
            event = self._next(host, process)
            if isinstance(event, Asked):
                return host, process
            if event is not None and event.state != "passed":
                said.append(f"{event.message}\n{event.output}".strip())
            ended = event is None and process.poll() is not None
            if ended or time.monotonic() > until:
                self._kill(process)
                self._gone()
                why = "ended before its first spec" if ended else f"began no spec within {START_TIMEOUT_S:.0f} s"
                raise NotStartedError(f"e2e.test {why}: {'; '.join(said) or self._last() or 'it said nothing'}")

    def _arguments(self, host: Host) -> list[str]:
        focus = [f"{re.escape(text)}$" for text in self._serial] or [_EVERYTHING]
        context = [f"--context={self._target.context}"] if self._target.context else []
        kubectl = [f"--kubectl-path={self._program.kubectl}"] if self._program.kubectl else []
        return [
            *arguments(host, focus),
            f"--kubeconfig={self._target.kubeconfig.absolute()}",
            *context,
            *kubectl,
            "--provider=skeleton",
            f"--e2e-output-dir={self._work}",
            "--node-schedulable-timeout=2m",
            "--system-pods-startup-timeout=2m",
            "--system-daemonsets-startup-timeout=2m",
            *self._target.flags,
        ]

    def _collect(self, host: Host, process: "subprocess.Popen[bytes]", spec: Spec, timeout_s: float) -> list[Report]:
        wanted = {s.text for s in self._listing.group(spec)}
        reports: list[Report] = []
        until, hung = time.monotonic() + timeout_s, False
        while True:
            event = self._next(host, process)
            if isinstance(event, Asked):
                return reports
            if event is not None:
                if event.leaf_node_type == SPEC and event.text in wanted:
                    reports.append(event)
                    if self._serial or (hung and event.text == spec.text):
                        if not hung:
                            return reports
                        break
                continue
            if process.poll() is not None or (hung and time.monotonic() > until):
                break
            if time.monotonic() > until:  # interrupted, upstream says where it stood, and cleans up
                hung, until = True, time.monotonic() + INTERRUPT_TIMEOUT_S
                host.end()  # else it would ask for its next spec, and wait
                process.send_signal(signal.SIGINT)
        code = process.poll()
        if hung:
            self._wait(process, END_TIMEOUT_S, interrupt=False)
        self._kill(process)
        self._gone()
        if hung:
            raise EndedError(f"did not end within {timeout_s:.0f} s", hung=True, reports=reports)
        raise EndedError(
            f"e2e.test ended while it ran ({_exit(code)}): {self._last() or 'it said nothing'}",
            hung=False,
            reports=reports,
        )

    def _next(self, host: Host, process: "subprocess.Popen[bytes]") -> Asked | Report | None:
        """The next event; None where there is none for a moment, and where the process has ended and all is read."""
        ended = process.poll() is not None
        try:
            return host.events.get(timeout=_LOOK_S)
        except queue.Empty:
            return None if ended or process.poll() is None else self._next(host, process)

    def _wait(self, process: "subprocess.Popen[bytes]", timeout_s: float, *, interrupt: bool) -> None:
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            if interrupt:
                process.send_signal(signal.SIGINT)
                self._wait(process, INTERRUPT_TIMEOUT_S, interrupt=False)
            else:
                self._kill(process)

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        """It and what it has started (kubectl): they are a session of their own."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _gone(self) -> None:
        if self._host is not None:
            self._host.close()
        with suppress(OSError):
            scrub_file(self.output)
        if self._temporary is not None:
            self._temporary.cleanup()
        self._temporary = None
        self._host = self._process = None
        self._at = -1

    def _last(self) -> str:
        """The end of what it wrote: of a crash in Go, from its first line on."""
        try:
            text = self.output.read_bytes()[-200 * LAST_BYTES :].decode(errors="replace")
        except OSError:
            return ""
        crash = re.search(r"^(panic|fatal error|SIG[A-Z]+): ", text, re.MULTILINE)
        return (text[crash.start() :][:LAST_BYTES] if crash else text[-LAST_BYTES:]).strip()


def _exit(code: int | None) -> str:
    if code is None:
        return "not known how"
    return f"by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
