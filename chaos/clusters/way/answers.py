"""What an API server may answer. What is no object of the API is a failed request, before anybody takes it apart."""

from typing import Any

import msgspec
from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import HTTPError

from chaos.errors import OrdealError


class OddAnswerError(OrdealError, HTTPError):
    """The answer is none of the API's. Whoever awaits urllib3's errors meets it, too."""


class CheckedClient(ApiClient):
    """The generated client, but what can't be an answer to what was asked raises OddAnswerError."""

    def deserialize(self, *given: Any, **named: Any) -> Any:
        """As the generated one, whose arguments are others in other versions."""
        try:
            made = super().deserialize(*given, **named)
        except (ApiException, HTTPError):
            raise
        except Exception as error:
            raise self._odd(" ".join(str(error).split()) or type(error).__name__) from error
        wrong = _lacks(made)
        if wrong:
            raise self._odd(wrong)
        return made

    def _odd(self, why: str) -> OddAnswerError:
        return OddAnswerError(f"the cluster at {self.configuration.host} answers what is none of the API: {why}"[:300])


def objects(data: bytes, host: str) -> list[dict[str, Any]]:
    """The objects of a list that was answered as JSON; each has a metadata with a name. Raises OddAnswerError."""
    try:
        held = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise OddAnswerError(f"the cluster at {host} answers what is no JSON: {error}"[:300]) from error
    items = held.get("items") if isinstance(held, dict) else None
    if not isinstance(items, list):
        raise OddAnswerError(f"the cluster at {host} answers what is no list of objects: {repr(held)[:80]}")
    for item in items:
        metadata = item.get("metadata") if isinstance(item, dict) else None
        if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
            raise OddAnswerError(f"the cluster at {host} answers a list of what is no object: {repr(item)[:80]}")
    return items


def _lacks(made: Any) -> str:
    """What is not there of what each object and each list has; "" where all is."""
    if made is None:
        return "nothing (null)"
    if not hasattr(made, "metadata"):
        return ""
    kind = type(made).__name__
    if made.metadata is None and not kind.endswith("Review"):
        return f"a {kind} without metadata"
    if hasattr(made, "items"):
        if not isinstance(made.items, list):
            return f"a {kind} without items"
        for item in made.items:
            if item is None or getattr(item, "metadata", None) is None or not item.metadata.name:
                return f"a {kind} with an item that has no name"
    return next(filter(None, map(_hollow, getattr(made, "items", None) or [made])), "")


def _hollow(item: Any) -> str:
    """Go always writes these, empty or not; so does every reader here count on them."""
    kind = type(item).__name__
    missing = [part for part in ("spec", "status") if getattr(item, part, "") is None]
    return f"a {kind} without {missing[0]}" if missing and kind in _WHOLE else ""


_WHOLE = {"V1Node", "V1Pod"}
