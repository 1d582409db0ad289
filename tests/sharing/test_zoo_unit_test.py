"""The unit test for the Model Zoo runs in a folder like its repository, and fails for a broken bundle."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from shared_names import NAME

UTILS = """
def check_workflow(workflow, check_properties=False):
    workflow.initialize()
    if check_properties and workflow.check_properties():
        raise ValueError(workflow.check_properties())
    workflow.run()
    workflow.finalize()
"""
"""What a test uses of the Model Zoo's ``ci/unit_tests/utils.py``."""


@pytest.fixture
def repository(shared, tmp_path):
    shutil.copytree(shared[0] / NAME, tmp_path / "models" / NAME)
    (tmp_path / "ci" / "unit_tests").mkdir(parents=True)
    (tmp_path / "ci" / "unit_tests" / "utils.py").write_text(UTILS)
    shutil.copy(shared[0] / f"test_{NAME}.py", tmp_path / "ci" / "unit_tests")
    return tmp_path


def run_unit_test(repository):
    test = f"test_{NAME}"
    environment = os.environ | {"PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{repository}/ci/unit_tests"}
    command = [sys.executable, "-m", "unittest", "--failfast", test]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, env=environment, check=False)


def test_the_unit_test_passes_and_leaves_the_bundle_unchanged(repository):
    files = {path: path.read_bytes() for path in (repository / "models").rglob("*") if path.is_file()}
    finished = run_unit_test(repository)
    assert finished.returncode == 0 and "Ran 3 tests" in finished.stderr, finished.stderr[-3000:]
    assert {path: path.read_bytes() for path in (repository / "models").rglob("*") if path.is_file()} == files


def test_the_unit_test_fails_for_a_broken_bundle(repository):
    config = repository / "models" / NAME / "configs" / "evaluate.yaml"
    config.write_text(config.read_text().replace("prompt_depth: 3", "prompt_depth: 99"))
    assert "FAILED" in run_unit_test(repository).stderr
