"""CoCoOp: textual context shifted by a projection of the image."""

from __future__ import annotations

from torch import Tensor, nn

from monai_tunevlseg.methods._projection import Projection
from monai_tunevlseg.methods.encoder_sizes import EncoderSizes
from monai_tunevlseg.methods.prompt_learner import TextContextLearner

__all__ = ["CoCoOp"]


class CoCoOp(TextContextLearner):
    """Textual context P_i plus a projection of the image-level embedding (TuneVLSeg, section 4.1).

    Source: Zhou et al., *Conditional Prompt Learning for Vision-Language Models*, 2022.

    Args:
        encoders, num_context, prompt_depth: see :class:`~monai_tunevlseg.methods.PromptLearner`;
            depth 1 is the published CoCoOp.
        context_initializer: phrase that initializes the first layer's context; None for a Gaussian.
        intermediate_dim: bottleneck of the projections.
        linear_projection: omit the activation of the projections; "LoRA" in Table 2 of TuneVLSeg.
    """

    image_conditioned = True

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
            Projection(encoders.image_embed_dim, self.text_dim, intermediate_dim, linear_projection, norm_bias=False)
            for _ in range(prompt_depth)
        )

    def text_context(self, layer: int, image_embedding: Tensor | None = None) -> Tensor:
        """Return P_i plus the projected image, (S, num_context, text_dim) for an embedding (S, image_embed_dim).

        Raises:
            ValueError: when the image embedding is missing.
        """
        if image_embedding is None:
            raise ValueError("CoCoOp's textual context depends on the image; pass image_embedding.")
        shift = self.projections[layer](image_embedding)  # (S, text_dim)
        return self.context[layer] + shift.unsqueeze(1)
