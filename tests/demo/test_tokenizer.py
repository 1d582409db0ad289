import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from monai_tunevlseg.demo.tokenizer import CONTEXT_LENGTH, WORDS, build_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def pieces(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("word", WORDS)
def test_every_word_is_one_token(tokenizer, word):
    assert tokenizer.convert_ids_to_tokens(pieces(tokenizer, word)) == [word + "</w>"]


def test_the_paper_s_initial_context_is_four_tokens(tokenizer):
    assert len(pieces(tokenizer, "a photo of a")) == 4


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=12))
def test_any_text_has_tokens_and_none_is_unknown(tokenizer, text):
    """The unknown token is the end token, as in CLIP: within a text it would be pooled."""
    ids = pieces(tokenizer, text)
    assert tokenizer.eos_token_id not in ids
    assert ids or not text.strip()


def test_start_end_and_padding(tokenizer):
    batch = tokenizer(["red circle", "ring"], padding=True)["input_ids"]
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    assert batch[0][0] == batch[1][0] == start
    assert batch[0].index(end) == 3
    assert batch[1][2:] == [end, end]
    assert tokenizer.pad_token_id == end != 2  # transformers' CLIPSeg pools the first end token unless its id is 2


def test_long_texts_are_truncated_before_the_end_token(tokenizer):
    ids = tokenizer("object " * 200, truncation=True)["input_ids"]
    assert len(ids) == CONTEXT_LENGTH
    assert ids[-1] == tokenizer.eos_token_id


def test_round_trip_through_a_folder(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("a photo of a purple triangle", "Lésion nº 7", "left ventricular cavity"):
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
