"""The command `kube-ordeal`. The runs themselves are pytest's, which `kube-ordeal run` becomes."""

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from chaos.basics.files import file_name, hand_out
from chaos.basics.signals import as_interrupts
from chaos.basics.system import write_escapes
from chaos.basics.visible import line, lines
from chaos.errors import OrdealError
from chaos.hosts import extras
from chaos.hosts.binaries import DEFAULT_KUBERNETES, normal_version
from chaos.hosts.places import APP
from chaos.hosts.target import Target

if TYPE_CHECKING:
    from chaos.hosts.image import NodeImage
    from chaos.report.allowed import AllowList
    from chaos.report.compare import Side
    from chaos.report.product import Product
    from chaos.results.saved import SavedRun
    from chaos.setup.doctor import Check

INTERRUPTED = 130
USER_ERROR = 2


class _Group(TyperGroup):
    """Turns what a user can cause into one sentence on standard error; a traceback is for our own mistakes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with as_interrupts():
                return super().invoke(ctx)
        except OrdealError as error:
            _say_error(str(error))
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.errno is None or error.strerror is None:
                raise
            _say_error(f"{error.filename or 'writing'}: {error.strerror}")
        except (KeyboardInterrupt, typer.Abort):
            _say_error("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        finally:
            from chaos.hosts.ownership import hand_back  # noqa: PLC0415

            hand_back()
        raise typer.Exit(USER_ERROR)


app = typer.Typer(
    cls=_Group,
    name=APP,
    help="Replays published Kubernetes incidents on a real cluster. The replays are a test run: kube-ordeal run",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
images = typer.Typer(
    help="Images for kind clusters: of nodes, and of the servers that workloads run.", no_args_is_help=True
)
app.add_typer(images, name="image")
mutated = typer.Typer(help="Historical Kubernetes bugs, put back into a component: the suites must find them.")
app.add_typer(mutated, name="mutant", no_args_is_help=True)
kept = typer.Typer(help="What runs have left in a results folder.")
app.add_typer(kept, name="results", no_args_is_help=True)
conformance = typer.Typer(help="Upstream's end-to-end tests, which `pytest suites/conformance` runs, and their images.")
app.add_typer(conformance, name="conformance", no_args_is_help=True)


def _a_version(text: str) -> str:
    try:
        return normal_version(text)
    except OrdealError as error:
        raise typer.BadParameter(str(error)) from error


def _a_component(text: str) -> str:
    from chaos.hosts.image import component_names  # noqa: PLC0415

    name, equals, path = text.partition("=")
    if not equals or not path:
        raise typer.BadParameter(f"{text!r} is not NAME=PATH, as in kubelet=./kubelet")
    if name not in component_names():
        raise typer.BadParameter(f"no component is named {name!r}; there are {', '.join(component_names())}")
    return text


Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Kubernetes = Annotated[
    list[str] | None,
    typer.Option(
        "--kubernetes", metavar="VERSION", help=f"Kubernetes version; may be repeated. [default: {DEFAULT_KUBERNETES}]"
    ),
]
Wanted = Annotated[Target, typer.Option("--for", help="The kind of cluster to get ready for.")]


DEFAULT_ALPHA, DEFAULT_RELEVANT = 0.02, 0.2
Allow = Annotated[
    Path | None, typer.Option("--allow", metavar="FILE", help="What may be worse, until when and why (YAML).")
]
Alpha = Annotated[
    float,
    typer.Option(min=0.0001, max=0.5, help="The chance, over all figures, that noise is called a regression."),
]
Relevant = Annotated[
    float, typer.Option(min=0.0, max=10.0, help="The change of a figure that matters, as a part of the base's mean.")
]
Markdown = Annotated[
    Path | None,
    typer.Option("--markdown", metavar="FILE", help="Write a summary for a pull request; `-` for standard output."),
]


@app.command()
def doctor(kubernetes: Kubernetes = None, target: Wanted = Target.ALL, as_json: Json = False) -> None:
    """Read the machine: what is there, what is missing, what needs it, how to mend it. Changes nothing.

    Exits with 1 where something that is needed is missing.
    """
    from chaos.setup import doctor as reading  # noqa: PLC0415

    checks = reading.examine(_versions(kubernetes), target, _aside())
    if as_json:
        _print_json(reading.as_json(checks))
    else:
        _print_checks(checks)
    raise typer.Exit(0 if reading.is_ready(checks) else 1)


@app.command()
def setup(
    kubernetes: Kubernetes = None,
    target: Wanted = Target.ALL,
    workloads: Annotated[
        bool, typer.Option("--workloads", help="Images of workloads too, which else are had when first needed.")
    ] = False,
    kind_image: Annotated[
        str, typer.Option("--kind-image", metavar="IMAGE", help="Your own node image, instead of one built or known.")
    ] = "",
    yes: Yes = False,
    progress: Annotated[
        bool, typer.Option("--progress/--no-progress", help="Say again and again how far it is, and when it is over.")
    ] = True,
) -> None:
    """Get this machine ready for runs: programs, an engine, node images. Only what is missing is done.

    Says first what it would change on the machine and asks; says at the end what it changed.
    """
    from chaos.setup import setup as preparing  # noqa: PLC0415

    versions = _versions(kubernetes)
    plan = preparing.plan(versions, target, workloads=workloads, kind_image=kind_image, report=_aside())
    if not plan.todo:
        _say("nothing is missing: this machine is ready")
        _list("replays will, when one first needs it:", plan.later)
        return
    _list("set-up will change on this machine:", plan.machine)
    _list("set-up will put into its cache:", plan.cache)
    _list("replays will, when one first needs it:", plan.later)
    _agree("Go on?", yes)
    done = preparing.carry_out(plan, progress=progress)
    _list("changed on this machine:", done)
    _say(f"take it back with: {APP} teardown" if done else "nothing was changed on this machine but the cache")


@app.command()
def teardown(
    yes: Yes = False,
    cache: Annotated[bool, typer.Option("--cache", help="Remove programs, node images and the cache too.")] = False,
) -> None:
    """Take back what set-up started and changed: kept clusters, engine, routes, limits, packages. Says what stays."""
    from chaos.setup import setup as preparing  # noqa: PLC0415

    takes = preparing.takes_back()
    removes = preparing.stays() if cache else ()
    if takes or removes:
        _list("teardown will:", (*takes, *(f"remove {what}" for what, _ in removes)))
        _agree("Go on?", yes)
        preparing.take_back(_timestamped())
        if cache:
            preparing.remove_cache(_timestamped())
    else:
        _say("nothing that set-up started or changed is there any more")
    for what, command in preparing.stays():
        _say(f"stays: {what}; remove it with: {command}")


@images.command("build")
def image_build(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="With --workloads: these instead of all.")
    ] = None,
    kubernetes: Annotated[
        str, typer.Option("--kubernetes", metavar="VERSION", callback=_a_version, help="Kubernetes version.")
    ] = DEFAULT_KUBERNETES,
    component: Annotated[
        list[str] | None,
        typer.Option("--component", metavar="NAME=PATH", help="Put this program in instead; may be repeated."),
    ] = None,
    workloads: Annotated[
        bool, typer.Option("--workloads", help="Build the images of the servers that workloads run, instead.")
    ] = False,
) -> None:
    """Build the node image of a Kubernetes version, or the workloads' images, unless it is there; prints its tag."""
    from chaos.hosts import image, workload_images  # noqa: PLC0415

    if workloads:
        if component:
            raise typer.BadParameter("--component is for node images; leave it out, or --workloads")
        for name in [workload_images.recipe(each).name for each in names or workload_images.names()]:
            _say(workload_images.ensure(name, report=_timestamped()).tag)
        return
    if names:
        raise typer.BadParameter(f"{' '.join(names)}: names are for --workloads; a node image is named by --kubernetes")
    swapped = dict(_a_component(each).split("=", 1) for each in component or ())
    made = image.ensure(kubernetes, {name: Path(path) for name, path in swapped.items()}, report=_timestamped())
    _say(made.tag)


@images.command("list")
def image_list(as_json: Json = False) -> None:
    """Show the images that were built here: of nodes, and of workloads."""
    from chaos.hosts import image, workload_images  # noqa: PLC0415

    there, workloads = image.list_images(), workload_images.list_images()
    if as_json:
        _print_json(
            [
                {
                    "tag": i.tag,
                    "kubernetes": i.kubernetes,
                    "built_at": i.built_at.isoformat(),
                    "size_bytes": i.size_bytes,
                    "components": dict(i.components),
                }
                for i in there
            ]
            + [
                {"tag": w.tag, "workload": w.name, "built_at": w.built_at.isoformat(), "size_bytes": w.size_bytes}
                for w in workloads
            ]
        )
        return
    if there:
        _print_node_images(there)
    else:
        _say(f"no node image was built here; `{APP} image build` makes one")
    if workloads:
        table = Table("tag", "workload", "built", "size")
        for w in workloads:
            table.add_row(_cell(w.tag), _cell(w.name), f"{w.built_at:%Y-%m-%d %H:%M}", f"{w.size_bytes / 1e6:.0f} MB")
        _console().print(table)
    else:
        _say(f"no workload's image was built here; `{APP} image build --workloads` makes them")


def _print_node_images(there: "tuple[NodeImage, ...]") -> None:
    table = Table("tag", "kubernetes", "built", "size", "swapped in")
    for i in there:
        built_at = f"{i.built_at:%Y-%m-%d %H:%M}"
        size = f"{i.size_bytes / 1e6:.0f} MB"
        table.add_row(*map(_cell, (i.tag, i.kubernetes, built_at, size, ", ".join(i.components))))
    _console().print(table)


@images.command("remove")
def image_remove(
    image_or_version: Annotated[str, typer.Argument(help="A tag, a Kubernetes version, or a workload's name.")],
) -> None:
    """Remove an image that was built here, or all of one Kubernetes version or workload."""
    from chaos.hosts import image, workload_images  # noqa: PLC0415

    for gone in workload_images.remove(image_or_version) or image.remove(image_or_version):
        _say(f"removed {gone.tag}")


@mutated.command("list")
def mutant_list(as_json: Json = False) -> None:
    """Show the mutants: the component, the pull request that had mended the bug, what must find it."""
    from chaos.hosts import mutants  # noqa: PLC0415

    if as_json:
        _print_json(
            [
                {
                    "name": m.name,
                    "component": m.component,
                    "pull_request": m.pull_request,
                    "what": m.what,
                    "incident": m.incident,
                    "killed_by": m.killed_by,
                    "twin": m.twin,
                    "files": sorted({s.file for s in m.substitutions}),
                }
                for m in mutants.MUTANTS
            ]
        )
        return
    table = Table("mutant", "component", "mended by", "incident", "must break", "what it does")
    for m in mutants.MUTANTS:
        mended = f"#{m.pull_request}" if m.pull_request else "no bug: a twin"
        table.add_row(*map(_cell, (m.name, m.component, mended, m.incident, m.killed_by or "nothing", m.what)))
    _console().print(table)


@mutated.command("build")
def mutant_build(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Mutants, or `all`.")],
    kubernetes: Annotated[
        str, typer.Option("--kubernetes", metavar="VERSION", callback=_a_version, help="Kubernetes version.")
    ] = DEFAULT_KUBERNETES,
) -> None:
    """Build mutants of a Kubernetes version, unless they are there; prints the path of each one's program."""
    from chaos.hosts import mutants  # noqa: PLC0415

    wanted = [m.name for m in mutants.MUTANTS] if names == ["all"] else [mutants.find(name).name for name in names]
    for name in wanted:
        _say(mutants.build(name, kubernetes, report=_timestamped()).path)


@conformance.command("build")
def conformance_build(
    kubernetes: Annotated[
        str, typer.Option("--kubernetes", metavar="VERSION", callback=_a_version, help="Kubernetes version.")
    ] = DEFAULT_KUBERNETES,
    image: Annotated[
        bool, typer.Option("--images/--no-images", help="The images of the specs too (default); they need an engine.")
    ] = True,
) -> None:
    """Build e2e.test of a Kubernetes version and the images of its specs, unless they are there; prints its path."""
    from chaos.conformance import images as of_specs  # noqa: PLC0415
    from chaos.conformance import program  # noqa: PLC0415
    from chaos.conformance.listing import listing  # noqa: PLC0415
    from chaos.hosts import engine  # noqa: PLC0415

    say, running = _timestamped(), engine.find()
    made = program.find(kubernetes) or (program.take(kubernetes, running, report=say) if running else None)
    published = made is not None and made.path.is_relative_to(program.taken(kubernetes))
    made = made or program.build(kubernetes, report=say)
    listing(made, report=say)
    if image and not published:  # else nodes pull them, from the same registry
        of_specs.build(made, report=_timestamped())
    _say(made.path)


@conformance.command("list")
def conformance_list(as_json: Json = False) -> None:
    """Show the e2e.test programs that were built here, and the images of their specs."""
    from chaos.conformance import built  # noqa: PLC0415

    there = built.list_built()
    if as_json:
        _print_json([built.as_json(each) for each in there])
        return
    if not there:
        _say(f"no e2e.test was built here; `{APP} conformance build` makes one")
        return
    table = Table("kubernetes", "e2e.test", "built", "size", "specs", "of the programme", "images")
    for b in there:
        images_there = f"{len(b.images)} of {b.images_wanted}" if b.images is not None else "no engine to ask"
        table.add_row(
            _cell(b.kubernetes),
            _cell(str(b.path)),
            f"{b.built_at:%Y-%m-%d %H:%M}",
            f"{b.size_bytes / 1e6:.0f} MB",
            str(b.specs),
            str(b.conformant),
            images_there,
        )
    _console().print(table)


@conformance.command("remove")
def conformance_remove(
    kubernetes: Annotated[str, typer.Argument(metavar="VERSION", callback=_a_version, help="Kubernetes version.")],
) -> None:
    """Remove e2e.test of a Kubernetes version, its list of specs and their images."""
    from chaos.conformance import built  # noqa: PLC0415

    gone = built.remove(kubernetes)
    for each in gone:
        _say(f"removed {each}")
    if not gone:
        _say(f"nothing of Kubernetes {kubernetes} was built here for conformance")


@app.command(
    "run",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
    add_help_option=False,
)
def run_suites(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[SUITES AND OPTIONS OF PYTEST]", help="Arguments for pytest.")
    ] = None,
) -> None:
    """Replay incidents: pytest with the suites that come with this, in whatever folder; results in ./results."""
    from chaos.session import running  # noqa: PLC0415

    given = arguments or []
    if {"-h", "--help"} & set(given[: given.index("--") if "--" in given else None]):
        _tell(running.help_text())
        return
    running.run(given)


@app.command("list")
def list_incidents(as_json: Json = False) -> None:
    """Show the catalogue: each incident, its claim, where it can be replayed, what must break it."""
    from chaos.run.suites import by_incident  # noqa: PLC0415

    catalogue = by_incident()
    if as_json:
        _print_json(
            [
                {
                    "id": incident.id,
                    "title": incident.title,
                    "level": incident.level,
                    "claim": incident.claim,
                    "source": incident.source,
                    "remedy": incident.remedy,
                    "clusters": sorted({kind for s in there for kind in s.replay.on}),
                    "abilities": sorted({need.__name__ for s in there for need in s.replay.needs}),
                    "controls": [
                        {"id": c.id, "what": c.what, "breaks": c.breaks, "because": c.because}
                        for c in incident.controls
                    ],
                    "suites": [
                        {
                            "test": s.test,
                            "variant": s.replay.variant,
                            "clusters": list(s.replay.on),
                            "abilities": [need.__name__ for need in s.replay.needs],
                            "controls": list(s.replay.controls),
                        }
                        for s in there
                    ],
                }
                for incident, there in catalogue.items()
            ]
        )
        return
    for incident, there in catalogue.items():
        _say(f"{incident.id} ({incident.level}): {incident.title}")
        _indented(incident.claim)
        for s in there:
            needs = ", ".join(need.__name__ for need in s.replay.needs) or "nothing special"
            variant = f", {s.replay.variant}" if s.replay.variant else ""
            _indented(f"on {' and '.join(s.replay.on)}{variant}: needs {needs}")
        if not there:
            _indented("no suite replays it yet")
        for control in incident.controls:
            _indented(f"control {control.id}: {control.what}; must break {control.breaks} ({control.because})")
        _indented(f"source: {incident.source}")
        _say()


@app.command()
def undo(
    server: Annotated[
        str, typer.Option(metavar="URL", help="With --context: undo also what older versions left on this cluster.")
    ] = "",
    context: Annotated[str, typer.Option(metavar="NAME", help="The kubeconfig's context that leads to it.")] = "",
    forget: Annotated[
        str, typer.Option(metavar="RUN:NUMBER", help="Undo nothing; drop this entry, whose cluster is gone.")
    ] = "",
) -> None:
    """Undo what runs that are over have left behind, on every cluster. Exits with 1 where something stays."""
    from chaos.run.undo import Allowed, forget_entry, undo_all  # noqa: PLC0415

    if forget:
        forget_entry(forget, _say)
        return
    handled = undo_all(_timestamped(), Allowed(existing=True, server=server, context=context))
    if not handled:
        _say("nothing to undo")
        return
    failed = [one for one in handled if one.error]
    _say(f"undone: {len(handled) - len(failed)}, still pending: {len(failed)}")
    for one in failed:
        _say(f"  {one.what}: {one.error}")
    raise typer.Exit(1 if failed else 0)


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="A run's id below the results folder, or its path.")] = "latest",
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
    html: Annotated[
        bool, typer.Option("--html", help="Make the page anew, beside the results; prints its path.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="The page goes there instead (needs no --html).")
    ] = None,
    to_markdown: Markdown = None,
    exit_code: Annotated[
        bool,
        typer.Option("--exit-code", help="Exit with 0 where it is safe, 1 where it is not, 2 where nobody can say."),
    ] = False,
) -> None:
    """Show what became of a run, also of one that was killed; with --html as a page."""
    from chaos.report import brief  # noqa: PLC0415
    from chaos.report.answer import answer  # noqa: PLC0415
    from chaos.report.table import verdict_table  # noqa: PLC0415
    from chaos.results.saved import load  # noqa: PLC0415
    from chaos.results.specs import tally  # noqa: PLC0415

    saved = load(results, run)
    said = answer(saved, saved.unreadable())
    if to_markdown:
        _write_markdown(brief.markdown(saved, said), to_markdown)
    if html or output is not None:
        extras.need(extras.REPORT)
        from chaos.report.html import PAGE, write_page  # noqa: PLC0415

        to = output or saved.path.with_name(PAGE)
        write_page(saved, to)
        _say(to)
    elif not _is_stdout(to_markdown):
        if saved.outcomes or not saved.specs:
            _console().print(verdict_table(saved.outcomes, f"run {saved.id}"))
        if saved.specs:
            _say(f"conformance specs: {tally(saved.specs)}")
        for doubt in said.doubts:
            _say(doubt)
        _say(f"{said.safe}: {said.sentence}")
        passed_count = sum(o.passed for o in saved.outcomes)
        counted = f"{passed_count} of {len(saved.outcomes)} passed; " if saved.outcomes else ""
        _say(f"{counted}{saved.path}")
    raise typer.Exit(brief.EXIT_CODES[said.safe] if exit_code else 0)


@kept.command("prune")
def results_prune(
    keep: Annotated[int, typer.Option(min=1, help="So many runs stay, the newest.")],
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove the oldest runs of a results folder. What is no run's, is a link, or still goes on is left alone."""
    from chaos.report.prune import prune  # noqa: PLC0415

    pruned = prune(results, keep, dry_run=dry_run)
    for run in pruned.removed:
        _say(f"{'would remove' if dry_run else 'removed'} {run.path}: {run.size_bytes / 1e6:.1f} MB")
    _list("may still go on, and is left alone:", [str(path) for path in pruned.live])
    freed_bytes = sum(run.size_bytes for run in pruned.removed)
    said = "would be freed" if dry_run else "freed"
    _say(f"{len(pruned.removed)} runs, {freed_bytes / 1e6:.1f} MB {said}; {pruned.kept} runs stay")


@app.command()
def compare(
    base: Annotated[
        str, typer.Argument(help="Runs that are the measure: ids or paths, joined by commas; or a folder.")
    ],
    candidate: Annotated[str, typer.Argument(help="Runs that are to be as good, in the same way.")],
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
    allow: Allow = None,
    alpha: Alpha = DEFAULT_ALPHA,
    relevant: Relevant = DEFAULT_RELEVANT,
    to_markdown: Markdown = None,
    as_json: Json = False,
) -> None:
    """Compare runs, verdict by verdict and figure by figure. Several runs of each side are repeats.

    Exits with 0 where the candidate is better or equal, 1 where it regressed, 2 where that can't be told.
    """
    extras.need(extras.GATE)
    from chaos.report.compare import load_side  # noqa: PLC0415

    sides = load_side(results, base), load_side(results, candidate)
    raise typer.Exit(_compare(*sides, allow, alpha, relevant, to_markdown, as_json))


@app.command()
def gate(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- PYTEST ARGUMENTS]", help="Further arguments for pytest.")
    ] = None,
    before: Annotated[str, typer.Option("--from", metavar="VERSION", help="Kubernetes version of the base.")] = "",
    after: Annotated[str, typer.Option("--to", metavar="VERSION", help="Kubernetes version of the candidate.")] = "",
    image_before: Annotated[
        str, typer.Option("--image-from", metavar="IMAGE", help="Node image of the base, for kind clusters.")
    ] = "",
    image_after: Annotated[
        str, typer.Option("--image-to", metavar="IMAGE", help="Node image of the candidate, for kind clusters.")
    ] = "",
    repeat: Annotated[
        int, typer.Option(min=1, max=50, help="Runs of each version; figures can be told from noise from 4 on.")
    ] = 5,
    expression: Annotated[
        str, typer.Option("-k", metavar="EXPRESSION", help="Only the replays that match, as in pytest.")
    ] = "",
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
    allow: Allow = None,
    alpha: Alpha = DEFAULT_ALPHA,
    relevant: Relevant = DEFAULT_RELEVANT,
    to_markdown: Markdown = None,
) -> None:
    """Run the suites on two versions in turn, several times each, and compare: may the cluster be upgraded?

    Exits with 0 where the second is better or equal, 1 where it regressed, 2 where that can't be told.
    """
    extras.need(extras.GATE)
    from chaos.cli import gate as gating  # noqa: PLC0415
    from chaos.report.compare import load_side  # noqa: PLC0415

    base, candidate = (
        gating.Version(_a_version(version) if version else "", image)
        for version, image in ((before, image_before), (after, image_after))
    )
    for version, option in ((base, "--from"), (candidate, "--to")):
        if not version.options:
            raise OrdealError(f"say what to run: {option} VERSION, or --image{option[1:]} IMAGE for kind clusters")
    if allow:
        _allow_list(allow)  # wrong ones are told now, not after hours
    more = [*(["-k", expression] if expression else []), *(arguments or [])]
    gating.check_ready((base, candidate), more)
    ran = gating.run(base, candidate, repeats=repeat, arguments=more, results=results, report=_timestamped())
    _say(f"to compare again: {APP} compare {ran.base} {ran.candidate}")
    sides = [load_side(results, str(folder)) for folder in (ran.base, ran.candidate)]
    code = _compare(sides[0], sides[1], allow, alpha, relevant, to_markdown, as_json=False)
    if ran.cut_short:
        _say_error(f"{ran.cut_short}: what is compared above is not all")
        code = INTERRUPTED if ran.interrupted else USER_ERROR
    raise typer.Exit(code)


@app.command()
def bundle(
    run: Annotated[str, typer.Argument(help="A run's id below the results folder, or its path.")] = "latest",
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
    product: Annotated[
        Path | None, typer.Option("--product", metavar="FILE", help="PRODUCT.yaml; without it a form is put in.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="[default: kube-ordeal-RUN.zip]")
    ] = None,
    not_judged_again: Annotated[
        str, typer.Option(metavar="REASON", help="Why some findings can't be judged again from their histories.")
    ] = "",
    evidence: Annotated[
        bool,
        typer.Option("--evidence/--no-evidence", help="Logs, dumps and objects of the cluster."),
    ] = True,
    cncf: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the CNCF's four files go, of a run of all conformance specs. [default: kube-ordeal-RUN-cncf]",
        ),
    ] = None,
    sign: Annotated[
        Path | None, typer.Option(metavar="KEY", help="Sign it with this SSH key, by ssh-keygen: FILE.sig beside it.")
    ] = None,
) -> None:
    """Make one archive of a run that others can check: results, histories, evidence, digests, product facts.

    Of a run of conformance specs also what the CNCF's programme takes, or what that misses.
    """
    from chaos.report import bundle as packing  # noqa: PLC0415
    from chaos.report import product as facts  # noqa: PLC0415
    from chaos.results.saved import load  # noqa: PLC0415

    saved = load(results, run)
    about = facts.read(product) if product else facts.template()
    named = file_name(saved.id)
    target = output or Path(f"{APP}-{named}.zip")
    packed = packing.pack(saved, target, about, not_judged_again=not_judged_again, evidence=evidence)
    _list("PRODUCT.yaml is a form that lacks (fill it in and give it by --product):", packed.lacks)
    if packed.not_judged and not not_judged_again:
        _list("can't be judged again, so that it won't be verified; say why by --not-judged-again:", packed.not_judged)
    _say(f"{packed.path}: {packed.files} files, {packed.size_bytes / 1e6:.1f} MB")
    if sign:
        from chaos.report import signature  # noqa: PLC0415

        _say(f"{signature.sign(packed.path, sign)}: its signature")
    _submit(saved, about, cncf or Path(f"{APP}-{named}-cncf"), asked=cncf is not None)


def _submit(saved: "SavedRun", about: "Product", folder: Path, *, asked: bool) -> None:
    from chaos.conformance import program  # noqa: PLC0415
    from chaos.conformance.listing import listing  # noqa: PLC0415
    from chaos.report import cncf  # noqa: PLC0415

    versions = cncf.versions(saved)
    if asked and not versions:
        raise OrdealError(
            f"the run {saved.id} has no conformance specs: `pytest suites/conformance --ordeal-profile full`"
        )
    for version in versions:
        built = program.find(version)
        specs = listing(built, report=_timestamped()).specs if built else ()
        made = cncf.submit(saved, version, [spec.text for spec in specs if spec.conformance], about, folder)
        if made.folder is None:
            _list(f"not made for the CNCF, of Kubernetes {version}, because:", made.lacks)
            if built is None:
                _say(f"  {program.not_built(version)}")
            continue
        _say(f"{made.folder}: {', '.join(cncf.FILES)}, for cncf/k8s-conformance; give the folder its product's name")


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help="What `kube-ordeal bundle` has made.")],
    signed_by: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Allowed signers, as ssh-keygen has them: BUNDLE.sig has to be of one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a bundle: digests, each finding judged again from its history, each verdict made again, and all promises
    compared with those that its suites declare.

    Exits with 0 where all that it says of its replays follows from its data, 1 where something differs, 2 where it
    can't be read, 3 where not all could be judged again.
    """
    from dataclasses import asdict  # noqa: PLC0415

    from chaos.report.verify import EXIT_CODES  # noqa: PLC0415
    from chaos.report.verify import verify as checked  # noqa: PLC0415

    found = checked(path, signed_by)
    if as_json:
        _print_json({"verified": found.verified, "said": found.said, **asdict(found)})
        raise typer.Exit(EXIT_CODES[found.said])
    _list("differs:", found.differs)
    _list("can't be judged again:", found.not_judged)
    if found.not_judged and found.why_not:
        _say(f"the bundle says why: {found.why_not}")
    _list("claims that nothing here backs:", found.claims)
    _list("mind:", found.notes)
    _say(
        f"run {found.run}: {found.files} files, {found.judged} of {found.findings} findings judged again, "
        f"{found.passed} of {found.replays} replays passed"
    )
    if found.signer:
        _say(f"signed by {found.signer}")
    _say(found.said)
    raise typer.Exit(EXIT_CODES[found.said])


@app.command()
def explain(
    incident: Annotated[str, typer.Argument(metavar="ID", help="An incident of `kube-ordeal list`.")],
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The results folder.")] = Path("results"),
) -> None:
    """Explain an incident: what happened, how to recognise it, the fix, the versions, what was measured last."""
    from chaos.judge.catalogue import find  # noqa: PLC0415
    from chaos.report.explain import explain as page  # noqa: PLC0415

    _tell(page(find(incident), results))


@app.command()
def version() -> None:
    """Show this version, and the Kubernetes version that clusters have unless told otherwise."""
    _say(f"{APP} {installed_version(APP)}, Kubernetes {DEFAULT_KUBERNETES} by default")


def main() -> None:
    """The entry point: exit code 0, 1 for a bad finding, 2 for an error a user can mend, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        write_escapes(stream)
    app()


def _allow_list(path: Path | None) -> "AllowList | None":
    from chaos.report import allowed  # noqa: PLC0415

    return allowed.load(path, datetime.now(UTC).date()) if path else None


def _compare(
    base: "Side",
    candidate: "Side",
    allow: Path | None,
    alpha: float,
    relevant: float,
    to_markdown: Path | None,
    as_json: bool,
) -> int:
    from chaos.report import summary  # noqa: PLC0415
    from chaos.report.compare import compare as compared  # noqa: PLC0415

    made = compared(base, candidate, _allow_list(allow), alpha=alpha, relevant=relevant)
    if as_json and _is_stdout(to_markdown):
        raise OrdealError("--json and --markdown - both write to standard output: give --markdown a file")
    if to_markdown:
        _write_markdown(summary.markdown(made), to_markdown)
    if as_json:
        _print_json(summary.as_json(made))
    elif not _is_stdout(to_markdown):
        _console().print(summary.terminal(made))
    return made.exit_code


def _is_stdout(path: Path | None) -> bool:
    return path is not None and str(path) == "-"


def _write_markdown(content: str, to: Path) -> None:
    if _is_stdout(to):
        sys.stdout.write(content)  # Markdown, of which each part is escaped
    else:
        hand_out(to, content)


def _print_checks(checks: "tuple[Check, ...]") -> None:
    colours = {"ok": "green", "warning": "yellow", "missing": "red"}
    table = Table("", "check", "found", "needed for")
    for check in checks:
        status = Text(check.status, style=colours[check.status])
        table.add_row(status, *map(_cell, (check.title, check.found, check.needed_for)))
    console = _console()
    console.print(table)
    for check in checks:
        if check.mend:
            _indented(f"{check.title}: {check.mend}")
    missing = [check.title for check in checks if check.status == "missing"]
    _say(f"missing: {', '.join(missing)}" if missing else "nothing that is needed is missing")


def _versions(given: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_a_version(each) for each in given or [DEFAULT_KUBERNETES]))


def _agree(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise OrdealError("there is no terminal to ask at; give --yes to agree beforehand")
    if not typer.confirm(question):
        raise OrdealError("nothing was changed")


def _list(title: str, said: Sequence[str]) -> None:
    if said:
        _say(title)
    for each in said:
        _say(f"  - {each}")


def _say(text: object = "", *, err: bool = False) -> None:
    """A line, whatever is in it: all that is printed as text goes through here, or through `_tell`."""
    typer.echo(line(str(text)), err=err)


def _tell(text: str, *, err: bool = False) -> None:
    """Several lines."""
    typer.echo(lines(text), err=err)


def _say_error(sentence: str) -> None:
    """What programs said in it is set in: no line of theirs is taken for one of ours."""
    from chaos.basics.scrub import scrub  # noqa: PLC0415

    _tell(f"{APP}: {scrub(sentence)}".replace("\n", "\n  "), err=True)


def _cell(text: str) -> Text:
    """In a table nothing is markup."""
    return Text(line(text))


def _console() -> Console:
    # Not a terminal: wide enough that a table's cells stay whole in a log.
    return Console() if sys.stdout.isatty() else Console(width=max(160, shutil.get_terminal_size().columns))


def _print_json(content: object) -> None:
    typer.echo(json.dumps(content, indent=2))  # in ASCII, controls as escapes


def _indented(text: str) -> None:
    width = max(60, min(110, shutil.get_terminal_size((100, 24)).columns))
    _tell(textwrap.fill(line(text), width, initial_indent="  ", subsequent_indent="    ", break_long_words=False))


def _aside() -> Callable[[str], None]:
    """What takes long, where what is printed is for programs too."""
    from chaos.basics.scrub import scrub  # noqa: PLC0415

    return lambda told: _say(f"{datetime.now(UTC):%H:%M:%S} {scrub(told)}", err=True)


def _timestamped() -> Callable[[str], None]:
    from chaos.basics.scrub import scrub  # noqa: PLC0415

    def say(told: str) -> None:
        _say(f"{datetime.now(UTC):%H:%M:%S} {scrub(told)}")
        sys.stdout.flush()

    return say


if __name__ == "__main__":
    main()
