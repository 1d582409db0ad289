"""The registry refuses unknown and duplicate names, and lists the known ones."""

from __future__ import annotations

import pytest

from monai_tunevlseg.registry import Registry


@pytest.fixture
def methods() -> Registry[int]:
    registry: Registry[int] = Registry("method")
    registry.register("coop", 1)
    registry.register("vpt", 2)
    return registry


def test_variants_keep_the_order_of_registration(methods):
    methods.register("alpha", 3)
    assert list(methods) == ["coop", "vpt", "alpha"]
    assert len(methods) == 3
    assert [methods[name] for name in methods] == [1, 2, 3]


def test_register_returns_the_variant(methods):
    assert methods.register("maple", 7) == 7


def test_a_temporary_variant_is_gone_after_the_block_even_if_it_fails(methods):
    with methods.temporarily("lora", 5) as variant:
        assert variant == methods["lora"] == 5
        assert list(methods) == ["coop", "vpt", "lora"]
    assert list(methods) == ["coop", "vpt"]
    with pytest.raises(KeyError), methods.temporarily("lora", 5):
        raise KeyError
    assert "lora" not in methods


def test_a_temporary_variant_does_not_replace_a_registered_one(methods):
    with pytest.raises(ValueError, match="'vpt'"), methods.temporarily("vpt", 9):
        pass
    assert methods["vpt"] == 2


def test_membership(methods):
    assert "vpt" in methods
    assert "VPT" not in methods
    assert None not in methods


def test_a_taken_name_is_refused_and_keeps_its_variant(methods):
    with pytest.raises(ValueError, match="method 'vpt'"):
        methods.register("vpt", 9)
    assert methods["vpt"] == 2


@pytest.mark.parametrize("name", ["lora", "", 3, None])
def test_an_unknown_name_lists_the_known_ones(methods, name):
    with pytest.raises(ValueError, match=r"unknown method .*: known are coop, vpt"):
        methods[name]


def test_an_unknown_name_gets_the_nearest_one(methods):
    with pytest.raises(ValueError, match="did you mean 'coop'"):
        methods["cop"]
    with pytest.raises(ValueError) as raised:
        methods["something else"]
    assert "did you mean" not in str(raised.value)


def test_registries_do_not_share_variants(methods):
    assert "vpt" not in Registry("dataset layout")
