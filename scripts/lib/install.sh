# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Install packages with the distribution's own tool, never without a yes.

# The tool's command line for a column of host-packages.tsv, without options that only matter to scripts.
installer() {
    case $1 in
        5) printf 'dnf install' ;;
        *) printf 'apt-get install --no-install-recommends' ;;
    esac
}

as_root() {
    [ "$(id -u)" = 0 ] || printf 'sudo '
}

# Debian's package lists are not there on a fresh root or in a container.
lists_are_missing() {
    [ "$1" != 5 ] && ! compgen -G '/var/lib/apt/lists/*_Packages*' > /dev/null
}

# agree_to_install YES COLUMN PACKAGES MESSAGE WORD...: returns only with a yes.
agree_to_install() {
    local yes=$1 column=$2 packages=$3 message=$4 command
    shift 4
    command="$(as_root)$(installer "$column") $packages"
    if lists_are_missing "$column"; then command="$(as_root)apt-get update && $command"; fi
    if "$yes"; then
        say "$message"
    elif ! ask "$message"$'\n'"This would run: $command"$'\n'"Install them now?"; then
        host_error "$message" "$command" "or let it be done: ${command_name:-scripts/inv} --yes $(quoted "$@")"
    fi
}

# install_packages COLUMN PACKAGES: announced and agreed to before.
install_packages() {
    local -a packages
    read -r -a packages <<< "$2"
    if [ "$1" = 5 ]; then
        privileged dnf install --assumeyes --setopt=install_weak_deps=False "${packages[@]}" ||
            host_error "dnf could not install: $2"
    elif lists_are_missing "$1" || ! apt_install "${packages[@]}"; then
        privileged apt-get update || say "apt-get update failed; going on with the lists that there are"
        apt_install "${packages[@]}" || host_error "apt-get could not install: $2"
    fi
}

apt_install() {
    privileged apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}

# privileged COMMAND...: as root, with nobody to answer questions and nothing said on stdout.
privileged() {
    local -a argv=(env DEBIAN_FRONTEND=noninteractive "$@")
    if [ "$(id -u)" != 0 ]; then
        command -v sudo > /dev/null || host_error "installing packages takes root, and there is no sudo"
        argv=(sudo "${argv[@]}")
    fi
    "${argv[@]}" < /dev/null >&2
}
