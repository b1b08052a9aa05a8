# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Which rows of host-packages.tsv count for a command line.

# starts_nothing WORD...: they ask for help, for a list, for the version or for the completion of a word.
starts_nothing() {
    local word
    case ${1:-} in
        '' | help | completion | --complete) return ;;
    esac
    for word; do
        case $word in
            -h | --help | --help=* | -l | --list) return ;;
            -V | --version) [ "$1" = kubelet-bump ] || return 0 ;; # which has an option of this name
            --) return 1 ;;
        esac
    done
    return 1
}

# task_of WORD...: the task that is asked for; nothing where it needs nothing of this host.
task_of() {
    local word task=
    if starts_nothing "$@"; then return; fi
    for word; do
        case $word in
            --cloud | --cloud=*) return ;; # the user's own, for which this host needs nothing
            --) break ;;
            -*) ;;
            *) task=${task:-$word} ;;
        esac
    done
    printf '%s' "$task"
}

# needs_of TASK: python, and what task-needs.tsv has for it.
needs_of() {
    awk -F '\t' -v task="$1" '!/^#/ && $1 == task { needs = $2 } END { print "python", needs }' \
        "${root:?}/scripts/task-needs.tsv"
}

# rows_for TASK: the rows of its needs, as they stand in the table.
rows_for() {
    awk -F '\t' -v needs="$(needs_of "$1")" '
        BEGIN { split(needs, list, " "); for (i in list) wanted[list[i]] = 1 }
        /^#/ || NF < 5 { next }
        { split($1, mine, " "); for (i in mine) if (mine[i] in wanted) { print; next } }
    ' "${root:?}/scripts/host-packages.tsv"
}
