# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace

from goldsmith.heat.client import Cloud
from goldsmith.heat.images import Images
from goldsmith.heat.servers import Servers
from goldsmith.heat.stacks import Stacks


def test_leftovers_are_named_by_their_word_and_ports_without_a_name_by_their_server() -> None:
    def server(id_: str, name: str) -> SimpleNamespace:
        return SimpleNamespace(id=id_, name=name, image=None, addresses={})

    sdk = SimpleNamespace(
        current_project_id="p",
        orchestration=SimpleNamespace(stacks=lambda: [SimpleNamespace(name=f"verify-{n}") for n in "ab"]),
        compute=SimpleNamespace(servers=lambda: [server("1", "verify-a-one"), server("2", "other")]),
        network=SimpleNamespace(
            ports=lambda: [
                SimpleNamespace(id="p1", name="", device_id="1"),
                SimpleNamespace(id="p2", name="", device_id="2"),
                SimpleNamespace(id="p3", name="verify-a-port", device_id=""),
            ]
        ),
        image=SimpleNamespace(
            images=lambda **_: [SimpleNamespace(id="i1", name="verify-a"), SimpleNamespace(id="i2", name="x")]
        ),
    )  # fmt: skip
    cloud = Cloud(name="x", images=Images(sdk), stacks=Stacks(sdk), servers=Servers(sdk))

    assert cloud.leftovers("verify-a", servers={"1"}) == [
        "stack verify-a", "server verify-a-one", "port p1", "port verify-a-port", "image verify-a",
    ]  # fmt: skip
