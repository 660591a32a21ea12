"""A program file, looked at before it takes another's place."""

import hashlib
import platform
from pathlib import Path

from chaos.errors import OrdealError

_MACHINES = {62: "x86_64", 183: "aarch64"}  # e_machine, as in elf.h


def check_program(path: Path, machine: str = "") -> str:
    """The file's SHA-256 in hex. Raises OrdealError where it is missing, is no Linux program, or not for `machine`.

    `machine` is as `uname -m` says it; by default this one.
    """
    try:
        with path.open("rb") as file:
            head = file.read(20)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise OrdealError(f"the program {path} can't be read: {error.strerror}") from error
    if head[:4] != b"\x7fELF":
        raise OrdealError(f"{path} is no Linux program; name one that was built for the cluster's machines")
    built_for = _MACHINES.get(int.from_bytes(head[18:20], "little"), "another architecture")
    wanted = machine or platform.machine()
    if built_for != wanted:
        raise OrdealError(f"{path} was built for {built_for}, and it is to run on {wanted}: build it for that")
    return sha256
