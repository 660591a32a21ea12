"""etcd of a simulated cluster, behind the API server's back: its keys, its snapshots, its data on the disk."""

import base64
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import urllib3

from chaos.basics.progress import silent
from chaos.clusters.simulated.home import ETCD, ETCD_MEMBER, LOOPBACK, ClusterRecord, Programs, keys_of, workdir
from chaos.errors import OrdealError
from chaos.hosts.command import PRIVATE_UMASK, run

SNAPSHOT_WITHIN_S = 60.0
NO_SPACE = "NOSPACE"
READ_S, ALARM_READ_S = 20.0, 2.0  # alarms are asked for again and again, also while it stands still


@dataclass(frozen=True, slots=True)
class Etcd:
    """That of the cluster `name`, whose home is `directory`. Methods raise OrdealError where it does not answer."""

    name: str
    directory: Path
    record: ClusterRecord

    def get(self, key: str) -> bytes:
        """The stored bytes; empty where there is no such key."""
        answer = self._ask("kv/range", {"key": _b64(key.encode())})
        return base64.b64decode(answer["kvs"][0].get("value", "")) if answer.get("kvs") else b""

    def put(self, key: str, value: bytes) -> int:
        """Returns the new revision."""
        answer = self._ask("kv/put", {"key": _b64(key.encode()), "value": _b64(value)})
        return int(answer["header"]["revision"])

    def revision(self) -> int:
        """The newest one."""
        return int(self._ask("maintenance/status", {})["header"]["revision"])

    def refuse_writes(self, *, on: bool) -> None:
        """As one that is full does, by its own alarm NOSPACE (etcd, maintenance documentation); reads are answered."""
        member = self._ask("maintenance/status", {})["header"]["member_id"]
        action = "ACTIVATE" if on else "DEACTIVATE"
        self._ask("maintenance/alarm", {"action": action, "memberID": member, "alarm": NO_SPACE})

    def refuses_writes(self) -> bool:
        """Whether that alarm is on."""
        alarms = self._ask("maintenance/alarm", {"action": "GET"}, read_s=ALARM_READ_S).get("alarms", ())
        return any(each.get("alarm") == NO_SPACE for each in alarms)

    def ctl(self) -> tuple[str, ...]:
        """The command line of an etcdctl that asks it, before its own verb."""
        keys = keys_of(self.directory)
        return (
            str(self._programs().etcdctl), f"--endpoints={self._scheme}://{LOOPBACK}:{self.record.ports.etcd}",
            f"--cacert={keys.authority}", f"--cert={keys.certificate}", f"--key={keys.key}",
        )  # fmt: skip

    def snapshot_path(self, name: str) -> Path:
        """Where a snapshot of that name is, or would be."""
        return self.directory / "snapshots" / f"{name}.db"

    def snapshot(self, name: str) -> Path:
        """Save a snapshot. Raises CommandError."""
        path = self.snapshot_path(name)
        path.parent.mkdir(exist_ok=True)
        # It writes to another name first: a snapshot is whole or not there.
        run([*self.ctl(), "snapshot", "save", str(path)], timeout_s=SNAPSHOT_WITHIN_S, umask=PRIVATE_UMASK)
        return path

    def unpack(self, snapshot: str, *, bump_revision: int) -> None:
        """Make a data directory of a snapshot, beside the one that is used. Raises CommandError."""
        shutil.rmtree(self._made, ignore_errors=True)
        peer = f"{self._scheme}://{LOOPBACK}:{self.record.ports.etcd_peer}"
        bump = ["--bump-revision", str(bump_revision), "--mark-compacted"] if bump_revision else []
        run(
            [str(self._programs().etcdutl), "snapshot", "restore", snapshot, "--data-dir", str(self._made),
             "--name", ETCD_MEMBER, "--initial-cluster", f"{ETCD_MEMBER}={peer}",
             "--initial-advertise-peer-urls", peer, *bump],
            timeout_s=SNAPSHOT_WITHIN_S, umask=PRIVATE_UMASK,
        )  # fmt: skip

    def put_in_place(self) -> None:
        """What was unpacked becomes the data, and what was there is kept aside. etcd must not run."""
        if self._data.exists():
            shutil.rmtree(self._aside, ignore_errors=True)
            self._data.rename(self._aside)
        self._made.rename(self._data)

    def take_back(self) -> None:
        """What is aside becomes the data, where a restore was cut short between its two renames."""
        if not self._data.exists():
            self._aside.rename(self._data)

    @property
    def _data(self) -> Path:
        return workdir(self.directory) / ETCD

    @property
    def _made(self) -> Path:
        return self._data.with_name("etcd-new")

    @property
    def _aside(self) -> Path:
        return self._data.with_name("etcd-aside")

    @property
    def _scheme(self) -> str:
        """That of a cluster which an earlier version made asks nobody for a certificate."""
        return "https" if self.record.ports.etcd_http else "http"

    @property
    def _url(self) -> str:
        """Of its JSON gateway; where that has no port of its own, it is at the other one."""
        ports = self.record.ports
        return f"{self._scheme}://{LOOPBACK}:{ports.etcd_http or ports.etcd}"

    def _programs(self) -> Programs:
        return Programs.built(self.record.kubernetes, silent)

    def _ask(self, call: str, body: Mapping[str, str], *, read_s: float = READ_S) -> Any:
        """etcd's own API over its JSON gateway: keys and values go through it byte for byte."""
        keys = keys_of(self.directory)
        try:
            with urllib3.PoolManager(
                ca_certs=str(keys.authority), cert_file=str(keys.certificate), key_file=str(keys.key)
            ) as pool:
                answer = pool.request(
                    "POST",
                    f"{self._url}/v3/{call}",
                    body=msgspec.json.encode(body),
                    timeout=urllib3.Timeout(connect=3, read=read_s),
                    retries=False,
                )
        except urllib3.exceptions.HTTPError as error:
            raise OrdealError(f"etcd of cluster {self.name} does not answer at {self._url}: {error}") from error
        if answer.status != 200:
            raise OrdealError(f"etcd of cluster {self.name} refused {call}: {answer.data.decode(errors='replace')}")
        return msgspec.json.decode(answer.data)


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()
