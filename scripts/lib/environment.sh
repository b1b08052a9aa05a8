# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The virtual environment: exactly what requirements.lock says, and this checkout in it.

# enter_environment PYTHON VENV: it is up to date when this returns, and stays so while our file descriptor 9 is
# open: whoever has to make it anew waits for the tasks that run in it.
enter_environment() {
    local python=$1 venv=$2 stamp
    stamp=$(environment_stamp "$python")
    mkdir -p -- "$venv"
    exec 9< "$venv"
    flock --shared 9
    if ! is_current "$venv" "$stamp"; then
        flock --nonblock 9 || {
            say "waiting for a task that runs in $venv"
            flock 9
        }
        is_current "$venv" "$stamp" || make_environment "$python" "$venv" "$stamp"
        flock --shared 9
    fi
}

# finished_environment: one of this checkout that was made whole, even if its lock file has changed since.
finished_environment() {
    local venv=${root:?}/.venv python
    if ! is_finished "$venv"; then
        python=$(find_python) && venv=$(environment_place "$python") && is_finished "$venv" || return
    fi
    printf '%s' "$venv"
}

# A checkout that was copied has an environment that leads to the other one.
is_finished() {
    [ -x "$1/bin/python" ] && [ -e "$1/goldsmith-stamp" ] && [ "$(tail -n 1 -- "$1/goldsmith-stamp")" = "$root" ]
}

# All that decides what an environment is made of.
environment_stamp() {
    cat -- "${root:?}/requirements.lock" "$root/pyproject.toml" | sha256sum
    "$1" -I -S -c 'import sys; print(sys.version)'
    printf '%s\n' "$root"
}

is_current() {
    [ -x "$1/bin/python" ] && [ "$(cat -- "$1/goldsmith-stamp" 2> /dev/null)" = "$2" ]
}

# The stamp is written last, so that one that was interrupted is made anew.
make_environment() {
    local python=$1 venv=$2
    say "making the environment $venv ..."
    rm -f -- "$venv/goldsmith-stamp"
    "$python" -I -m venv --clear -- "$venv" >&2
    locked_pip "$venv" --require-hashes --only-binary :all: -r "${root:?}/requirements.lock"
    locked_pip "$venv" --no-deps --no-build-isolation -e "$root"
    printf '%s\n' "$3" > "$venv/goldsmith-stamp"
}

locked_pip() {
    local venv=$1
    shift
    "$venv/bin/python" -I -m pip --quiet --disable-pip-version-check --no-input install "$@" < /dev/null >&2 ||
        host_error "pip could not fill the environment $venv" "see above; it is made anew by the next start"
}
