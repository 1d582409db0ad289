"""What every prompt learner is: a module that returns context vectors and knows no backbone."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

__all__ = ["CONTEXT_STD", "PromptLearner", "TextContextLearner", "gaussian_context"]

CONTEXT_STD = 0.02  # TuneVLSeg, section 7.2: Gaussian contexts have mean 0 and standard deviation 0.02


def gaussian_context(*shape: int) -> nn.Parameter:
    """Draw a learnable context from normal(0, 0.02)."""
    return nn.Parameter(torch.randn(*shape) * CONTEXT_STD)


class PromptLearner(nn.Module):
    """Base of all prompt learners (the paper's context methods).

    A method holds the context of the first ``prompt_depth`` transformer layers (J in the paper) and returns it
    layer by layer. It keeps nothing between calls.

    Args:
        text_dim: width of the text encoder.
        vision_dim: width of the vision transformer; None where the vision encoder is none.
        image_embed_dim: width of the image-level embedding.
        num_layers: number of layers of the encoder that is prompted; of the shallower one when both are.
        num_context: number of context vectors a layer, B in the paper.
        prompt_depth: number of layers with context of their own, J in the paper; 1 is the input alone.

    Raises:
        ValueError: when ``num_context`` is below 1, ``prompt_depth`` is outside 1..``num_layers``, or the method
            prompts a vision transformer that is not there.
    """

    prompts_text: ClassVar[bool] = False
    prompts_vision: ClassVar[bool] = False
    image_conditioned: ClassVar[bool] = False
    # arguments that do not change what a trained context means: a checkpoint loads whatever their value is
    training_only_arguments: ClassVar[frozenset[str]] = frozenset({"context_initializer", "dropout"})

    def __init__(
        self,
        text_dim: int,
        vision_dim: int | None,
        image_embed_dim: int,
        num_layers: int,
        num_context: int,
        prompt_depth: int,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if self.prompts_vision and vision_dim is None:
            raise ValueError(f"{name} prompts a vision transformer, and this network has none; use CoOp or CoCoOp.")
        if num_context < 1:
            raise ValueError(f"num_context {num_context} of {name} must be at least 1.")
        if not 1 <= prompt_depth <= num_layers:
            raise ValueError(
                f"prompt_depth {prompt_depth} of {name} is outside 1..{num_layers}, the number of layers it can prompt."
            )
        self.text_dim = text_dim
        self.vision_dim = vision_dim or 0
        self.image_embed_dim = image_embed_dim
        self.num_context = num_context
        self.prompt_depth = prompt_depth

    def evaluated(self) -> PromptLearner:
        """Return what gives the contexts of one step, however often both encoders ask for them.

        That is the method itself, unless what it computes is random while it trains and common to both sides.
        """
        return self

    def text_context(self, layer: int, image_embedding: Tensor | None = None) -> Tensor:
        """Return the textual context P_i of one layer.

        Args:
            layer: index i of the layer, 0 <= i < ``prompt_depth``.
            image_embedding: (S, image_embed_dim), the image-level embedding of each text sequence; only for methods
                that are ``image_conditioned``.

        Returns:
            (num_context, text_dim), or (S, num_context, text_dim) for methods that are ``image_conditioned``.

        Raises:
            NotImplementedError: when the method does not prompt the text encoder.
        """
        raise NotImplementedError(f"{type(self).__name__} does not prompt the text encoder.")

    def visual_context(self, layer: int) -> Tensor:
        """Return the visual context of one layer.

        Args:
            layer: index i of the layer, 0 <= i < ``prompt_depth``.

        Returns:
            (num_context, vision_dim).

        Raises:
            NotImplementedError: when the method does not prompt the vision encoder.
        """
        raise NotImplementedError(f"{type(self).__name__} does not prompt the vision encoder.")


class TextContextLearner(PromptLearner):
    """A method whose context lives in the space of token embeddings: CoOp, CoCoOp and MaPLe.

    Args:
        context_initializer: phrase whose token embeddings the first layer's context starts from (TuneVLSeg,
            section 7.2); None leaves it Gaussian. The network, which owns the tokenizer, looks the embeddings up.
        text_dim, vision_dim, image_embed_dim, num_layers, num_context, prompt_depth: see :class:`PromptLearner`.
    """

    prompts_text = True

    def __init__(
        self,
        text_dim: int,
        vision_dim: int | None,
        image_embed_dim: int,
        num_layers: int,
        num_context: int,
        prompt_depth: int,
        context_initializer: str | None,
    ) -> None:
        super().__init__(text_dim, vision_dim, image_embed_dim, num_layers, num_context, prompt_depth)
        self.context_initializer = context_initializer
        self.context = gaussian_context(prompt_depth, num_context, text_dim)

    def initialize_first_context(self, embeddings: Tensor) -> None:
        """Start the first layer's context from token embeddings.

        Args:
            embeddings: (N, text_dim); of N tokens the first ``num_context`` are used, and where N is smaller the
                context vectors that are left over stay Gaussian.
        """
        count = min(self.num_context, len(embeddings))
        with torch.no_grad():
            self.context[0, :count] = embeddings[:count]

    def text_context(self, layer: int, image_embedding: Tensor | None = None) -> Tensor:
        """Return P_i, (num_context, text_dim); see :meth:`PromptLearner.text_context`."""
        return self.context[layer]
