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
_NUM_ANCHORS = 5
_CLEAR_SCORE = 0.9
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
    """Choose the images their near misses trouble most, in the order of their digits.

    Trouble is how far the mean near-miss score lies above the score of the positive. Images
    without a clear positive are left out: most are scrawls that no reader can name. For variety
    each anchor is of another digit, and so is the closest near miss of each.
    """
    trouble = matches.negative_scores.mean(axis=1) - matches.positive_scores
    confused_with = labels[matches.negatives[:, 0]]
    left = matches.positive_scores >= _CLEAR_SCORE
    chosen: list[int] = []
    while len(chosen) < _NUM_ANCHORS and left.any():
        row = int(np.where(left, trouble, -np.inf).argmax())
        chosen.append(row)
        left &= (labels != labels[row]) & (confused_with != confused_with[row])
    return np.asarray(sorted(chosen, key=lambda row: labels[row]), dtype=np.int64)


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
    draw(pixels, labels, matches, choose_anchors(labels, matches)).savefig(output, dpi=160)
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

_PAPER, _INK, _QUIET, _LINE = "#fbfaf6", "#1d2433", "#6b7180", "#d4d2ca"
_MATCH, _NEAR, _ABOVE = "#2f8f5b", "#dda032", "#c8412b"
# Small text needs more contrast than a frame.
_TEXT_COLOUR = {_MATCH: "#23724a", _NEAR: "#8a5c0c", _ABOVE: "#b03522"}
_LEGEND = {
    _MATCH: "same digit",
    _NEAR: "near miss",
    _ABOVE: "near miss closer than the positive",
}
# Inches. Shown 900 pixels wide, ten-point text is still 14 pixels high.
_WIDTH, _MARGIN, _HEADING, _ROW = 9.0, 0.36, 1.45, 1.39
_TILE, _GAP, _GUTTER = 1.07, 0.11, 0.175  # a tile, the space between near misses, the other space


def draw(pixels: Floats, labels: Ints, matches: Matches, anchors: Ints) -> Figure:
    """Draw one row for each anchor: the anchor, its positive and its near misses."""
    from matplotlib.figure import Figure

    height = _HEADING + len(anchors) * _ROW + 0.07
    figure = Figure(figsize=(_WIDTH, height), facecolor=_PAPER)
    _draw_heading(figure, len(pixels), len(anchors))
    for row, anchor in enumerate(anchors):
        _draw_row(figure, height - _HEADING - row * _ROW, pixels, labels, matches, int(anchor))
    return figure


def _draw_row(
    figure: Figure, top: float, pixels: Floats, labels: Ints, matches: Matches, anchor: int
) -> None:
    anchor_left, positive_left, left = _columns()
    positive, score = matches.positives[anchor], matches.positive_scores[anchor]
    _draw_tile(figure, anchor_left, top, pixels[anchor], labels[anchor])
    _draw_tile(figure, positive_left, top, pixels[positive], labels[positive], score, _MATCH)
    for row, near in zip(matches.negatives[anchor], matches.negative_scores[anchor], strict=True):
        _draw_tile(
            figure, left, top, pixels[row], labels[row], near, _ABOVE if near > score else _NEAR
        )
        left += _TILE + _GAP


def _columns() -> tuple[float, float, float]:
    """Left edges, in inches, of the anchor, the positive and the first near miss."""
    step = _TILE + _GUTTER
    return _MARGIN, _MARGIN + step, _MARGIN + 2 * step


def _draw_tile(
    figure: Figure,
    left: float,
    top: float,
    pixels: Floats,
    digit: int,
    score: float | None = None,
    frame: str | None = None,
) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    axes = _axes(figure, left, top)
    # Interpolated 8 x 8 pixels are a blur; a ramp that is steep first turns it into pen strokes.
    # Its 32 levels look smooth and keep the file small.
    ramp = [(0.0, "#ffffff"), (0.3, "#ffffff"), (0.56, "#5d6475"), (1.0, "#0d1220")]
    axes.imshow(
        np.pad(pixels.reshape(8, 8), 1),
        cmap=LinearSegmentedColormap.from_list("pen", ramp, N=32),
        vmin=0,
        vmax=16,
        interpolation="lanczos",
    )
    for spine in axes.spines.values():
        spine.set_color(frame or _LINE)
        spine.set_linewidth(2.4 if frame else 1.0)
    style: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "fontsize": 10.5}
    axes.text(0.0, -0.07, str(digit), color=_INK, weight="bold", ha="left", **style)
    if score is not None and frame is not None:
        axes.text(1.0, -0.07, f"{score:.3f}", color=_TEXT_COLOUR[frame], ha="right", **style)


def _axes(figure: Figure, left: float, top: float) -> Axes:
    """Axes of one tile without ticks; its left and top edge in inches from the bottom left."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, (top - _TILE) / height, _TILE / width, _TILE / height))
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


def _draw_heading(figure: Figure, num_images: int, num_anchors: int) -> None:
    """Write the title with the legend to its right, one sentence and the column titles."""
    from matplotlib.patches import Patch

    width, height = figure.get_size_inches()

    def write(left: float, depth: float, text: str, **style: Any) -> None:
        figure.text(left / width, 1 - depth / height, text, **style)

    write(_MARGIN, 0.58, "Near misses", color=_INK, fontsize=21, weight="bold")
    explanation = (
        f"{num_anchors} of {num_images:,} handwritten digits and the images most like them. "
        "The numbers are cosine similarities."
    )
    write(_MARGIN, 0.9, explanation, color=_QUIET, fontsize=10.5)
    for left, text in zip(_columns(), ("anchor", "positive", "near misses"), strict=True):
        write(left, _HEADING - 0.1, text, color=_QUIET, fontsize=10.5)
    figure.legend(
        handles=[
            Patch(facecolor="white", edgecolor=frame, linewidth=2.0, label=text)
            for frame, text in _LEGEND.items()
        ],
        loc="lower right",
        bbox_to_anchor=(1 - _MARGIN / width, 1 - 0.66 / height),
        ncols=len(_LEGEND),
        frameon=False,
        fontsize=10.5,
        labelcolor=list(_TEXT_COLOUR.values()),
        handlelength=1.0,
        handleheight=1.0,
        handletextpad=0.5,
        columnspacing=1.4,
        borderpad=0.0,
        borderaxespad=0.0,
    )
