"""The registry refuses what it does not know, and says what it knows."""

from __future__ import annotations

import pytest

from monai_tunevlseg.registry import Registry


@pytest.fixture
def learners() -> Registry[int]:
    registry: Registry[int] = Registry("learner")
    registry.register("coop", 1)
    registry.register("vpt", 2)
    return registry


def test_variants_keep_the_order_of_registration(learners):
    learners.register("alpha", 3)
    assert list(learners) == ["coop", "vpt", "alpha"]
    assert len(learners) == 3
    assert [learners[name] for name in learners] == [1, 2, 3]


def test_register_returns_the_variant(learners):
    assert learners.register("maple", 7) == 7


def test_a_temporary_variant_is_gone_after_the_block_even_if_it_fails(learners):
    with learners.temporarily("lora", 5) as variant:
        assert variant == learners["lora"] == 5
        assert list(learners) == ["coop", "vpt", "lora"]
    assert list(learners) == ["coop", "vpt"]
    with pytest.raises(KeyError), learners.temporarily("lora", 5):
        raise KeyError
    assert "lora" not in learners


def test_a_temporary_variant_does_not_replace_a_registered_one(learners):
    with pytest.raises(ValueError, match="'vpt'"), learners.temporarily("vpt", 9):
        pass
    assert learners["vpt"] == 2


def test_membership(learners):
    assert "vpt" in learners
    assert "VPT" not in learners
    assert None not in learners


def test_a_taken_name_is_refused_and_keeps_its_variant(learners):
    with pytest.raises(ValueError, match="learner 'vpt' is registered already"):
        learners.register("vpt", 9)
    assert learners["vpt"] == 2


@pytest.mark.parametrize("name", ["lora", "", 3, None])
def test_an_unknown_name_lists_the_known_ones(learners, name):
    with pytest.raises(ValueError, match=r"unknown learner .*: known are coop, vpt"):
        learners[name]


def test_an_unknown_name_gets_the_nearest_one(learners):
    with pytest.raises(ValueError, match="did you mean 'coop'"):
        learners["cop"]
    with pytest.raises(ValueError) as raised:
        learners["something else"]
    assert "did you mean" not in str(raised.value)


def test_registries_do_not_share_variants(learners):
    assert "vpt" not in Registry("dataset layout")
