"""Dice on the demo datasets after training in float32 and in bfloat16, with the embedded tiny base models.

python benchmarks/bfloat16_dice.py [--datasets ultrasound,endoscopy,echo] [--bundle clipseg_vpt] [--emulate]

On a processor without bfloat16 instructions an epoch takes minutes. With --emulate, matrix products, convolutions and
attention convert their bfloat16 arguments to float32, compute in float32 and round the result, like bfloat16
instructions, which multiply in bfloat16 and accumulate in float32.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from monai.bundle import run
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from monai_tunevlseg.data.demo_datasets import write_demo_dataset

ROOT = Path(__file__).resolve().parents[1]
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "convolution", "scaled_dot_product", "linear")
ATTENTION = "scaled_dot_product_flash_attention_for_cpu"


class ProductsInFloat32(TorchDispatchMode):
    """Compute products of bfloat16 tensors in float32, and round the results."""

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        """Run one operation."""
        name, keywords = operation._schema.name.removeprefix("aten::").lstrip("_"), keywords or {}
        rounded = any(isinstance(value, Tensor) and value.dtype == torch.bfloat16 for value in arguments)
        if not rounded or not name.startswith(PRODUCTS):
            return operation(*arguments, **keywords)
        arguments, keywords = tree_map_only(Tensor, to_float32, (arguments, keywords))
        result = operation(*arguments, **keywords)
        if name == ATTENTION:  # with bfloat16 instructions, the sums of its exponentials stay in float32, too
            return to_bfloat16(result[0]), *result[1:]
        return tree_map_only(Tensor, to_bfloat16, result)


def to_float32(value: Tensor) -> Tensor:
    """Convert bfloat16 to float32."""
    return value.float() if value.dtype == torch.bfloat16 else value


def to_bfloat16(value: Tensor) -> Tensor:
    """Round float32 to bfloat16."""
    return value.bfloat16() if value.dtype == torch.float32 else value


def dice_after_training(bundle: str, dataset: str, data: Path, precision: str, output: Path) -> float:
    """Train and test in a precision; return Dice on the test split in percent."""
    experiment = ROOT / "configs" / dataset / f"{bundle}.yaml"
    settings = {"precision": precision, "bundle_root": str(output), "dataset_dir": str(data), "show_progress": False}
    for config in ("train", "evaluate"):
        file = ROOT / "bundles" / bundle / "configs" / f"{config}.yaml"
        run(config_file=[str(file), str(experiment)], **settings)
    return json.loads((output / "eval" / "metrics.json").read_text())["dice"]


def main() -> None:
    """Train on every dataset in both precisions, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=lambda names: names.split(","), default=["ultrasound", "endoscopy", "echo"])
    parser.add_argument("--bundle", default="clipseg_vpt")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--emulate", action="store_true", help="for processors without bfloat16 instructions")
    arguments = parser.parse_args()
    table = Table("dataset", "float32", "bfloat16", "difference", title=arguments.bundle)
    with tempfile.TemporaryDirectory() as name:
        for dataset in arguments.datasets:
            data = write_demo_dataset(dataset, Path(name) / dataset, num_images=arguments.images)
            dice = {}
            for precision in ("fp32", "bf16"):
                with ProductsInFloat32() if arguments.emulate and precision == "bf16" else nullcontext():
                    output = Path(name) / f"{dataset}-{precision}"
                    dice[precision] = dice_after_training(arguments.bundle, dataset, data, precision, output)
            table.add_row(dataset, *(f"{value:.2f}" for value in dice.values()), f"{dice['bf16'] - dice['fp32']:+.2f}")
            Console().log(dataset, dice)
    Console().print(table)


if __name__ == "__main__":
    main()
