"""Who claims a bundle: signed by ssh-keygen, and taken from nobody else, for nothing else."""

import shutil
import subprocess
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.report.signature import NAMESPACE, beside, sign, signer
from chaos.report.verify import Said, verify
from tests.report.forging import made

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="this machine has no ssh-keygen")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.zip"
    path.write_bytes(b"all that is claimed\n")
    return path


def key(folder: Path, name: str) -> Path:
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True, timeout=60)
    return path


def allowed(folder: Path, **keys: Path) -> Path:
    path = folder / "allowed"
    lines = [f"{who}@example.org {k.with_suffix('.pub').read_text()}" for who, k in keys.items()]
    path.write_text("".join(lines))
    return path


def test_a_signature_says_who_of_the_allowed_signers_it_was(bundle: Path, tmp_path: Path) -> None:
    one, other = key(tmp_path, "one"), key(tmp_path, "other")
    assert sign(bundle, other) == beside(bundle)
    assert signer(bundle, allowed(tmp_path, one=one, other=other)) == "other@example.org"


def test_a_signature_of_somebody_else_of_something_else_or_for_something_else_is_refused(
    bundle: Path, tmp_path: Path
) -> None:
    one, other = key(tmp_path, "one"), key(tmp_path, "other")
    who = allowed(tmp_path, one=one)
    with pytest.raises(OrdealError, match="there is no signature of the bundle"):
        signer(bundle, who)
    sign(bundle, other)
    with pytest.raises(OrdealError, match="is of none of the signers in"):
        signer(bundle, who)
    sign(bundle, one)
    assert signer(bundle, who) == "one@example.org"
    content = bundle.read_bytes()
    bundle.write_bytes(content + b"and more\n")
    with pytest.raises(OrdealError, match="is no signature of"):
        signer(bundle, who)
    bundle.write_bytes(content)
    beside(bundle).unlink()
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", one, "-n", "file", bundle], check=True, timeout=60)
    with pytest.raises(OrdealError, match=r"is no signature of|is of none of"):
        signer(bundle, who)
    assert NAMESPACE != "file"


def test_a_key_that_cant_be_used_is_a_sentence(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(OrdealError, match=r"can't be signed with .*none"):
        sign(bundle, tmp_path / "none")
    assert not beside(bundle).exists()
    sign(bundle, key(tmp_path, "one"))
    with pytest.raises(OrdealError, match="no file of allowed signers at"):
        signer(bundle, tmp_path / "nobody")


def test_verify_asks_for_a_signature_where_it_is_told_to(tmp_path: Path) -> None:
    bundle, one = made(tmp_path / "run"), key(tmp_path, "one")
    who = allowed(tmp_path, one=one)
    assert verify(bundle, who).said is Said.DIFFERS
    sign(bundle, one)
    signed = verify(bundle, who)
    assert (signed.said, signed.signer) == (Said.VERIFIED, "one@example.org")
    unasked = verify(bundle)
    assert (unasked.said, unasked.signer) == (Said.VERIFIED, "")
    assert any("which was not checked" in note for note in unasked.notes)
