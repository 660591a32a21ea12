"""Who claims a bundle: a signature beside it, in ssh-keygen's format (PROTOCOL.sshsig in OpenSSH's sources).

The signature is of the archive as it is, so that anybody can check it without this tool:

    ssh-keygen -Y verify -f ALLOWED_SIGNERS -I WHO -n kube-ordeal-bundle -s BUNDLE.sig < BUNDLE
"""

from collections.abc import Sequence
from pathlib import Path

from chaos.basics.files import place
from chaos.errors import OrdealError
from chaos.hosts import command

NAMESPACE = "kube-ordeal-bundle"  # what a signature is for: one of a file or a commit can't be taken for one of these
SIGN_WITHIN_S, CHECK_WITHIN_S = 300.0, 60.0  # a key may ask for its passphrase, or for a touch


def beside(bundle: Path) -> Path:
    """Where the signature of a bundle is."""
    return bundle.with_name(f"{bundle.name}.sig")


def sign(bundle: Path, key: Path) -> Path:
    """Sign a bundle with an SSH key: a private one, or a public one whose private half the agent has.

    Raises OrdealError where ssh-keygen is not there, or can't use the key.
    """
    target = beside(bundle)
    signed = _keygen("sign", "-f", str(key), "-n", NAMESPACE, reads=bundle, timeout_s=SIGN_WITHIN_S)
    if signed.code != 0:
        raise OrdealError(f"{bundle} can't be signed with {key}: {_words(signed)}")
    try:
        place(target, signed.out)
    except OSError as error:
        raise OrdealError(f"the signature can't be written to {target}: {error.strerror}") from error
    return target


def signer(bundle: Path, allowed: Path) -> str:
    """Who of the allowed signers (ssh-keygen's file, "ALLOWED SIGNERS" in its manual) has signed a bundle.

    Raises OrdealError where there is no signature, it is not of this bundle, or of none of them.
    """
    signature = beside(bundle)
    if not signature.is_file():
        raise OrdealError(f"there is no signature of the bundle: {signature} is missing")
    if not allowed.is_file():
        raise OrdealError(f"there is no file of allowed signers at {allowed}")
    of = ("-f", str(allowed), "-n", NAMESPACE, "-s", str(signature))
    found = _keygen("find-principals", *of, reads=None, timeout_s=CHECK_WITHIN_S)
    names = found.out.splitlines()
    if found.code != 0 or not names:
        raise OrdealError(f"{signature} is of none of the signers in {allowed}: {_words(found)}")
    checked = _keygen("verify", *of, "-I", names[0], reads=bundle, timeout_s=CHECK_WITHIN_S)
    if checked.code != 0:
        raise OrdealError(f"{signature} is no signature of {bundle} by {names[0]}: {_words(checked)}")
    return names[0]


def _keygen(what: str, *options: str, reads: Path | None, timeout_s: float) -> command.Output:
    argv: Sequence[str] = ["ssh-keygen", "-Y", what, *options]
    if reads is not None:
        argv = ["sh", "-c", 'exec "$@" <"$0"', str(reads), *argv]
    try:
        return command.run(argv, timeout_s=timeout_s, check=False)
    except command.CommandError as error:
        raise OrdealError(f"signatures are made and checked by ssh-keygen, of OpenSSH: {error}") from error


def _words(said: command.Output) -> str:
    lines = (said.err or said.out).strip().splitlines()
    return lines[-1] if lines else f"ssh-keygen ended with {said.code}"
