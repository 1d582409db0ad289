import pytest

from monai_tunevlseg.bundles import class_list, existing_checkpoint, optional


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


def test_existing_checkpoint(tmp_path):
    path = tmp_path / "model.pt"
    with pytest.raises(FileNotFoundError, match=r"model.pt.*train.yaml.*--bundle_root.*--ckpt_path.*--learner null"):
        existing_checkpoint(str(path))
    path.touch()
    assert existing_checkpoint(str(path)) == str(path)
