"""Texts: valid class names, their tokens, and the cut of long texts."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network_cases import CASES, every_network

NETWORK = CASES[0]
pytestmark = pytest.mark.filterwarnings("ignore:the text .* tokens:UserWarning")  # tested below
LONG = "polyp " * 200

texts = st.text(min_size=1, max_size=300).filter(lambda text: text.strip() and "<|" not in text)
few_examples = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def ends(token_ids: torch.Tensor, eos: int) -> list[int]:
    """Position of the first EOS of each row."""
    return [row.index(eos) for row in token_ids.tolist()]


@few_examples
@given(batch=st.lists(texts, min_size=1, max_size=4), num_context=st.integers(1, NETWORK.positions - 3))
def test_any_text_has_one_start_one_end_and_room_for_the_context(build, batch, num_context):
    network = build(NETWORK, "coop", num_context=num_context)
    sos, eos = network.tokenizer.bos_token_id, network.tokenizer.eos_token_id
    token_ids = network.tokenize(batch).ids
    assert token_ids.shape[0] == len(batch)
    assert token_ids.shape[1] + num_context <= NETWORK.positions
    for row, end in zip(token_ids.tolist(), ends(token_ids, eos), strict=True):
        assert row[0] == sos
        assert sos not in row[1:]
        assert set(row[end:]) == {eos}  # the tokenizer pads with EOS
        assert end >= 2  # a word is left


@few_examples
@given(text=texts)
def test_any_text_is_segmented(build, text):
    network = build(NETWORK, "coop").eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 8, 8), [text]).isfinite().all()


@every_network
@pytest.mark.parametrize("words", [1, 25, None], ids=["one_word", "some_words", "one_vector"])
def test_words_are_cut_and_the_end_never(case, words, build):
    num_context = 1 if words is None else case.positions - 2 - words
    network = build(case, "coop", num_context=num_context)
    token_ids = network.tokenize([LONG, "polyp"]).ids
    assert token_ids.shape == (2, case.positions - num_context)
    assert ends(token_ids, network.tokenizer.eos_token_id) == [case.positions - num_context - 1, 2]


@every_network
@pytest.mark.parametrize("method", [None, "coop"])
def test_what_was_cut_does_not_matter(case, method, build, pictures):
    network = build(case, method).eval()
    fitting = " ".join(["polyp"] * (case.positions - (2 if method is None else 6)))
    with torch.no_grad():
        whole, cut = (network(pictures(case, 1), [text]) for text in (fitting, LONG + "lesion"))
        shorter = network(pictures(case, 1), [fitting.removesuffix(" polyp")])
    assert torch.equal(whole, cut)
    assert not torch.equal(whole, shorter)


@every_network
def test_without_textual_context_all_positions_belong_to_the_words(case, build):
    for method in [None, *(name for name in case.methods if name == "vpt")]:
        network = build(case, method)
        assert network.tokenize([LONG]).ids.shape == (1, case.positions)


@every_network
@pytest.mark.parametrize("surplus", [1, 2, 3, 500])
def test_a_context_that_leaves_no_room_for_a_word_is_refused(case, surplus, build):
    most = case.positions - 3
    with pytest.raises(ValueError, match=rf"num_context {most + surplus} .*\b{case.positions}\b.*\b{most}\b"):
        build(case, "coop", num_context=most + surplus)


@every_network
def test_case_and_outer_blanks_do_not_matter(case, build):
    network = build(case)
    first, second = network.tokenize(["Red Circle", "  red   circle "]).ids
    assert torch.equal(first, second)


@every_network
@pytest.mark.parametrize("bad", ["", " ", "\t\n", "\u2003", None, 3, ["polyp"]])
def test_an_empty_class_name_is_refused_by_name(case, bad, build, pictures):
    with pytest.raises(ValueError, match=rf"class_names .*{re.escape(repr(bad))}"):
        build(case, class_names=["polyp", bad])
    network = build(case)
    with pytest.raises(ValueError, match=rf"text .*{re.escape(repr(bad))}"):
        network(pictures(case), [["polyp", bad], ["polyp", "polyp"]])


@every_network
@pytest.mark.parametrize("bad", [[], (), "polyp", None, ""])
def test_class_names_are_a_list_with_something_in_it(case, bad, build):
    with pytest.raises(ValueError, match=rf"class_names .*{re.escape(repr(bad))}"):
        build(case, class_names=bad)


@every_network
def test_class_names_are_copied(case, build):
    names = ["polyp"]
    network = build(case, class_names=names)
    names.append("lesion")
    assert network.class_names == ["polyp"]


@every_network
@pytest.mark.parametrize("text", ["polyp", "ab", [], ["polyp"], ["polyp"] * 3, [["polyp"]]])
def test_the_number_of_texts_must_be_that_of_the_images(case, text, build, pictures):
    with pytest.raises(ValueError, match=rf"{re.escape(repr(text))} .*\b2\b"):
        build(case)(pictures(case), text)


@every_network
@pytest.mark.parametrize("text", [[["polyp", "lesion"], ["polyp"]], ["polyp", ["polyp", "lesion"]]])
def test_every_image_needs_as_many_texts(case, text, build, pictures):
    with pytest.raises(ValueError, match=r"\[[12], [12]\]"):
        build(case)(pictures(case), text)


@every_network
@pytest.mark.parametrize("text", [[[], []], [["polyp"], []]])
def test_an_image_without_texts_is_refused(case, text, build, pictures):
    with pytest.raises(ValueError, match=r"text .*\[\]"):
        build(case)(pictures(case), text)


@every_network
def test_the_same_class_twice_gives_the_same_channel_twice(case, build, pictures):
    network = build(case, "coop", class_names=["polyp", "polyp", "lesion", "polyp"]).eval()
    with torch.no_grad():
        logits = network(pictures(case))
    torch.testing.assert_close(logits[:, 0], logits[:, 1])
    torch.testing.assert_close(logits[:, 1], logits[:, 3])


@every_network
@pytest.mark.parametrize(("method", "num_context"), [(None, 0), ("coop", 4)])
def test_a_text_that_is_cut_is_named_in_a_warning(case, method, num_context, build, pictures):
    network, most = build(case, method).eval(), case.positions - num_context
    with pytest.warns(UserWarning, match=rf"'polyp polyp .* 202 .* {most}\b"):
        network(pictures(case, 1), [LONG])
    with pytest.warns(UserWarning, match="'polyp polyp .* 202 "):
        build(case, method, class_names=["lesion", LONG])


@every_network
@pytest.mark.parametrize("method", [None, "coop"])
def test_a_text_that_just_fits_is_not(case, method, build, pictures):
    network = build(case, method).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network(pictures(case, 1), [" ".join(["polyp"] * (case.positions - (2 if method is None else 6)))])


@every_network
@pytest.mark.parametrize(
    "names",
    [["Polyp", "polyp"], ["lesion", "polyp", " polyp  "], [LONG + "red", LONG + "lesion"]],
    ids=["case", "blanks", "cut"],
)
def test_class_names_with_equal_tokens_are_refused_with_both_names(case, names, build):
    with pytest.raises(ValueError, match=r"class names .* and ") as said:
        build(case, class_names=names)
    assert all(repr(name)[:60] in str(said.value) for name in names[-2:])
