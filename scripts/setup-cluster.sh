#!/usr/bin/env bash
# What `make test-cluster` needs: Slurm and munge, for a cluster of three nodes on this machine. Skipped when they are there.
set -euo pipefail

for command in sbatch slurmctld slurmd munged taskset; do
    command -v $command >/dev/null || missing=1
done
[ -n "${missing:-}" ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "set-up failed: install Slurm with its daemons (slurm-wlm) and munge" >&2
    exit 1
fi
echo "installing Slurm"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge util-linux >/dev/null
