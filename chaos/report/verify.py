"""Checking a bundle without trust in who made it: digests, findings judged again, verdicts made again."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from chaos import untrusted
from chaos.catalogue import find
from chaos.deadline import Deadline, TimedOutError
from chaos.errors import OrdealError
from chaos.history import History
from chaos.invariants import load_all
from chaos.invariants.base import Finding, Recipe, Verdict, judge, made_again
from chaos.report import archive, product, saved
from chaos.report.archive import Archive
from chaos.report.bundle import FORMAT, MANIFEST, PRODUCT, RESULTS, Manifest, chaos_digest, suites_digest
from chaos.report.results import finding_as_json
from chaos.report.saved import SavedFinding, SavedOutcome, SavedRun
from chaos.untrusted import json_of
from chaos.verdict import verdict_of

WITHIN_S = 3600.0  # a million records are judged again in minutes
COMPARED = ("name", "verdict", "reason", "sentence", "figures", "proof")


@dataclass(frozen=True, slots=True)
class Verified:
    """What a bundle was found to be. `differs`: where claim and data differ; `notes` do not count against it.

    `not_judged` are findings that can't be judged again; they count unless the bundle says `why_not`.
    """

    run: str
    files: int
    replays: int
    passed: int
    findings: int
    differs: tuple[str, ...]
    not_judged: tuple[str, ...]
    why_not: str
    notes: tuple[str, ...]

    @property
    def verified(self) -> bool:
        """Whether all that the bundle says follows from the data in it."""
        return not self.differs and (not self.not_judged or bool(self.why_not))


@dataclass(slots=True)
class _Found:
    differs: list[str] = field(default_factory=list)
    not_judged: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(path: Path) -> Verified:
    """Check a bundle. Raises OrdealError where it can't be read, or takes longer than WITHIN_S."""
    deadline = Deadline(WITHIN_S)
    deadline.start()
    try:
        with deadline.enforced():
            return _verify(path)
    except TimedOutError as error:
        raise OrdealError(f"{path} is not checked: that takes more than {WITHIN_S:g} s; who made it?") from error
    finally:
        deadline.cancel()


def _verify(path: Path) -> Verified:
    load_all()
    found = _Found()
    with archive.opened(path) as bundle, TemporaryDirectory(prefix="kube-ordeal-verify-") as folder:
        broken = archive.broken_seal(path)
        if broken:
            found.differs.append(broken)
        manifest = _manifest(bundle, path)
        found.differs += _check_files(bundle, manifest)
        try:
            run = saved.load(Path(folder), str(bundle.unpack(RESULTS, Path(folder))))
        except OrdealError as error:
            found.differs.append(str(error))
            return _unreadable(bundle, manifest, found)
        claims = json_of(bundle.read(RESULTS, untrusted.RESULTS), untrusted.RESULTS)["incidents"]
        if run.id != manifest.run:
            found.differs.append(f"{MANIFEST} is of the run {manifest.run}, {RESULTS} of {run.id}")
        found.differs += [f"{name} is named by {RESULTS} and is not there" for name in _absent(bundle, run)]
        found.notes += _notes(bundle, manifest, run)
        for outcome, claim in zip(run.outcomes, claims, strict=False):  # those without an end have no claim
            _check_outcome(bundle, Path(folder), outcome, claim, found)
    return Verified(
        run=run.id,
        files=len(bundle.names),
        replays=len(run.outcomes),
        passed=sum(o.passed for o in run.outcomes),
        findings=sum(len(o.findings) for o in run.outcomes),
        differs=tuple(found.differs),
        not_judged=tuple(found.not_judged),
        why_not=manifest.not_judged_again,
        notes=tuple(found.notes),
    )


def _unreadable(bundle: Archive, manifest: Manifest, found: _Found) -> Verified:
    return Verified(
        manifest.run,
        len(bundle.names),
        0,
        0,
        0,
        tuple(found.differs),
        (),
        manifest.not_judged_again,
        tuple(found.notes),
    )


def _manifest(bundle: Archive, path: Path) -> Manifest:
    try:
        manifest = msgspec.convert(json_of(bundle.read(MANIFEST, untrusted.MANIFEST), untrusted.MANIFEST), Manifest)
    except ValueError as error:
        raise OrdealError(f"{MANIFEST} in {path} can't be read ({error}); was it edited?") from error
    if manifest.format != FORMAT:
        raise OrdealError(f"{path} has format {manifest.format}, this version reads {FORMAT}")
    return manifest


def _check_files(bundle: Archive, manifest: Manifest) -> Iterator[str]:
    there, listed = {*bundle.names} - {MANIFEST}, manifest.files
    yield from (f"{name} is not in {MANIFEST}" for name in sorted(there - listed.keys()))
    yield from (f"{name} is in {MANIFEST} and is not there" for name in sorted(listed.keys() - there))
    for name in sorted(there & listed.keys()):
        sha256, size_bytes = bundle.digest(name)
        if size_bytes != listed[name].size_bytes:
            yield f"{name} has {size_bytes} bytes, {MANIFEST} says {listed[name].size_bytes}"
        elif sha256 != listed[name].sha256:
            yield f"{name} was changed: its SHA-256 is not that of {MANIFEST}"


def _absent(bundle: Archive, run: SavedRun) -> list[str]:
    there = {*bundle.names}
    return [name for name in run.named if name not in there]


def _notes(bundle: Archive, manifest: Manifest, run: SavedRun) -> Iterator[str]:
    if PRODUCT not in bundle.names:
        yield f"there is no {PRODUCT}"
    else:
        lacks = product.check(bundle.read(PRODUCT, untrusted.PRODUCT))
        if lacks:
            yield f"{PRODUCT}: {'; '.join(lacks)}"
    for what, made_by, ours in (
        ("tool", manifest.chaos_sha256, chaos_digest()),
        ("suites", manifest.suites_sha256, suites_digest()),
    ):
        if made_by != ours:
            yield f"it was made with another version of the {what} ({manifest.version}) than the one that checks it"
    if not run.ended:
        yield "the run was cut off, or went on when the bundle was made"
    for each in run.catalogue:
        try:
            same = find(each.id) == each
        except OrdealError:
            same = False
        if not same:
            yield f"this version's catalogue describes the incident {each.id} otherwise, or not at all"


def _check_outcome(
    bundle: Archive, folder: Path, outcome: SavedOutcome, claim: Mapping[str, object], found: _Found
) -> None:
    where = outcome.test
    claims = msgspec.convert(claim["invariants"], list[dict[str, object]])
    again: dict[int, Finding] = {}
    judged = [(i, f) for i, f in enumerate(outcome.findings) if f.promise and f.history]
    found.not_judged += [f"{where}: {f.invariant}" for f in outcome.findings if not f.promise or not f.history]
    for history, group in groupby(sorted(judged, key=lambda each: each[1].history), key=lambda each: each[1].history):
        try:  # one history at a time: they are large
            unpacked = bundle.unpack(history, folder)
            records = History.load(unpacked)
            unpacked.unlink()
        except OrdealError as error:
            found.differs.append(f"{where}: {error}")
            continue
        for i, finding in group:
            try:
                again[i] = judge(made_again(Recipe(finding.promise, finding.arguments or {})), records)
            except Exception as error:  # noqa: BLE001  (the arguments may be anybody's)
                found.differs.append(f"{where}: {finding.invariant} can't be judged again: {error}")
                continue
            found.differs += _differences(f"{where}: {finding.invariant}", claims[i], again[i], finding.history)
    findings = [again.get(i) or _as_claimed(f) for i, f in enumerate(outcome.findings)]
    found.differs += _check_verdict(outcome, findings)


def _differences(where: str, claim: Mapping[str, object], again: Finding, history: str) -> Iterator[str]:
    judged = json.loads(json.dumps(finding_as_json(again, history)))
    for key in COMPARED:
        claimed, is_ = claim.get(key), judged.get(key)
        if claimed != is_:
            yield f"{where}: {key} is claimed to be {_short(claimed)}, judged again it is {_short(is_)}"


def _check_verdict(outcome: SavedOutcome, findings: list[Finding]) -> Iterator[str]:
    """What the findings come to, by this version's catalogue: the file's own may say what its maker likes."""
    try:
        verdict, passed, why = verdict_of(find(outcome.id), outcome.control or None, findings, "")
    except OrdealError as error:
        yield f"{outcome.test}: its verdict can't be made again: {error}"
        return
    if outcome.verdict == Verdict.UNKNOWN and not outcome.passed:
        return  # it says less than its findings: something else went wrong, which the findings do not know
    for what, claim, made in (("verdict", outcome.verdict, str(verdict)), ("passed", outcome.passed, passed)):
        if claim != made:
            yield f"{outcome.test}: its {what} is claimed to be {claim}, by its findings it is {made} ({why})"
    if not outcome.why.startswith(why):
        claimed = _short(outcome.why)
        yield f"{outcome.test}: its sentence is claimed to be {claimed}, by its findings it is {_short(why)}"


def _as_claimed(f: SavedFinding) -> Finding:
    return Finding(f.invariant, Verdict(f.verdict), f.sentence, f.reason, f.figures)


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:100]} ... {text[-50:]}"
