"""The contract of every prompt-tuned network: freezing, texts, forward pass and state."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Self

import torch
from monai.data import MetaTensor
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_tunevlseg.methods import METHODS, PromptLearner, TextContextLearner, complete_arguments
from monai_tunevlseg.networks.base_model import BaseModel
from monai_tunevlseg.networks.precision import in_precision
from monai_tunevlseg.networks.state import (
    FORMAT_VERSION,
    SavedWithoutBase,
    decode_identity,
    difference,
    encode_identity,
)
from monai_tunevlseg.networks.texts import MAX_TOKENS, check_class_tokens, checked_texts, token_ids

__all__ = ["EncoderSizes", "ImageFeatures", "PromptTunedNetwork", "TextFeatures"]

UNFREEZE = (None, "decoder", "all")
PAIRS_AT_ONCE = 4  # of image and text; the widest tensor of CLIPSeg's decoder has 4 MB for each

TextFeatures = dict[str, Tensor]  # name -> (S, ...), one row per text sequence


class ImageFeatures(dict[str, Tensor]):
    """All that a network keeps of B images before it looks at a text: name -> (B, ...), one row per image.

    ``embedding`` (B, image_embed_dim) is the image-level embedding, there when a method asks for it. Where no method
    prompts the vision encoder and the base is frozen, the features are constants of the images.
    """

    def to(self, *arguments: Any, **settings: Any) -> ImageFeatures:
        """Move all tensors, as ``Tensor.to`` does."""
        return ImageFeatures({name: value.to(*arguments, **settings) for name, value in self.items()})


@dataclass(frozen=True)
class EncoderSizes:
    """What a method must know of the encoders; the vision entries are None where there is no vision transformer."""

    text_dim: int
    text_layers: int
    vision_dim: int | None
    vision_layers: int | None
    image_embed_dim: int


class PromptTunedNetwork(SavedWithoutBase, ABC):
    """A VLSM with a prompt learner and an upsampler; a checkpoint holds what trains, and nothing else.

    The VLSM is frozen, unless ``unfreeze`` says otherwise: fine-tuning is the baseline of the paper. A fine-tuned part
    is a copy of the base model's, which itself never changes.

    A subclass says how its base model encodes an image, encodes texts and decodes both; the rest is here.

    Args:
        base_model: the loaded VLSM; what of it is frozen is kept in eval mode.
        class_names: the texts that are used when ``forward`` is given none; K of them.
        method: registered name of the prompt learner; None for zero-shot.
        method_kwargs: the method's own arguments, such as ``num_context`` and ``prompt_depth``.
        upsampler: mix the learnable upsampler into the logits (TuneVLSeg, section 5).
        unfreeze: the part of the base model that trains too: None, "decoder" (all but the two encoders) or "all".
            Batch norms keep the base's statistics, for the batches of fine-tuning are small.

    Attributes:
        text_features: features of the texts met so far, by text; filled only when no method touches the text side, for
            they are constants then.

    Raises:
        ValueError: when class names are missing or empty, the method or one of its arguments does not fit, or
            ``unfreeze`` is unknown; or when two class names are the same to the tokenizer.
    """

    repeated_layers: ClassVar[tuple[str, ...]]
    """Names of the base model's modules whose children are layers of one kind, run one behind the other."""

    def __init__(
        self,
        base_model: BaseModel,
        class_names: Sequence[str],
        method: str | None = None,
        method_kwargs: Mapping[str, Any] | None = None,
        upsampler: bool = True,
        unfreeze: str | None = None,
    ) -> None:
        super().__init__(unfreeze)
        if unfreeze not in UNFREEZE:
            raise ValueError(f"unfreeze is {unfreeze!r}; it must be one of {', '.join(map(repr, UNFREEZE))}.")
        self.class_names = checked_texts(class_names, "class_names")
        self.base_name, self.base_fingerprint = base_model.name, base_model.fingerprint
        self.tokenizer = base_model.tokenizer
        self.base = self._trainable_base(base_model.model.requires_grad_(False).eval())
        self.method_name = method
        self.method_kwargs = complete_arguments(method, method_kwargs or {}) if method else {}
        self.method = self._build_method()
        self.upsampler = self._build_upsampler() if upsampler else None
        check_class_tokens(self.tokenizer, self.class_names, self._num_context())
        self.text_features: dict[str, TextFeatures] = {}

    @abstractmethod
    def encoder_sizes(self) -> EncoderSizes:
        """Return the widths and depths that the method is built for."""

    @abstractmethod
    def embed_tokens(self, token_ids: Tensor) -> Tensor:
        """Look up token embeddings: (N,) -> (N, text_dim)."""

    @abstractmethod
    def encode_image(self, image: Tensor, method: PromptLearner | None = None) -> ImageFeatures:
        """Encode images (B, 3, H, W) as far as no text is needed, with the contexts of ``method``; None = its own."""

    @abstractmethod
    def encode_text(
        self, token_ids: Tensor, image_embedding: Tensor | None, method: PromptLearner | None = None
    ) -> TextFeatures:
        """Encode S token sequences (S, N), with the contexts of ``method``; None = its own.

        Args:
            token_ids: (S, N), each with SOS, words, EOS and padding.
            image_embedding: (S, image_embed_dim) of each sequence's image, or None.
            method: what :meth:`PromptLearner.evaluated` of this network's method has returned.
        """

    @abstractmethod
    def decode(self, image_features: ImageFeatures, text_features: TextFeatures) -> Tensor:
        """Decode B images with k texts each, text features (B, k, ...), to logits (B, k, H, W)."""

    @abstractmethod
    def _build_upsampler(self) -> nn.Module: ...

    def forward(
        self, image: Tensor | ImageFeatures, text: Sequence[str] | Sequence[Sequence[str]] | None = None
    ) -> Tensor:
        """Segment images by text.

        Args:
            image: (B, 3, H, W) float, normalized as the base model wants it; or what ``encode_image`` made of such.
            text: None for all K ``class_names`` for every image; B strings for one text per image; B sequences of k
                strings for k texts per image.

        Returns:
            logits, (B, K, H, W), (B, 1, H, W) or (B, k, H, W); with the image's meta data when it has them.

        Raises:
            ValueError: when the shape of the image, the number of texts or a text itself does not fit.
        """
        method = self.method.evaluated() if self.method is not None else None
        if isinstance(image, ImageFeatures):
            return self._segment(image, *self._indexed_texts(text, next(iter(image.values()))), method)
        if image.ndim != 4 or image.shape[1] != 3:
            raise ValueError(f"image has shape {tuple(image.shape)}; the network takes (B, 3, H, W).")
        if isinstance(image, MetaTensor):  # which costs time in every operation, and matters to none
            logits = self.forward(image.as_tensor(), text)
            return MetaTensor(logits).copy_meta_from(image)
        texts = self._indexed_texts(text, image)
        return self._segment(self.encode_image(image, method), *texts, method)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Tokenize texts with room for the context; words that do not fit are cut with a warning, SOS and EOS never.

        Returns:
            (S, N) token ids padded to the longest text, N + ``num_context`` at most 77.
        """
        ids = token_ids(self.tokenizer, texts, self._num_context())
        return torch.tensor(ids, device=next(self.base.parameters()).device)

    def _num_context(self) -> int:
        return self.method.num_context if self.method is not None and self.method.prompts_text else 0

    def train(self, mode: bool = True) -> PromptTunedNetwork:
        """Set the mode of what trains; what is frozen stays in eval, and so does every batch norm of the base."""
        self.training = mode
        for part in (self.method, self.upsampler):
            if part is not None:
                part.train(mode)
        if self.unfreeze is None:
            return self  # without a walk through the base, which is in eval since it was loaded
        self.base.eval()
        for part in self._trained_parts(self.base):
            part.train(mode)
        for module in self.base.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def compute_in(self, precision: str) -> Self:
        """Let the frozen base compute in a precision; no checkpoint depends on it.

        Args:
            precision: "fp32"; "bf16": what is frozen computes in bfloat16, what trains and the upsampler in float32; or
                "fp16-amp", the same as "fp32" here, and whoever runs the network casts automatically.

        Returns:
            this network.

        Raises:
            ValueError: when ``precision`` is unknown.
        """
        self.base = in_precision(self.base, precision)
        return self

    def get_extra_state(self) -> Tensor:
        """Return what identifies this network."""
        return encode_identity(
            {
                "format_version": FORMAT_VERSION,
                "network": type(self).__name__,
                "base_model": self.base_name,
                "base_fingerprint": self.base_fingerprint,
                "method": self.method_name,
                "method_kwargs": self.method_kwargs,
                "upsampler": self.upsampler is not None,
                "unfreeze": self.unfreeze,
                "class_names": self.class_names,
            }
        )

    def set_extra_state(self, state: Tensor) -> None:
        """Check that a checkpoint was made by a network like this one.

        Raises:
            ValueError: when format, network, base, method, its arguments, the upsampler or what of the base model was
                trained differ; names both sides.
        """
        theirs, ours = decode_identity(state), decode_identity(self.get_extra_state())
        for what in ("format_version", "network", "base_fingerprint", "method", "upsampler", "unfreeze"):
            if theirs.get(what) != ours[what]:
                raise ValueError(difference(what, theirs, ours))
        ignored = METHODS[self.method_name].training_only_arguments if self.method_name else frozenset()
        for argument, value in ours["method_kwargs"].items():
            if argument not in ignored and theirs["method_kwargs"].get(argument) != value:
                raise ValueError(difference(argument, theirs["method_kwargs"], ours["method_kwargs"]))

    def __prepare_scriptable__(self) -> NoReturn:
        """Say why ``torch.jit.script`` cannot take this network, in front of its own pages.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"{type(self).__name__} cannot be scripted, because its tokenizer and transformers' modules are no "
            "TorchScript; trace it: pass --use_trace True to ckpt_export, or call torch.jit.trace."
        )

    def _trained_parts(self, base: nn.Module) -> list[nn.Module]:
        if self.unfreeze is None:
            return []
        return [base] if self.unfreeze == "all" else [base.get_submodule(part) for part in self.decoder_parts]

    def _trainable_base(self, base: nn.Module) -> nn.Module:
        """Return the base model itself, or a copy that shares what is frozen and owns what trains."""
        trained = {id(tensor) for part in self._trained_parts(base) for tensor in _tensors(part)}
        if not trained:
            return base
        copied = copy.deepcopy(base, {id(tensor): tensor for tensor in _tensors(base) if id(tensor) not in trained})
        for part in self._trained_parts(copied):
            part.requires_grad_(True)
        return copied

    def _build_method(self) -> PromptLearner | None:
        if self.method_name is None:
            return None
        kind, sizes = METHODS[self.method_name], self.encoder_sizes()
        prompted = [sizes.text_layers] if kind.prompts_text else []
        if kind.prompts_vision and sizes.vision_layers is not None:
            prompted.append(sizes.vision_layers)
        method = kind(
            text_dim=sizes.text_dim,
            vision_dim=sizes.vision_dim,
            image_embed_dim=sizes.image_embed_dim,
            num_layers=min(prompted, default=sizes.text_layers),
            **self.method_kwargs,
        )
        if kind.prompts_text and method.num_context > MAX_TOKENS - 3:
            raise ValueError(
                f"num_context {method.num_context} leaves no room for a word among the {MAX_TOKENS} tokens that the "
                f"text encoder takes; choose at most {MAX_TOKENS - 3}."
            )
        if isinstance(method, TextContextLearner) and method.context_initializer:
            token_ids = self.tokenizer(method.context_initializer, add_special_tokens=False)["input_ids"]
            method.initialize_first_context(self.embed_tokens(torch.tensor(token_ids)))
        return method

    def _indexed_texts(
        self, text: Sequence[str] | Sequence[Sequence[str]] | None, image: Tensor
    ) -> tuple[list[str], Tensor]:
        """Return the distinct texts, and where each image's k texts are among them: (B, k)."""
        if text is None:
            index = torch.arange(len(self.class_names), device=image.device)
            return self.class_names, index.expand(image.shape[0], -1)  # the batch size stays free in a traced network
        if isinstance(text, str) or len(text) != len(image):
            raise ValueError(
                f"text {text!r:.100} must be a sequence with one entry for each of the {len(image)} images."
            )
        rows = [checked_texts([row] if isinstance(row, str) else row, "text") for row in text]
        if len({len(row) for row in rows}) > 1:
            raise ValueError(f"text has {[len(row) for row in rows]} entries per image; every image needs as many.")
        number = {text: count for count, text in enumerate(dict.fromkeys(text for row in rows for text in row))}
        return list(number), torch.tensor([[number[text] for text in row] for row in rows], device=image.device)

    def _segment(
        self, features: ImageFeatures, texts: list[str], index: Tensor, method: PromptLearner | None
    ) -> Tensor:
        text_features = self._text_features_per_image(texts, index, features.get("embedding"), method)
        logits = self._decode(features, {name: self._for_decoder(value) for name, value in text_features.items()})
        return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits

    def _decode(self, image_features: ImageFeatures, text_features: TextFeatures) -> Tensor:
        """Decode a few texts after the other on a CPU, so that what the decoder computes stays in its cache."""
        batch, count = next(iter(text_features.values())).shape[:2]
        if torch.jit.is_tracing() or next(iter(image_features.values())).device.type != "cpu":
            return self.decode(image_features, text_features)
        at_once = max(1, PAIRS_AT_ONCE // batch)
        parts = [
            self.decode(
                image_features, {name: value[:, start : start + at_once] for name, value in text_features.items()}
            )
            for start in range(0, count, at_once)
        ]
        return torch.cat(parts, dim=1)

    def _for_decoder(self, encoded: Tensor) -> Tensor:
        """Cast what a frozen encoder returns, for a decoder that trains stays in float32."""
        if not encoded.is_floating_point():
            return encoded
        return encoded.to(next(self.base.get_submodule(self.decoder_parts[0]).parameters()).dtype)

    def _text_features_per_image(
        self, texts: list[str], index: Tensor, image_embedding: Tensor | None, method: PromptLearner | None
    ) -> TextFeatures:
        """Encode each distinct text once, or each (image, text) pair where the text side depends on the image."""
        if image_embedding is None or self.method is None:
            return {name: value[index] for name, value in self._distinct_text_features(texts, method).items()}
        token_ids = self.tokenize(texts)[index].flatten(0, 1)  # (B * k, N)
        image_embedding = image_embedding.to(next(self.method.parameters()).dtype)
        features = self.encode_text(token_ids, image_embedding.repeat_interleave(index.shape[1], dim=0), method)
        return {name: value.unflatten(0, (-1, index.shape[1])) for name, value in features.items()}

    def _distinct_text_features(self, texts: list[str], method: PromptLearner | None) -> TextFeatures:
        if torch.jit.is_tracing():  # an exported network has its texts' features, and no text encoder
            with torch.no_grad(), _untraced():
                return self._distinct_text_features(texts, self.method)  # nothing that was traced
        if self.unfreeze == "all" or (self.method is not None and self.method.prompts_text):
            return self.encode_text(self.tokenize(texts), None, method)
        if missing := [text for text in texts if not self._remembers(text)]:
            self._remember_text_features(missing)
        rows = [self.text_features[text] for text in texts]
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def _remembers(self, text: str) -> bool:
        base = next(self.base.parameters())
        kept = self.text_features.get(text)
        return kept is not None and all(
            value.device == base.device and (value.dtype == base.dtype or not value.is_floating_point())
            for value in kept.values()
        )

    def _remember_text_features(self, texts: list[str]) -> None:
        device = next(self.base.parameters()).device
        # outside inference mode and autocast, because the features outlive this call
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
            features = self.encode_text(self.tokenize(texts), None)
            for row, text in enumerate(texts):
                self.text_features[text] = {name: value[row] for name, value in features.items()}


@contextmanager
def _untraced() -> Iterator[None]:
    """Pause ``torch.jit.trace``, so that what is computed becomes a constant of the traced network."""
    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch._C._set_tracing_state(state)  # type: ignore[attr-defined]


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
