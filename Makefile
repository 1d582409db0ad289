# One command each. VENV may name another environment, LABEL_VENV another one for MONAI Label; PYTHON the interpreter
# that they are made from.
PYTHON ?= python3
VENV ?= .venv
LABEL_VENV ?= .venv-label
MODEL ?= clipseg
LEARNER ?= vpt
DATASET ?= ultrasound

bin := $(VENV)/bin
old := is Python %d.%d, and monai_tunevlseg needs 3.11 or newer; name such an interpreter: make PYTHON=python3.11
check_python = $(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("$(PYTHON) $(old)" % sys.version_info[:2])'

.PHONY: demo test test-label lint types bundles bench clean

demo: $(VENV)/installed
	$(bin)/python -m monai_tunevlseg demo --model $(MODEL) --learner $(LEARNER) --dataset $(DATASET)

test: $(VENV)/installed-test
	$(bin)/python -m pytest -n 2

# startup/ makes torchvision importable beside a CPU build of torch
test-label: $(LABEL_VENV)/installed
	PYTHONPATH=$(CURDIR)/monai_tunevlseg/label/startup $(LABEL_VENV)/bin/python -m pytest tests/label

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
	@$(check_python)
	$(PYTHON) -m venv $(VENV)
	$(bin)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(bin)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

# torch first, and torchvision without dependencies, so that nothing puts another build of torch in its place
$(LABEL_VENV)/installed: setup.cfg constraints-label.txt
	@$(check_python)
	$(PYTHON) -m venv $(LABEL_VENV)
	$(LABEL_VENV)/bin/python -m pip install --quiet --constraint constraints-label.txt torch
	$(LABEL_VENV)/bin/python -m pip install --quiet --constraint constraints-label.txt --no-deps torchvision
	$(LABEL_VENV)/bin/python -m pip install --quiet --constraint constraints-label.txt --editable '.[label]' pytest
	touch $@

clean:
	rm -rf $(VENV) $(LABEL_VENV) demo_output runs .pytest_cache .mypy_cache .ruff_cache
