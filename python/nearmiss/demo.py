# SPDX-License-Identifier: Apache-2.0
"""`nearmiss demo`: near misses among 1,797 handwritten digits, checked, timed and drawn.

The data comes with scikit-learn, so nothing is downloaded. For every image the positive is the
nearest other image of the same digit; its near misses are the closest images of other digits.
Both searches run in the engine. The same work is then done by brute force in numpy, twice: once
in float64 to check every answer bit for bit, and once in float32, the fast way, for the clock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nearmiss.corpus import Corpus
from nearmiss.mining import mine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

NUM_SHOWN = 5
_ROUNDS = 9


@dataclass(frozen=True)
class Matches:
    """What the demo finds for every image: its positive and its near misses.

    Attributes
    ----------
    positives, positive_scores : (n,) int64 and float32
        The nearest other image of the same digit, and its cosine similarity.
    negatives, negative_scores : (n, NUM_SHOWN) int64 and float32
        The closest images of other digits, closest first.
    """

    positives: Ints
    positive_scores: Floats
    negatives: Ints
    negative_scores: Floats


def load_digits() -> tuple[Floats, Ints]:
    """Return the pixels (1797, 64) float32 in 0..16 and the labels (1797,) int64."""
    try:
        from sklearn.datasets import load_digits as load
    except ImportError as error:
        raise ImportError("the demo needs its extra: pip install 'nearmiss[demo]'") from error
    digits = load()
    return digits.data.astype(np.float32), digits.target.astype(np.int64)


def find_matches(pixels: Floats, labels: Ints, *, num_threads: int | None = None) -> Matches:
    """Find every image's positive and near misses with the engine: two calls of `mine`."""
    corpus = Corpus(pixels, metric="cosine", groups=labels)
    same_digit = mine(
        pixels,
        corpus,
        num_negatives=1,
        query_groups=labels,
        within_groups=True,
        exclude_self=True,
        num_threads=num_threads,
    )
    near_misses = mine(
        pixels,
        corpus,
        same_digit.indices[:, 0],
        num_negatives=NUM_SHOWN,
        query_groups=labels,
        num_threads=num_threads,
    )
    return Matches(
        np.asarray(same_digit.indices[:, 0]),
        np.asarray(same_digit.scores[:, 0]),
        np.asarray(near_misses.indices),
        np.asarray(near_misses.scores),
    )


def check_matches(pixels: Floats, labels: Ints) -> Matches:
    """Brute force in float64 by the definition of the score, ties to the lower row.

    The pixels are small integers, so the dot products are exact in any order of summation and
    the engine has to agree to the last bit.
    """
    wide = pixels.astype(np.float64)
    norms = np.sqrt((wide * wide).sum(axis=1))
    scores = ((wide @ wide.T) / (norms[:, None] * norms[None, :])).astype(np.float32)
    positives = _closest(_masked(scores, labels, same_digit=True), 1)
    negatives = _closest(_masked(scores, labels, same_digit=False), NUM_SHOWN)
    return Matches(
        positives[:, 0],
        np.take_along_axis(scores, positives, axis=1)[:, 0],
        negatives,
        np.take_along_axis(scores, negatives, axis=1),
    )


def brute_force(pixels: Floats, labels: Ints) -> tuple[Ints, Ints]:
    """Do the same two searches in numpy, the fast way: float32 product, partial sort."""
    unit = pixels / np.linalg.norm(pixels, axis=1, keepdims=True)
    scores = unit @ unit.T
    positives = _masked(scores, labels, same_digit=True).argmax(axis=1)
    others = _masked(scores, labels, same_digit=False)
    rows = np.argpartition(others, -NUM_SHOWN, axis=1)[:, -NUM_SHOWN:]
    order = np.argsort(-np.take_along_axis(others, rows, axis=1), axis=1)
    return positives, np.take_along_axis(rows, order, axis=1)


def _masked(scores: Floats, labels: Ints, *, same_digit: bool) -> Floats:
    allowed = (labels[:, None] == labels[None, :]) == same_digit
    if same_digit:
        np.fill_diagonal(allowed, False)
    return np.where(allowed, scores, np.float32(-np.inf))


def _closest(scores: Floats, k: int) -> Ints:
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def same_answers(found: Matches, expected: Matches) -> bool:
    """Whether every index and every bit of every score agrees."""
    return (
        np.array_equal(found.positives, expected.positives)
        and np.array_equal(found.positive_scores, expected.positive_scores)
        and np.array_equal(found.negatives, expected.negatives)
        and np.array_equal(found.negative_scores, expected.negative_scores)
    )


def choose_anchors(labels: Ints, matches: Matches) -> Ints:
    """One image of each digit, 0 to 9: the one its near misses trouble most.

    Trouble is how far the mean near-miss score lies above the score of the positive.
    """
    trouble = matches.negative_scores.mean(axis=1) - matches.positive_scores
    rows_of = [np.flatnonzero(labels == digit) for digit in range(10)]
    return np.asarray([rows[trouble[rows].argmax()] for rows in rows_of], dtype=np.int64)


def run(output: str | os.PathLike[str], *, num_threads: int | None = None) -> bool:
    """Run the demo, print what it did and write the picture.

    Parameters
    ----------
    output : path
        Where the picture goes; the suffix decides the format (png, svg, pdf).
    num_threads : int, optional
        Threads of the engine; by default those `mine` takes. numpy keeps its own default.

    Returns
    -------
    bool
        Whether the engine's answers equal those of brute force.
    """
    pixels, labels = load_digits()
    matches = find_matches(pixels, labels, num_threads=num_threads)
    agree = same_answers(matches, check_matches(pixels, labels))
    ours, numpys = _interleaved_medians(
        lambda: find_matches(pixels, labels, num_threads=num_threads),
        lambda: brute_force(pixels, labels),
    )
    closer = int((matches.negative_scores[:, 0] > matches.positive_scores).sum())
    draw(pixels, labels, matches, choose_anchors(labels, matches)).savefig(output, dpi=150)
    verdict = "equal to brute force, to the last bit of every score" if agree else "WRONG"
    print(f"""{len(pixels):,} handwritten digits of 8 x 8 pixels, from scikit-learn

  positive      the nearest other image of the same digit
  near misses   the {NUM_SHOWN} nearest images of other digits
  confusing     {closer} images have a near miss that is closer than their positive

  answers       {verdict}
  nearmiss      {1e3 * ours:6.1f} ms   packing and both searches
  numpy         {1e3 * numpys:6.1f} ms   float32 product, masks, partial sort: {numpys / ours:.1f} x

wrote {Path(output)}""")
    return agree


def _interleaved_medians(*tasks: Callable[[], object]) -> list[float]:
    """Median seconds of each task; the tasks take turns, so a slow moment hits them alike."""
    seconds: list[list[float]] = [[] for _ in tasks]
    for _ in range(_ROUNDS):
        for task, times in zip(tasks, seconds, strict=True):
            start = time.perf_counter()
            task()
            times.append(time.perf_counter() - start)
    return [float(np.median(times)) for times in seconds]


# --- the picture ----------------------------------------------------------------------------------

_PAPER, _INK, _QUIET = "#fbfaf6", "#1d2433", "#7b8190"
_MATCH, _NEAR, _ABOVE = "#2f8f5b", "#d99a2b", "#c8412b"
# Small text needs more contrast than a frame.
_TEXT_COLOUR: dict[str | None, str] = {_MATCH: "#23724a", _NEAR: "#94640f", _ABOVE: "#b03522"}
_TILE, _GAP, _GUTTER = 0.92, 0.14, 0.34  # inches: a tile, the space between near misses, the rest
_ROW, _MARGIN, _HEADING, _BETWEEN = 1.31, 0.5, 1.75, 0.7


def draw(pixels: Floats, labels: Ints, matches: Matches, anchors: Ints) -> Figure:
    """Draw the anchors in two columns: anchor, positive and near misses side by side."""
    from matplotlib.figure import Figure

    per_column = (len(anchors) + 1) // 2
    block = (2 + NUM_SHOWN) * _TILE + (NUM_SHOWN - 1) * _GAP + 2 * _GUTTER
    width = 2 * block + _BETWEEN + 2 * _MARGIN
    height = _HEADING + per_column * _ROW + 0.15
    figure = Figure(figsize=(width, height), facecolor=_PAPER)
    _draw_heading(figure, len(pixels))
    for position, anchor in enumerate(anchors):
        column, row = divmod(position, per_column)
        left, top = _MARGIN + column * (block + _BETWEEN), height - _HEADING - row * _ROW
        if row == 0:
            _draw_column_titles(figure, left, top)
        _draw_row(figure, left, top, pixels, labels, matches, int(anchor))
    return figure


def _draw_row(
    figure: Figure,
    left: float,
    top: float,
    pixels: Floats,
    labels: Ints,
    matches: Matches,
    anchor: int,
) -> None:
    _draw_tile(figure, left, top, pixels[anchor], str(labels[anchor]), "", None)
    left += _TILE + _GUTTER
    positive, score = matches.positives[anchor], matches.positive_scores[anchor]
    _draw_tile(figure, left, top, pixels[positive], str(labels[positive]), f"{score:.3f}", _MATCH)
    left += _TILE + _GUTTER
    for row, near in zip(matches.negatives[anchor], matches.negative_scores[anchor], strict=True):
        colour = _ABOVE if near > score else _NEAR
        _draw_tile(figure, left, top, pixels[row], str(labels[row]), f"{near:.3f}", colour)
        left += _TILE + _GAP


def _draw_tile(
    figure: Figure,
    left: float,
    top: float,
    pixels: Floats,
    digit: str,
    score: str,
    frame: str | None,
) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    axes = _axes(figure, left, top)
    # Interpolated 8 x 8 pixels are a blur; a steep colour ramp turns the blur into pen strokes.
    ramp = [(0.0, "#ffffff"), (0.27, "#ffffff"), (0.84, _INK), (1.0, _INK)]
    axes.imshow(
        np.pad(pixels.reshape(8, 8), 1),
        cmap=LinearSegmentedColormap.from_list("pen", ramp),
        vmin=0,
        vmax=16,
        interpolation="bicubic",
    )
    for spine in axes.spines.values():
        spine.set_color(frame or "#d4d2ca")
        spine.set_linewidth(2.4 if frame else 1.0)
    style: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "fontsize": 9.5}
    axes.text(0.0, -0.075, digit, color=_INK, weight="bold", ha="left", **style)
    axes.text(1.0, -0.075, score, color=_TEXT_COLOUR.get(frame, _QUIET), ha="right", **style)


def _axes(figure: Figure, left: float, top: float) -> Axes:
    """Axes of one tile without ticks; its left and top edge in inches from the bottom left."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, (top - _TILE) / height, _TILE / width, _TILE / height))
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


def _draw_heading(figure: Figure, num_images: int) -> None:
    width, height = figure.get_size_inches()
    left, right = _MARGIN / width, 1 - _MARGIN / width
    title, text = 1 - 0.68 / height, 1 - 1.02 / height
    figure.text(left, title, "Near misses", color=_INK, fontsize=24, weight="bold")
    explanation = (
        "One handwritten digit of each kind, its closest match, "
        f"and the closest images of other digits among {num_images:,}. Cosine similarity."
    )
    figure.text(left, text, explanation, color=_QUIET, fontsize=11)
    warning = "red: closer to the anchor than its positive"
    figure.text(right, text, warning, color=_TEXT_COLOUR[_ABOVE], fontsize=11, ha="right")


def _draw_column_titles(figure: Figure, left: float, top: float) -> None:
    width, height = figure.get_size_inches()
    titles = (("anchor", None), ("positive", _MATCH), ("near misses", _NEAR))
    for text, frame in titles:
        colour = _TEXT_COLOUR.get(frame, _QUIET)
        figure.text(left / width, (top + 0.13) / height, text, color=colour, fontsize=10.5)
        left += _TILE + _GUTTER
