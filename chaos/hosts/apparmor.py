"""AppArmor's profiles on this machine: they hold for programs in pods of a kind node too, by the programs' paths."""

import re
from pathlib import Path

PROFILES = Path("/sys/kernel/security/apparmor/profiles")
MYSQLD = "/usr/sbin/mysqld"
MEND = "unload it with `apparmor_parser --remove /etc/apparmor.d/usr.sbin.mysqld`"
# The name is the program's path, or a word; as a package of MySQL or MariaDB brings it.
_ENFORCED = re.compile(r"^(\S*mysqld) \(enforce\)$", re.MULTILINE)


def mysqld_profile() -> str:
    """The profile that is in force for MYSQLD; "" where there is none, or this user may not know."""
    try:
        found = _ENFORCED.search(PROFILES.read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def means(profile: str) -> str:
    """What a profile in force means for a server in a pod, in words."""
    return (
        f"this machine's AppArmor profile {profile} is in force, and holds for {MYSQLD} in a pod too, which may then "
        f"not even read its own files"
    )
