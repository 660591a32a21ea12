"""Keys for the channel between a run and the agents: each is made where it is used, and only certificates travel.

There is no authority: either side knows the other one's certificate, byte for byte. A certificate has no end, since the
clock of a node may be turned; its key lives as long as its run.
"""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from chaos.basics.files import place

FIRST, LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
KEY, CERTIFICATE = "key.pem", "certificate.pem"


def make(folder: Path, name: str) -> str:
    """A key and its certificate, in a folder that only its owner may enter; returns the certificate as PEM.

    Those that are there already are kept. Raises OSError.
    """
    from cryptography import x509  # noqa: PLC0415  (an extra; and the agent that goes on needs no more of it)
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    if (folder / CERTIFICATE).is_file():
        return (folder / CERTIFICATE).read_text()
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(FIRST)
        .not_valid_after(LAST)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    place(folder / KEY, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain).decode())
    place(folder / CERTIFICATE, certificate.public_bytes(pem).decode())
    return (folder / CERTIFICATE).read_text()


def server(folder: Path, client: str) -> ssl.SSLContext:
    """What an agent talks by: with the key in `folder`, to the one client whose certificate this is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    return _known(context, folder, client)


def client(folder: Path, server_certificate: str) -> ssl.SSLContext:
    """What a run talks to one agent by, whose certificate this is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is known by its certificate; a node may have any address
    return _known(context, folder, server_certificate)


def _known(context: ssl.SSLContext, folder: Path, other: str) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    context.load_verify_locations(cadata=other)
    return context
