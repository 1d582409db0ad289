"""SharedAttention: unified context, mapped by a transformer block and split into textual and visual context."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from monai_tunevlseg.methods.encoder_sizes import EncoderSizes
from monai_tunevlseg.methods.prompt_learner import PromptLearner, gaussian_context

__all__ = ["SharedAttention"]


class SharedAttention(PromptLearner):
    """Unified context of width text_dim + vision_dim, through one transformer block per layer (TuneVLSeg, eq. 9).

    The block attends over the ``num_context`` vectors as a sequence; its output is split into the textual context
    (first ``text_dim`` columns) and the visual one. :meth:`evaluated` runs the blocks once for both, so that in
    training both are parts of one [P, P~] = U(P^), with the same dropout.

    Args:
        encoders, num_context, prompt_depth: see :class:`~monai_tunevlseg.methods.PromptLearner`.
        nhead: number of attention heads; must divide text_dim + vision_dim.
        dim_feedforward: width of the block's feed-forward layer.
        dropout: dropout probability of the block, in [0, 1].
        norm_first: whether to normalize before attention and feed-forward layer instead of after them.

    Raises:
        ValueError: when ``nhead`` does not divide the width.
    """

    prompts_text = True
    prompts_vision = True

    def __init__(
        self,
        encoders: EncoderSizes,
        num_context: int = 4,
        prompt_depth: int = 1,
        nhead: int = 16,
        dim_feedforward: int = 1280,
        dropout: float = 0.1,
        norm_first: bool = False,
    ) -> None:
        super().__init__(encoders, num_context, prompt_depth)
        width = self.text_dim + self.vision_dim
        if nhead < 1 or width % nhead:
            raise ValueError(
                f"nhead {nhead} of SharedAttention does not divide its width {width} "
                f"(text {self.text_dim} + vision {self.vision_dim}); choose a divisor of {width}."
            )
        self.unified: list[Tensor] | None = None
        self.context = gaussian_context(prompt_depth, num_context, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, nhead, dim_feedforward, dropout, batch_first=True, norm_first=norm_first)
            for _ in range(prompt_depth)
        )

    def text_context(self, layer: int, image_embedding: Tensor | None = None) -> Tensor:
        """Return the textual part of the unified context, (num_context, text_dim)."""
        return self._unified(layer)[:, : self.text_dim]

    def visual_context(self, layer: int) -> Tensor:
        """Return the visual part of the unified context, (num_context, vision_dim)."""
        return self._unified(layer)[:, self.text_dim :]

    def precomputed(self) -> SharedAttention:
        """Return a view of this method that holds the output of each block."""
        view = copy.copy(self)
        view.unified = [self._unified(layer) for layer in range(self.prompt_depth)]
        return view

    def _unified(self, layer: int) -> Tensor:
        if self.unified is not None:
            return self.unified[layer]
        sequence = self.context[layer].unsqueeze(0)  # (1, num_context, width)
        return self.blocks[layer](sequence).squeeze(0)
