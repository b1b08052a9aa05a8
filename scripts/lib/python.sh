# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The system's Python: 3.11 or newer, able to make a virtual environment.

# Prints where it is, or fails. Started from inside some environment it names the Python that one was made with.
find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" > /dev/null && "$name" -I -S -c '
import sys
from importlib.util import find_spec
if sys.version_info < (3, 11) or not find_spec("venv") or not find_spec("ensurepip"):
    sys.exit(1)
print(sys._base_executable)' 2> /dev/null; then
            return
        fi
    done
    return 1
}
