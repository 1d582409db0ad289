"""Texts for a text encoder: validation, tokenization, and detection of equal class names."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from textwrap import shorten
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

__all__ = ["Tokens", "check_class_tokens", "validate_texts", "tokenize"]

SHOWN = 80  # maximum number of characters of a text in a message


def validate_texts(texts: Sequence[str], argument: str) -> list[str]:
    """Return a list of texts, all of which are non-empty strings.

    Args:
        texts: at least one text.
        argument: name of the argument, for the message.

    Raises:
        ValueError: when the sequence is empty, or a text is empty or not a string.
    """
    if isinstance(texts, str) or not texts:
        raise ValueError(f"{argument} must be a non-empty list of texts, not {texts!r}.")
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{argument} {list(texts)!r:.200} has an empty text {text!r}; write the class's name.")
    return list(texts)


class Tokens(NamedTuple):
    """S token sequences, padded to one length.

    Attributes:
        ids: (S, N), each row SOS, words, EOS and padding.
        mask: (S, N) bool, False for padding.
    """

    ids: Tensor
    mask: Tensor


def tokenize(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int, device: torch.device | None = None
) -> Tokens:
    """Tokenize texts; surplus words are cut with a warning, special tokens never.

    Args:
        tokenizer: tokenizer of the base model.
        texts: S texts.
        max_tokens: maximum number of tokens, special ones included.
        device: device of the tokens.
    """
    for text, ids in zip(texts, tokenizer(list(texts), verbose=False)["input_ids"], strict=True):
        if len(ids) > max_tokens:
            warnings.warn(
                f"the text {shorten(text, SHOWN)!r} has {len(ids)} tokens with start and end, and the text encoder "
                f"takes {max_tokens} beside the context vectors: its last words are cut; shorten it.",
                stacklevel=3,
            )
    rows = tokenizer(list(texts), padding=True, truncation=True, max_length=max_tokens, return_attention_mask=True)
    ids, mask = (torch.tensor(rows[name], device=device) for name in ("input_ids", "attention_mask"))
    return Tokens(ids, mask.bool())


def check_class_tokens(tokenizer: PreTrainedTokenizerBase, class_names: Sequence[str], max_tokens: int) -> None:
    """Check that different class names also differ in their first ``max_tokens`` tokens, the input of the text encoder.

    Raises:
        ValueError: when two class names have the same tokens; names both.
    """
    known: dict[tuple[int, ...], str] = {}
    for name, row in zip(
        class_names, tokenize(tokenizer, class_names, max_tokens, torch.device("cpu")).ids.tolist(), strict=True
    ):
        other = known.setdefault(tuple(row), name)
        if other != name:
            raise ValueError(
                f"the class names {other!r:.{SHOWN}} and {name!r:.{SHOWN}} have the same tokens, so that both would "
                "get the same mask; use different names."
            )
