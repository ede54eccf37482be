.DEFAULT_GOAL := help
.PHONY: help setup setup-gpu setup-tests build run install uninstall deb test test-cluster soak-cluster test-blender lint bench bench-results bench-networks corpus accuracy train gallery clean

PREFIX ?= /usr/local
DESTDIR ?=
export PREFIX DESTDIR

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/'

setup:           ## install packages, build the models, fetch the sample clip (each only if missing)
	@bash scripts/setup.sh

setup-gpu: setup ## have an NVIDIA GPU run the networks: ONNX Runtime for it, CUDA, cuDNN (1.4 GB)
	@bash scripts/setup-gpu.sh

build: setup     ## build the program: target/release/meshreel
	cargo build --release --locked

run: build       ## run on demo/in, which holds the sample clip (without a terminal: process what is there and exit)
	@mkdir -p demo/in && { test -e demo/in/demo.mp4 || cp fixtures/media/demo.mp4 demo/in/; }
	@test -t 1 && once= || once=--once; target/release/meshreel run $$once --config fixtures/demo.toml

install:         ## install what `make build` made: [PREFIX=/usr/local] [DESTDIR=]
	@bash scripts/install.sh install

uninstall:       ## remove what `make install` installed: with the same PREFIX and DESTDIR
	@bash scripts/install.sh uninstall

deb:             ## make a package for Debian or Ubuntu of what `make build` made: target/meshreel_*.deb
	@bash scripts/deb.sh

setup-tests: setup ## install what the tests read results with: other programs' readers, a browser (0.9 GB)
	@bash scripts/setup-readers.sh readers
	@bash scripts/setup-readers.sh chromium

test: setup-tests ## run all tests
	cargo test --profile ci --locked

test-cluster: setup ## run jobs on a real Slurm cluster of three nodes, which is started here (as root; installs Slurm)
	@bash scripts/setup-cluster.sh
	cargo test --profile ci --locked --test cluster -- --ignored --test-threads 1

soak-cluster: build ## let a Slurm cluster work under bad treatment (as root): [MINUTES=20]
	@bash scripts/setup-cluster.sh
	@python3 scripts/soak_cluster.py --minutes $(or $(MINUTES),20)

test-blender: build ## have Blender open exports (fetches it as a Python module, 1 GB, Python 3.11)
	@bash scripts/setup-readers.sh blender
	@bash tests/readers/blender.sh

lint: setup      ## formatting, clippy, documentation
	cargo fmt --check
	cargo clippy --profile ci --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --profile ci --locked --no-deps

bench: build     ## measure beside FFmpeg alone (about 8 minutes)
	@models/.venv/bin/python scripts/bench.py

bench-results: build setup-tests ## measure drawing again, and exporting an hour of ten people (about 20 minutes, 8 GB of disk)
	@python3 scripts/bench_results.py

bench-networks: build ## measure a stand-in for HMR2, a network of one's own, at its real size (about 10 minutes, 2.7 GB of disk)
	@models/.venv/bin/python scripts/bench_networks.py

corpus: build    ## process more than 200 odd files, made from the sample clip, and check what comes out (a minute or two)
	@python3 scripts/corpus.py --meshreel target/release/meshreel

accuracy: build  ## measure the joints in 3D against four calibrated cameras (fetches 80 MB once)
	@models/.venv/bin/python scripts/accuracy.py
	@models/.venv/bin/python scripts/overlap.py
	@models/.venv/bin/python scripts/odd_poses.py

train:           ## train the lifter on motion capture: DATA=FILE (models/train/README.md)
	@bash scripts/train.sh "$(DATA)"

gallery: build setup-tests ## make the pictures of docs/gallery anew (with Blender as for test-blender)
	@bash scripts/setup-readers.sh blender
	@python3 scripts/gallery.py

clean:           ## remove what was built and fetched
	cargo clean
	rm -rf models/*.onnx models/*.safetensors models/*.so models/built.json models/.cache models/.venv models/train/.venv models/gpu models/optimized fixtures/media demo
