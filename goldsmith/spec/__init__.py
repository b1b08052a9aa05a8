# SPDX-License-Identifier: Apache-2.0
"""image-specs/NAME.yaml.j2 -> ImageSpec: rendered, checked, every problem with file and line.

Others use: checks, document, fields, load, model, problem, schema, secret_words, site, template,
virtual_hardware.
"""
