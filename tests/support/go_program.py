# SPDX-License-Identifier: Apache-2.0
"""A program with Go's build information."""

from __future__ import annotations

import struct

H1 = "h1:o/8dBC/pHVpYoGV4OAIytAlNPZbdYVTXJHoYvXC4qzM="
MODULES = (
    "path\tk8s.io/kubernetes/cmd/kubelet\nmod\tkubelet\t(devel)\t\n"
    f"dep\tk8s.io/api\tv0.0.0\n=>\tk8s.io/api\tv0.35.4\t{H1}\n"
)


def go_program(modules: str = MODULES, flags: int = 2) -> bytes:
    """Its bytes, as the linker writes them: a header, and two strings behind their lengths."""

    def string(data: bytes) -> bytes:
        length = len(data)
        head = b""
        while length >= 0x80:
            head, length = head + bytes([length & 0x7F | 0x80]), length >> 7
        return head + bytes([length]) + data

    header = b"\xff Go buildinf:" + struct.pack("BB", 8, flags) + bytes(16)
    body = b"S" * 16 + modules.encode() + b"E" * 16
    return b"\x7fELF" + bytes(28) + header + string(b"go1.26.8") + string(body) + b"rest"
