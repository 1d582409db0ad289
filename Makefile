# VENV and LABEL_VENV are the environments of the package and of MONAI Label, PYTHON the interpreter that creates them.
PYTHON ?= python3
VENV ?= .venv
LABEL_VENV ?= .venv-label
MODEL ?= clipseg
METHOD ?= vpt
DATASET ?= ultrasound

bin := $(VENV)/bin
# $(call check_python,first unsupported minor version,requirement)
wrong = $(PYTHON) is Python %d.%d, and $(1); name such an interpreter: make PYTHON=python3.11
check_python = $(PYTHON) -c 'import sys; sys.version_info[1] in range(11, $(1)) or sys.exit("$(call wrong,$(2))" % sys.version_info[:2])'

.PHONY: demo test test-precision test-label lint types docs pictures bundles bench gpu-wheels check-gpu clean

demo: $(VENV)/installed
	$(bin)/python -m monai_tunevlseg demo --model $(MODEL) --method $(METHOD) --dataset $(DATASET)

test: $(VENV)/installed-test
	$(bin)/python -m pytest -n 2 --dist worksteal --durations 25

# the tests of numbers again in bfloat16, on processors with and without instructions for it
test-precision: $(VENV)/installed-test
	$(bin)/python -m pytest -m precision --precision bf16

# startup/ makes torchvision importable with a CPU build of torch
test-label: $(LABEL_VENV)/installed
	PYTHONPATH=$(CURDIR)/monai_tunevlseg/monai_label/startup $(LABEL_VENV)/bin/python -m pytest --durations 10 \
		tests/monai_label $(addprefix tests/app/,test_annotate.py test_label_process.py test_app_screenshot.py)

lint: $(VENV)/installed-test
	$(bin)/ruff check .
	$(bin)/ruff format --check .

types: $(VENV)/installed-test
	$(bin)/mypy

# the variable turns off an advertisement of the theme
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(bin)/python -m mkdocs build --strict

# docs/assets but the diagram: an hour on two cores, with Debian's chromium, orthanc and orthanc-dicomweb
pictures: $(VENV)/installed $(LABEL_VENV)/installed
	$(bin)/python -m monai_tunevlseg demo
	cp demo_output/ultrasound_clipseg_vpt/overview.png docs/assets/demo.png
	$(bin)/python -m monai_tunevlseg benchmark --preset curves --results curves_results
	$(bin)/python docs/report_picture.py curves_results/report/report.html docs/assets/report.png
	cp curves_results/report/figures/learning_curves_endoscopy.svg docs/assets/learning-curves.svg
	$(bin)/python -m monai_tunevlseg demo --dataset endoscopy
	TUNEVLSEG_RUN=demo_output/endoscopy_clipseg_vpt TUNEVLSEG_ARTIFACTS=$(CURDIR)/docs/assets \
		PYTHONPATH=$(CURDIR)/monai_tunevlseg/monai_label/startup \
		$(LABEL_VENV)/bin/python -m pytest tests/monai_label/test_dicom.py tests/app/test_app_screenshot.py

bundles: $(VENV)/installed
	$(bin)/python -m monai_tunevlseg bundles write

bench: $(VENV)/installed
	$(bin)/python benchmarks/speed.py

# What a bare Python 3.12 with PyTorch and transformers lacks; check-gpu itself needs no network, and writes the metadata of
# the package beside its code. pip takes exact names of platforms only.
gpu-wheels:
	$(PYTHON) -m pip download --quiet --dest .gpu/wheels --no-deps --only-binary=:all: --python-version 3.12 \
	  --implementation cp $(foreach n,39 34 31 28 27 24 17,--platform manylinux_2_$(n)_x86_64) \
	  --platform manylinux2014_x86_64 --constraint constraints.txt --requirement benchmarks/gpu_requirements.txt

check-gpu:
	test ! -d .gpu/wheels || \
	  $(PYTHON) -m pip install --quiet --no-index --no-deps --upgrade --target .gpu/site .gpu/wheels/*.whl
	$(PYTHON) -c 'import setuptools; setuptools.setup()' --quiet egg_info
	PYTHONPATH="$(CURDIR):$(CURDIR)/.gpu/site:$$PYTHONPATH" $(PYTHON) benchmarks/check_gpu.py --output gpu_check.json

$(VENV)/installed: setup.cfg constraints.txt
	@$(call check_python,1000,monai_tunevlseg needs 3.11 or newer)
	$(PYTHON) -m venv $(VENV)
	$(bin)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(bin)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(bin)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

# torch first, and torchvision without dependencies, so that nothing replaces this build of torch
$(LABEL_VENV)/torch: constraints-label.txt
	@$(call check_python,13,MONAI Label needs 3.11 or 3.12)
	$(PYTHON) -m venv $(LABEL_VENV)
	$(LABEL_VENV)/bin/python -m pip install --quiet --constraint constraints-label.txt torch
	$(LABEL_VENV)/bin/python -m pip install --quiet --constraint constraints-label.txt --no-deps torchvision
	touch $@

# after the other environment with make --jobs, because both installations write the egg-info of the checkout
others := $(filter demo test test-precision lint types docs pictures bundles bench,$(MAKECMDGOALS))
$(LABEL_VENV)/installed: setup.cfg $(LABEL_VENV)/torch | $(if $(others),$(VENV)/installed-test)
	$(LABEL_VENV)/bin/python -m pip install --quiet --constraint constraints-label.txt --editable '.[label,app]' pytest
	touch $@

clean:
	rm -rf $(VENV) $(LABEL_VENV) demo_output demo_results curves_results runs site .pytest_cache .mypy_cache .ruff_cache
