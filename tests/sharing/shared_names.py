"""The experiment that is shared in these tests, and the name of its bundle."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT, NAME = "ultrasound/clipseg_vpt", "ultrasound_lesion_clipseg_vpt"
