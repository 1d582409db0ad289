"""SharedSeparate: unified context, mapped to textual and visual context by two separate maps."""

from __future__ import annotations

from torch import Tensor, nn

from monai_tunevlseg.methods.encoder_sizes import EncoderSizes
from monai_tunevlseg.methods.prompt_learner import PromptLearner, gaussian_context

__all__ = ["SharedSeparate"]


class SharedSeparate(PromptLearner):
    """Unified context of width ``shared_dim``, mapped by (Linear, LayerNorm) to each encoder (TuneVLSeg, eq. 10, 11).

    Args:
        encoders, num_context, prompt_depth: see :class:`~monai_tunevlseg.methods.PromptLearner`.
        shared_dim: width of the unified context.

    Raises:
        ValueError: when ``shared_dim`` is below 1.
    """

    prompts_text = True
    prompts_vision = True

    def __init__(
        self,
        encoders: EncoderSizes,
        num_context: int = 4,
        prompt_depth: int = 1,
        shared_dim: int = 64,
    ) -> None:
        super().__init__(encoders, num_context, prompt_depth)
        if shared_dim < 1:
            raise ValueError(f"shared_dim {shared_dim} of SharedSeparate must be at least 1.")
        self.context = gaussian_context(prompt_depth, num_context, shared_dim)
        self.text_maps = _affine_maps(prompt_depth, shared_dim, self.text_dim)
        self.vision_maps = _affine_maps(prompt_depth, shared_dim, self.vision_dim)

    def text_context(self, layer: int, image_embedding: Tensor | None = None) -> Tensor:
        """Return the textual part of the unified context, (num_context, text_dim)."""
        return self.text_maps[layer](self.context[layer])

    def visual_context(self, layer: int) -> Tensor:
        """Return the visual part of the unified context, (num_context, vision_dim)."""
        return self.vision_maps[layer](self.context[layer])


def _affine_maps(count: int, in_dim: int, out_dim: int) -> nn.ModuleList:
    """Return maps without a bias before the norm, because it would outweigh the small context, as in Projection."""
    return nn.ModuleList(
        nn.Sequential(nn.Linear(in_dim, out_dim, bias=False), nn.LayerNorm(out_dim)) for _ in range(count)
    )
