# SPDX-License-Identifier: Apache-2.0
"""The cut-offs of NV-Retriever, on lists of candidates whose scores say it all."""

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_table
from nearmiss.strategies import TopKAbs, TopKMarginPos, TopKPercPos, TopKShifted


def kept(strategy, scores, positive=None, **keywords):
    """Which scores of one query a strategy leaves, as float32."""
    table = np.array([scores], np.float32)
    given = None if positive is None else [positive]
    found = nm.mine_candidates(
        table,
        [range(len(scores))],
        positive_scores=given,
        strategy=strategy,
        num_negatives=len(scores),
        **keywords,
    )
    return found.scores[0, : found.counts[0]].tolist()


def near(value):
    """A float32, and the next one below and above it."""
    value = np.float32(value)
    return [float(x) for x in (np.nextafter(value, -9), value, np.nextafter(value, np.float32(9)))]


def largest(threshold):
    """The largest float32 that is not above a threshold in float64."""
    value = np.float32(threshold)
    return float(value if float(value) <= threshold else np.nextafter(value, np.float32(-9)))


def test_defaults_are_those_read_in_code():
    assert str(TopKPercPos()) == "topk-perc-pos:fraction=0.95"
    for text in ("topk-abs", "topk-margin-pos", "topk-shifted"):
        with pytest.raises(ValueError, match="needs"):
            nm.strategies.parse(text)


def test_worked_thresholds():
    """s⁺ = 0.8: 0.76 for a fraction of 0.95, 0.75 for a margin of 0.05."""
    scores = [0.7501, 0.7499, 0.7601, 0.7599, 0.2]
    assert kept(TopKPercPos(), scores, 0.8) == np.float32([0.7599, 0.7501, 0.7499, 0.2]).tolist()
    assert kept(TopKMarginPos(0.05), scores, 0.8) == np.float32([0.7499, 0.2]).tolist()
    assert kept(TopKAbs(0.7), scores) == np.float32([0.2]).tolist()


@pytest.mark.parametrize("positive", [0.8, 0.5, 0.25, -0.2, -1.0, 0.0])
def test_thresholds_are_closed(positive):
    """Of the float32 numbers around a threshold all up to it stay; the sum is in float64."""
    s = float(np.float32(positive))
    for strategy, threshold in (
        (TopKPercPos(), s - 0.05 * abs(s)),
        (TopKPercPos(0.5), s - 0.5 * abs(s)),
        (TopKMarginPos(0.25), s - 0.25),
        (TopKAbs(0.5), 0.5),
    ):
        most = largest(threshold)
        assert kept(strategy, near(most), positive) == near(most)[1::-1]


def test_a_negative_positive_is_not_overtaken():
    """NeMo's 0.95 s⁺ is -0.19 where s⁺ is -0.2, above the positive; here it is -0.21."""
    scores = [-0.19, -0.195, -0.2, -0.205, -0.2101, -0.3]
    assert kept(TopKPercPos(), scores, -0.2) == np.float32([-0.2101, -0.3]).tolist()


def test_short_lists_are_not_filled_with_what_was_filtered():
    """NeMo's miner returns masked rows where too few are left, and 0 stands for no positive."""
    assert kept(TopKPercPos(), [0.9, 0.8, 0.5], 0.6) == [0.5]
    assert kept(TopKPercPos(), [0.9, 0.8], 0.6) == []
    assert kept(TopKPercPos(), [0.9, -0.8], np.nan) == np.float32([0.9, -0.8]).tolist()


def test_a_smaller_fraction_adds_no_negative():
    scores = np.linspace(-1, 1, 81)
    for positive in (0.6, 0.0, -0.6):
        last = set(np.float32(scores).tolist())
        for fraction in (1, 0.99, 0.95, 0.5, 0.01):
            found = set(kept(TopKPercPos(fraction), scores, positive))
            assert found <= last
            last = found


def test_a_fraction_is_the_relative_margin():
    """As the design says: 0.95 is the margin 0.05, not 0.050000000000000044."""
    assert TopKPercPos(0.95).limits() == nm.Limits(relative_margin=0.05)
    rng = np.random.default_rng(0)
    queries, rows = rng.normal(size=(20, 7)), rng.normal(size=(90, 7))
    for metric in ("cosine", "ip", "l2"):
        ask = {"positives": np.arange(20), "num_negatives": 5, "metric": metric}
        by_name = nm.mine(queries, rows, strategy="topk-perc-pos:fraction=0.9", **ask)
        assert_same_table(by_name, nm.mine(queries, rows, relative_margin=0.1, **ask))


def test_the_lowest_positive_counts_unless_said_otherwise():
    ask = {"positives": [[0, 1]], "strategy": "topk-perc-pos", "num_negatives": 3}
    scores = [[0.9, 0.5, 0.8, 0.6, 0.4]]
    assert nm.mine_candidates(scores, [range(5)], **ask).indices.tolist() == [[4, -1, -1]]
    best = nm.mine_candidates(scores, [range(5)], margin_reference="max", **ask)
    assert best.indices.tolist() == [[2, 3, 4]]


def test_shifts():
    scores = [0.9, 0.8, 0.7, 0.6, 0.5]
    assert kept(TopKShifted(2), scores) == np.float32([0.7, 0.6, 0.5]).tolist()
    # Ranks count what passes the other limits, or all.
    assert kept(TopKShifted(2), scores, max_score=0.75) == [0.5]
    raw = kept(TopKShifted(2), scores, max_score=0.75, range_mode="raw")
    assert raw == np.float32([0.7, 0.6, 0.5]).tolist()
    found = nm.mine_candidates(
        [scores], [range(5)], strategy="topk-shifted:shift=3", num_negatives=2
    )
    assert found.indices.tolist() == [[3, 4]]


def test_the_strictest_of_two_limits_wins():
    scores = [0.9, 0.8, 0.7, 0.6, 0.5]
    assert kept(TopKAbs(0.75), scores, max_score=0.65) == np.float32([0.6, 0.5]).tolist()
    assert kept(TopKAbs(0.65), scores, max_score=0.75) == np.float32([0.6, 0.5]).tolist()
    assert kept(TopKShifted(1), scores, range_min=3) == np.float32([0.6, 0.5]).tolist()


def test_lg_anna_is_this_filter_over_a_fused_list():
    dense = nm.Candidates.from_arrays([[0.9, 0.8, 0.7]], [[0, 1, 2]], name="dense")
    bm25 = nm.Candidates.from_arrays([[21.0, 20.5, 9.0]], [[2, 3, 0]], name="bm25")
    fused = nm.Candidates.merge([dense, bm25], how="rrf")
    ranks = dict(zip(fused.indices[0].tolist(), fused.scores[0].tolist(), strict=True))
    assert ranks[0] == ranks[2] == np.float32(1 / 61 + 1 / 63)
    assert round(ranks[0], 6) == 0.032266
    teacher = np.array([0.8, 0.77, 0.76, 0.3])[fused.indices]  # by row
    found = nm.mine_candidates(
        fused.rescored(teacher), positives=[0], strategy="topk-perc-pos", num_negatives=3
    )
    # The report's text keeps what is above the threshold: a slip of the pen.
    assert found.indices.tolist() == [[2, 3, -1]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("topk-abs:max_score=nan", "max_score"),
        ("topk-margin-pos:margin=-0.1", "margin"),
        ("topk-perc-pos:fraction=0", "fraction"),
        ("topk-perc-pos:fraction=1.01", "fraction"),
        ("topk-shifted:shift=0", "shift"),
    ],
)
def test_bad_parameters(text, problem):
    with pytest.raises(ValueError, match=problem):
        nm.strategies.parse(text)


def test_what_cannot_work_is_refused_before_the_search():
    rows = np.eye(4)
    for text in ("topk-perc-pos", "topk-margin-pos:margin=0.1"):
        with pytest.raises(ValueError, match="needs positives"):
            nm.mine(rows, rows, strategy=text)
    with pytest.raises(ValueError, match="range_min"):
        nm.mine(rows, rows, strategy="topk-shifted:shift=5", range_max=5)
