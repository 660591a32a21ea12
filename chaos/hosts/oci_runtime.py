#!/usr/bin/env python3
"""An OCI runtime that takes out of a container the capabilities that this machine lacks, then becomes runc.

A machine whose bounding set lacks one (a sandbox without CAP_SYS_RESOURCE, say) refuses every privileged container:
"unable to apply caps". The engine runs this as a script of its own, without this package: standard library only.
"""

import json
import os
import sys

RUNC = "/usr/sbin/runc"
# Linux's capabilities by number (include/uapi/linux/capability.h).
NAMES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""


def lacking(status: str, last: int = 40) -> tuple[str, ...]:
    """The capabilities that the bounding set in the text of /proc/self/status lacks, as CAP_NAME.

    `last` is the number of the last one that the kernel knows.
    """
    mask = int(status.partition("CapBnd:")[2].split(maxsplit=1)[0], 16)
    known = NAMES.split()[: last + 1]
    return tuple(f"CAP_{name}" for number, name in enumerate(known) if not mask >> number & 1)


def without(process: dict[str, object], missing: tuple[str, ...]) -> dict[str, object]:
    """An OCI process whose capability sets have none of `missing`."""
    sets = process.get("capabilities")
    if not isinstance(sets, dict):
        return process
    return {**process, "capabilities": {key: [cap for cap in caps if cap not in missing] for key, caps in sets.items()}}


def target(arguments: list[str]) -> tuple[str, bool] | None:
    """The file to change, and whether it is a whole bundle's config.json: of create, run and exec; None for others."""

    def option(*names: str) -> str | None:
        for at, word in enumerate(arguments):
            key, equals, value = word.partition("=")
            if key in names:
                return value if equals else arguments[at + 1]
        return None

    if "create" in arguments or "run" in arguments:
        return os.path.join(option("--bundle", "-b") or ".", "config.json"), True  # noqa: PTH118
    process = option("--process", "-p") if "exec" in arguments else None
    return (process, False) if process else None


def main() -> None:
    """Take out of the bundle what this machine can not give, and become runc."""
    found = target(sys.argv[1:])
    if found is not None:
        path, whole = found
        with open("/proc/self/status") as status:  # noqa: PTH123
            missing = lacking(status.read())
        with open(path) as read:  # noqa: PTH123
            spec = json.load(read)
        changed = {**spec, "process": without(spec["process"], missing)} if whole else without(spec, missing)
        if changed != spec:
            with open(path + ".partial", "w") as write:  # noqa: PTH123
                json.dump(changed, write)
            os.rename(path + ".partial", path)  # noqa: PTH104
    os.execv(RUNC, [RUNC, *sys.argv[1:]])  # noqa: S606


if __name__ == "__main__":
    main()
