# SPDX-License-Identifier: Apache-2.0
"""The rules that every plan obeys, whatever its batches are."""

import dataclasses
import pickle
import re
from pathlib import Path

import nearmiss as nm
import numpy as np
import pytest
from batch_plans import PLANS, assert_batches
from compare import assert_same_bits
from nearmiss.batches import base
from nearmiss.batches.base import Stream

B = nm.batches

every_plan = pytest.mark.parametrize("name", PLANS)


def assert_same_batches(first, second):
    for field in ("indptr", "indices", "unplaced"):
        assert_same_bits(getattr(first, field), getattr(second, field), field)


def test_streams_are_those_of_the_core():
    """Each draw has a stream of its own, listed in one place."""
    text = (Path(__file__).parents[2] / "cpp/include/nearmiss/random.hpp").read_text("utf-8")
    listed = {name: int(tag) for name, tag in re.findall(r"^    (\w+) = (\d+),", text, re.M)}
    assert len(set(listed.values())) == len(listed)
    for stream in Stream:
        assert listed[f"batch_{stream.name.lower()}"] == stream


def test_every_plan_is_here():
    made = {type(make(0)) for make in PLANS.values()}
    public = {getattr(B, name) for name in B.__all__}
    plans = {x for x in public if isinstance(x, type) and issubclass(x, B.BatchPlan)}
    assert made == plans - {B.BatchPlan}


@every_plan
def test_every_epoch_has_the_length_and_the_coverage_declared(name):
    plan = PLANS[name](0)
    assert plan.coverage in ("all", "subset", "repeats")
    assert len(plan) > 3
    for epoch in (0, 1, 60, 2**64 - 1):
        assert_batches(plan, plan.batches(epoch))


def test_equal_keys_keep_their_order(monkeypatch):
    """Of 64 bits none are seen in practice."""
    keys = np.array([3, 1, 3, 1, 2] * 20, dtype=np.uint64)
    monkeypatch.setattr(base, "keys_of", lambda *_: keys)
    assert_same_bits(base.shuffled(100, 0, 0), np.argsort(keys, kind="stable"))


@every_plan
def test_batches_are_a_function_of_seed_and_epoch(name):
    plan = PLANS[name](3)
    first = plan.batches(7)
    plan.batches(2)  # what was asked before does not matter
    assert_same_batches(plan.batches(7), first)
    assert_same_batches(PLANS[name](3).batches(7), first)
    assert not np.array_equal(plan.batches(8).indices, first.indices)
    assert not np.array_equal(PLANS[name](4).batches(7).indices, first.indices)


@every_plan
def test_plans_reach_workers(name):
    plan = PLANS[name](0)
    again = pickle.loads(pickle.dumps(plan))
    assert len(again) == len(plan)
    assert_same_batches(again.batches(1), plan.batches(1))


@every_plan
def test_plans_are_frozen_and_print_in_a_line(name):
    plan = PLANS[name](0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.seed = 1
    text = repr(plan)
    assert text.startswith(name.partition("-")[0])
    assert "\n" not in text
    assert len(text) < 300


@every_plan
@pytest.mark.parametrize("epoch", [-1, 2**64, 0.5, True])
def test_a_bad_epoch_is_named(name, epoch):
    with pytest.raises((TypeError, ValueError), match="epoch"):
        PLANS[name](0).batches(epoch)
