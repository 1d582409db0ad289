"""Texts on their way to a text encoder: what is none, what is cut, and which are the same."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from textwrap import shorten

from transformers import PreTrainedTokenizerBase

__all__ = ["MAX_TOKENS", "check_class_tokens", "checked_texts", "token_ids"]

MAX_TOKENS = 77  # positions of CLIP's text encoder
SHOWN = 80  # characters of a text in a message


def checked_texts(texts: Sequence[str], what: str) -> list[str]:
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


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], num_context: int) -> list[list[int]]:
    """Tokenize texts with room for the context; words that do not fit are cut with a warning, SOS and EOS never.

    Args:
        tokenizer: the base model's.
        texts: S of them.
        num_context: number of context vectors before the words.

    Returns:
        S rows, padded to the longest text; their length and ``num_context`` are at most 77 together.
    """
    most = MAX_TOKENS - num_context
    for text, ids in zip(texts, tokenizer(list(texts), verbose=False)["input_ids"], strict=True):
        if len(ids) > most:
            warnings.warn(
                f"the text {shorten(text, SHOWN)!r} has {len(ids)} tokens with its start and end, and the text encoder "
                f"takes {most} beside {num_context} context vectors: its last words are cut; shorten it.",
                stacklevel=3,
            )
    rows: list[list[int]] = tokenizer(list(texts), padding=True, truncation=True, max_length=most)["input_ids"]
    return rows


def check_class_tokens(tokenizer: PreTrainedTokenizerBase, class_names: Sequence[str], num_context: int) -> None:
    """Check that class names which differ also differ in what the text encoder sees.

    Raises:
        ValueError: when two of them are the same tokens; names both.
    """
    known: dict[tuple[int, ...], str] = {}
    for name, row in zip(class_names, token_ids(tokenizer, class_names, num_context), strict=True):
        other = known.setdefault(tuple(row), name)
        if other != name:
            raise ValueError(
                f"the class names {other!r:.{SHOWN}} and {name!r:.{SHOWN}} are the same tokens to the text encoder, so "
                "that both would get the same mask; name the classes differently."
            )
