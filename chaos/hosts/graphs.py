"""Module graphs: writing the go.mod and go.sum that programs are built from.

Go's build cache keeps a package by its module's version and by all that it imports. So programs whose graphs have the
same versions share what is compiled: `hold` brings a graph to the versions that Kubernetes has.
"""

import json
import re
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import OrdealError
from chaos.hosts.command import CommandError
from chaos.hosts.go import go

ROUNDS = 60
_CHANGES = {"GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
_USED = ("list", "-deps", "-e", "-f", "{{with .Module}}{{.Path}} {{.Version}}{{end}}")
_LISTED = ("list", "-m", "-f", "{{.Path}} {{.Version}}", "all")
# A module's version that the proxy does not have, as Go says it.
_LACKS = re.compile(r"([^\s:]+)@(v[^\s:]+): (?:reading|invalid)")


@dataclass(frozen=True, slots=True)
class Upstream:
    """What is taken over from a module's own go.mod: its go line, godebug lines, and replaces as published versions."""

    go: str
    directives: str
    replaces: tuple[str, ...]


def write(
    directory: Path, name: str, modules: Mapping[str, str], packages: Sequence[str], upstream: Upstream | None = None
) -> None:
    """Write a go.mod that asks for these modules, path to version, and is named `kube-ordeal/NAME`.

    `packages` are those that are built out of them; our own are left out, they lie beside the go.mod.
    """
    own = f"kube-ordeal/{name}"
    tools = sorted(each for each in packages if each != own and not each.startswith(f"{own}/"))
    lines = [
        f"module {own}",
        f"go {upstream.go if upstream else '1.24.0'}",
        upstream.directives if upstream else "",
        "tool (\n" + "\n".join(f"\t{each}" for each in tools) + "\n)",
        "require (\n" + "\n".join(f"\t{path} v{version}" for path, version in modules.items()) + "\n)",
    ]
    if upstream and upstream.replaces:
        lines.append("replace (\n" + "\n".join(f"\t{line}" for line in upstream.replaces) + "\n)")
    (directory / "go.mod").write_text("\n\n".join(line for line in lines if line) + "\n")


def tidy(directory: Path) -> None:
    """Have Go complete the go.mod and write the go.sum. Raises CommandError."""
    go(["mod", "tidy"], cwd=directory, env=_CHANGES)


def upstream_of(module: str, version: str, advice: str) -> Upstream:
    """Of a module whose repository holds others in ./staging, as k8s.io/kubernetes does.

    Those are published as `v0.MINOR.PATCH`. Raises OrdealError where that version can't be had, with the `advice`.
    """
    with tempfile.TemporaryDirectory() as empty:
        found = go(["mod", "download", "-json", f"{module}@v{version}"], cwd=Path(empty), check=False)
        answer = json.loads(found.out) if found.out.strip() else {}
        if found.code != 0 or "GoMod" not in answer:
            offered = go(["list", "-m", "-versions", module], cwd=Path(empty), check=False).out.split()[1:]
            newest = ", ".join(text.removeprefix("v") for text in offered[-12:]) or "none: no module proxy answers"
            why = str(answer.get("Error") or found.err.strip())
            raise OrdealError(
                f"{module} {version} cannot be had ({why}); {advice}, the newest that the module proxy offers: "
                f"{newest}."
            )
        said = json.loads(go(["mod", "edit", "-json", answer["GoMod"]], cwd=Path(empty)).out)
    staged = f"v0.{version.split('.', 1)[1]}"
    replaces = tuple(
        f"{old} => {old} {staged}"
        for entry in said.get("Replace") or ()
        if entry["New"]["Path"].startswith("./staging/") and (old := entry["Old"]["Path"])
    )
    godebug = [f"godebug {entry['Key']}={entry['Value']}" for entry in said.get("Godebug") or ()]
    return Upstream(said["Go"], "\n".join(godebug), replaces)


def hold(directory: Path, like: Path, asked_for: Collection[str]) -> None:
    """Bring the go.mod in `directory` to the versions with which the programs of the one in `like` are built.

    Go takes the newest version that anything requires. A version that the main module excludes does not count as
    required, so each newer one is excluded, until none is left; so is a version that the proxy does not have. Modules
    by the makers of those `asked_for` stay as they are. Raises OrdealError where it does not come to an end,
    CommandError.
    """
    makers = tuple(_maker(path) for path in asked_for)
    wanted = {path: version for path, version in _used(like).items() if _maker(path) not in makers}
    for _ in range(ROUNDS):
        if _held(directory, wanted, _listed(directory)) or _held(directory, wanted, _used(directory)):
            continue
        tidy(directory)  # it may bring in what only the tests of packages need, and with it newer versions
        if not _held(directory, wanted, _used(directory)):
            return
    raise OrdealError(f"{directory / 'go.mod'} can't be brought to the versions of {like / 'go.mod'}.")


def _held(directory: Path, wanted: Mapping[str, str], there: Mapping[str, str]) -> bool:
    """Whether anything had to be changed."""
    edits = []
    for path, version in there.items():
        if wanted.get(path, version) == version:
            continue
        if _order(version) > _order(wanted[path]):
            edits.append(f"-exclude={path}@{version}")
        edits.append(f"-require={path}@{wanted[path]}")
    if edits:
        go(["mod", "edit", *edits], cwd=directory)
    return bool(edits)


def _listed(directory: Path) -> dict[str, str]:
    while True:
        try:
            return _pairs(go(list(_LISTED), cwd=directory, env=_CHANGES).out)
        except CommandError as error:
            lacking = set(_LACKS.findall(error.output))
            if not lacking:
                raise
        go(["mod", "edit", *(f"-exclude={path}@{version}" for path, version in sorted(lacking))], cwd=directory)


def _used(directory: Path) -> dict[str, str]:
    """The modules of the packages that are compiled. What the go.mod lacks for them is added to it."""
    own = ["./..."] if any(directory.glob("*/*.go")) else []
    return _pairs(go([*_USED, *own, "tool"], cwd=directory, env=_CHANGES).out)


def _pairs(said: str) -> dict[str, str]:
    return {parts[0]: parts[1] for line in said.splitlines() if len(parts := line.split()) == 2}


def _maker(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")[:2])


def _order(version: str) -> tuple[int, int, int, bool, str]:
    """A key by which Go's versions sort, closely enough: a pseudo-version's time is in its text."""
    match = re.match(r"v(\d+)\.(\d+)\.(\d+)(?:-([^+]*))?", version)
    if match is None:
        raise OrdealError(f"{version!r} is not a module's version.")
    return int(match[1]), int(match[2]), int(match[3]), match[4] is None, match[4] or ""
