import pytest

from monai_tunevlseg.demo import demo_model


def test_folder_holds_a_whole_model():
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in demo_model("clipseg").iterdir()
    }


def test_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no base model 'clipsegg' is embedded; there are: .*clipseg"):
        demo_model("clipsegg")
