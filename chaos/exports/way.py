"""The way to a receiver: a request that goes nowhere else, and of whose answer little is read. Needs `requests`."""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as BrokenError
from requests.exceptions import InvalidURL, ProxyError, RequestException, SSLError, Timeout
from requests.utils import get_auth_from_url

from chaos.clusters.way.proxies import is_local
from chaos.exports.outbox import THREAD

MOST_BYTES = 65_536  # of an answer: what goes on is not read
WORTH_WAITING = "Retry-After"
UNUSABLE = "the settings in the environment can't be used"  # else it would have been sent
_SAID: Mapping[type[BaseException], str] = {
    Timeout: "it did not answer in time",
    SSLError: "TLS failed: its certificate is not trusted here, or it speaks no TLS",
    ProxyError: "the proxy on the way did not let it through",
    InvalidURL: "its address is none",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered: its status, the type of its body, and as much of that as is read."""

    status: int
    type: str
    body: bytes


class Guarded(HTTPAdapter):
    """Sends as `requests` does. No redirect is followed, and `why` says why the last request came to nothing.

    `judge`: what is wrong with an answer, in a few words; empty where nothing is.
    """

    def __init__(self, judge: Callable[[Reply], str]) -> None:
        super().__init__()
        self._judge = judge
        self.why = self._before = UNUSABLE

    def forget(self) -> None:
        """Another thing is to be sent: what became of the last one says nothing of it."""
        self.why = self._before

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002  (as requests has it)
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Raises RequestException where nothing was answered, or a redirect."""
        self._before = ""
        try:
            given: Any = super().send(
                request, stream=True, timeout=timeout, verify=verify, cert=cert, proxies=dict(proxies or {})
            )
            with closing(given) as answer:
                body = answer.raw.read(MOST_BYTES, decode_content=True)
        except Exception as error:
            self.why = _why(error)
            raise
        self.why = self._judge(Reply(answer.status_code, answer.headers.get("Content-Type", ""), body))
        if 300 <= answer.status_code < 400:
            raise RequestException(self.why)
        kept = requests.Response()
        kept.status_code, kept.url, kept.request, kept.raw = answer.status_code, answer.url, request, BytesIO()
        if (wait := answer.headers.get(WORTH_WAITING)) is not None:
            kept.headers[WORTH_WAITING] = wait
        return kept


def session(url: str, guarded: Guarded) -> requests.Session:
    """For requests to that URL, by the outbox's thread.

    A receiver on this machine is asked without a proxy, as Go's programs do. It is given the credentials of the URL, or
    of the headers: by itself requests would put those of ~/.netrc in their place.
    """
    _keep_quiet()
    made = requests.Session()
    made.trust_env = not is_local(url)
    made.auth = own if any(own := get_auth_from_url(url)) else _as_it_is
    for scheme in ("http://", "https://"):
        made.mount(scheme, guarded)
    return made


def refused(reply: Reply, credentials: str) -> str:
    """What a status says that is no success; `credentials`: how a user hands over what lets them in."""
    match reply.status:
        case status if 200 <= status < 300:
            return ""
        case 401 | 403 | 407:
            return f"it lets nobody in without credentials (status {reply.status}): {credentials}"
        case status if 300 <= status < 400:
            return f"it leads elsewhere (status {status}), and no redirect is followed: name the address it leads to"
        case status:
            return f"it refused with status {status}"


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _keep_quiet() -> None:
    """What libraries log while they send goes nowhere: it may be a receiver's own words, or a secret of its URL or a
    header.
    """
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.startswith(("opentelemetry", "urllib3")) and isinstance(logger, logging.Logger):
            logger.addFilter(_is_anothers)  # the same one a second time changes nothing


def _is_anothers(record: logging.LogRecord) -> bool:
    return record.threadName != THREAD


def _why(error: BaseException) -> str:
    """Without a word of the receiver's, and without the URL."""
    for kind, said in _SAID.items():
        if isinstance(error, kind):
            return said
    if type(error) is OSError:  # of requests', which names the file
        return "a certificate or a key that the environment names can't be read"
    if not isinstance(error, BrokenError):
        return f"what it answered can't be read ({type(error).__name__})"
    beneath = [each for each in _beneath(error) if isinstance(each, OSError)]
    if any(isinstance(each, socket.gaierror) for each in beneath):
        return "its name is not known here"
    known = next((each.errno for each in beneath if each.errno), None)
    return os.strerror(known).lower() if known else "it can't be reached, or broke the connection off"


def _beneath(error: BaseException) -> Iterator[BaseException]:
    """What it was raised because of, the nearest first."""
    seen: list[BaseException] = [error]
    for each in seen:  # it grows
        causes = [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
        seen += [found for found in causes if isinstance(found, BaseException) and found not in seen]
    yield from seen[1:]
