# SPDX-License-Identifier: Apache-2.0
"""The disk image by layers: a root, kept by what it is made of, and on a copy of it what a spec embeds.

diskimage-builder makes the root. Then the later hooks of our own elements run on a copy: heat-config-kubelet
embeds the bundle, goldsmith-identity says what the image is, goldsmith-seal closes it.

Others use: assembly, comparison, forecast, root, split.
"""
