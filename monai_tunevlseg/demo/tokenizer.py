"""The tokenizer of the tiny base models: CLIP's tokenizer with a vocabulary of a few hundred tokens."""

from __future__ import annotations

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from monai_tunevlseg.demo.phrases import NOUNS
from monai_tunevlseg.demo.scenes import COLORS, SHAPES

__all__ = ["CONTEXT_LENGTH", "WORDS", "build_tokenizer"]

CONTEXT_LENGTH = 77
"""Maximum number of tokens in a text, including the start and end tokens."""

WORDS: tuple[str, ...] = (
    *("a", "an", "the", "photo", "image", "of", "in", "and", "with", "object", *COLORS, *SHAPES, *NOUNS),
)
"""Words of one token each; other texts are split into shorter pieces, down to single bytes."""

_WORD_END = "</w>"
Merge = tuple[str, str]


def build_tokenizer() -> CLIPTokenizer:
    """Build the tokenizer: all bytes with and without the end-of-word mark, merges for `WORDS`, start and end tokens.

    Like CLIP's, it pads with the end token.
    """
    alphabet = sorted(ByteLevel.alphabet())
    merges = _merges(WORDS)
    tokens = [
        *alphabet,
        *(byte + _WORD_END for byte in alphabet),
        *dict.fromkeys(left + right for left, right in merges),
    ]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    # The annotation says strings, but the merges go to `tokenizers`, which takes pairs.
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT_LENGTH)  # type: ignore[arg-type]


def _merges(words: tuple[str, ...]) -> list[Merge]:
    """Return merges in order of rank, after which each word is one token.

    The merges of a word start from the pieces that earlier merges leave, and rank after them, so that no earlier word
    changes.
    """
    merges: list[Merge] = []
    for word in words:
        first, *rest = _split(word, merges)
        for piece in rest:
            merges.append((first, piece))
            first += piece
    return merges


def _split(word: str, merges: list[Merge]) -> list[str]:
    """Split an ASCII word by byte-pair encoding: apply the first applicable merge until none applies."""
    pieces = [*word[:-1], word[-1] + _WORD_END]
    while True:
        pairs = list(zip(pieces, pieces[1:], strict=False))
        merge = next((merge for merge in merges if merge in pairs), None)
        if merge is None:
            return pieces
        where = pairs.index(merge)
        pieces[where : where + 2] = ["".join(merge)]
