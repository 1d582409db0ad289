"""What every prompt learner is: a module that returns context vectors and knows no backbone."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from monai_tunevlseg.methods.encoder_sizes import EncoderSizes
from monai_tunevlseg.methods.method import Method

__all__ = ["CONTEXT_STD", "PromptLearner", "TextContextLearner", "gaussian_context"]

CONTEXT_STD = 0.02  # TuneVLSeg, section 7.2: Gaussian contexts have mean 0 and standard deviation 0.02


def gaussian_context(*shape: int) -> nn.Parameter:
    """Draw a learnable context from normal(0, 0.02)."""
    return nn.Parameter(torch.randn(*shape) * CONTEXT_STD)


class PromptLearner(Method):
    """Base of all prompt learners (the paper's context learners).

    A prompt learner holds the context of the first ``prompt_depth`` transformer layers (J in the paper) and returns it
    layer by layer. It keeps nothing between calls.

    Args:
        encoders: of the network.
        num_context: number of context vectors per layer, B in the paper.
        prompt_depth: number of layers with context of their own, J in the paper; 1 = the input alone.

    Raises:
        ValueError: when ``num_context`` is below 1, ``prompt_depth`` exceeds the layers of the prompted encoder (of the
            shallower one when both are), or visual prompts cannot be inserted.
    """

    training_only_arguments: ClassVar[frozenset[str]] = frozenset({"context_initializer", "dropout"})

    def __init__(self, encoders: EncoderSizes, num_context: int, prompt_depth: int) -> None:
        super().__init__()
        name = type(self).__name__
        if self.prompts_vision and encoders.vision_dim is None:
            raise ValueError(
                f"{name} prompts the vision encoder, but {encoders.no_visual_prompts or 'this one takes no prompts'}; "
                "use a method that prompts the text alone, such as CoOp."
            )
        if num_context < 1:
            raise ValueError(f"num_context {num_context} of {name} must be at least 1.")
        if self.prompts_text and num_context > (most := encoders.text_positions - 3):
            raise ValueError(
                f"num_context {num_context} leaves no room for a word among the {encoders.text_positions} tokens that "
                f"the text encoder takes; choose at most {most}."
            )
        layers = encoders.prompted_layers(self.prompts_text, self.prompts_vision)
        if not 1 <= prompt_depth <= layers:
            raise ValueError(
                f"prompt_depth {prompt_depth} of {name} is outside 1..{layers}, the number of layers it can prompt."
            )
        self.text_dim = encoders.text_dim
        self.vision_dim = encoders.vision_dim or 0
        self.num_context = num_context
        self.prompt_depth = prompt_depth

    def precomputed(self) -> PromptLearner:
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
    """A prompt learner whose context lives in the space of token embeddings: CoOp, CoCoOp and MaPLe.

    Args:
        encoders, num_context, prompt_depth: see :class:`PromptLearner`.
        context_initializer: phrase whose token embeddings the first layer's context starts from (TuneVLSeg,
            section 7.2); None leaves it Gaussian. The network, which owns the tokenizer, looks the embeddings up.
    """

    prompts_text = True

    def __init__(
        self, encoders: EncoderSizes, num_context: int, prompt_depth: int, context_initializer: str | None
    ) -> None:
        super().__init__(encoders, num_context, prompt_depth)
        self.context_initializer = context_initializer
        self.context = gaussian_context(prompt_depth, num_context, encoders.text_dim)

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
