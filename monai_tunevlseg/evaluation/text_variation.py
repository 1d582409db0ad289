"""How much Dice varies with the text for a class, and what texts that are not those of the class give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from statistics import fmean, stdev
from typing import Any

from monai_tunevlseg.data.compared_texts import CONTENTLESS, CONTRADICTORY, TEXT_SET
from monai_tunevlseg.data.dataset_spec import CLASS_NAME
from monai_tunevlseg.evaluation.bootstrap import Bootstrap, Interval
from monai_tunevlseg.evaluation.compared_pairs import ComparedPair

__all__ = ["summarize_variation"]

Column = list[tuple[ComparedPair, float]]
"""The pairs and values of a mean."""


def summarize_variation(pairs: Sequence[ComparedPair], bootstrap: Bootstrap) -> dict[str, Any]:
    """Return how Dice varies over the texts of a class, and the scores of controls.

    Args:
        pairs: the compared texts of one or more images.
        bootstrap: settings of the intervals.

    Returns:
        an entry for each kind of text, over all classes and, in ``classes``, of each: ``class_name``, ``text_set``,
        ``contentless`` and ``contradictory``.

        - Each has ``pairs``, an image and a text each; ``dice``; ``dice_foreground`` and ``iou_foreground``, over the
          pairs with foreground; ``found``, the percentage of pairs with any foreground in the prediction; ``area``, its
          mean area in percent of the image; ``blank_dice`` and ``blank_area``, Dice and area of the prediction in a
          blank image; ``intervals`` of all of them.
        - All but ``class_name`` have ``texts``, their number, and ``by_text``, the scores of each by its name, with the
          ``interval`` of ``dice``. Over several classes, these are the texts that all classes have.
        - ``text_set`` has ``standard_deviation`` and ``range``, highest minus lowest, of the mean ``dice`` of the
          texts, and ``worst`` and ``best``: {"name", "dice"}. Over several classes, they are means of the values of the
          classes by their numbers of images, and a name is None unless all classes share it.

        A text that an image of its class was not asked for is left out. Undefined values are None.
    """
    pairs = _of_all_images(pairs)
    names = sorted({pair.class_name for pair in pairs})
    classes = {name: _summarize([pair for pair in pairs if pair.class_name == name], bootstrap) for name in names}
    return {**_summarize(pairs, bootstrap), "classes": classes}


def _of_all_images(pairs: Sequence[ComparedPair]) -> list[ComparedPair]:
    """Return the pairs of the texts that were compared on all images, or slices, of their class."""
    images = Counter(name for name, *_ in {(pair.class_name, pair.image, pair.slice) for pair in pairs})
    counts = Counter((pair.class_name, pair.kind, pair.name) for pair in pairs)
    return [pair for pair in pairs if counts[pair.class_name, pair.kind, pair.name] == images[pair.class_name]]


def _summarize(pairs: Sequence[ComparedPair], bootstrap: Bootstrap) -> dict[str, Any]:
    summary: dict[str, dict[str, Any]] = {}
    for kind in (CLASS_NAME, TEXT_SET, CONTENTLESS, CONTRADICTORY):
        chosen = [pair for pair in pairs if pair.kind == kind]
        intervals = {name: _interval(column, bootstrap) for name, column in _columns(chosen).items()}
        summary[kind] = _scores(chosen) | {"intervals": intervals}
        if kind == TEXT_SET:
            summary[kind] |= _spread(chosen)
        if kind != CLASS_NAME:
            by_text = {
                name: _scores(part) | {"interval": _interval(_columns(part)["dice"], bootstrap)}
                for name, part in _by_shared_text(chosen).items()
            }
            summary[kind] |= {"texts": len({pair.name for pair in chosen}), "by_text": by_text}
    return summary


def _columns(pairs: Sequence[ComparedPair]) -> dict[str, Column]:
    """Return the columns of all means by their names."""
    shown = [pair for pair in pairs if pair.label_pixels]
    return {
        "dice": [(pair, pair.dice) for pair in pairs],
        "dice_foreground": [(pair, pair.dice) for pair in shown],
        "iou_foreground": [(pair, pair.iou) for pair in shown],
        "found": [(pair, 100.0 * (pair.predicted_pixels > 0)) for pair in pairs],
        "area": [(pair, pair.area) for pair in pairs],
        "blank_dice": [(pair, pair.blank_dice) for pair in pairs],
        "blank_area": [(pair, pair.blank_area) for pair in pairs],
    }


def _scores(pairs: Sequence[ComparedPair]) -> dict[str, Any]:
    means = {name: fmean(value for _, value in column) if column else None for name, column in _columns(pairs).items()}
    return {"pairs": len(pairs), **means}


def _interval(column: Column, bootstrap: Bootstrap) -> Interval | None:
    return bootstrap.interval([value for _, value in column], [pair.cluster for pair, _ in column])


def _by_shared_text(pairs: Sequence[ComparedPair]) -> dict[str, list[ComparedPair]]:
    """Return the pairs of each text that all classes of the pairs have, by its name, in the order of the texts."""
    class_names = {pair.class_name for pair in pairs}
    by_text: dict[str, list[ComparedPair]] = {}
    for pair in pairs:
        by_text.setdefault(pair.name, []).append(pair)
    return {name: part for name, part in by_text.items() if {pair.class_name for pair in part} == class_names}


def _spread(pairs: Sequence[ComparedPair]) -> dict[str, Any]:
    """Return spread, worst and best text of the pairs of one or more classes."""
    if not pairs:
        return dict.fromkeys(("standard_deviation", "range", "worst", "best"))
    classes: dict[str, dict[str, list[float]]] = {}
    for pair in pairs:
        classes.setdefault(pair.class_name, {}).setdefault(pair.name, []).append(pair.dice)
    means = [{name: fmean(values) for name, values in texts.items()} for texts in classes.values()]
    images = [len(next(iter(texts.values()))) for texts in classes.values()]
    deviations = [stdev(of_class.values()) for of_class in means if len(of_class) > 1]
    worst, best = (_mean_end(end, means, images) for end in (min, max))
    return {
        "standard_deviation": fmean(deviations, images) if len(deviations) == len(means) else None,
        "range": best["dice"] - worst["dice"],
        "worst": worst,
        "best": best,
    }


def _mean_end(
    end: Callable[..., tuple[str, float]], means: Iterable[Mapping[str, float]], images: Sequence[int]
) -> dict[str, Any]:
    """Return the lowest or highest mean of each class, as the mean over the classes, and its name if it is the same."""
    names, dice = zip(*(end(of_class.items(), key=itemgetter(1)) for of_class in means), strict=True)
    return {"name": names[0] if len(set(names)) == 1 else None, "dice": fmean(dice, images)}
