# SPDX-License-Identifier: Apache-2.0
"""The demo: its answers, its picture, its words."""

import numpy as np
import pytest
from nearmiss import demo


@pytest.fixture(scope="module")
def digits():
    return demo.load_digits()


@pytest.fixture(scope="module")
def matches(digits):
    return demo.find_matches(*digits)


def test_positives_and_near_misses_are_what_they_should_be(digits, matches):
    _, labels = digits
    assert (labels[matches.positives] == labels).all()
    assert (matches.positives != np.arange(len(labels))).all()
    assert (labels[matches.negatives] != labels[:, None]).all()
    assert (np.diff(matches.negative_scores, axis=1) <= 0).all()


def test_answers_equal_brute_force(digits, matches):
    expected = demo.check_matches(*digits)
    assert demo.same_answers(matches, expected)
    wrong = demo.Matches(
        expected.positives,
        np.nextafter(expected.positive_scores, np.float32(2)),
        expected.negatives,
        expected.negative_scores,
    )
    assert not demo.same_answers(matches, wrong)


def test_anchors_are_clear_and_varied(digits, matches):
    labels = digits[1]
    anchors = demo.choose_anchors(labels, matches)
    assert len(anchors) == 5
    assert (np.diff(labels[anchors]) > 0).all()
    assert len(set(labels[matches.negatives[anchors, 0]])) == len(anchors)
    assert (matches.positive_scores[anchors] >= 0.9).all()


def test_runs_and_draws(tmp_path, capsys):
    assert demo.run(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (tmp_path / "picture.png").stat().st_size > 50_000
    printed = capsys.readouterr().out
    assert "equal to brute force" in printed
    assert "picture.png" in printed
