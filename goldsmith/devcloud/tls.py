# SPDX-License-Identifier: Apache-2.0
"""A test cloud's certificate authority, and the certificate of its ports on loopback."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAYS = 30
_CA, _CERTIFICATE = "ca.pem", "server.pem"


def make(folder: Path) -> None:
    """Write ca.pem, for clients, and server.pem, key and certificate for 127.0.0.1 and localhost."""
    folder.mkdir(mode=0o700)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _name("test cloud authority")
    root = _begun(issuer, issuer, authority).add_extension(x509.BasicConstraints(True, 0), critical=True)
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    )
    leaf = _begun(_name("127.0.0.1"), issuer, key).add_extension(names, critical=False)
    pem = serialization.Encoding.PEM
    (folder / _CA).write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(pem))
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(folder / _CERTIFICATE, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as sink:
        sink.write(plain + leaf.sign(authority, hashes.SHA256()).public_bytes(pem))


def server_context(folder: Path) -> ssl.SSLContext:
    """The TLS settings of the forwarded ports."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / _CERTIFICATE)
    return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
    )
