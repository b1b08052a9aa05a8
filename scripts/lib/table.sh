# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Which rows of host-packages.tsv count for a command line.

# task_of WORD...: the task that Invoke is asked for; nothing where it needs nothing of this host.
task_of() {
    local word task=
    for word; do
        case $word in
            -h | --help | -h=* | --help=* | -l | --list | -l=* | --list=* | -V | --version) return ;;
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
