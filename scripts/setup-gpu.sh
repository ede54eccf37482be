#!/usr/bin/env bash
# ONNX Runtime for NVIDIA GPUs with CUDA and cuDNN into models/gpu, where meshreel finds it: 1.4 GB to download, 2 GB on
# the disk. Skipped when it is there.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "set-up failed: $1" >&2
    exit 1
}

requirements=models/build/requirements-gpu.txt
wanted=$(sha256sum "$requirements")
[ "$(cat models/gpu/requirements.sha256 2>/dev/null)" = "$wanted" ] && exit
[ "$(uname -m)" = x86_64 ] || fail "these packages are for x86-64; point onnxruntime.library at a GPU build for $(uname -m)"
echo "fetching ONNX Runtime for NVIDIA GPUs, CUDA and cuDNN (1.4 GB)"
rm -rf models/gpu models/.partial-gpu
# Only the libraries are used, so one Python's packages serve whatever Python is here.
models/.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --no-compile --target models/.partial-gpu \
    --only-binary=:all: --implementation cp --python-version 3.12 --platform manylinux_2_28_x86_64 \
    --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 -r "$requirements" ||
    fail "could not install the packages; check the network and the space on the disk, and run \`make setup-gpu\` again"
echo "$wanted" >models/.partial-gpu/requirements.sha256
mv models/.partial-gpu models/gpu
echo "models/gpu is complete; \`meshreel doctor\` says whether it works"
