"""Keys, certificates and passwords of a lab: made at random, kept on the next `up`, readable for root alone."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import string
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from drp.errors import IntegrityError
from drp.lab.plan import LabDrCentre, LabNames, LabPlan
from drp.lab.state import write_file

if TYPE_CHECKING:
    from cryptography import x509

_LETTERS = string.ascii_uppercase + string.digits
VALID_DAYS = 3650


def make(names: LabNames, plan: LabPlan) -> None:
    """Write every file of `plan.files` that is missing, and pin the hosts' ssh keys.

    Each path is listed in generated.json before it is written, so that a purge knows what is the lab's own.
    """
    files = plan.files
    for centre in plan.dr_centres:
        _keep_or_write(names, centre.access_key_id, _random_text(20))
        _keep_or_write(names, centre.secret_access_key, secrets.token_urlsafe(30))
    for zone in (zone for server in plan.name_servers for zone in server.zones):
        _keep_or_write(names, zone.secret, base64.b64encode(secrets.token_bytes(32)).decode())
    for path in files.repository_passwords.values():
        _keep_or_write(names, path, secrets.token_urlsafe(32))
    if not files.ssh_private_key.exists():
        private, public = _ssh_key("drp lab")
        _write(names, files.ssh_private_key, private)
        _write(names, public_key_of(files.ssh_private_key), public)
    for host in plan.hosts:
        path = host_key(names, host.name)
        if not path.exists():
            private, public = _ssh_key(host.name)
            _write(names, path, private)
            _write(names, public_key_of(path), public)
    _pin_host_keys(names, plan)
    for centre in plan.dr_centres:
        _make_certificates(names, centre)


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _ssh_key(comment: str) -> tuple[str, str]:
    """A new Ed25519 key in OpenSSH's formats: private, public."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} {comment}\n"


def host_key(names: LabNames, host: str) -> Path:
    return names.directory / "host-keys" / host


def public_key_of(private_key: Path) -> Path:
    return private_key.with_name(private_key.name + ".pub")


def read_public_key(private_key: Path) -> str:
    """The public half of a private key file, also when only that was there. Raises IntegrityError if unreadable."""
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_ssh_private_key(private_key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as fault:
        raise IntegrityError(
            f"not an ssh private key without a passphrase: {fault}",
            where=str(private_key),
            hint="move it away; drp lab up then makes a new one",
        ) from fault
    encoding, form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(encoding, form).decode()


def _pin_host_keys(names: LabNames, plan: LabPlan) -> None:
    """Put every lab host's key into known_hosts under its address; other lines stay."""
    path = plan.files.ssh_known_hosts
    pinned = {host.address: f"{host.address} {read_public_key(host_key(names, host.name))}" for host in plan.hosts}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if line.split(" ")[0] not in pinned]
    content = "\n".join([*kept, *pinned.values()]) + "\n"
    if not path.exists() or content != path.read_text(encoding="utf-8"):
        _write(names, path, content)


def server_certificate(names: LabNames, centre: LabDrCentre) -> tuple[Path, Path]:
    """An S3 server's certificate and its key."""
    folder = names.directory / "tls"
    return folder / f"{centre.name}-server.pem", folder / f"{centre.name}-server-key.pem"


def _make_certificates(names: LabNames, centre: LabDrCentre) -> None:
    certificate, key = server_certificate(names, centre)
    if key.exists() and _certificate_fits(certificate, centre.ca_certificate, centre.address):
        return
    authority, server, private = _issue(centre.address)
    _write(names, centre.ca_certificate, authority)
    _write(names, key, private)
    _write(names, certificate, server)


def _certificate_fits(certificate: Path, authority: Path, address: str) -> bool:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        server = x509.load_pem_x509_certificate(certificate.read_bytes())
        server.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.read_bytes()))
        alternative = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    still_valid = server.not_valid_after_utc > datetime.now(UTC) + timedelta(days=30)
    return still_valid and IPv4Address(address) in alternative.get_values_for_type(x509.IPAddress)


def _issue(address: str) -> tuple[str, str, str]:
    """A new authority, and a server certificate for an address with its key, all PEM.

    The authority's own key is not kept: nobody can issue a second certificate in its name.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "drp lab DR centre")])
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    start = datetime.now(UTC) - timedelta(days=1)
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())

    def builder(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(subject_name=name, issuer_name=authority_name, public_key=key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=VALID_DAYS))
        )

    authority = (
        builder(authority_name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    alternative = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(address))])
    server = (
        builder(server_name, server_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternative, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    return authority.public_bytes(pem).decode(), server.public_bytes(pem).decode(), private.decode()


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _keep_or_write(names: LabNames, path: Path, content: str) -> None:
    if not path.exists():
        _write(names, path, content)


def _register(names: LabNames) -> Path:
    return names.directory / "generated.json"


def generated(names: LabNames) -> list[Path]:
    """The files outside and inside var/lab that the lab has written as the workspace's secrets."""
    with contextlib.suppress(OSError, ValueError):
        return [Path(text) for text in json.loads(_register(names).read_bytes())]
    return []


def _write(names: LabNames, path: Path, content: str) -> None:
    known = generated(names)
    if path not in known:
        write_file(_register(names), json.dumps([str(item) for item in [*known, path]], indent=1).encode())
    write_file(path, content.encode())
