# SPDX-License-Identifier: Apache-2.0
"""What images for virtual hardware do not boot on: devices of Glance's properties without a driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

CLOUD_KERNEL = "-cloud-"  # in the version of the kernel that has these drivers only
_NO_DRIVER: Mapping[str, frozenset[str]] = {  # properties of Nova's documentation, in small letters
    "hw_vif_model": frozenset({
        "e1000", "e1000e", "igb", "lan9118", "ne2k_pci", "pcnet", "rtl8139", "virtuale1000", "virtuale1000e",
        "virtualpcnet32",
    }),
    "hw_disk_bus": frozenset({"fdc", "usb"}),
    "hw_cdrom_bus": frozenset({"fdc", "usb"}),  # of the config drive
    "hw_scsi_model": frozenset({"ibmvscsi", "lsilogic", "lsisas1068", "lsisas1078"}),
    "vmware_adaptertype": frozenset({"lsilogic", "lsilogicsas"}),
}  # fmt: skip


def without_driver(properties: Mapping[str, object]) -> Iterator[str]:
    """Names of those of an image's properties that ask for a device without a driver."""
    for name, value in properties.items():
        if str(value).lower() in _NO_DRIVER.get(name, ()):
            yield name
    if str(properties.get("hw_disk_bus")).lower() == "scsi" and "hw_scsi_model" not in properties:
        yield "hw_disk_bus"  # libvirt's own choice of a controller is one of LSI
