"""Export the network of a bundle to ONNX, with its texts folded in."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.utils import optional_import
from torch import Tensor, nn
from torch.onnx import symbolic_opset13

from monai_tunevlseg.atomic_files import atomic_file
from monai_tunevlseg.calibration import Calibration
from monai_tunevlseg.networks import PromptTunedNetwork, SegmentationNetwork
from monai_tunevlseg.segmenter import Segmenter

__all__ = ["OnnxFile", "convert_to_onnx", "export_onnx", "load_for_export"]

OPSET = 18  # the first with Col2Im, which CRIS needs
TOLERANCE = 1e-3
MAX_BYTES = 2**31 - 1  # of a protobuf file


@dataclass(frozen=True)
class OnnxFile:
    """A written ONNX file.

    Attributes:
        path: path of the file.
        difference: maximum absolute difference between its logits and the network's, on random images.
    """

    path: Path
    difference: float


def load_for_export(folder: str | Path, pretrained: str | Path | None = None, **overrides: Any) -> Segmenter:
    """Load a bundle for export: on the CPU, in float32, not compiled (see `Segmenter.from_bundle`)."""
    return Segmenter.from_bundle(folder, pretrained, "cpu", precision="fp32", compile=False, **overrides)


def export_onnx(
    folder: str | Path, path: str | Path, pretrained: str | Path | None = None, calibration: str = "auto"
) -> OnnxFile:
    """Export the network of a bundle to ONNX, and compare the logits of onnxruntime with the network's.

    The input is ``image``, (B, 3, H, W), normalized; the output is ``pred``, logits (B, K, H, W). B is dynamic.
    The texts are folded in: the graph has no text encoder unless the text features depend on the image. So are the
    temperatures of a calibration, so that the sigmoid of ``pred`` is the calibrated probability; the properties of the
    file have its ``thresholds``, which are 0.5 without a calibration.

    Args:
        folder: folder of the bundle.
        path: path of the ONNX file.
        pretrained: folder of the base model on this machine; None = as in the bundle's configs.
        calibration: auto = that of the checkpoint, if any; off = none.

    Raises:
        FileExistsError: when the file exists.
        FileNotFoundError: when the folder is not a bundle.
        ImportError: when onnx or onnxruntime is not installed.
        ValueError: when the weights do not fit into an ONNX file, or the logits of onnxruntime differ.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists; remove it, or choose another file.")
    onnx, has_onnx = optional_import("onnx")
    runtime, has_runtime = optional_import("onnxruntime")
    if not (has_onnx and has_runtime):
        raise ImportError("the ONNX export requires onnx and onnxruntime; pip install 'monai_tunevlseg[export]'.")
    segmenter = load_for_export(folder, pretrained, **({} if calibration == "auto" else {"calibration": calibration}))
    network, inferer = segmenter.network, segmenter.inferer
    _check_size(network)
    fitted, texts = inferer.calibration or Calibration({}), [network.class_names]
    temperatures = fitted.temperatures(texts)[0] if fitted.classes else None
    exported = onnx.load_from_string(convert_to_onnx(network, torch.rand(1, 3, *inferer.image_size), temperatures))
    properties = {
        "class_names": network.class_names,
        "thresholds": fitted.thresholds(texts)[0],
        "image_size": inferer.image_size[0],
        "image_mean": inferer.mean,
        "image_std": inferer.std,
        "base_fingerprint": network.identity().get("base_fingerprint"),
    }
    onnx.helper.set_model_props(exported, {name: json.dumps(value) for name, value in properties.items()})
    content = exported.SerializeToString()
    wanted = _exported_module(network, temperatures)
    difference = _max_difference(wanted, runtime.InferenceSession(content), torch.rand(2, 3, *inferer.image_size))
    if not difference <= TOLERANCE:
        raise ValueError(
            f"the logits of onnxruntime differ from the network's by {difference:.2g}; no file was written."
        )
    with atomic_file(path) as unfinished:
        unfinished.write_bytes(content)
    return OnnxFile(path, difference)


def _check_size(network: SegmentationNetwork) -> None:
    """Check that the weights of a network fit into an ONNX file.

    Raises:
        ValueError: when they do not; names their size.
    """
    left_out: tuple[str, ...] = ()
    if isinstance(network, PromptTunedNetwork):
        folded = network.method is None or not network.method.image_conditioned
        left_out = network.parts.other_outputs + (network.parts.text if folded else ())
    size = sum(
        weight.nbytes
        for name, weight in network.named_parameters()
        if not any(name.startswith(f"base.{part}.") for part in left_out)
    )
    if size > MAX_BYTES:
        raise ValueError(
            f"the weights of {type(network).__name__} take {size / 1e9:.1f} GB, and an ONNX file holds at most "
            f"{MAX_BYTES / 1e9:.1f} GB; export TorchScript with python -m monai.bundle ckpt_export."
        )


def convert_to_onnx(network: SegmentationNetwork, image: Tensor, temperatures: Sequence[float] | None = None) -> bytes:
    """Return the ONNX file of a network, whose adapter is merged into its weights as far as it is linear.

    The network is traced: torch's newer exporter requires one more package.

    Args:
        network: the network, on the CPU.
        image: example input, (1, 3, H, W).
        temperatures: divisors of the logits of each class; None = the network's own logits.
    """
    stream: Any = io.BytesIO()  # torch annotates paths only
    with warnings.catch_warnings(), torch.no_grad(), _translations():
        warnings.simplefilter("ignore")  # the tracer warns of every constant
        torch.onnx.export(
            _exported_module(network.merged(), temperatures),
            (image,),
            stream,
            input_names=["image"],
            output_names=["pred"],
            dynamic_axes={"image": {0: "batch"}, "pred": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return stream.getvalue()


class _ScaledNetwork(nn.Module):
    """A network whose logits are divided by temperatures."""

    def __init__(self, network: nn.Module, temperatures: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("temperatures", torch.tensor(temperatures)[None, :, None, None])

    def forward(self, image: Tensor) -> Tensor:
        """Return calibrated logits (B, K, H, W) of images (B, 3, H, W)."""
        logits: Tensor = self.network(image) / self.temperatures
        return logits


def _exported_module(network: nn.Module, temperatures: Sequence[float] | None) -> nn.Module:
    return network if temperatures is None else _ScaledNetwork(network, temperatures).eval()


@contextmanager
def _translations() -> Iterator[None]:
    """Use translations of operators in place of torch's faulty ones."""
    own: dict[str, Callable[..., Any]] = {"aten::col2im": _col2im, "aten::repeat_interleave": _repeat_interleave}
    for name, translation in own.items():
        torch.onnx.register_custom_op_symbolic(name, translation, OPSET)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # ONNX lacks its fused operators
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for name in own:
            torch.onnx.unregister_custom_op_symbolic(name, OPSET)


@torch.onnx.symbolic_helper.parse_args("v", "v", "v", "is", "is", "is")
def _col2im(
    graph: Any, columns: Any, size: Any, kernel: Any, dilation: list[int], padding: list[int], stride: list[int]
) -> Any:
    """Translate ``fold``; torch's own translation fails for sizes that are lists."""
    return graph.op(
        "Col2Im", columns, size, kernel, dilations_i=dilation, pads_i=[*padding, *padding], strides_i=stride
    )


@torch.onnx.symbolic_helper.parse_args("v", "v", "i", "v")
def _repeat_interleave(graph: Any, values: Any, repeats: Any, dim: int | None, output_size: Any) -> Any:
    """Translate ``repeat_interleave``; torch's own translation counts a negative ``dim`` from 0 in place.

    The constant may be shared with other operators, whose dimension would then change too.
    """
    own = None if dim is None else graph.op("Constant", value_t=torch.tensor(dim))
    return symbolic_opset13.repeat_interleave(graph, values, repeats, own, output_size)


def _max_difference(network: nn.Module, session: Any, images: Tensor) -> float:
    with torch.no_grad():
        wanted = network(images)
    found = torch.from_numpy(session.run(None, {"image": images.numpy()})[0])
    return float((found - wanted).abs().max()) if found.shape == wanted.shape else float("inf")
