"""Checking a bundle without trust in who made it: digests, promises compared with those that its suites declare,
findings judged again, verdicts made again. What nothing in it backs is named as a claim.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from chaos.basics import untrusted
from chaos.basics.scrub import scrub
from chaos.basics.untrusted import json_of
from chaos.clusters.base import EXISTING, KIND
from chaos.errors import OrdealError
from chaos.judge import load_all
from chaos.judge.base import Finding, Recipe, Verdict, judge, made_again, own_limits
from chaos.judge.catalogue import find
from chaos.judge.conformance import AFTER
from chaos.record.history import History
from chaos.record.lines import proof_as_now
from chaos.record.records import Phase, SpecRun
from chaos.report import archive, product, signature
from chaos.report.archive import Archive
from chaos.report.bundle import FORMAT, MANIFEST, PRODUCT, RESULTS, Manifest, chaos_digest, suites_digest
from chaos.results import saved
from chaos.results.results import finding_as_json
from chaos.results.saved import SavedFinding, SavedOutcome, SavedRun
from chaos.run import profile
from chaos.run.deadline import Deadline, TimedOutError
from chaos.run.incident import Replay
from chaos.run.lab import NOT_RUN
from chaos.run.promised import REPLAY, Conditions, Register, beginning
from chaos.run.suites import named, replays
from chaos.run.verdict import verdict_of

WITHIN_S = 3600.0  # a million records are judged again in minutes
COMPARED = ("name", "verdict", "reason", "sentence", "figures", "proof")


class Said(StrEnum):
    """The three answers about a bundle that can be read."""

    VERIFIED = "verified: what it says follows from its data"
    NOT_ALL = "NOT verified: not all could be judged again"
    DIFFERS = "NOT verified: what it says differs from its data"


EXIT_CODES = {Said.VERIFIED: 0, Said.DIFFERS: 1, Said.NOT_ALL: 3}


@dataclass(frozen=True, slots=True)
class Verified:
    """What a bundle was found to be. `differs`: where claim and data differ. `not_judged`: what can't be judged again,
    or is not shown; `why_not` is what the bundle says of that, and counts for nothing. `claims`: what it says beside,
    and nothing backs. `judged`: how many findings were judged again. `notes` do not count against it.
    `signer`: who has signed it; "" where nobody asked.
    """

    run: str
    files: int
    replays: int
    passed: int
    findings: int
    judged: int
    differs: tuple[str, ...]
    not_judged: tuple[str, ...]
    why_not: str
    claims: tuple[str, ...]
    notes: tuple[str, ...]
    signer: str = ""

    @property
    def said(self) -> Said:
        """The answer. What nothing was judged of is not verified."""
        if self.differs:
            return Said.DIFFERS
        return Said.VERIFIED if self.judged and not self.not_judged else Said.NOT_ALL

    @property
    def verified(self) -> bool:
        """Whether all that the bundle says of its replays follows from the data in it."""
        return self.said is Said.VERIFIED


@dataclass(slots=True)
class _Found:
    differs: list[str] = field(default_factory=list)
    not_judged: list[str] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    judged: int = 0


def verify(path: Path, signed_by: Path | None = None) -> Verified:
    """Check a bundle. `signed_by`: a file of allowed signers, one of whom has to have signed it.

    Raises OrdealError where it can't be read, or takes longer than WITHIN_S.
    """
    deadline = Deadline(WITHIN_S)
    deadline.start()
    try:
        with deadline.enforced():
            return _verify(path, signed_by)
    except TimedOutError as error:
        raise OrdealError(f"{path} is not checked: that takes more than {WITHIN_S:g} s; who made it?") from error
    finally:
        deadline.cancel()


def _verify(path: Path, signed_by: Path | None) -> Verified:
    load_all()
    known, found, run = replays(), _Found(), None
    signer = _signer(path, signed_by, found)
    with archive.opened(path) as bundle, TemporaryDirectory(prefix="kube-ordeal-verify-") as folder:
        broken = archive.broken_seal(path)
        if broken:
            found.differs.append(broken)
        manifest = _manifest(bundle, path)
        found.differs += _check_files(bundle, manifest)
        try:
            run = saved.load(Path(folder), str(bundle.unpack(RESULTS, Path(folder))))
            claims = json_of(bundle.read(RESULTS, untrusted.RESULTS), untrusted.RESULTS)["incidents"]
        except OrdealError as error:
            found.differs.append(str(error))
        else:
            _check_run(bundle, manifest, run, found)
            for outcome, claim in zip(run.outcomes, claims, strict=False):  # those without an end have no claim
                _check_outcome(bundle, Path(folder), outcome, claim, known, found)
            _check_controls(run, known, found)
        files = len(bundle.names)
    outcomes = run.outcomes if run is not None else ()
    return Verified(
        run=run.id if run is not None else manifest.run,
        files=files,
        replays=len(outcomes),
        passed=sum(o.passed for o in outcomes),
        findings=sum(len(o.findings) for o in outcomes),
        judged=found.judged,
        differs=tuple(found.differs),
        not_judged=tuple(found.not_judged),
        why_not=manifest.not_judged_again,
        claims=tuple(found.claims),
        notes=tuple(found.notes),
        signer=signer,
    )


def _signer(path: Path, signed_by: Path | None, found: _Found) -> str:
    if signed_by is None:
        if signature.beside(path).is_file():
            found.notes.append("there is a signature beside it, which was not checked: --signed-by names who may sign")
        return ""
    try:
        return signature.signer(path, signed_by)
    except OrdealError as error:
        found.differs.append(str(error))
        return ""


def _manifest(bundle: Archive, path: Path) -> Manifest:
    try:
        manifest = msgspec.convert(json_of(bundle.read(MANIFEST, untrusted.MANIFEST), untrusted.MANIFEST), Manifest)
    except ValueError as error:
        raise OrdealError(f"{MANIFEST} in {path} can't be read ({error}); was it edited?") from error
    if manifest.format != FORMAT:
        raise OrdealError(
            f"{path} has format {manifest.format}, this version reads {FORMAT}: check it with the version of "
            "kube-ordeal that made it"
        )
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


def _check_run(bundle: Archive, manifest: Manifest, run: SavedRun, found: _Found) -> None:
    """What is to be said of the run as a whole."""
    if run.id != manifest.run:
        found.differs.append(f"{MANIFEST} is of the run {manifest.run}, {RESULTS} of {run.id}")
    there, told = {*bundle.names}, {*run.named}
    found.differs += [f"{name} is named by {RESULTS} and is not there" for name in run.named if name not in there]
    found.differs += [
        f"{name} is in the bundle, and {RESULTS} does not name it: nothing backs what is in it"
        for name in sorted(there - told - {MANIFEST, RESULTS, PRODUCT})
    ]
    tests = [o.test for o in run.outcomes]
    found.differs += [
        f"{test} is in it {tests.count(test)} times" for test in dict.fromkeys(tests) if tests.count(test) > 1
    ]
    found.differs += _shared(manifest, run)
    found.not_judged += _described_otherwise(run)
    found.claims += _claims(run)
    found.notes += _notes(bundle, manifest, run)


def _shared(manifest: Manifest, run: SavedRun) -> Iterator[str]:
    """One recording can't be of two replays, under whatever name it is."""
    first: dict[str, str] = {}
    for o in run.outcomes:
        for name in {f.history for f in o.findings if f.history}:
            if name not in o.histories:
                yield f"{o.test}: {name} was judged, and is none of its recordings"
            content = manifest.files[name].sha256 if name in manifest.files else name
            if first.setdefault(content, o.test) != o.test:
                yield f"{o.test}: {name} is the recording of {first[content]} too"


def _described_otherwise(run: SavedRun) -> Iterator[str]:
    for each in run.catalogue:
        try:
            same = find(each.id) == each
        except OrdealError:
            same = False
        if not same:
            yield f"this version's catalogue describes the incident {each.id} otherwise, or not at all"


def _claims(run: SavedRun) -> Iterator[str]:
    """What the results say beside verdicts, sentences and figures. A recording shows no part of it."""
    yield "times and durations, the machine, options, versions, what PRODUCT.yaml says"
    facts, tables = sum(bool(o.facts) for o in run.outcomes), sum(len(o.tables) for o in run.outcomes)
    if facts or tables or run.mutants:
        yield f"the facts of {facts} replays, {tables} tables, {len(run.mutants)} lines on mutants"
    evidence = sum(bool(piece.path) for o in run.outcomes for piece in o.evidence)
    if evidence:
        yield f"{evidence} files of evidence"
    if run.specs:
        yield f"what became of {len(run.specs)} conformance specs, but for those that a replay was judged by"
    if run.skipped or run.left_out:
        yield f"why {len(run.skipped)} replays were skipped, and {len(run.left_out)} tests left out"


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
            yield f"it says that it was made with another version of the {what} ({manifest.version}) than checks it"
    if not run.ended:
        yield "the run was cut off, or went on when the bundle was made"


def _check_controls(run: SavedRun, known: Mapping[str, Replay], found: _Found) -> None:
    """What held was shown only where each control of it is there: else nobody knows whether the check can fail."""
    there = {o.test for o in run.outcomes}
    told = {*(each.test for each in run.skipped), *(each.test for each in run.left_out)}
    for o in run.outcomes:
        replay = known.get(named(o.test, known))
        if replay is None or o.control or o.verdict != Verdict.HELD:
            continue
        for control in replay.controls:
            test = f"{o.test.partition('[')[0]}[{_variant(o.cluster, control)}]"
            if test in there:
                continue
            if test in told or _why_not_run(o, control):
                found.claims.append(f"why the control {control} was not run: {o.test}")
            else:
                found.not_judged.append(f"{o.test}: its control {control} is not in the run: can the check fail?")


def _check_outcome(
    bundle: Archive,
    folder: Path,
    outcome: SavedOutcome,
    claim: Mapping[str, object],
    known: Mapping[str, Replay],
    found: _Found,
) -> None:
    where = outcome.test
    replay = known.get(named(where, known))
    register = _register(outcome, replay, found)
    claims = msgspec.convert(claim["invariants"], list[dict[str, object]])
    again: dict[int, Finding] = {}
    judged = [(i, f) for i, f in enumerate(outcome.findings) if f.promise and f.history]
    found.not_judged += [f"{where}: {f.invariant}" for f in outcome.findings if not f.promise or not f.history]
    for history, group in groupby(sorted(judged, key=lambda each: each[1].history), key=lambda each: each[1].history):
        try:  # one history at a time: they are large
            records = _load(bundle, history, folder)
        except OrdealError as error:
            found.differs.append(f"{where}: {error}")
            continue
        found.differs += _of_another(outcome, history, records)
        for i, finding in group:
            recipe = Recipe(finding.promise, finding.arguments or {})
            try:
                again[i] = judge(made_again(recipe), records)
                why_not = register.take(history, records, recipe) if register is not None else ""
            except Exception as error:  # noqa: BLE001  (the arguments may be anybody's)
                found.differs.append(f"{where}: {finding.invariant} can't be judged again: {error}")
                continue
            found.differs += _differences(f"{where}: {finding.invariant}", claims[i], again[i], finding.history)
            for limit in own_limits(recipe, records):
                said = f"{where}: {finding.invariant} as it is shipped: it was judged by a limit of its maker's own"
                (found.not_judged if limit.own > limit.shipped else found.notes).append(f"{said} ({limit})")
            if why_not:
                found.differs.append(f"{where}: {why_not}")
        del records  # else two of them would be in memory while the next one is read
    found.judged += len(again)
    found.differs += _unjudged_specs(bundle, folder, outcome)
    ended = _check_verdict(outcome, [again.get(i) or _as_claimed(f) for i, f in enumerate(outcome.findings)], found)
    if register is not None and ended:  # what ended by an error had no time to judge all that it declares
        found.differs += [f"{where}: {each}" for each in register.lacking()]


def _register(outcome: SavedOutcome, replay: Replay | None, found: _Found) -> Register | None:
    """What the replay's suite declares; None where that is not known, which is no reason to believe what it says."""
    if replay is None or replay.promises is None:
        found.not_judged.append(
            f"{outcome.test}: this version has no suite of it, so nobody knows what it has to promise"
        )
        return None
    variant = _variant(outcome.cluster, outcome.control)
    kinds = {*replay.on, EXISTING} if KIND in replay.on else {*replay.on}
    for what, claimed, is_ in (
        ("incident", outcome.id, replay.incident.id),
        ("replay", outcome.replay, replay.variant),
        ("variant", variant, outcome.test.partition("[")[2].removesuffix("]")),
    ):
        if claimed != is_:
            found.differs.append(f"{outcome.test}: its {what} is claimed to be {claimed!r}, its suite has {is_!r}")
    if outcome.cluster not in kinds or outcome.control not in {"", *replay.controls}:
        found.differs.append(f"{outcome.test}: its suite has no {variant}")
        return None
    try:
        conditions = Conditions(outcome.control or None, outcome.cluster, profile.find(outcome.profile))
    except OrdealError as error:
        found.differs.append(f"{outcome.test}: {error}")
        return None
    return Register(replay.promises(conditions), hardened=not outcome.control)


def _of_another(o: SavedOutcome, history: str, records: History) -> Iterator[str]:
    """Each recording says of which replay it is: under another's name it proves nothing."""
    of = beginning(o.id, o.replay, control=o.control, cluster=o.cluster, profile=o.profile).detail
    says = {phase.detail for phase in records.of(Phase) if phase.name == REPLAY}
    if says != {of}:
        said = " and ".join(sorted(says)) or "nobody knows what"
        yield f"{o.test}: {history} is the recording of {said}, and not of {of}"


def _variant(cluster: str, control: str) -> str:
    """As a test's name ends (chaos.run.case)."""
    return f"{cluster}-{f'control:{control}' if control else 'hardened'}"


def _load(bundle: Archive, history: str, folder: Path) -> History:
    unpacked = bundle.unpack(history, folder)
    try:
        return History.load(unpacked)
    finally:
        unpacked.unlink()


def _unjudged_specs(bundle: Archive, folder: Path, outcome: SavedOutcome) -> Iterator[str]:
    """Specs around a replay have a recording of their own, which is judged where they were run after the harm."""
    judged = {f.history for f in outcome.findings}
    for history in outcome.histories:
        if history in judged or not history.endswith("/conformance.jsonl") or history not in bundle.names:
            continue
        try:
            after = any(run.round == AFTER for run in _load(bundle, history, folder).of(SpecRun))
        except OrdealError as error:
            yield f"{outcome.test}: {error}"
            continue
        if after:
            yield f"{outcome.test}: specs were run {AFTER} the harm, and {history} was not judged"


def _differences(where: str, claim: Mapping[str, object], again: Finding, history: str) -> Iterator[str]:
    judged = json.loads(json.dumps(finding_as_json(again, history)))
    for key in COMPARED:
        claimed, is_ = claim.get(key), judged.get(key)
        if key == "proof" and isinstance(claimed, list):
            claimed = [proof_as_now(each) for each in claimed]
        if claimed != is_:
            yield f"{where}: {key} is claimed to be {_short(claimed)}, judged again it is {_short(is_)}"


def _check_verdict(outcome: SavedOutcome, findings: Sequence[Finding], found: _Found) -> bool:
    """What the findings come to, by this version's catalogue: the file's own may say what its maker likes.

    False where it says of itself that it is unknown for another reason than its findings.
    """
    try:
        verdict, passed, why = verdict_of(find(outcome.id), outcome.control or None, findings, "", outcome.kubernetes)
    except OrdealError as error:
        found.not_judged.append(f"{outcome.test}: its verdict can't be made again: {error}")
        return True
    why = scrub(why + "".join(f"; control not run: {c} ({reason})" for c, reason in _not_run(outcome)))
    if (outcome.verdict, outcome.passed) == (Verdict.UNKNOWN, False) and outcome.why != why:
        found.not_judged.append(f"{outcome.test}: it is unknown, and only its own words say why")
        return False
    for what, claim, made in (("verdict", outcome.verdict, str(verdict)), ("passed", outcome.passed, passed)):
        if claim != made:
            found.differs.append(
                f"{outcome.test}: its {what} is claimed to be {claim}, by its findings it is {made} ({why})"
            )
    if outcome.why != why:
        claimed = _short(outcome.why)
        found.differs.append(
            f"{outcome.test}: its sentence is claimed to be {claimed}, by its findings it is {_short(why)}"
        )
    return True


def _not_run(outcome: SavedOutcome) -> list[tuple[str, str]]:
    """The controls of which the replay says that they could not be run, and why."""
    told = [(c.id, _why_not_run(outcome, c.id)) for c in find(outcome.id).controls]
    return [(control, why) for control, why in told if why]


def _why_not_run(outcome: SavedOutcome, control: str) -> str:
    fact = str((outcome.facts or {}).get(f"control {control}", ""))
    return fact.removeprefix(NOT_RUN) if fact.startswith(NOT_RUN) else ""


def _as_claimed(f: SavedFinding) -> Finding:
    return Finding(f.invariant, Verdict(f.verdict), f.sentence, f.reason, f.figures)


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:100]} ... {text[-50:]}"
