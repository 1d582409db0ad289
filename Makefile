# One command each. VENV may name another environment; PYTHON the interpreter it is made from.
PYTHON ?= python3.11
VENV ?= .venv
MODEL ?= clipseg
LEARNER ?= vpt
DATASET ?= ultrasound

bin := $(VENV)/bin

.PHONY: demo test lint types bundles bench clean

demo: $(VENV)/installed
	$(bin)/python -m monai_tunevlseg demo --model $(MODEL) --learner $(LEARNER) --dataset $(DATASET)

test: $(VENV)/installed-test
	$(bin)/python -m pytest -n 2

lint: $(VENV)/installed-test
	$(bin)/ruff check .
	$(bin)/ruff format --check .

types: $(VENV)/installed-test
	$(bin)/mypy

bundles: $(VENV)/installed
	$(bin)/python -m monai_tunevlseg bundles write

bench: $(VENV)/installed
	$(bin)/python benchmarks/speed.py

$(VENV)/installed: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(bin)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(bin)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) demo_output runs .pytest_cache .mypy_cache .ruff_cache
