"""A driver's file, as its user wrote it: YAML with one meaning, and no field that nobody reads."""

from pathlib import Path
from typing import TypeVar

import msgspec

from chaos.basics.untrusted import LIST, bounded, yaml_of
from chaos.errors import OrdealError

T = TypeVar("T", bound=msgspec.Struct)


def read(path: Path, of: type[T]) -> T:
    """What the file says. Raises OrdealError where it can't be read, or says something else."""
    try:
        with path.open("rb") as file:
            return msgspec.convert(yaml_of(bounded(file, LIST), LIST), of)
    except OSError as error:
        raise OrdealError(f"the power driver's file {path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise OrdealError(f"the power driver's file {path} can't be used: {error}") from error
