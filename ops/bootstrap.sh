# To be sourced by ops/demo and ops/test. `bootstrap demo` or `bootstrap test` makes the virtual
# environment .venv in the tree: exactly what ops/requirements/<kind>.txt lists, and the tree itself.
# Speaks on standard error only, and not at all if there is nothing to do.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

is_python_311() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if is_python_311 "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "Warren needs Python 3.11 or newer, and none is on the PATH: install it" \
        "(Debian 12, Ubuntu 24.04 and later: apt-get install python3)."
}

apt_install() { apt-get install --yes --no-install-recommends "$@"; }

# Debian splits venv off its python3.
require_venv() {
    "$1" -c 'import venv, ensurepip' 2>/dev/null && return
    local package log
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing $package with apt (once) ..."
        export DEBIAN_FRONTEND=noninteractive
        if ! log=$({ apt_install "$package" || { apt-get update && apt_install "$package"; }; } 2>&1); then
            say "$log"
            fail "apt could not install $package."
        fi
    else
        fail "Python's venv module is missing: sudo apt-get install $package"
    fi
}

# What decides whether the environment is up to date. It does not survive a move of the tree.
fingerprint() {
    { cat "$root/ops/requirements/$1.txt" "$root/pyproject.toml" && echo "$root"; } | cksum
}

# A line now and then instead of pip's several hundred.
count_packages() {
    awk -v total="$1" '
        /^Collecting / { n++; if (n % 10 == 0) { printf "  %d of %d packages ...\n", n, total; fflush() } }
        /^Installing collected/ && !told++ { print "  installing ..."; fflush() }' >&2
}

install_all() {
    local pip=("$venv/bin/python" -m pip install --disable-pip-version-check --no-input
        --progress-bar off --no-deps)
    # Compiling afterwards uses all cores, and saves each process of ours from doing it.
    "${pip[@]}" --no-compile --require-hashes --requirement "$1" &&
        { "$venv/bin/python" -m compileall -q -j 0 "$venv/lib" || true; } &&
        # The tree itself, in place: its command, and imports from the sources.
        "${pip[@]}" --no-build-isolation --editable "$root"
}

bootstrap() {
    local kind=$1 stamp python log lock
    stamp=$venv/warren-$kind.stamp
    if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint "$kind")" ]; then
        return
    fi

    # A Python that was removed, or an installation that was interrupted, leaves a shell of one.
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python) || exit 1
        require_venv "$python"
        say "Making the virtual environment .venv ($("$python" --version)) ..."
        "$python" -m venv --clear "$venv" || fail "Python could not make a virtual environment in $venv."
    fi
    rm -f "$venv"/warren-*.stamp

    lock=$root/ops/requirements/$kind.txt
    log=$venv/bootstrap.log
    say "Installing what $(basename "$lock") lists, checked by hash (once) ..."
    if ! install_all "$lock" 2>&1 | tee "$log" | count_packages "$(grep -c '^[a-zA-Z]' "$lock")"; then
        tail -n 20 "$log" >&2
        fail "The installation failed; the whole of it is in $log."
    fi

    fingerprint "$kind" >"$stamp"
    # The tests' packages contain the demo's.
    if [ "$kind" = test ]; then fingerprint demo >"$venv/warren-demo.stamp"; fi
}

has_node_20() {
    local version
    command -v npm >/dev/null && version=$(node --version 2>/dev/null) || return 1
    version=${version#v}
    [ "${version%%.*}" -ge 20 ]
}

# The machine's own Node, or one from wheels in the environment, after `bootstrap`. Where neither can
# be had, the tests that need it are skipped, and say so.
bootstrap_node() {
    local log
    if PATH="$venv/bin:$PATH" has_node_20; then
        return
    fi
    say "Installing Node into .venv (once, 60 MB) ..."
    log=$("$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
        --no-deps --require-hashes --requirement "$root/ops/requirements/node.txt" 2>&1) || {
        say "$(tail -n 3 <<<"$log")"
        say "There is no Node: tests of the TypeScript client are skipped."
    }
}
