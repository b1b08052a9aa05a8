# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Words to the user, all on stderr: stdout is the task's.

say() {
    printf '%s\n' "$*" >&2
}

# host_error MESSAGE [HINT...]: the host cannot do it as it is.
host_error() {
    say "error: $1"
    shift
    if [ $# -gt 0 ]; then say "hint: $1"; fi
    local more
    for more in "${@:2}"; do say "      $more"; done
    exit 3
}

is_true() {
    case ${1,,} in
        '' | 0 | false | no | off) return 1 ;;
    esac
}

# quoted WORD...: the words as one would type them.
quoted() {
    local word out=
    for word; do
        if [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]]; then out+=" $word"; else out+=" ${word@Q}"; fi
    done
    printf '%s' "${out# }"
}

# ask QUESTION: true for yes; false where nobody can answer.
ask() {
    [ -t 0 ] && [ -t 2 ] || return 1
    local answer
    read -r -p "$1 [y/N] " answer || return 1
    [[ ${answer,,} =~ ^y(es)?$ ]]
}
