"""Runs in the booted image, before and after its reboot. docs/write-a-spec.md of goldsmith lists fixtures."""

import pytest


def test_the_message_of_the_day_says_whom_to_ask(host):
    assert "Ask the network team" in host.file("/etc/motd").content_string


@pytest.mark.needs("containers-for-kubelet")
def test_the_status_page_is_in_the_image(expect):
    assert "edge.example/status:1" in [image["ref"] for image in expect["images"]]
