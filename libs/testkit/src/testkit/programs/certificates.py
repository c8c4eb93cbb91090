"""A certificate of 127.0.0.1 for a program that speaks TLS, signed by an authority that nobody else believes."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

DAYS = 30


def write_certificate(ca_file: Path, keystore: Path) -> None:
    """Writes two PEM files: the authority's certificate, and the private key with its certificate."""
    ca, certificate, private = _make()
    ca_file.write_bytes(ca)
    keystore.write_bytes(private + certificate)


def write_certificates(folder: Path) -> None:
    """Writes `ca.crt`, `tls.crt` and `tls.key`, as Kubernetes names them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(("ca.crt", "tls.crt", "tls.key"), _make(), strict=True):
        (folder / name).write_bytes(content)


def _make() -> tuple[bytes, bytes, bytes]:
    """The authority's certificate, a certificate that it signed, and the private key of that."""
    authority, key = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    ca = _sign(authority, "only-for-tests", authority, "only-for-tests", is_ca=True)
    certificate = _sign(key, "127.0.0.1", authority, "only-for-tests", is_ca=False)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return ca.public_bytes(Encoding.PEM), certificate.public_bytes(Encoding.PEM), private


def _sign(
    key: EllipticCurvePrivateKey, name: str, issuer_key: EllipticCurvePrivateKey, issuer: str, *, is_ca: bool
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if not is_ca:
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        builder = builder.add_extension(address, critical=False)
    return builder.sign(issuer_key, SHA256())
