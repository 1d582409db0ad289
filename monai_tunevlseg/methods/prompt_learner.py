"""The base classes of prompt learners, which return context vectors and are independent of the backbone."""

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
    """Base class of all prompt learners (the paper's context learners).

    A prompt learner holds the context of the first ``prompt_depth`` transformer layers (J in the paper) and returns it
    layer by layer. It has no state between calls.

    Args:
        encoders: sizes of the network's encoders.
        num_context: number of context vectors per layer, B in the paper.
        prompt_depth: number of layers with their own context, J in the paper; 1 = the input alone.

    Raises:
        ValueError: when ``num_context`` is below 1 or exceeds the text encoder's positions, ``prompt_depth`` exceeds
            the layers of the prompted encoder (of the shallower one if both are prompted), or visual prompts cannot be
            inserted.
    """

    training_only_arguments: ClassVar[frozenset[str]] = frozenset({"context_initializer", "dropout"})

    def __init__(self, encoders: EncoderSizes, num_context: int, prompt_depth: int) -> None:
        super().__init__()
        name = type(self).__name__
        if self.prompts_vision and encoders.vision_dim is None:
            raise ValueError(
                f"{name} prompts the vision encoder, but {encoders.no_visual_prompts or 'this one supports none'}; "
                "use a method that prompts the text alone, such as CoOp."
            )
        if num_context < 1:
            raise ValueError(f"num_context {num_context} of {name} must be at least 1.")
        if self.prompts_text and num_context > (largest := encoders.text_positions - 3):
            raise ValueError(
                f"num_context {num_context} leaves no room for a word in the text encoder's "
                f"{encoders.text_positions} positions; choose at most {largest}."
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
        """Return a prompt learner for one forward pass, in which both encoders get contexts of the same computation.

        This is the method itself, unless both contexts depend on a common computation that is random in training.
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
    """A prompt learner whose context vectors are token embeddings: CoOp, CoCoOp and MaPLe.

    Args:
        encoders, num_context, prompt_depth: see :class:`PromptLearner`.
        context_initializer: phrase whose token embeddings initialize the first layer's context (TuneVLSeg,
            section 7.2); None for a Gaussian. The network, which owns the tokenizer, looks up the embeddings.
    """

    prompts_text = True

    def __init__(
        self, encoders: EncoderSizes, num_context: int, prompt_depth: int, context_initializer: str | None
    ) -> None:
        super().__init__(encoders, num_context, prompt_depth)
        self.context_initializer = context_initializer
        self.context = gaussian_context(prompt_depth, num_context, encoders.text_dim)

    def initialize_first_context(self, embeddings: Tensor) -> None:
        """Initialize the first layer's context with token embeddings.

        Args:
            embeddings: (N, text_dim); the first ``num_context`` are used. If N is smaller, the remaining context
                vectors stay Gaussian.
        """
        count = min(self.num_context, len(embeddings))
        with torch.no_grad():
            self.context[0, :count] = embeddings[:count]

    def text_context(self, layer: int, image_embedding: Tensor | None = None) -> Tensor:
        """Return P_i, (num_context, text_dim); see :meth:`PromptLearner.text_context`."""
        return self.context[layer]
