#!/usr/bin/env bash
# Trains the lifter: `make train DATA=FILE`. Python packages go into an environment of their own, models/train/.venv.
set -euo pipefail
cd "$(dirname "$0")/.."

data=${1:-}
if [ ! -f "$data" ]; then
    echo "make train DATA=FILE wants a file of motion capture, and there is none at \"$data\"; models/train/README.md tells what it holds" >&2
    exit 1
fi
environment=models/train/.venv
wanted=$(sha256sum models/train/requirements.txt)
if [ "$(cat "$environment/requirements.sha256" 2>/dev/null)" != "$wanted" ]; then
    echo "making $environment"
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --no-deps -r models/train/requirements.txt
    echo "$wanted" >"$environment/requirements.sha256"
fi
exec nice -n 19 "$environment/bin/python" models/train/train.py "$data"
