# SPDX-License-Identifier: Apache-2.0
"""A mechanism driver for Neutron's ML2 on one machine: every port is a tap, and active at once.

There is no agent: libvirt's hook (etc/libvirt/hooks/qemu) adds the tap to the bridge.
"""

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api


class OneHostTap(api.MechanismDriver):
    """Binds ports on any host."""

    def initialize(self):
        """Nothing to prepare."""

    @property
    def connectivity(self):
        """All ports share one layer 2."""
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, context):
        """Bind to the first segment that is offered."""
        for segment in context.segments_to_bind:
            details = {
                portbindings.CAP_PORT_FILTER: False,
                portbindings.VIF_DETAILS_CONNECTIVITY: self.connectivity,
            }
            context.set_binding(
                segment[api.ID], portbindings.VIF_TYPE_TAP, details, status=constants.PORT_STATUS_ACTIVE
            )
            return
