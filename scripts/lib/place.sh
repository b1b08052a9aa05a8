# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Where the virtual environment lives.

# .venv in the checkout. A checkout that we may not write gets its environment in the cache folder, and so does
# one whose path has white space: diskimage-builder cannot be started from such a path.
environment_place() {
    local venv=${root:?}/.venv
    if [[ ! $venv =~ [[:space:]] ]] && [ -w "$root" ] && { [ ! -e "$venv" ] || [ -w "$venv" ]; }; then
        printf '%s' "$venv"
    else
        local id cache
        id=$(printf '%s' "$root" | sha256sum)
        cache=$(cache_folder) || return
        printf '%s/environments/%s' "$cache" "${id:0:16}"
    fi
}

cache_folder() {
    local cache=${GOLDSMITH_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/goldsmith}
    [[ $cache == /* ]] || cache=$PWD/$cache
    if [[ $cache =~ [[:space:]] ]]; then
        cache=$(private_folder "/var/tmp/goldsmith-$(id -u)") || return
    fi
    printf '%s' "$cache"
}

# private_folder PATH: made if need be; nobody else's, for we run what lies in it.
private_folder() {
    [ -d "$1" ] || mkdir -m 700 -- "$1"
    if [ -L "$1" ] || [ ! -O "$1" ]; then host_error "$1 belongs to somebody else" "set GOLDSMITH_CACHE"; fi
    printf '%s' "$1"
}
