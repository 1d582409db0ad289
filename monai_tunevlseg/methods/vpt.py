"""VPT: learnable visual context."""

from __future__ import annotations

from torch import Tensor

from monai_tunevlseg.methods.encoder_sizes import EncoderSizes
from monai_tunevlseg.methods.prompt_learner import PromptLearner, gaussian_context

__all__ = ["VPT"]


class VPT(PromptLearner):
    """Visual context (TuneVLSeg, eq. 7 and 8; Jia et al., *Visual Prompt Tuning*, 2022).

    Args:
        encoders, num_context, prompt_depth: see :class:`~monai_tunevlseg.methods.PromptLearner`.
    """

    prompts_vision = True

    def __init__(
        self,
        encoders: EncoderSizes,
        num_context: int = 4,
        prompt_depth: int = 1,
    ) -> None:
        super().__init__(encoders, num_context, prompt_depth)
        self.context = gaussian_context(prompt_depth, num_context, self.vision_dim)

    def visual_context(self, layer: int) -> Tensor:
        """Return the visual context of one layer, (num_context, vision_dim)."""
        return self.context[layer]
