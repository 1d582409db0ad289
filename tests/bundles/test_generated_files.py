import json
import shutil
from pathlib import Path

import pytest
import yaml
from small_runs import BUNDLES, CONFIGS

from monai_tunevlseg.bundles import (
    bundle_names,
    experiment_names,
    read_facts,
    render_bundle,
    render_experiment,
    stale_files,
    write_bundles,
)
from monai_tunevlseg.bundles.templates import Templates
from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS
from monai_tunevlseg.methods import METHODS, PromptLearner
from monai_tunevlseg.networks import IMAGE_ONLY_NETWORKS, VLSMS, PromptTunedCLIPSeg, UNet

FILES = {"LICENSE", "docs/README.md"} | {
    f"configs/{name}"
    for name in (
        "metadata.json",
        "train.yaml",
        "evaluate.yaml",
        "inference.yaml",
        "multi_gpu_train.yaml",
        "logging.conf",
    )
}


@pytest.fixture
def configs(tmp_path):
    """A copy of the fragments and experiments, to be spoilt."""
    shutil.copy(CONFIGS.parent / "LICENSE", tmp_path)
    return shutil.copytree(CONFIGS, tmp_path / "configs")


@pytest.fixture
def copies(configs, tmp_path):
    """The copy, and the bundles that are written from it."""
    write_bundles(configs, tmp_path / "bundles")
    return configs, tmp_path / "bundles"


def test_the_committed_bundles_are_what_configs_say():
    stale = [str(path) for path in stale_files(CONFIGS, BUNDLES)]
    assert not stale, f"run `make bundles`: {stale}"


def test_every_method_has_a_bundle_with_clipseg():
    assert {f"clipseg_{name}" for name in METHODS} <= set(bundle_names(CONFIGS))


def test_all_combinations_that_fit_are_there():
    methods = {
        f"{model}_{name}"
        for model in VLSMS
        for name in METHODS
        if not (METHODS[name].prompts_vision and VLSMS[model].no_visual_prompts)
    }
    baselines = {f"{model}_{name}" for model in VLSMS for name in ("finetune", "decoder", "zero_shot")}
    from_scratch = {f"{model}_scratch" for model in IMAGE_ONLY_NETWORKS}
    assert set(bundle_names(CONFIGS)) == methods | baselines | from_scratch
    assert {"clipseg_maple", "cris_cocoop", "sam3_vpt"} <= methods and "cris_vpt" not in methods


def test_a_further_image_only_model_is_one_fragment(copies):
    configs, bundles = copies
    shutil.copy(configs / "models" / "unet.yaml", configs / "models" / "other.yaml")
    with IMAGE_ONLY_NETWORKS.temporarily("other", UNet):
        names = {name for name in bundle_names(configs) if name.startswith("other")}
        written = write_bundles(configs, bundles)
        datasets = {name.partition("/")[0] for name in experiment_names(configs) if "other_" in name}
    assert names == {"other_scratch"} and set(DEMO_DATASETS) | {"kvasir"} <= datasets
    assert all("other_scratch" in str(path) for path in written)


@pytest.mark.parametrize("name", bundle_names(CONFIGS))
def test_a_bundle_has_all_its_files_and_they_parse(name):
    files = render_bundle(CONFIGS, name)
    missing = {"configs/train.yaml", "configs/multi_gpu_train.yaml"} if name.endswith("zero_shot") else set()
    assert {path.as_posix() for path in files} == FILES - missing
    for path, text in files.items():
        assert not any(mark in text for mark in ("{{", "{%", "{#", "#}")), path
        if path.suffix == ".json":
            json.loads(text)
        if path.suffix == ".yaml":
            yaml.safe_load(text)


def test_comments_survive_composition():
    train = render_bundle(CONFIGS, "clipseg_vpt")[Path("configs/train.yaml")]
    assert "num_context: 4 # context vectors per layer" in train


def test_an_edited_a_missing_and_a_surplus_file_are_stale_until_written_again(copies):
    configs, bundles = copies
    edited = bundles / "clipseg_vpt" / "configs" / "train.yaml"
    edited.write_text(edited.read_text().replace("epochs: 20", "epochs: 21"))
    missing = bundles / "clipseg_coop" / "LICENSE"
    missing.unlink()
    surplus = bundles / "clipseg_old" / "configs" / "train.yaml"
    surplus.parent.mkdir(parents=True)
    surplus.write_text(edited.read_text().replace("clipseg_vpt", "clipseg_old"))
    assert stale_files(configs, bundles) == sorted([edited, missing, surplus])
    write_bundles(configs, bundles)
    assert stale_files(configs, bundles) == []
    assert not surplus.exists()


def test_files_of_others_are_left_alone(copies):
    configs, bundles = copies
    vpt = bundles / "clipseg_vpt"
    others = {
        bundles / "mine" / "configs" / "train.yaml": (vpt / "configs" / "train.yaml").read_text(),  # a copy of a bundle
        bundles / "shared" / "configs" / "train.yaml": "# shared: training. Written by `tunevlseg share`.\n",
        vpt / "configs" / "mine.yaml": "epochs: 3\n",
        configs / "mydata" / "clipseg_vpt.yaml": "class_names: [scar]\n",
        configs / "kvasir" / "mine.yaml": (configs / "kvasir" / "clipseg_vpt.yaml").read_text(),
    }
    for path, text in others.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert write_bundles(configs, bundles) == []
    assert {path: path.read_text() for path in others} == others


def test_a_dropped_dataset_takes_its_experiments_along_and_nothing_else(copies):
    configs, bundles = copies
    (configs / "datasets" / "isic.yaml").unlink()
    (configs / "isic" / "notes.yaml").write_text("mine: 1\n")
    removed = write_bundles(configs, bundles)
    assert removed == [configs / "isic" / f"{bundle}.yaml" for bundle in bundle_names(configs)]
    assert [path.name for path in (configs / "isic").iterdir()] == ["notes.yaml"]


def test_a_folder_without_fragments_is_refused_and_nothing_is_removed(copies, tmp_path):
    _, bundles = copies
    before = sorted(bundles.rglob("*"))
    for wrong in (tmp_path / "nowhere", tmp_path):
        for call in (write_bundles, stale_files):
            with pytest.raises(FileNotFoundError, match=f"{wrong}.*--configs-dir"):
                call(wrong, bundles)
        with pytest.raises(FileNotFoundError, match="--configs-dir"):
            render_experiment(wrong, "kvasir/clipseg_vpt")
    assert sorted(bundles.rglob("*")) == before


def test_what_a_run_wrote_into_a_bundle_stays(copies):
    configs, bundles = copies
    checkpoint = bundles / "clipseg_vpt" / "models" / "model.pt"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"learned")
    assert write_bundles(configs, bundles) == []
    assert checkpoint.read_bytes() == b"learned"


def test_a_changed_fragment_makes_every_bundle_that_has_it_stale(copies):
    configs, bundles = copies
    prompts = configs / "bundle" / "parts" / "prompts.yaml"
    prompts.write_text(prompts.read_text().replace("num_context: 4", "num_context: 5"))
    learners = [name for name in METHODS if issubclass(METHODS[name], PromptLearner)]
    prompted = {f"{model}_{name}" for model in VLSMS for name in learners} & set(bundle_names(configs))
    assert {path.parts[-3] for path in stale_files(configs, bundles)} == prompted


def test_a_new_method_is_one_fragment(configs):
    text = (configs / "methods" / "vpt.yaml").read_text()
    (configs / "methods" / "mine.yaml").write_text(text.replace("method: vpt", "method: mine"))
    assert "clipseg_mine" in bundle_names(configs)
    assert "method: mine" in "".join(render_bundle(configs, "clipseg_mine").values())


def test_a_model_gets_only_methods_whose_prompts_can_be_inserted(configs):
    class Blind(PromptTunedCLIPSeg):
        no_visual_prompts = "it is blind"

    shutil.copy(configs / "models" / "clipseg.yaml", configs / "models" / "blind.yaml")
    with VLSMS.temporarily("blind", Blind):
        methods = {name.removeprefix("blind_") for name in bundle_names(configs) if name.startswith("blind")}
    prompting_the_image = {name for name in METHODS if METHODS[name].prompts_vision}
    assert "vpt" in prompting_the_image and not methods & prompting_the_image
    assert {"coop", "lora", "finetune", "decoder", "zero_shot"} <= methods and "scratch" not in methods


def test_a_model_without_an_embedded_twin_has_no_experiments_on_the_demo_datasets(configs):
    text = (configs / "models" / "clipseg.yaml").read_text()
    (configs / "models" / "giant.yaml").write_text(text.replace("embedded: true", "embedded: false"))
    with VLSMS.temporarily("giant", PromptTunedCLIPSeg):
        datasets = {name.partition("/")[0] for name in experiment_names(configs) if "giant_vpt" in name}
    assert "kvasir" in datasets and not datasets & set(DEMO_DATASETS)


def test_a_model_with_large_images_has_smaller_batches_and_fewer_views(configs):
    fragment = configs / "models" / "clipseg.yaml"
    fragment.write_text(f"batch_size: 2\nnum_views: 3\n{fragment.read_text()}")
    files = render_bundle(configs, "clipseg_coop")
    values = [yaml.safe_load(text) for path, text in files.items() if path.suffix == ".yaml"]
    assert {content["batch_size"] for content in values if "batch_size" in content} == {2}
    assert {content["sw_batch_size"] for content in values if "sw_batch_size" in content} == {2}
    assert {content["num_views"] for content in values if "num_views" in content} == {3}


def test_an_unknown_bundle_is_refused():
    with pytest.raises(ValueError, match="'clipseg_nothing'.*clipseg_vpt"):
        render_bundle(CONFIGS, "clipseg_nothing")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('a: 1\n# {% include "bundle/parts/none.yaml" %}\n', FileNotFoundError, "line 2.*no bundle/parts/none.yaml"),
        ('# {% include "../secret.yaml" %}\n', FileNotFoundError, "line 1.*no ../secret.yaml"),
        ("a: 1\nb: {{ model.weight }}\n", ValueError, r"line 2, 'b: \{\{ model.weight"),
        ("{{ weight }}\n", ValueError, "line 1.*'weight'"),
        ("a: 1\n{{ weight\n", ValueError, "line 2.*print statement"),
        ("{{ ''.__class__.__mro__ }}\n", ValueError, "line 1.*__class__.*unsafe"),
        ('# {% include "bundle/train.yaml" %}\n', ValueError, "line 1.*recursion"),
    ],
)
def test_mistakes_in_a_template_are_named(configs, text, error, message):
    (configs.parent / "secret.yaml").write_text("a: 1\n")
    (configs / "bundle" / "train.yaml").write_text(text)
    with pytest.raises(error, match=f"{configs / 'bundle' / 'train.yaml'}, {message}"):
        render_bundle(configs, "clipseg_vpt")


def test_a_mistake_below_the_facts_of_an_included_file_is_named_there(configs):
    vpt = configs / "methods" / "vpt.yaml"
    lines = [*vpt.read_text().splitlines(), "x: {{ method.nothing }}"]
    vpt.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=rf"{vpt}, line {len(lines)}, 'x: \{{\{{ method.nothing"):
        render_bundle(configs, "clipseg_vpt")


def test_an_included_file_is_indented_like_the_line_that_includes_it(tmp_path):
    (tmp_path / "a.yaml").write_text('a:\n  # {% include "b.yaml" %}\nz: 1\n')
    (tmp_path / "b.yaml").write_text('fact: 1\n---\nb:\n\n    # {% include "c.yaml" %}\n# {% include "c.yaml" %}\n')
    (tmp_path / "c.yaml").write_text("c: {{ c }} # why\nd: {e: {f: 1}}\n")
    c = "c: 7 # why\n{0}d: {{e: {{f: 1}}}}\n"
    wanted = "a:\n  b:\n\n      " + c.format(" " * 6) + "  " + c.format("  ") + "z: 1\n"
    assert Templates(tmp_path).render(tmp_path / "a.yaml", {"c": 7}) == wanted


@pytest.mark.parametrize(("shown", "wanted"), [(True, "a:\n  b: 1\n  c: 2\n"), (False, "a:\n  b: 1\n")])
def test_the_lines_of_a_statement_leave_no_trace(shown, wanted, tmp_path):
    text = "a:\n  b: 1\n  # {% if shown %}\n  c: 2\n  # {% endif %}\n"
    (tmp_path / "a.yaml").write_text(text)
    assert Templates(tmp_path).render(tmp_path / "a.yaml", {"shown": shown}) == wanted


def test_facts_must_be_a_mapping(tmp_path):
    (tmp_path / "x.yaml").write_text("- a\n---\nb: 1\n")
    with pytest.raises(ValueError, match="x.yaml.*mapping"):
        read_facts(tmp_path / "x.yaml")


def test_a_template_of_an_unknown_kind_is_refused(configs):
    (configs / "bundle" / "notes.txt").touch()
    with pytest.raises(ValueError, match="notes.txt"):
        render_bundle(configs, "clipseg_vpt")
