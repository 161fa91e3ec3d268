# SPDX-License-Identifier: Apache-2.0
"""When a table is due, and parameters of strategies that follow the step."""

import pickle
from itertools import pairwise

import nearmiss as nm
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nearmiss.refresh import Curriculum, EveryEpochs, EverySteps, Linear, Schedule, Stages


def due_steps(schedule, last):
    return [step for step in range(1, last + 1) if schedule.due_at_step(step, step - 1)]


def test_every_so_many_steps():
    assert due_steps(EverySteps(5), 17) == [5, 10, 15]
    assert due_steps(EverySteps(5, first=2), 17) == [2, 7, 12, 17]
    assert due_steps(EverySteps(5, first=9), 17) == [9, 14]
    assert due_steps(EverySteps(1), 3) == [1, 2, 3]
    assert not any(EverySteps(5).due_at_epoch(epoch) for epoch in range(20))


@given(st.integers(1, 9), st.integers(1, 30), st.sets(st.integers(1, 60), max_size=20))
def test_steps_that_are_told_by_leaps_are_due_if_one_between_was(steps, first, told):
    schedule = EverySteps(steps, first)
    due = set(due_steps(schedule, 60))
    for since, step in pairwise(sorted({0, *told})):
        between = due.intersection(range(since + 1, step + 1))
        assert schedule.due_at_step(step, since) == bool(between)


def test_every_so_many_epochs():
    due = [epoch for epoch in range(13) if EveryEpochs(3).due_at_epoch(epoch)]
    assert due == [3, 6, 9, 12]
    ngame = EveryEpochs(5, first=10)
    assert [epoch for epoch in range(23) if ngame.due_at_epoch(epoch)] == [10, 15, 20]
    assert not any(EveryEpochs(1).due_at_step(step, step - 1) for step in range(20))


def test_the_base_is_never_due():
    assert not Schedule().due_at_step(10, 0)
    assert not Schedule().due_at_epoch(10)


@pytest.mark.parametrize("kind", [EverySteps, EveryEpochs])
@pytest.mark.parametrize("value", [0, -1, 2.0, True])
def test_bad_numbers_are_refused(kind, value):
    with pytest.raises((TypeError, ValueError), match="steps|epochs"):
        kind(value)
    with pytest.raises((TypeError, ValueError), match="first"):
        kind(2, value)


def test_a_line():
    line = Linear(1.0, 0.5, steps=4, begin=2)
    assert [line.at(step) for step in (0, 2, 3, 4, 5, 6, 7, 100)] == [
        1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.5, 0.5
    ]  # fmt: skip
    assert Linear(0.1, 0.3, 3).at(3) == 0.3  # the very number, whatever rounding says


def test_stages():
    stages = Stages((10, 30), (0.8, 0.9, 0.95))
    assert [stages.at(step) for step in (0, 9, 10, 29, 30, 99)] == [0.8, 0.8, 0.9, 0.9, 0.95, 0.95]
    assert Stages((), (3,)).at(7) == 3


def test_parameters_follow_the_step():
    curriculum = Curriculum(
        "random",
        {},
    )
    assert curriculum.at(0) == nm.strategies.parse("random")
    harder = Curriculum(
        nm.strategies.SimANS(a=2.0), {"b": Linear(-0.2, 0.0, 10), "pool": Stages((5,), (200, 50))}
    )
    assert harder.at(0) == nm.strategies.SimANS(a=2.0, b=-0.2, pool=200)
    assert harder.at(5) == nm.strategies.SimANS(a=2.0, b=-0.1, pool=50)
    assert harder.at(99) == nm.strategies.SimANS(a=2.0, b=0.0, pool=50)
    assert pickle.loads(pickle.dumps(harder)) == harder


def test_whole_numbers_stay_whole():
    window = Curriculum("simans", {"pool": Linear(200, 100, 8)})
    pools = [window.at(step).pool for step in range(9)]
    assert pools == [200, 188, 175, 162, 150, 138, 125, 112, 100]
    assert all(type(pool) is int for pool in pools)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Linear(0, 1, 0), ValueError, "steps: must be at least 1"),
        (lambda: Linear(float("nan"), 1, 5), ValueError, "start: must be finite"),
        (lambda: Linear(0, 1, 5, begin=-1), ValueError, "begin: must be at least 0"),
        (lambda: Stages((5, 5), (1, 2, 3)), ValueError, "boundaries: must ascend"),
        (lambda: Stages((5,), (1,)), ValueError, "values: expected 2"),
        (lambda: Curriculum("simans", {"c": Linear(0, 1, 5)}), ValueError, "no parameter 'c'"),
        (lambda: Curriculum("top", {"c": Linear(0, 1, 5)}), ValueError, "only none at all"),
        (lambda: Curriculum("simans", {"a": Linear(1, -1, 5)}), ValueError, "simans.a: must be"),
        (lambda: Curriculum("simans", {}).at(-1), ValueError, "step: must be at least 0"),
    ],
)
def test_bad_courses_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
