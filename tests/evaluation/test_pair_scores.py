import csv
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_tunevlseg.evaluation import PairScores, read_pair_scores, write_pair_scores

PAIR = PairScores("images/a.png", None, "polyp", "a polyp", dice=50.0, label_pixels=4)
name = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
number = st.none() | st.floats(0, 100)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(
            PairScores,
            image=name,
            slice=st.none() | st.integers(0, 500),
            class_name=name,
            text=name,
            group=st.none() | name,
            dice=number,
            hd95=number,
            label_pixels=st.none() | st.integers(0, 10**7),
            predicted_pixels_original=st.integers(0, 10**7),
            mask=st.none() | name,
        ),
        min_size=1,
        unique_by=lambda pair: pair.key,
    )
)
def test_pairs_are_read_as_written(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    write_pair_scores(path, pairs)
    assert read_pair_scores(path) == pairs
    assert read_pair_scores(path.parent) == pairs


def test_names_with_commas_quotes_and_line_ends_survive(tmp_path):
    pair = replace(PAIR, image='a, "b".png', class_name="left\nright", text='said "so", twice')
    write_pair_scores(tmp_path / "pairs.csv", [pair])
    assert read_pair_scores(tmp_path) == [pair]


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x")', "+1", "-1", "@x", "'=1"])
def test_texts_are_written_as_no_formulas_and_read_unchanged(text, tmp_path):
    pairs = [replace(PAIR, image=f"{text}.png", class_name=text, text=text, group=text, dice=0.5)]
    write_pair_scores(tmp_path / "pairs.csv", pairs)
    with (tmp_path / "pairs.csv").open(newline="") as file:
        cells = next(csv.DictReader(file))
    assert [cells[name] for name in ("image", "class_name", "text", "group")] == [f"'{text}.png"] + ["'" + text] * 3
    assert cells["dice"] == "0.5"
    assert read_pair_scores(tmp_path) == pairs


def edited(path, edit):
    write_pair_scores(path, [PAIR, replace(PAIR, image="b.png")])
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    edit(rows)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def drop_column(rows):
    index = rows[0].index("dice")
    for row in rows:
        del row[index]


def set_cell(name, value):
    def edit(rows):
        rows[2][rows[0].index(name)] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (drop_column, "column dice;"),
        (lambda rows: rows.clear(), "column image, slice, class_name, dice, label_pixels;"),
        (lambda rows: rows.__delitem__(slice(1, None)), "no rows"),
        (lambda rows: rows[2].pop(), "row 2 .*cells"),
        (lambda rows: rows[1].append("x"), "row 1 .*cells"),
        (set_cell("dice", "good"), "row 2, column 'dice'.*'good'"),
        (set_cell("dice", "nan"), "row 2, column 'dice'.*'nan'"),
        (set_cell("label_pixels", "inf"), "row 2, column 'label_pixels'.*'inf'"),
        (set_cell("dice", "100.1"), "row 2, column 'dice'.*'100.1'.* 0 to 100"),
        (set_cell("dice", "-1"), "row 2, column 'dice'.*'-1'"),
        (set_cell("hd95", "-0.1"), "row 2, column 'hd95'.*'-0.1'"),
        (set_cell("slice", "1.5"), "row 2, column 'slice'.*'1.5'.*integer"),
        (set_cell("label_pixels", "-3"), "row 2, column 'label_pixels'.*'-3'.*integer"),
        (set_cell("image", ""), "row 2 .*image"),
        (set_cell("image", "images/a.png"), "one row.*'images/a.png', None, 'polyp'"),
    ],
)
def test_damage_is_named(tmp_path, edit, message):
    path = tmp_path / "pairs.csv"
    edited(path, edit)
    with pytest.raises(ValueError, match=rf"pairs\.csv.*{message}"):
        read_pair_scores(path)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\x00\xff\xfe", b'"image","slice\n'])
def test_a_file_that_is_not_csv_is_refused(tmp_path, content):
    (tmp_path / "pairs.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"pairs\.csv.*CSV"):
        read_pair_scores(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"pairs\.csv.*evaluate\.yaml"):
        read_pair_scores(tmp_path)


def test_only_the_scores_that_are_asked_for_are_needed(tmp_path):
    path = tmp_path / "pairs.csv"
    edited(path, drop_column)
    assert [pair.dice for pair in read_pair_scores(path, required=["iou"])] == [None, None]


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "pairs.csv"
    write_pair_scores(path, [PAIR])
    with pytest.raises(TypeError):
        write_pair_scores(path, [PAIR, None])
    assert read_pair_scores(path) == [PAIR]
    assert list(tmp_path.iterdir()) == [path]
