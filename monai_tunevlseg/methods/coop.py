"""CoOp: learnable textual context, the same for every image."""

from __future__ import annotations

from monai_tunevlseg.methods.encoder_sizes import EncoderSizes
from monai_tunevlseg.methods.prompt_learner import TextContextLearner

__all__ = ["CoOp"]


class CoOp(TextContextLearner):
    """Textual context P_i (TuneVLSeg, eq. 5 and 6; Zhou et al., *Learning to Prompt for Vision-Language Models*, 2022).

    Args:
        encoders, num_context, prompt_depth: see :class:`~monai_tunevlseg.methods.PromptLearner`;
            depth 1 is the published CoOp.
        context_initializer: phrase that initializes the first layer's context; None for a Gaussian.
    """

    def __init__(
        self,
        encoders: EncoderSizes,
        num_context: int = 4,
        prompt_depth: int = 1,
        context_initializer: str | None = "a photo of a",
    ) -> None:
        super().__init__(encoders, num_context, prompt_depth, context_initializer)
