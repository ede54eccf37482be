#!/usr/bin/env bash
# Has Blender open exports of the sample clip and of made-up motions, and run the scripts beside them.
set -euo pipefail
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
program=${MESHREEL:-../../target/release/meshreel}
.venv-blender/bin/python make_motion.py "$folder"
"$program" process ../../fixtures/media/demo.mp4 -o "$folder" --progress none
for motion in "$folder"/*.motion.jsonl; do
    case $motion in */empty.* | */unknown.*) continue ;; esac
    "$program" export "$motion" --format glb,npz -o "$folder/out" >/dev/null
    .venv-blender/bin/python blender.py "$folder/out" "$motion"
done
