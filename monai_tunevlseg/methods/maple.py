"""MaPLe: textual context, and visual context projected from it."""

from __future__ import annotations

from torch import Tensor, nn

from monai_tunevlseg.methods._projection import Projection
from monai_tunevlseg.methods.encoder_sizes import EncoderSizes
from monai_tunevlseg.methods.prompt_learner import TextContextLearner

__all__ = ["MaPLe"]


class MaPLe(TextContextLearner):
    """Textual context P_i and visual context U_i(P_i) (TuneVLSeg, section 4.3).

    Source: Khattak et al., *MaPLe: Multi-modal Prompt Learning*, 2023.

    Args:
        encoders, num_context, prompt_depth: see :class:`~monai_tunevlseg.methods.PromptLearner`.
        context_initializer: phrase that initializes the first layer's context; None for a Gaussian.
        intermediate_dim: bottleneck of the projections U_i.
        linear_projection: omit the activation of the projections; "LoRA" in Table 2 of TuneVLSeg.
    """

    prompts_vision = True

    def __init__(
        self,
        encoders: EncoderSizes,
        num_context: int = 4,
        prompt_depth: int = 1,
        context_initializer: str | None = "a photo of a",
        intermediate_dim: int = 64,
        linear_projection: bool = False,
    ) -> None:
        super().__init__(encoders, num_context, prompt_depth, context_initializer)
        self.projections = nn.ModuleList(
            Projection(self.text_dim, self.vision_dim, intermediate_dim, linear_projection) for _ in range(prompt_depth)
        )

    def visual_context(self, layer: int) -> Tensor:
        """Return the visual context U_i(P_i) of one layer, (num_context, vision_dim)."""
        return self.projections[layer](self.context[layer])
