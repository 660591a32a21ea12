"""Pages of the site that are made from the code when it is built, and the repository's links made links of the site."""

import html
import inspect
import json
import posixpath
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.cli import get_docs_for_click

from chaos.cli.app import app
from chaos.harm import load_all as load_faults
from chaos.harm.base import counterpart, registered
from chaos.hosts.places import APP
from chaos.judge import load_all as load_promises
from chaos.judge.base import made_by, promises
from chaos.judge.catalogue import SUBJECTS, Incident, incidents
from chaos.judge.proofs import proven
from chaos.record.registry import kinds
from chaos.record.registry import load_all as load_records
from chaos.run.options import OPTIONS, Option
from chaos.run.suites import Suite, by_incident, promised_by
from chaos.toolkit import actions, experiments, probes, settings

ROOT = Path(__file__).resolve().parents[2]
# Files of the repository that are pages too. A link to any other file that is not below docs/ fails the build.
ALSO_PAGES = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "tests/README.md": "tests.md",
    "LICENSE": "LICENSE.txt",
}
INCIDENTS_TITLE = "Incidents"
LONGEST_DEFAULT = 60
_LINK = re.compile(r"(\]\()(?!\w+:)([^)#\s]+)([^)]*\))")
_CODE = re.compile(r"(`[^`]+`)")
_MARKED = re.compile(r"[\\`*_{}\[\]<>&|~#]")
_FROM_ELSEWHERE = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>""")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put a page for each incident into the navigation."""
    for section in config.nav or []:
        if isinstance(section, dict) and INCIDENTS_TITLE in section:
            section[INCIDENTS_TITLE] += [{each.id: f"incidents/{each.id}.md"} for each in incidents()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made here."""
    for path, content in {**made_pages(), **also_pages()}.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Links that lead out of docs/ lead to the page that stands for the file."""
    return (
        linked(markdown, "docs", posixpath.dirname(page.file.src_uri)) if page.file.generated_by is None else markdown
    )


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that would load something from elsewhere."""
    for path in Path(config.site_dir).rglob("*.html"):
        found = _FROM_ELSEWHERE.search(path.read_text())
        if found:
            raise PluginError(f"{path.name} loads something from elsewhere: {found[0]}")


def made_pages() -> dict[str, str]:
    """Every page that is made from the code: its path below docs/, and its Markdown."""
    suites = by_incident()
    return {
        "incidents/index.md": incidents_page(suites),
        **{f"incidents/{each.id}.md": incident_page(each, there) for each, there in suites.items()},
        "reference/options.md": options_page(),
        "reference/command.md": command_page(),
        "reference/schema.md": schema_page(json.loads((ROOT / "docs/results.schema.json").read_text())),
        "reference/faults.md": faults_page(),
        "reference/invariants.md": invariants_page(),
        "reference/chaos-toolkit.md": toolkit_page(),
        "reference/records.md": records_page(),
    }


def also_pages() -> dict[str, str]:
    """Files of the repository as pages, with their links made to fit."""
    return {
        page: linked((ROOT / file).read_text(), posixpath.dirname(file), posixpath.dirname(page))
        for file, page in ALSO_PAGES.items()
    }


def linked(markdown: str, folder: str, page_folder: str) -> str:
    """Markdown of a file in `folder` of the repository, its relative links made those of a page in `page_folder`.

    `page_folder` is below docs/ and counts where `folder` is docs/ too.
    """

    def target(found: re.Match[str]) -> str:
        here = posixpath.join(folder, page_folder) if folder == "docs" else folder
        path = posixpath.normpath(posixpath.join(here, found[2]))
        page = ALSO_PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else "")
        return f"{found[1]}{posixpath.relpath(page, page_folder or '.') if page else found[2]}{found[3]}"

    return _LINK.sub(target, markdown)


def incidents_page(suites: Mapping[Incident, Sequence[Suite]]) -> str:
    """The catalogue as a table."""
    rows = [
        (
            f"[{each.id}]({each.id}.md)",
            text(each.title),
            _clusters(there),
            ", ".join(f"`{c.id}`" for c in each.controls),
        )
        for each, there in suites.items()
    ]
    return _page(
        INCIDENTS_TITLE,
        "Each is a published failure, replayed by a suite. A control is a known-bad configuration in which the promise "
        f"has to break. `{APP} explain ID` says the same in a terminal, with what was measured last.",
        _table(("incident", "what goes wrong", "replayed on", "controls"), rows),
    )


def incident_page(incident: Incident, there: Sequence[Suite]) -> str:
    """What `kube-ordeal explain` says of an incident, without what was measured, and how it is replayed."""
    signs = [f"```sh\n{sign.command}\n```\n\nLook for: {text(sign.look_for)}." for sign in incident.recognise]
    controls = [(f"`{c.id}`", text(c.what), f"`{c.breaks}`", f"`{c.because}`") for c in incident.controls]
    promises = [(f"`{name}`", text("; ".join(proven(incident, name).words()))) for name in promised_by(there)]
    replays = [
        (f"`{s.test}`", _clusters([s]), ", ".join(f"`{need.__name__}`" for need in s.replay.needs) or "nothing special")
        for s in there
    ]
    return _page(
        incident.title,
        f"`{incident.id}`",
        "## What happened",
        text(incident.story),
        f"Source: {text(incident.source)}.",
        "## How to recognise it",
        *signs,
        "## The fix",
        text(incident.remedy),
        "## Versions",
        _sentence(incident.versions),
        f"## The promise ({incident.level})",
        text(incident.claim),
        "## What proves that the check can fail",
        _table(("control", "what is wrong in it", "has to break", "for the reason"), controls),
        _table(("promise", "can break, as is proven by"), promises),
        "## How it is replayed",
        _table(("suite", "on", "needs of the cluster"), replays),
        f"    pytest suites/{' suites/'.join(dict.fromkeys(s.test.partition('::')[0] for s in there))}\n"
        f"    {APP} explain {incident.id}",
    )


def options_page() -> str:
    """The options that the plugin gives to pytest."""
    rows = [(_code(_with_value(each)), text(each.help)) for each in OPTIONS]
    beside = "Beside pytest's own. What they are for: [options](../options.md)."
    return _page("Every option of a run", beside, _table(("option", "meaning"), rows))


def _with_value(option: Option) -> str:
    """An option as it is given."""
    if option.switch is not None:
        return option.written
    return f"{option.written} {'|'.join(option.choices) or option.metavar}"


def command_page() -> str:
    """The command's own help, of every command."""
    command: Any = typer.main.get_command(app)
    return get_docs_for_click(obj=command, ctx=typer.Context(command, info_name=APP), name=APP)


def schema_page(schema: Mapping[str, Any]) -> str:
    """The keys of results.json, of the whole and of each part."""
    parts = [f"## {title}\n\n{_schema_part(part)}" for title, part in schema["$defs"].items()]
    return _page(
        "Schema of results.json",
        text(schema["description"]) + " The schema itself: [results.schema.json](../results.schema.json).",
        "## The file",
        _schema_part(schema),
        *parts,
    )


def faults_page() -> str:
    """Each fault by its file: what it does, what it needs, what it takes."""
    load_faults()
    return _page(
        "Faults",
        "What can be done to a cluster. Each is confirmed by the kernel, the runtime or the API, and undone from "
        "outside its reach, after a crash too. A Chaos Toolkit experiment calls the action, and its counterpart to "
        "take it back.",
        *_by_room(registered(), _fault),
    )


def invariants_page() -> str:
    """Each invariant by its file."""
    load_promises()
    named = {name: made_by(name) for name in promises()}
    return _page(
        "Invariants",
        "What is judged: pure functions from a history to held, violated or unknown. Times are in seconds.",
        *_by_room(named, _invariant),
    )


def toolkit_page() -> str:
    """Chaos Toolkit's experiments, the keys of their configuration, and every activity."""
    files = [
        (f"`{name}`", f"`{s.replay.incident.id}`", text(s.replay.variant), _clusters([s]), _ids(s.replay.controls))
        for name, s in experiments.replayed().items()
    ]
    known = {settings.key(each.name): each.help for each in settings.options()} | settings.OTHERS
    keys = [(f"`{name}`", f"`ORDEAL_{name.upper()}`", text(meaning)) for name, meaning in known.items()]
    made_of = [(module, name) for module in (actions, probes) for name in module.__all__]
    return _page(
        "Chaos Toolkit's activities",
        "Made from what is registered; how they are used: [Chaos Toolkit](../chaos-toolkit.md).",
        "## Experiments",
        _table(("file", "incident", "replay", "on", "controls"), files),
        "## Keys of a configuration",
        "Each is read from the environment where the configuration does not say it.",
        _table(("key", "environment", "meaning"), keys),
        "## Activities",
        *(_activity(module.__name__, name, getattr(module, name)) for module, name in made_of),
    )


def _activity(module: str, name: str, function: Callable[..., Any]) -> str:
    given = [each for each in inspect.signature(function).parameters.values() if each.name != "configuration"]
    said = ", ".join(each.name if each.default is each.empty else f"{each.name}={each.default!r}" for each in given)
    return f"### {name}\n\n{_code(f'{module}.{name}({said})')}\n\n{_paragraphs(function.__doc__)}"


def _ids(names: Iterable[str]) -> str:
    return ", ".join(f"`{each}`" for each in names)


def records_page() -> str:
    """Each kind of record by its file: what a line of a history holds."""
    load_records()
    return _page(
        "Records",
        "The kinds of lines in a history. `at` of each is in seconds since the recording began; a field that is not "
        "named with a unit is what its name says. Who reads a kind that is not here, or another version of one, keeps "
        "it and judges nothing by it.",
        *_by_room(kinds(), _record),
    )


def text(plain: str) -> str:
    """Plain text as Markdown that shows just that; what stands between backticks is code."""
    pieces = _CODE.split(" ".join(plain.split()))
    return "".join(p if _CODE.fullmatch(p) else _MARKED.sub(lambda m: f"&#{ord(m[0])};", p) for p in pieces)


def _by_room(named: Mapping[str, Callable[..., Any]], show: Callable[[str, Callable[..., Any]], str]) -> Iterator[str]:
    """What several subjects use by its file, then what one subject uses by the subject."""
    for where in sorted(
        {each.__module__ for each in named.values()}, key=lambda name: (name.startswith(SUBJECTS), name)
    ):
        own = [show(name, each) for name, each in named.items() if each.__module__ == where]
        title = where.split(".")[2].replace("_", " ")
        yield from (f"## {title}", _paragraphs(sys.modules[where].__doc__), *own)


def _fault(kind: str, cls: Callable[..., Any]) -> str:
    needs = ", ".join(f"`{need.__name__}`" for need in cls.needs) or "nothing special"  # type: ignore[attr-defined]
    action = f"`{kind.replace('-', '_')}`, taken back by `{counterpart(cls)}`"  # type: ignore[arg-type]
    return f"### {kind}\n\n{_paragraphs(cls.__doc__)}\n\nNeeds: {needs}. Action: {action}.\n\n{_parameters(cls)}"


def _invariant(name: str, function: Callable[..., Any]) -> str:
    return f"### {name}\n\n{_paragraphs(function.__doc__)}\n\n{_parameters(function)}"


def _record(kind: str, made: Callable[..., Any]) -> str:
    hints = get_type_hints(made)
    rows = [
        (
            f"`{field.encode_name}`",
            _code(_type(hints[field.name])),
            "yes" if field.required else f"else {_code(repr(field.default))}",
        )
        for field in msgspec.structs.fields(made)  # type: ignore[arg-type]
    ]
    version = getattr(made, "version", 1)
    said = f"Version {version}. " if version != 1 else ""
    return f"### {kind}\n\n{said}{_paragraphs(made.__doc__)}\n\n{_table(('field', 'type', 'always there'), rows)}"


def _type(annotation: object) -> str:
    """A type without the modules that it is from."""
    return re.sub(r"\b[a-z_]+(?:\.[a-z_]+)*\.(?=[A-Z])", "", inspect.formatannotation(annotation))


def _parameters(called: Callable[..., Any]) -> str:
    rows = []
    for each in inspect.signature(called).parameters.values():
        kind = _type(each.annotation)
        default = "" if each.default is each.empty else repr(each.default)
        shown = default if len(default) <= LONGEST_DEFAULT else "see the source"
        rows.append((f"`{each.name}`", _code(kind), _code(shown) if shown else "has to be given"))
    return _table(("parameter", "type", "default"), rows) if rows else ""


def _schema_part(part: Mapping[str, Any]) -> str:
    required = part.get("required", ())
    rows = [
        (f"`{key}`", _schema_type(each), "yes" if key in required else "", text(each.get("description", "")))
        for key, each in part.get("properties", {}).items()
    ]
    described = f"{text(part['description'])}\n\n" if "description" in part and "$defs" not in part else ""
    if rows:
        return described + _table(("key", "is", "always there", "what"), rows)
    return described + _sentence(_schema_type(part), plain_text=False)


def _schema_type(each: Mapping[str, Any]) -> str:
    match each:
        case {"$ref": reference}:
            name = reference.rpartition("/")[2]
            said = f"[{name}](#{name})"
        case {"const": value}:
            said = _code(json.dumps(value))
        case {"enum": values}:
            said = " or ".join(_code(json.dumps(value)) for value in values)
        case {"items": items}:
            said = f"array of {_schema_type(items)}"
        case {"additionalProperties": dict(values)}:
            said = f"object, each value {_schema_type(values)}"
        case {"properties": properties}:
            said = f"object with {', '.join(_code(key) for key in properties)}"
        case {"type": str(kind), "pattern": pattern}:
            said = f"{kind} like {_code(pattern)}"
        case {"type": list(kinds)}:
            said = " or ".join(kinds)
        case _:
            said = str(each.get("type", "anything"))
    return said


def _clusters(there: Sequence[Suite]) -> str:
    return ", ".join(sorted({kind for suite in there for kind in suite.replay.on}))


def _code(plain: str) -> str:
    return f"<code>{_MARKED.sub(lambda m: f'&#{ord(m[0])};', html.unescape(plain))}</code>"


def _sentence(plain: str, *, plain_text: bool = True) -> str:
    said = text(plain) if plain_text else plain
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "?")) else ".")


def _paragraphs(doc: str | None) -> str:
    return "\n\n".join(text(part) for part in inspect.cleandoc(doc or "").split("\n\n"))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {text(title)}", *parts]) + "\n"
