"""Commands about bundles: making one of a run, and checking one that somebody made."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chaos.basics.files import file_name
from chaos.cli.options import Json
from chaos.cli.output import print_json, say, say_list, timestamped
from chaos.errors import OrdealError
from chaos.hosts.places import APP

if TYPE_CHECKING:
    from chaos.report.product import Product
    from chaos.results.saved import SavedRun


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
    say_list("PRODUCT.yaml is a form that lacks (fill it in and give it by --product):", packed.lacks)
    if packed.not_judged and not not_judged_again:
        say_list(
            "can't be judged again, so that it won't be verified; say why by --not-judged-again:", packed.not_judged
        )
    say(f"{packed.path}: {packed.files} files, {packed.size_bytes / 1e6:.1f} MB")
    if sign:
        from chaos.report import signature  # noqa: PLC0415

        say(f"{signature.sign(packed.path, sign)}: its signature")
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
        specs = listing(built, report=timestamped()).specs if built else ()
        made = cncf.submit(saved, version, [spec.text for spec in specs if spec.conformance], about, folder)
        if made.folder is None:
            say_list(f"not made for the CNCF, of Kubernetes {version}, because:", made.lacks)
            if built is None:
                say(f"  {program.not_built(version)}")
            continue
        say(f"{made.folder}: {', '.join(cncf.FILES)}, for cncf/k8s-conformance; give the folder its product's name")


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
        print_json({"verified": found.verified, "said": found.said, **asdict(found)})
        raise typer.Exit(EXIT_CODES[found.said])
    say_list("differs:", found.differs)
    say_list("can't be judged again:", found.not_judged)
    if found.not_judged and found.why_not:
        say(f"the bundle says why: {found.why_not}")
    say_list("claims that nothing here backs:", found.claims)
    say_list("mind:", found.notes)
    say(
        f"run {found.run}: {found.files} files, {found.judged} of {found.findings} findings judged again, "
        f"{found.passed} of {found.replays} replays passed"
    )
    if found.signer:
        say(f"signed by {found.signer}")
    say(found.said)
    raise typer.Exit(EXIT_CODES[found.said])
