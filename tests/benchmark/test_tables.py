"""Tables compared with numbers computed by hand."""

from __future__ import annotations

from statistics import fmean, pstdev

import pytest
from sample_results import write_experiment

from monai_tunevlseg.benchmark import build_report, read_results
from monai_tunevlseg.benchmark.paper_tables import PAPER_TABLES, paper_datasets, paper_rows
from monai_tunevlseg.benchmark.tables import build_tables


def tables(folder, metric="dice"):
    return {table.number: table for table in build_tables(read_results(folder).experiments, metric)}


def row(table, model, method, variant=None):
    (found,) = (row for row in table.rows if (row.model, row.method, row.variant) == (model, method, variant))
    return found


@pytest.fixture
def results(tmp_path):
    """Experiments on Kvasir and BKAI."""
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80, 100])  # 90
    write_experiment(tmp_path, "bkai/clipseg_vpt", [84, 88])  # 86
    write_experiment(tmp_path, "kvasir/clipseg_coop", [70, 76])  # 73
    write_experiment(tmp_path, "bkai/clipseg_coop", [86, 86])  # 86
    write_experiment(tmp_path, "kvasir/clipseg_finetune", [90, 92])  # 91
    write_experiment(tmp_path, "bkai/clipseg_finetune", [80, 82])  # 81
    return tmp_path


def test_means_and_deviations(results):
    vpt = row(tables(results)[3], "clipseg", "vpt")
    assert vpt.cells["kvasir"].value == pytest.approx(90)
    assert vpt.mean.value == pytest.approx(88)
    assert vpt.std == pytest.approx(2)  # of the population
    assert row(tables(results)[3], "clipseg", "coop").std == pytest.approx(6.5)


def test_difference_to_the_paper(results):
    vpt = row(tables(results)[3], "clipseg", "vpt")
    assert vpt.cells["kvasir"].paper == 89.03
    assert vpt.cells["kvasir"].difference == pytest.approx(0.97)
    assert vpt.cells["bkai"].difference == pytest.approx(86 - 87.96)
    assert vpt.mean.paper == pytest.approx((89.03 + 87.96) / 2)
    assert vpt.paper_std == pytest.approx((89.03 - 87.96) / 2)


def test_datasets_and_rows_in_the_papers_order(results):
    write_experiment(results, "ultrasound/clipseg_vpt", [50, 60])
    write_experiment(results, "ultrasound/clipseg_zero_shot", [5, 6])
    table = tables(results)[3]
    assert table.datasets == ["bkai", "kvasir", "ultrasound"]
    assert [found.method for found in table.rows] == ["zero_shot", "vpt", "coop", "finetune"]


def test_best_of_a_column_and_best_method(results):
    table = tables(results)[3]
    vpt, coop, tuned = (row(table, "clipseg", method) for method in ("vpt", "coop", "finetune"))
    assert tuned.cells["kvasir"].best and not tuned.cells["kvasir"].best_method
    assert vpt.cells["kvasir"].best_method and not vpt.cells["kvasir"].best
    assert vpt.cells["bkai"].best and coop.cells["bkai"].best  # a tie
    assert vpt.mean.best and vpt.mean.best_method
    assert not coop.mean.best and not coop.cells["kvasir"].best_method


def test_ties_after_rounding(tmp_path):
    write_experiment(tmp_path, "kvasir/clipseg_vpt", [80.001, 80.001])
    write_experiment(tmp_path, "kvasir/clipseg_coop", [80.003, 80.003])
    assert all(found.cells["kvasir"].best for found in tables(tmp_path)[3].rows)


def test_mean_over_fewer_datasets_is_not_the_best(results):
    write_experiment(results, "kvasir/clipseg_maple", [99, 99])
    maple = row(tables(results)[3], "clipseg", "maple")
    assert maple.cells["kvasir"].best and not maple.mean.best
    assert row(tables(results)[3], "clipseg", "vpt").mean.best


def test_paper_mean_needs_the_same_datasets(results):
    write_experiment(results, "ultrasound/clipseg_vpt", [50, 60])
    vpt = row(tables(results)[3], "clipseg", "vpt")
    assert vpt.cells["ultrasound"].paper is None and vpt.cells["ultrasound"].difference is None
    assert vpt.mean.paper is None and vpt.paper_std is None


def test_table_4_has_both_initializations(results):
    write_experiment(results, "kvasir/clipseg_maple", [86, 88])
    write_experiment(results, "kvasir/clipseg_maple-gaussian", [87, 89])
    table = tables(results)[4]
    assert [(found.method, found.initialization) for found in table.rows] == [
        ("maple", "Gaussian"),
        ("maple", "“a photo of a”"),
    ]
    gaussian, words = table.rows
    assert gaussian.cells["kvasir"].paper == 88.65 and words.cells["kvasir"].paper == 87.25
    assert gaussian.cells["kvasir"].best and not words.cells["kvasir"].best
    assert table.datasets == ["kvasir"]


def test_change_in_table_5_is_over_common_datasets(results):
    write_experiment(results, "kvasir/clipseg_vpt-no_upsampler", [85, 85])  # 5 less than 90
    write_experiment(results, "busi/clipseg_vpt-no_upsampler", [10, 10])  # not in Table 3
    (found,) = tables(results)[5].rows
    assert found.change == pytest.approx(-5)
    assert found.cells["kvasir"].paper == 86.64
    assert not tables(results)[3].rows[0].change


def test_table_3_has_a_group_for_each_kind_of_method(results):
    write_experiment(results, "kvasir/clipseg_vpt-decoder", [96, 98])  # 97
    write_experiment(results, "kvasir/clipseg_lora", [92, 94])
    write_experiment(results, "kvasir/clipseg_lora-decoder", [60, 62])
    write_experiment(results, "kvasir/clipseg_zero_shot", [5, 6])
    table = tables(results)[3]
    assert [(found.group, found.title[1]) for found in table.rows] == [
        ("zero-shot", "zero-shot"),
        ("prompts", "VPT"),
        ("prompts", "CoOp"),
        ("prompts + decoder", "VPT + decoder"),
        ("adapters", "LoRA"),
        ("adapters + decoder", "LoRA + decoder"),
        ("fine-tuning", "fine-tuned"),
    ]
    decoder = row(table, "clipseg", "vpt", "decoder")
    assert decoder.cells["kvasir"].best and decoder.cells["kvasir"].best_method
    assert decoder.cells["kvasir"].paper is None and row(table, "clipseg", "lora").mean.paper is None
    assert row(table, "clipseg", "vpt").cells["kvasir"].paper == 89.03


def test_ablations_are_not_in_table_3(results):
    write_experiment(results, "kvasir/clipseg_vpt-no_upsampler", [99, 99])
    assert not any(found.variant for found in tables(results)[3].rows)
    assert row(tables(results)[3], "clipseg", "finetune").cells["kvasir"].best


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("dice", (80 + 60 + 100) / 3),
        ("dice_foreground", 70),
        ("dice_original", (79 + 59 + 99) / 3),
        ("dice_original_foreground", 69),
    ],
)
def test_the_metric_can_be_chosen(tmp_path, metric, value):
    write_experiment(tmp_path, "busi/clipseg_vpt", [80, 60, 100], areas=[100, 100, 0])
    assert row(tables(tmp_path, metric)[3], "clipseg", "vpt").cells["busi"].value == pytest.approx(value)


def test_unknown_metric_is_named(results):
    with pytest.raises(ValueError, match="'f1'.* dice, dice_foreground"):
        build_report(results, "f1")


@pytest.mark.parametrize("number", list(PAPER_TABLES))
def test_means_of_the_paper(number):
    """The paper's numbers are copied correctly; its standard deviation is that of the population."""
    rows = paper_rows(number)
    assert len(rows) == {3: 10, 4: 2, 5: 8}[number]
    for found in rows.values():
        assert list(found.cells) == paper_datasets()
        if found.mean is not None:
            assert fmean(found.cells.values()) == pytest.approx(found.mean, abs=0.011)
            assert pstdev(found.cells.values()) == pytest.approx(found.std, abs=0.0101)
