"""The site: pages made from the code say all of it, links lead to what there is, nothing comes from elsewhere."""

import html
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from msgspec import Struct
from msgspec.structs import fields

from chaos.harm.base import registered
from chaos.judge.base import promises
from chaos.judge.catalogue import Incident, incidents
from chaos.record.registry import kinds
from chaos.record.registry import load_all as load_records
from chaos.run.options import OPTIONS
from chaos.toolkit import actions, probes

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)[^)]*\)")


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pages", DOCS / "hooks" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(pages: ModuleType) -> dict[str, str]:
    """The pages that are made, as they read once the browser has resolved their entities."""
    return {path: html.unescape(markdown) for path, markdown in pages.made_pages().items()}


@pytest.mark.parametrize("each", incidents(), ids=lambda each: each.id)
def test_an_incidents_page_says_all_that_the_catalogue_has(made: dict[str, str], each: Incident) -> None:
    page = made[f"incidents/{each.id}.md"]
    for said in (each.title, each.story, each.claim, each.remedy, each.versions[1:], each.source):
        assert " ".join(said.split()) in page
    assert all(f"\n{sign.command}\n" in page and sign.look_for in page for sign in each.recognise)
    assert all(f"| `{c.id}` | {c.what} | `{c.breaks}` |" in page for c in each.controls)
    assert f"[{each.id}]({each.id}.md)" in made["incidents/index.md"]


def test_the_reference_names_every_option_fault_invariant_and_key(made: dict[str, str]) -> None:
    cluster = "--ordeal-cluster auto|kind|simulated|existing"
    for option in (cluster, "--ordeal-no-controls", "--ordeal-results DIR", "--ordeal-kubeconfig FILE"):
        assert f"<code>{option}</code>" in made["reference/options.md"]
    assert "## `kube-ordeal gate`" in made["reference/command.md"]
    assert all(f"\n### {kind}\n" in made["reference/faults.md"] for kind in registered())
    assert all(f"\n### {name}\n" in made["reference/invariants.md"] for name in promises())
    activities = [*actions.__all__, *probes.__all__]
    assert all(f"\n### {name}\n" in made["reference/chaos-toolkit.md"] for name in activities)
    load_records()
    for kind, record in kinds().items():
        assert issubclass(record, Struct)
        assert f"\n### {kind}\n" in made["reference/records.md"]
        assert all(f"| `{field.encode_name}` | " in made["reference/records.md"] for field in fields(record))
    schema = json.loads((DOCS / "results.schema.json").read_text())
    for part in (schema, *schema["$defs"].values()):
        assert all(f"| `{key}` | " in made["reference/schema.md"] for key in part.get("properties", {}))


def test_every_option_is_in_the_reference_and_in_the_page_that_explains_them(made: dict[str, str]) -> None:
    written = [each.written for each in OPTIONS]
    assert {"--ordeal-profile", "--ordeal-focus"} < set(written)
    assert [o for o in written if not re.search(rf"<code>{o}[ <]", made["reference/options.md"])] == []
    explained = (DOCS / "options.md").read_text()
    assert [o for o in written if not re.search(rf"`{o}[` ]", explained)] == []


def test_plain_text_stays_plain_and_code_stays_code(pages: ModuleType) -> None:
    said = pages.text("a <b> *c* [d](e) `x | <y>` f_g_h")
    assert "`x | <y>`" in said
    assert not re.search(r"[*<>\[\]_|]", said.replace("`x | <y>`", ""))
    assert html.unescape(said) == "a <b> *c* [d](e) `x | <y>` f_g_h"


def test_links_out_of_docs_lead_to_the_page_that_stands_for_the_file(pages: ModuleType) -> None:
    assert pages.linked("[a](../README.md#the-incidents)", "docs", "") == "[a](readme.md#the-incidents)"
    assert (
        pages.linked("[a](docs/images/x.png) [b](https://k8s.io/x)", "", "")
        == "[a](images/x.png) [b](https://k8s.io/x)"
    )
    assert (
        pages.linked("[a](../chaos/cli/app.py)", "docs", "") == "[a](../chaos/cli/app.py)"
    )  # which mkdocs --strict refuses


def test_every_link_of_the_repositorys_own_pages_leads_somewhere(pages: ModuleType) -> None:
    files = [*DOCS.glob("*.md"), *(ROOT / file for file in pages.ALSO_PAGES if file.endswith(".md"))]
    gone = [
        f"{file.name}: {target}"
        for file in files
        for target in LINK.findall(file.read_text())
        if not (file.parent / target).exists()
    ]
    assert gone == []


def test_the_navigation_has_every_page_once(pages: ModuleType, made: dict[str, str]) -> None:
    config = MkDocsConfig()
    config.nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    listed = [
        entry if isinstance(entry, str) else next(iter(entry.values()))
        for section in pages.on_config(config).nav or []
        for entry in next(iter(section.values()))
    ]
    there = {
        *(file.name for file in DOCS.glob("*.md")),
        *made,
        *(p for p in pages.ALSO_PAGES.values() if p.endswith("md")),
    }
    assert sorted(listed) == sorted(there)


@pytest.mark.parametrize(
    ("loads", "refused"),
    [
        ('<script src="https://cdn.example.org/x.js"></script>', True),
        ('<link rel=stylesheet href="//fonts.example.org/css">', True),
        ('<img alt="x" src=http://example.org/x.png>', True),
        ('<script src="assets/x.js"></script><a href="https://k8s.io">a link</a>', False),
    ],
)
def test_a_page_that_loads_something_from_elsewhere_is_refused(
    pages: ModuleType, tmp_path: Path, loads: str, refused: bool
) -> None:
    (tmp_path / "index.html").write_text(loads)
    config = MkDocsConfig()
    config.site_dir = str(tmp_path)
    if refused:
        with pytest.raises(PluginError, match=r"index\.html loads something from elsewhere"):
            pages.on_post_build(config)
    else:
        pages.on_post_build(config)
