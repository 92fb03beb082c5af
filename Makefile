# The words of this project; `make` alone lists them. Only git, make and g++ are needed before.
SHELL := /bin/bash
.DEFAULT_GOAL := words
# make study NAME=char
NAME ?=
# make install PREFIX=/opt/allometry [CUDA=1]
PREFIX ?= /usr/local
# make gpu-check DEVICE=cpu
DEVICE ?= cuda
.PHONY: words setup build programs install demo demo-clean study nvcc test test-slurm gpu-check bench check clean

# LIBTORCH=DIR takes that LibTorch instead of the one that setup fetches.
export LIBTORCH
# UPLOT=DIR likewise.
export UPLOT
CONFIGURE := cmake --log-level=NOTICE $(if $(LIBTORCH),-DALLOMETRY_LIBTORCH_DIR="$(LIBTORCH)") --preset
JOBS := $(shell nproc)

words: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)$$/\1\t\2/p' $(MAKEFILE_LIST) \
	  | while IFS=$$'\t' read -r word meaning; do printf 'make %-8s %s\n' "$$word" "$$meaning"; done

setup: ## install what is missing: Debian packages, LibTorch, uPlot
	@cmake/install_packages.sh
	@cmake/fetch_libtorch.sh
	@cmake/fetch_uplot.sh

build: setup ## setup, then everything in build/: programs in build/bin
	@echo "build: configuring and compiling in build/"
	@$(CONFIGURE) cpu >/dev/null
	@cmake/build.sh build
	@echo "build: done; the programs are in build/bin"

# What the demo needs: no tests, no benchmarks.
programs: setup
	@echo "build: configuring and compiling the programs in build/bin"
	@$(CONFIGURE) cpu >/dev/null
	@cmake/build.sh build programs

install: programs ## programs, LibTorch and deploy/ into PREFIX=/usr/local; CUDA=1 with the CUDA trainer
	@$(if $(CUDA),cmake/build.sh build allo-trainer-cuda)
	@DESTDIR="$(DESTDIR)" cmake --install build --prefix "$(abspath $(PREFIX))" >/dev/null
	@$(if $(CUDA),DESTDIR="$(DESTDIR)" cmake --install build --prefix "$(abspath $(PREFIX))" --component cuda >/dev/null)
	@echo "install: $(DESTDIR)$(abspath $(PREFIX))/bin/allo, and its libraries in lib/allometry"

demo: programs ## train sweeps/quickstart.yaml on two slots of this machine and fit it
	@deploy/demo.sh

demo-clean: ## stop the demo and remove its database and runs, build/demo
	@deploy/demo.sh clean

study: programs ## an experiment of sweeps/studies/, NAME=char; without a name, which there are
	@deploy/study.sh $(NAME)

# Tests compile CUDA sources, also where there is no GPU; without nvcc they are skipped.
nvcc: setup
	-@cmake/fetch_libtorch.sh --nvcc

test: nvcc build ## build, then every test
	-@cmake/install_packages.sh --tests
	ctest --test-dir build --output-on-failure --no-tests=error -j $(JOBS)

test-slurm: programs ## deploy/slurm on a real Slurm of four nodes on this machine; Debian, root, 15 min
	@tests/slurm/slurm_test.sh

gpu-check: ## on a GPU machine: the trainer alone, tested and timed into docs/results/gpu.md, 9 min; DEVICE=cpu rehearses
	@cmake/install_packages.sh --trainer
	@cmake/fetch_libtorch.sh
	@bench/gpu_check.py --device $(DEVICE)

bench: build ## speeds: training, fitting, the store, ingest over gRPC
	@bench/run.sh

check: setup ## format, layering, lint, clang's thread analysis, tests under sanitizers
	@cmake/check.sh

clean: ## remove what was built; datasets and LibTorch stay
	rm -rf build build-asan build-tsan build-clang build-cuda
