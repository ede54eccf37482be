#!/usr/bin/env bash
# All set-up, each step skipped when it is already done: system packages, a Python environment for the build of the
# models, the models, ONNX Runtime and the sample clip. Needs the network only for what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "set-up failed: $1" >&2
    exit 1
}

install_packages() {
    local missing=() package
    while read -r package; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
    done <scripts/apt-packages.txt
    # Whatever npm the machine has will do.
    command -v npm >/dev/null || missing+=(npm)
    [ ${#missing[@]} -eq 0 ] && return
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "run as root: apt-get install ${missing[*]}"
        sudo=(sudo)
    fi
    echo "installing ${missing[*]}"
    "${sudo[@]}" apt-get update -qq || fail "apt-get update; check the network"
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
        fail "run: ${sudo[*]} apt-get install ${missing[*]}"
}

make_environment() {
    local wanted
    wanted=$(sha256sum models/build/requirements.txt)
    [ "$(cat models/.venv/requirements.sha256 2>/dev/null)" = "$wanted" ] && models/.venv/bin/python -c '' 2>/dev/null && return
    # requirements.txt has hashes for these.
    python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' ||
        fail "$(command -v python3) is $(python3 --version); Python 3.11 to 3.14 is needed, first on the PATH"
    echo "making models/.venv"
    rm -rf models/.venv
    python3 -m venv models/.venv || fail "run: apt-get install python3-venv"
    models/.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r models/build/requirements.txt ||
        fail "could not install the Python packages; check the network and run \`make setup\` again"
    echo "$wanted" >models/.venv/requirements.sha256
}

command -v cargo >/dev/null || fail "install a Rust toolchain (1.92 or newer) with rustup"
install_packages
make_environment
models/.venv/bin/python models/build/build.py
echo "set-up is complete"
