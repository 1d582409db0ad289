"""CRIS at the size of the release, from its files to a tuned checkpoint."""

import io
from tempfile import TemporaryDirectory

import torch
from fake_cris_release import Sizes, clip_shapes, cris_shapes, random_weights
from transformers import CLIPTokenizer

from monai_tunevlseg.networks import CRIS, PromptTunedCRIS, load_cris
from monai_tunevlseg.networks.base_model import fingerprint
from monai_tunevlseg.networks.cris.conversion import convert_cris


def full_tokenizer() -> CLIPTokenizer:
    """A tokenizer with as many tokens as CLIP's, most of them unused."""
    letters = [chr(number) for number in range(33, 127)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += [f"<filler {number}>" for number in range(49406 - len(tokens))]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: number for number, token in enumerate(tokens)}, merges=[])


def test_the_releases_files_convert_load_and_tune(tmp_path):
    weights = random_weights(cris_shapes(Sizes()))
    released = CRIS()
    released.load_state_dict(weights, strict=True, assign=True)
    image, token_ids = torch.randn(1, 3, 64, 64), torch.tensor([[49406, 80, 79, 76, 89, 175, 49407]])
    with torch.no_grad():
        before = released.eval()(image, token_ids)
    # only names and shapes of CLIP's tensors count, so each stores a single number
    clip = {name: torch.zeros(()).half().expand(shape) for name, shape in clip_shapes(Sizes()).items()}
    full_tokenizer().save_pretrained(tmp_path)
    with TemporaryDirectory(dir=tmp_path) as folder:  # pytest would keep this gigabyte for two more runs
        files = tmp_path / folder / "RN50.pt", tmp_path / folder / "cris_best.pth"
        torch.save(clip, files[0])
        torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, files[1])
        base = load_cris(str(convert_cris(*files, tmp_path, tmp_path / folder / "out")))
        with torch.no_grad():
            after = base.model(image, token_ids)
        assert before.isfinite().all()
        assert before.std() > 1e-3
        heads = {"text_heads": 8, "vision_heads": 32, "decoder_heads": 8}
        assert base.fingerprint == fingerprint(released, heads, base.tokenizer)
        assert (before - after).abs().max() < 1e-5 * before.abs().max()
        network = PromptTunedCRIS(base, ["polyp"], "coop", {"prompt_depth": 12})
        checkpoint = io.BytesIO()
        torch.save(network.state_dict(), checkpoint)
    assert checkpoint.tell() < 1_000_000
