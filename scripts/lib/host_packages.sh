# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Host packages that a task needs and this host lacks: list, ask, install.

# has PROBE: one of its alternatives, a|b, is there: a command (sbin folders included), a file or a @check.
has() {
    local alternative alternatives
    IFS='|' read -r -a alternatives <<< "$1"
    for alternative in "${alternatives[@]}"; do
        case $alternative in
            @python) find_python > /dev/null && return ;;
            @docker-engine) docker_answers && return ;;
            /*) compgen -G "$alternative" > /dev/null && return ;;
            *) PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v "$alternative" > /dev/null && return ;;
        esac
    done
    return 1
}

docker_answers() {
    command -v docker > /dev/null && timeout 10 docker version --format '{{.Server.Version}}' > /dev/null 2>&1
}

# missing_for COLUMN TASK: a line "PROBE PACKAGES" for each thing that is not there; - is no package.
missing_for() {
    local probes packages probe
    while IFS=$'\t' read -r probes packages; do
        for probe in $probes; do
            if ! has "$probe"; then
                printf '%s %s\n' "$probe" "$packages"
                break
            fi
        done
    done < <(rows_for "$2" | cut -f "2,$1")
}

# The column of host-packages.tsv that this distribution has; one that is empty where it has none.
package_column() {
    local word
    # shellcheck source=/dev/null
    for word in $(. "${OS_RELEASE:-/etc/os-release}" 2> /dev/null && printf '%s ' "${ID:-}" "${ID_LIKE:-}"); do
        case $word in
            debian) printf 3 && return ;;
            ubuntu) printf 4 && return ;;
            fedora) printf 5 && return ;;
        esac
    done
    printf 9
}

# provide_host_packages [--yes] WORD...: --yes, or CI=true, is the yes to what is missing.
provide_host_packages() {
    local yes=false
    if is_true "${CI:-}"; then yes=true; fi
    if [ "${1:-}" = --yes ]; then
        yes=true
        shift
    fi
    require_host_packages "$yes" "$@"
}

# require_host_packages YES WORD...: all that the task needs is there when it returns.
require_host_packages() {
    local yes=$1 task column missing probes packages
    shift
    task=$(task_of "$@")
    column=$(package_column)
    missing=$(missing_for "$column" "$task")
    [ -n "$missing" ] || return 0
    probes=$(cut -d ' ' -f 1 <<< "$missing" | paste -s -d ' ')
    packages=$(cut -d ' ' -f 2- <<< "$missing" | tr ' ' '\n' | sort -u | paste -s -d ' ')
    if [ "$column" = 9 ] || [[ " $packages " == *' - '* ]]; then
        host_error "$(needed_by "$task") what this host lacks: $probes" \
            "install it by hand: its package names are not known for this distribution"
    fi
    agree_to_install "$yes" "$column" "$packages" "$(needed_by "$task") host packages that are missing: $packages" "$@"
    install_packages "$column" "$packages"
    missing=$(missing_for "$column" "$task" | cut -d ' ' -f 1 | paste -s -d ' ')
    [ -z "$missing" ] || host_error "still missing after the installation: $missing"
}

needed_by() {
    printf '%s needs' "${1:-${command_name:-scripts/inv}}"
}
