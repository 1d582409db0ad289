"""Texts on their way to a text encoder: empty ones are refused, long ones cut, equal ones found."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from textwrap import shorten
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

__all__ = ["Tokens", "check_class_tokens", "validate_texts", "tokenize"]

SHOWN = 80  # characters of a text in a message


def validate_texts(texts: Sequence[str], what: str) -> list[str]:
    """Return a copy of texts, none of which is empty.

    Args:
        texts: one or more.
        what: the name of the argument, for the message.

    Raises:
        ValueError: when there is none, or one that is empty or is not a text.
    """
    if isinstance(texts, str) or not texts:
        raise ValueError(f"{what} must be a non-empty list of texts, not {texts!r}.")
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{what} {list(texts)!r:.200} has an empty text {text!r}; write the class's name.")
    return list(texts)


class Tokens(NamedTuple):
    """S token sequences, padded to one length.

    Attributes:
        ids: (S, N), each with start, words, end and padding.
        mask: (S, N) bool, False for padding.
    """

    ids: Tensor
    mask: Tensor


def tokenize(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], most: int, device: torch.device | None = None
) -> Tokens:
    """Tokenize texts; words that do not fit are cut with a warning, the special tokens never.

    Args:
        tokenizer: the base model's.
        texts: S of them.
        most: number of tokens that there is room for, special ones included.
        device: of the tokens.
    """
    for text, ids in zip(texts, tokenizer(list(texts), verbose=False)["input_ids"], strict=True):
        if len(ids) > most:
            warnings.warn(
                f"the text {shorten(text, SHOWN)!r} has {len(ids)} tokens with its start and end, and the text encoder "
                f"takes {most} beside the context vectors: its last words are cut; shorten it.",
                stacklevel=3,
            )
    rows = tokenizer(list(texts), padding=True, truncation=True, max_length=most, return_attention_mask=True)
    ids, mask = (torch.tensor(rows[name], device=device) for name in ("input_ids", "attention_mask"))
    return Tokens(ids, mask.bool())


def check_class_tokens(tokenizer: PreTrainedTokenizerBase, class_names: Sequence[str], most: int) -> None:
    """Check that class names which differ also differ in what the text encoder sees of them, ``most`` tokens.

    Raises:
        ValueError: when two of them are the same tokens; names both.
    """
    known: dict[tuple[int, ...], str] = {}
    for name, row in zip(
        class_names, tokenize(tokenizer, class_names, most, torch.device("cpu")).ids.tolist(), strict=True
    ):
        other = known.setdefault(tuple(row), name)
        if other != name:
            raise ValueError(
                f"the class names {other!r:.{SHOWN}} and {name!r:.{SHOWN}} are the same tokens to the text encoder, so "
                "that both would get the same mask; name the classes differently."
            )
