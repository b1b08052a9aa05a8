# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Where the virtual environment lives.

# environment_place PYTHON: .venv-INTERPRETER in the checkout. A checkout that we may not write gets its environment
# in the cache folder, and so does one whose path has white space: diskimage-builder cannot be started from such a path.
environment_place() {
    local interpreter venv
    interpreter=$(interpreter_name "$1") || return
    venv=${root:?}/.venv-$interpreter
    if [[ ! $venv =~ [[:space:]] ]] && [ -w "$root" ] && { [ ! -e "$venv" ] || [ -w "$venv" ]; }; then
        printf '%s' "$venv"
    else
        local id cache
        id=$(printf '%s' "$root" | sha256sum)
        cache=$(cache_folder) || return
        printf '%s/environments/%s-%s' "$cache" "${id:0:16}" "$interpreter"
    fi
}

# interpreter_name PATH: such as python3.11-0a1b2c3d. Two interpreters on one host, say a shell's and cron's, have an
# environment each; one that is upgraded in its place keeps its own.
interpreter_name() {
    local path id
    path=$(readlink -f -- "$1")
    id=$(printf '%s' "$path" | sha256sum)
    printf '%s-%s' "${path##*/}" "${id:0:8}"
}

# link_environment VENV: .venv in the checkout leads people and editors to the environment of the last start. The
# folder of that name that an earlier version made goes, once no task runs in it; anybody else's stays.
link_environment() {
    local link=${root:?}/.venv name=${1##*/}
    [ "$1" = "$root/$name" ] || return 0
    if [ -f "$link/goldsmith-stamp" ] && [ ! -L "$link" ]; then
        flock --nonblock "$link" rm -rf -- "$link" || return 0
    fi
    if [ -L "$link" ] || [ ! -e "$link" ]; then
        [ "$(readlink -- "$link")" = "$name" ] || ln -sfn -- "$name" "$link"
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
