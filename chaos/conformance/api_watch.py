"""Whether the API server answered, all the time that specs ran."""

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.way.client import api_client, raw_get
from chaos.record.sampler import Sampler

EVERY_S = 1.0
AWAY_FOR_S = 3.0  # one answer that is late on a busy machine is no outage


class ApiWatch:
    """Asks /readyz once a second from a thread of its own."""

    def __init__(self, kubeconfig: Path, context: str = "") -> None:
        """Raises OrdealError where the kubeconfig can't be used."""
        self._client = api_client(kubeconfig, context)
        self._failed: list[tuple[float, float]] = []  # each outage: from when until when, monotonic seconds
        self._away_since: float | None = None
        self._why = ""
        self._sampler = Sampler("api-watch", self._look, every_s=EVERY_S)

    def __enter__(self) -> Self:
        self._sampler.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sampler.end()
        self._client.close()  # type: ignore[no-untyped-call]

    @property
    def why(self) -> str:
        """What was said the last time that it did not answer."""
        return self._why

    def away_s(self, since: float, until: float) -> float:
        """How long it did not answer between the two (monotonic seconds), in the longest outage; 0 for a short one."""
        open_now = self._away_since
        outages = [*self._failed, *([(open_now, time.monotonic())] if open_now is not None else [])]
        longest = max((min(end, until) - max(begin, since) for begin, end in outages), default=0.0)
        return longest if longest >= AWAY_FOR_S else 0.0

    def answers(self, within_s: float) -> bool:
        """Whether it answers now, or does within that time."""
        try:
            eventually(lambda: self._away_since is None, within_s=within_s, what="the API server")
        except WaitedInVainError:
            return False
        return True

    def _look(self) -> None:
        began = time.monotonic()
        why = self._wrong()
        if why:
            self._why = why
            self._away_since = self._away_since if self._away_since is not None else began
        elif self._away_since is not None:
            self._failed.append((self._away_since, began))
            self._away_since = None

    def _wrong(self) -> str:
        """What is wrong with its answer now; "" where it is ready."""
        try:
            said = raw_get(self._client, "/readyz").decode(errors="replace").strip()
        except Exception as error:  # noqa: BLE001  (whatever it is, it is no answer)
            said = str(error).strip() or type(error).__name__
        return "" if said == "ok" else (said.splitlines() or ["nothing"])[0][:200]
