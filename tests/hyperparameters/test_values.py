import pytest

from monai_tunevlseg.hyperparameters import class_list, optional


@pytest.mark.parametrize(("given", "meant"), [("null", None), ("None", None), (None, None), ("vpt", "vpt"), (0, 0)])
def test_optional(given, meant):
    assert optional(given) == meant


@pytest.mark.parametrize(
    ("given", "meant"), [("skin lesion", ["skin lesion"]), (("a", "b"), ["a", "b"]), (["polyp"], ["polyp"])]
)
def test_class_list(given, meant):
    assert class_list(given) == meant


@pytest.mark.parametrize("given", ["", " ", [], ["a", ""], [1]])
def test_class_list_refuses_what_names_no_class(given):
    with pytest.raises(ValueError, match="class_names"):
        class_list(given)
