# SPDX-License-Identifier: Apache-2.0
"""What the pipeline needs besides its stages: values, first checks, and what is there already.

Others use: checks, image_stage, resume, unchanged, values.
"""
