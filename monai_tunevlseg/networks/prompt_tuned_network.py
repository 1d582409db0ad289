"""The base class of all networks that tune a frozen base model: texts, forward pass and identity."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from monai_tunevlseg.methods import (
    METHODS,
    Adapter,
    AdapterSites,
    EncoderSizes,
    Method,
    PromptLearner,
    TextContextLearner,
    with_defaults,
)
from monai_tunevlseg.networks.base_model import BaseModel
from monai_tunevlseg.networks.frozen_base_network import FrozenBaseNetwork
from monai_tunevlseg.networks.identity import require_equal, require_equal_entries
from monai_tunevlseg.networks.module_copies import copy_modules
from monai_tunevlseg.networks.presence import pooled_logit
from monai_tunevlseg.networks.repeated_rows import repeat_rows
from monai_tunevlseg.networks.segmentation_network import SegmentationNetwork
from monai_tunevlseg.networks.texts import Tokens, check_class_tokens, tokenize, validate_texts
from monai_tunevlseg.segmentation import Segmentation

__all__ = ["ImageFeatures", "PromptTunedNetwork", "TextFeatures"]

TextFeatures = dict[str, Tensor]  # name -> (S, ...), one row per text sequence


class ImageFeatures(dict[str, Tensor]):
    """Text-independent features of B images: name -> (B, ...), one row per image.

    ``embedding`` (B, image_embed_dim) is the image-level embedding, present on request. The features depend on the
    images alone if the network's ``trained.image_is_constant`` is true.
    """

    def to(self, *arguments: Any, **settings: Any) -> ImageFeatures:
        """Move all tensors, as ``Tensor.to`` does."""
        return ImageFeatures({name: value.to(*arguments, **settings) for name, value in self.items()})


class PromptTunedNetwork(FrozenBaseNetwork, SegmentationNetwork):
    """A VLSM: a frozen base model, tuned by a method and an upsampler.

    Subclasses define how the base model encodes images, encodes texts and decodes both.

    Args:
        base_model: the loaded VLSM.
        class_names: K texts, the default of ``forward``.
        method: registered name of the method, or None.
        method_kwargs: the method's own arguments, such as ``num_context`` and ``prompt_depth``.
        upsampler: whether to mix the learnable upsampler into the logits (TuneVLSeg, section 5).
        unfreeze: trainable part of the base model: None, "decoder" (all but the two encoders) or "all".

    Attributes:
        text_features: cached features by text; used only if ``trained.text_is_constant``.

    Raises:
        ValueError: when class names are missing, empty or equal after tokenization; when the method or one of its
            arguments is invalid, or ``unfreeze`` is unknown.
    """

    load_base: ClassVar[Callable[..., BaseModel]]
    """Loader of the base model: ``load_base(pretrained, expected_fingerprint=None)``."""
    no_visual_prompts: ClassVar[str | None] = None
    """Reason why visual prompts cannot be inserted, as the end of a sentence; None if they can."""
    text_embedding: ClassVar[str]
    """Name of the text feature in the space of the image-level embedding."""
    condition: ClassVar[str]
    """Name of the text feature that conditions the decoder, and that adapters can change."""
    pairs_per_chunk: ClassVar[int] = 4
    """(image, text) pairs that are decoded at a time on a CPU, so that a decoder's tensors fit into its cache."""
    layer_functions: ClassVar[tuple[str, ...]] = ()
    """Names of static methods that run the layers of a list in place of the layers' own forward."""

    def __init__(
        self,
        base_model: BaseModel,
        class_names: Sequence[str],
        method: str | None = None,
        method_kwargs: Mapping[str, Any] | None = None,
        upsampler: bool = True,
        unfreeze: str | None = None,
    ) -> None:
        super().__init__(base_model.model, unfreeze)
        self.class_names = validate_texts(class_names, "class_names")
        self.base_name, self.base_fingerprint = base_model.name, base_model.fingerprint
        self.tokenizer = base_model.tokenizer
        self.image_size = base_model.image_size
        self.method_name = method
        self.method_kwargs = with_defaults(method, method_kwargs or {}) if method else {}
        self.method = self._build_method()
        self._attach(self.method)
        self.upsampler = self._build_upsampler() if upsampler else None
        check_class_tokens(self.tokenizer, self.class_names, self._max_tokens())
        self.text_features: dict[str, TextFeatures] = {}

    @property
    def example_image_size(self) -> int:
        """Side of the images that the base model was trained on, in pixels."""
        return self.image_size

    @abstractmethod
    def encoder_sizes(self) -> EncoderSizes:
        """Return the encoders' widths and depths, from which methods are built."""

    def adapter_sites(self) -> AdapterSites:
        """Return the places of the base model where adapters can act; by default the condition alone."""
        return AdapterSites(condition_dim=self.encoder_sizes().image_embed_dim)

    @property
    @abstractmethod
    def repeated_layers(self) -> tuple[str, ...]:
        """Names of the base model's lists of identical layers, which run in sequence."""

    @abstractmethod
    def embed_tokens(self, token_ids: Tensor) -> Tensor:
        """Look up token embeddings: (N,) -> (N, text_dim)."""

    @abstractmethod
    def encode_image(
        self, image: Tensor, learner: PromptLearner | None = None, embed: bool | None = None
    ) -> ImageFeatures:
        """Compute the text-independent features of images.

        Args:
            image: (B, 3, H, W), normalized with the base model's mean and standard deviation.
            learner: prompt learner that returns the contexts; None for the network's own.
            embed: whether to return the image-level ``embedding`` too; None = if the method is conditioned on it.
        """

    @abstractmethod
    def encode_text(
        self, tokens: Tokens, image_embedding: Tensor | None, learner: PromptLearner | None = None
    ) -> TextFeatures:
        """Encode S token sequences.

        Args:
            tokens: ids and mask, each (S, N).
            image_embedding: (S, image_embed_dim) of each sequence's image, or None.
            learner: prompt learner that returns the contexts; None for the network's own.

        Returns:
            the features ``text_embedding`` and ``condition``, and others that ``decode`` reads; if ``text_taps`` names
            T layers, also ``end_states`` (S, T, text_dim), the states of the end token after each.
        """

    def expand_image_features(self, features: ImageFeatures) -> ImageFeatures:
        """Return what :meth:`decode` reads of the images, from the output of :meth:`encode_image`.

        It runs once per call of the network. A network whose features are larger than what they are quickly computed
        from overrides it, because the feature cache keeps the output of :meth:`encode_image`.
        """
        return features

    @abstractmethod
    def decode(self, image_features: ImageFeatures, text_features: TextFeatures) -> Tensor:
        """Decode B images with k texts each, text features (B, k, ...), to logits (B, k, H, W)."""

    def decode_with_presence(
        self, image_features: ImageFeatures, text_features: TextFeatures
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode as ``decode`` does, and score the presence of each text, by default by its mask.

        VLSMs with a score of their own, or with features that tell more than the mask, override it.

        Returns:
            logits (B, k, H, W), the logits of the texts' presence (B, k), and its evidence (B, k, D), as in a
            ``Segmentation``.
        """
        logits = self.decode(image_features, text_features)
        score = pooled_logit(logits)
        return logits, score, score.unsqueeze(2)

    @abstractmethod
    def _build_upsampler(self) -> nn.Module: ...

    def forward(
        self,
        image: Tensor | ImageFeatures,
        text: Sequence[str] | Sequence[Sequence[str]] | None = None,
        presence: bool = False,
    ) -> Tensor | Segmentation:
        """Segment images by text; the image may be given by the output of ``encode_image``."""
        if not isinstance(image, ImageFeatures):
            return super().forward(image, text, presence)
        texts, index = self._indexed_texts(text, next(iter(image.values())))
        learner = self._precomputed_learner()
        if presence:
            return Segmentation(*self._decode_texts(image, texts, index, learner, presence=True))
        return self._decode_texts(image, texts, index, learner)[0]

    def segment(self, image: Tensor, texts: list[str], index: Tensor) -> Tensor:
        """Encode images and texts, and decode both."""
        learner = self._precomputed_learner()
        return self._decode_texts(self.encode_image(image, learner), texts, index, learner)[0]

    def segment_with_presence(self, image: Tensor, texts: list[str], index: Tensor) -> Segmentation:
        """Encode images and texts, and decode both with the presence of each text."""
        learner = self._precomputed_learner()
        features = self.encode_image(image, learner)
        return Segmentation(*self._decode_texts(features, texts, index, learner, presence=True))

    @property
    def learner(self) -> PromptLearner | None:
        """The method if it is a prompt learner, else None."""
        return self.method if isinstance(self.method, PromptLearner) else None

    def merged(self) -> Self:
        """Return a copy for inference, whose adapter is folded into its weights as far as it is linear.

        The copy shares all other tensors with this network, and its checkpoints are not this network's.
        """
        network = copy_modules(self).eval()
        if isinstance(network.method, Adapter):
            network.method.merge(network.base)
        network.trained = replace(network.trained, modules=())
        return network

    def embed_image(self, image: Tensor) -> Tensor:
        """Return the image-level embedding: (B, 3, H, W), normalized -> (B, image_embed_dim)."""
        return self.encode_image(image, embed=True)["embedding"]

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Return the embedding of S texts in the space of the image-level one: (S, image_embed_dim).

        Raises:
            ValueError: when the method makes texts depend on the image.
        """
        return self.encode_text(self.tokenize(texts), None)[self.text_embedding]

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Tokenize texts and leave room for the context; surplus words are cut with a warning, SOS and EOS never.

        Returns:
            ids and mask, each (S, N), padded to the longest text; N + ``num_context`` is at most the text encoder's
            number of positions.
        """
        return tokenize(self.tokenizer, texts, self._max_tokens(), next(self.base.parameters()).device)

    @property
    def text_taps(self) -> tuple[int, ...]:
        """Indices of the text encoder's layers whose end states an adapter reads."""
        return self.method.text_taps if isinstance(self.method, Adapter) else ()

    def _is_conditioned(self) -> bool:
        return self.method is not None and self.method.image_conditioned

    def _max_tokens(self) -> int:
        learner = self.learner
        taken = learner.num_context if learner is not None and learner.prompts_text else 0
        return self.encoder_sizes().text_positions - taken

    def identity(self) -> dict[str, Any]:
        """Return base model, method, its arguments, upsampler, unfrozen part and class names."""
        return {
            "base_model": self.base_name,
            "base_fingerprint": self.base_fingerprint,
            "method": self.method_name,
            "method_kwargs": self.method_kwargs,
            "upsampler": self.upsampler is not None,
            "unfreeze": self.unfreeze,
            "class_names": self.class_names,
        }

    def check_identity(self, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
        """Refuse another base model, method, argument of it, upsampler or unfrozen part; class names may differ."""
        for entry in ("base_fingerprint", "method", "upsampler", "unfreeze"):
            require_equal(entry, theirs, ours)
        ignored = METHODS[self.method_name].training_only_arguments if self.method_name else frozenset()
        require_equal_entries(
            "method_kwargs", [name for name in ours["method_kwargs"] if name not in ignored], theirs, ours
        )

    def compute_in(self, precision: str) -> Self:
        """Set the precision of the frozen base model, and forget the features of texts, which depend on it."""
        self.text_features = {}
        return super().compute_in(precision)

    def _precomputed_learner(self) -> PromptLearner | None:
        return self.learner.precomputed() if self.learner is not None else None

    def _build_method(self) -> Method | None:
        if self.method_name is None:
            return None
        method = METHODS[self.method_name](self.encoder_sizes(), **self.method_kwargs)
        if isinstance(method, TextContextLearner) and method.context_initializer:
            token_ids = self.tokenizer(method.context_initializer, add_special_tokens=False)["input_ids"]
            method.initialize_first_context(self.embed_tokens(torch.tensor(token_ids)))
        return method

    def _decode_texts(
        self,
        features: ImageFeatures,
        texts: list[str],
        index: Tensor,
        learner: PromptLearner | None,
        presence: bool = False,
    ) -> list[Tensor]:
        """Return the logits of masks (B, k, H, W) and, on request, the other parts of a ``Segmentation``."""
        text_features = self._text_features_per_image(texts, index, features.get("embedding"), learner)
        if isinstance(self.method, Adapter) and self.method.adapts_condition:
            condition = self.method.adapt_condition(text_features[self.condition], text_features.get("end_states"))
            text_features[self.condition] = condition
        text_features.pop("end_states", None)
        text_features = {name: self._cast_for_decoder(value) for name, value in text_features.items()}
        outputs = self._decode_in_chunks(self.expand_image_features(features), text_features, presence)
        return [logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits for logits in outputs]

    def _decode_in_chunks(
        self, image_features: ImageFeatures, text_features: TextFeatures, presence: bool
    ) -> Sequence[Tensor]:
        """Decode in chunks of texts on a CPU."""

        def decode(texts: TextFeatures) -> tuple[Tensor, ...]:
            if presence:
                return self.decode_with_presence(image_features, texts)
            return (self.decode(image_features, texts),)

        batch, count = next(iter(text_features.values())).shape[:2]
        if torch.jit.is_tracing() or next(iter(image_features.values())).device.type != "cpu":
            return decode(text_features)
        chunk = max(1, self.pairs_per_chunk // batch)
        parts = [
            decode({name: value[:, start : start + chunk] for name, value in text_features.items()})
            for start in range(0, count, chunk)
        ]
        return [torch.cat(part, dim=1) for part in zip(*parts, strict=True)]

    def _cast_for_decoder(self, encoded: Tensor) -> Tensor:
        """Cast the output of a frozen encoder to the decoder's type, because a trainable decoder stays in float32."""
        if not encoded.is_floating_point():
            return encoded
        return encoded.to(self.dtype_of(self.parts.decoder[0]))

    def _text_features_per_image(
        self, texts: list[str], index: Tensor, image_embedding: Tensor | None, learner: PromptLearner | None
    ) -> TextFeatures:
        """Encode each distinct text once, or each (image, text) pair if the context depends on the image."""
        if image_embedding is None or self.method is None or not self._is_conditioned():
            return {name: value[index] for name, value in self._distinct_text_features(texts, learner).items()}
        tokens = Tokens(*(rows[index].flatten(0, 1) for rows in self.tokenize(texts)))  # (B * k, N)
        image_embedding = image_embedding.to(next(self.method.parameters()).dtype)
        features = self.encode_text(tokens, repeat_rows(image_embedding, index.shape[1]), learner)
        return {name: value.unflatten(0, (-1, index.shape[1])) for name, value in features.items()}

    def _distinct_text_features(self, texts: list[str], learner: PromptLearner | None) -> TextFeatures:
        if torch.jit.is_tracing():  # an exported network holds the texts' features instead of a text encoder
            with torch.no_grad(), _untraced():
                return self._distinct_text_features(texts, self.learner)  # the given one holds traced tensors
        if not self.trained.text_is_constant:
            return self.encode_text(self.tokenize(texts), None, learner)
        if missing := [text for text in texts if not self._is_cached(text)]:
            self._cache_text_features(missing)
        rows = [self.text_features[text] for text in texts]
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def _is_cached(self, text: str) -> bool:
        device, dtype = next(self.base.parameters()).device, self.dtype_of()
        kept = self.text_features.get(text)
        return kept is not None and all(
            value.device == device and (value.dtype == dtype or not value.is_floating_point())
            for value in kept.values()
        )

    def _cache_text_features(self, texts: list[str]) -> None:
        device = next(self.base.parameters()).device
        # outside inference mode and autocast, because the features outlive this call
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
            features = self.encode_text(self.tokenize(texts), None)
            for row, text in enumerate(texts):
                self.text_features[text] = {name: value[row] for name, value in features.items()}


@contextmanager
def _untraced() -> Iterator[None]:
    """Pause ``torch.jit.trace``, so that results become constants of the traced network."""
    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch._C._set_tracing_state(state)  # type: ignore[attr-defined]
