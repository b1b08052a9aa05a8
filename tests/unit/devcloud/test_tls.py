# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import ssl
from typing import Any

import pytest

from goldsmith.devcloud import tls
from goldsmith.devcloud.instance import Instance


def test_a_cloud_with_tls_has_its_own_authority(here: Instance) -> None:
    assert here.ca is None
    tls.make(here.tls)
    assert here.ca is not None

    trusting, strange = ssl.create_default_context(cafile=here.ca), ssl.create_default_context()

    assert handshake(trusting, tls.server_context(here.tls)) == "127.0.0.1"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(strange, tls.server_context(here.tls))
    assert (here.tls / "server.pem").stat().st_mode & 0o777 == 0o600


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> str:
    """Of two contexts, without a network; the name that the client has verified."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (ours, theirs):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    certificate: Any = ours.getpeercert()
    return str(certificate["subject"][0][0][1])
