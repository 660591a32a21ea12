"""Which systems this runs on. Imported before anything that only Linux has."""

import io
import sys

RUNS_ON = "linux"


def why_not() -> str:
    """Why it can't run on this system; "" where it can."""
    if sys.platform == RUNS_ON:
        return ""
    return f"kube-ordeal runs on Linux, and this is {sys.platform}: use a Linux machine, or a virtual one"


def write_escapes(stream: object) -> None:
    """Let a text stream write what its encoding lacks as an escape; else a name in a result would end the program."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
