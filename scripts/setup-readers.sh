#!/usr/bin/env bash
# Set-up of the independent readers that the tests check exported files with, each step skipped when it is already done:
# tests/readers/.venv (0.45 GB) and tests/readers/node_modules (40 MB). None of it needs root.
# `setup-readers.sh blender` makes tests/readers/.venv-blender (0.95 GB), `setup-readers.sh chromium` installs the browser.
set -euo pipefail
cd "$(dirname "$0")/../tests/readers"

fail() {
    echo "set-up failed: $1" >&2
    exit 1
}

# make_environment FOLDER REQUIREMENTS FIRST LAST: a Python environment from a file of pinned packages with hashes.
make_environment() {
    local folder=$1 requirements=$2 first=$3 last=$4 wanted
    wanted=$(sha256sum "$requirements" pose2sim.txt)
    [ "$(cat "$folder/requirements.sha256" 2>/dev/null)" = "$wanted" ] && "$folder/bin/python" -c '' 2>/dev/null && return
    python3 -c "import sys; sys.exit(not (3, $first) <= sys.version_info[:2] <= (3, $last))" ||
        fail "$(command -v python3) is $(python3 --version); Python 3.$first to 3.$last is needed, first on the PATH"
    echo "making tests/readers/$folder"
    rm -rf "$folder"
    python3 -m venv "$folder" || fail "run: apt-get install python3-venv"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$requirements" ||
        fail "could not install the Python packages; check the network and run this again"
    # Sports2D's angle functions are in one module of this wheel; its many dependencies are not needed for them.
    if [ "$folder" = .venv ]; then
        "$folder/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes -r pose2sim.txt -d "$folder" ||
            fail "could not fetch the pose2sim wheel; check the network and run this again"
        "$folder/bin/python" -m zipfile -e "$folder"/pose2sim-*.whl "$folder/pose2sim"
        mv "$folder/pose2sim/Pose2Sim/common.py" "$folder/pose2sim_common.py"
        rm -r "$folder/pose2sim" "$folder"/pose2sim-*.whl
    fi
    echo "$wanted" >"$folder/requirements.sha256"
}

install_node_packages() {
    local wanted
    wanted=$(sha256sum package-lock.json)
    [ "$(cat node_modules/lock.sha256 2>/dev/null)" = "$wanted" ] && return
    command -v npm >/dev/null || fail "run: apt-get install npm"
    node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || fail "Node 20 or newer is needed; found $(node --version)"
    echo "making tests/readers/node_modules"
    npm ci --silent --no-audit --no-fund --ignore-scripts || fail "could not install the Node packages; check the network and run this again"
    echo "$wanted" >node_modules/lock.sha256
}

# The browser that opens the report page in a test: the one step that needs root. Ubuntu has no such package, and gets the browser that
# playwright fetches.
install_chromium() {
    command -v chromium >/dev/null && return
    playwright_chromium >/dev/null 2>&1 && return
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "run as root: apt-get install chromium"
        sudo=(sudo)
    fi
    echo "installing chromium"
    "${sudo[@]}" apt-get update -qq || fail "apt-get update; check the network"
    if [ -n "$(apt-cache policy chromium | sed -n 's/.*Candidate: [0-9].*/yes/p')" ]; then
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null ||
            fail "run: ${sudo[*]} apt-get install chromium"
    else
        install_node_packages
        node node_modules/playwright-core/cli.js install --with-deps chromium-headless-shell ||
            fail "could not fetch Chromium; install any, so that \`chromium\` is found"
    fi
}

# Whether playwright has a browser of its own.
playwright_chromium() {
    node -e 'process.exit(require("fs").existsSync(require("playwright-core").chromium.executablePath()) ? 0 : 1)'
}

case "${1:-readers}" in
readers)
    make_environment .venv requirements.txt 11 13
    install_node_packages
    ;;
blender) make_environment .venv-blender requirements-blender.txt 11 11 ;;
chromium) install_chromium ;;
*) fail "unknown part \"$1\"; use readers, blender or chromium" ;;
esac
