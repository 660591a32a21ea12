"""Fills the virtual environment that runs this with requirements.lock and this project; for the Makefile.

uv does it in a fraction of pip's time; it is a pinned package itself. It is told what pip has been told on this machine
(index, certificates and so on), and pip does it where uv can't be had. Uses the standard library alone.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
PIP = (sys.executable, "-m", "pip")
QUIET = ("--quiet", "--disable-pip-version-check")
LOCKED = ("--require-hashes", "-r", "requirements.lock")
PROJECT = ("--no-deps", "--no-build-isolation", "--editable", ".")
_LINE = re.compile(r"(?P<where>:env:|[a-z]+)\.(?P<name>[a-z-]+)=(?P<value>.*)")


def told(listed: str) -> dict[str, str]:
    """What `pip config list` says that `pip install` would go by: option to value; a later source outweighs earlier."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for match in filter(None, map(_LINE.fullmatch, listed.splitlines())):
        if match["where"] in found:
            found[match["where"]][match["name"]] = str(ast.literal_eval(match["value"]))
    return {**found["global"], **found["install"], **found[":env:"]}


def as_uv(options: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """pip's options as uv's environment and arguments."""
    several = {name: options.get(name, "").split() for name in ("extra-index-url", "find-links", "trusted-host")}
    environment = {
        "UV_DEFAULT_INDEX": options.get("index-url", ""),
        "UV_INDEX": " ".join(several["extra-index-url"]),
        "UV_FIND_LINKS": ",".join(several["find-links"]),
        "UV_INSECURE_HOST": " ".join(several["trusted-host"]),
        "UV_HTTP_TIMEOUT": options.get("timeout", options.get("default-timeout", "")),
        "SSL_CERT_FILE": options.get("cert", ""),
        "SSL_CLIENT_CERT": options.get("client-cert", ""),
        "ALL_PROXY": options.get("proxy", ""),
    }
    # pip trusts what the machine trusts, and takes the best version of all indexes; the hashes say which that must be.
    always = {"UV_NATIVE_TLS": "1", "UV_INDEX_STRATEGY": "unsafe-best-match", "UV_NO_CONFIG": "1"}
    arguments = ["--no-index"] if options.get("no-index", "").lower() in {"1", "true", "yes", "on"} else []
    return {name: value for name, value in environment.items() if value} | always, arguments


def install_with_uv() -> bool:
    """Whether uv could be had and has installed everything; what it said is shown where it has not."""
    got = _run([*PIP, "install", *QUIET, "--only-binary", ":all:", "--require-hashes", "-r", "requirements-uv.lock"])
    if not got:
        return False
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False, cwd=HERE).stdout
    environment, arguments = as_uv(told(listed))
    uv = [
        str(Path(sys.executable).with_name("uv")),
        "pip",
        "install",
        "--quiet",
        "--python",
        sys.executable,
        *arguments,
    ]
    return _run([*uv, *LOCKED], environment) and _run([*uv, *PROJECT], environment)


def install_with_pip() -> bool:
    """Whether pip has installed everything."""
    return _run([*PIP, "install", *QUIET, *LOCKED]) and _run([*PIP, "install", *QUIET, *PROJECT])


def _run(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> bool:
    try:
        return subprocess.run(argv, check=False, cwd=HERE, env={**os.environ, **(environment or {})}).returncode == 0
    except OSError as error:
        _say(f"{argv[0]}: {error.strerror}")
        return False


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> int:
    """0 where everything is installed."""
    if sys.prefix == sys.base_prefix:
        _say("this fills a virtual environment: run it with that one's python (`make .venv/.ready`)")
        return 2
    if install_with_uv():
        return 0
    _say("uv can't be had or failed here; pip goes on, which takes some minutes")
    return 0 if install_with_pip() else 1


if __name__ == "__main__":
    sys.exit(main())
