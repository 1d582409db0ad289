"""The tokenizer of the tiny base models: CLIP's own kind, with a vocabulary of a few hundred tokens."""

from __future__ import annotations

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from monai_tunevlseg.demo.scenes import COLORS, SHAPES

__all__ = ["CONTEXT_LENGTH", "NOUNS", "WORDS", "build_tokenizer"]

CONTEXT_LENGTH = 77
"""Most tokens in a text, with those of start and end."""

NOUNS: tuple[str, ...] = (
    *("lesion", "polyp", "tumor", "ulcer", "wound", "nodule", "mass", "cell", "skin", "foot", "breast", "chest"),
    *("left", "right", "ventricle", "ventricular", "atrium", "cavity", "myocardium", "lung", "optic", "cup", "disc"),
)
"""Words of class names; the base models learn no more of them than that they mean some object."""

WORDS: tuple[str, ...] = (
    *("a", "an", "the", "photo", "image", "of", "in", "and", "with", "object", *COLORS, *SHAPES, *NOUNS),
)
"""Words that are one token each; every other text is cut into shorter pieces, single bytes in the end."""

_WORD_END = "</w>"
Merge = tuple[str, str]


def build_tokenizer() -> CLIPTokenizer:
    """Build the tokenizer: every byte with and without the word end, the merges that make `WORDS`, start and end.

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
    # Annotated as strings there, but handed on to `tokenizers`, which takes pairs.
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT_LENGTH)  # type: ignore[arg-type]


def _merges(words: tuple[str, ...]) -> list[Merge]:
    """List merges, first ones first, after which each of the words is one token.

    A word's merges start from the pieces that the merges before it leave, and rank behind them: so they cannot
    break an earlier word.
    """
    merges: list[Merge] = []
    for word in words:
        first, *rest = _split(word, merges)
        for piece in rest:
            merges.append((first, piece))
            first += piece
    return merges


def _split(word: str, merges: list[Merge]) -> list[str]:
    """Split an ASCII word as byte-pair encoding does: the first applicable merge of the list, until none applies."""
    pieces = [*word[:-1], word[-1] + _WORD_END]
    while True:
        pairs = list(zip(pieces, pieces[1:], strict=False))
        merge = next((merge for merge in merges if merge in pairs), None)
        if merge is None:
            return pieces
        where = pairs.index(merge)
        pieces[where : where + 2] = ["".join(merge)]
