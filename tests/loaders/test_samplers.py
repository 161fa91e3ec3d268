# SPDX-License-Identifier: Apache-2.0
"""Batch samplers: real loaders, ranks, epochs, what frameworks do to them, errors."""

import json
import pickle
import subprocess
import sys

import nearmiss as nm
import numpy as np
import pytest
import torch
from batch_plans import PLANS
from hypothesis import given
from hypothesis import strategies as st
from nearmiss.batches.base import join
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, RandomSampler

# Workers are what some of these tests are about; the warning is about threads of torch's own.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

L = nm.loaders
B = nm.batches
TrainerBatchSampler = nm.adapters.sentence_transformers.TrainerBatchSampler
UNEVEN = ("drop", "repeat")

#: The sampler named for each plan; the others are for the base alone.
NAMED = {
    "NoConflict": L.NoConflictBatchSampler,
    "TasBalanced": L.ClusterBatchSampler,
    "NGAME": L.ClusterBatchSampler,
    "Sample4Geo": L.NeighborBatchSampler,
    "RTD": L.GroupBatchSampler,
    "SaHa": L.GroupBatchSampler,
    "CFCD": L.GroupBatchSampler,
}


class Listed(B.BatchPlan):
    """A plan of somebody else: given batches, which each epoch turns by one."""

    coverage = "repeats"

    def __init__(self, batches, num_rows=10):
        self.rows = [np.array(batch, dtype=np.int64) for batch in batches]
        self.num_rows = num_rows
        self.batch_size = max(map(len, batches), default=0) or 1

    def __len__(self):
        return len(self.rows)

    def batches(self, epoch=0):
        turn = epoch % max(len(self), 1)
        turned = self.rows[turn:] + self.rows[:turn]
        placed = np.concatenate([np.empty(0, np.int64), *turned])
        return join(turned, np.setdiff1d(np.arange(self.num_rows), placed))


def lists(batches):
    return [batch.tolist() for batch in batches]


def of_rank(rank, num_replicas, plan, **keywords):
    return L.PlanBatchSampler(plan, num_replicas=num_replicas, rank=rank, **keywords)


@pytest.mark.parametrize("name", PLANS)
def test_gives_the_batches_of_every_plan(name):
    plan = PLANS[name](5)
    sampler = NAMED.get(name.partition("-")[0], L.PlanBatchSampler)(plan)
    assert isinstance(sampler, BatchSampler)
    assert (sampler.num_replicas, sampler.rank, sampler.num_left_over) == (1, 0, 0)
    assert (sampler.batch_size, sampler.drop_last) == (plan.batch_size, plan.drop_last)
    for epoch in (0, 3):
        sampler.set_epoch(epoch)
        batches = plan.batches(epoch)
        given = list(sampler)
        assert given == lists(batches)
        assert all(type(row) is int for batch in given for row in batch)
        assert len(sampler) == len(given)
        assert np.array_equal(sampler.left_over, batches.unplaced)


def test_numbers_of_numpy_become_those_torch_takes():
    sampler = L.PlanBatchSampler(B.Shuffled(10, np.int64(3), drop_last=np.bool_(True)))
    assert (type(sampler.batch_size), sampler.drop_last) == (int, True)
    assert len(DataLoader(range(10), batch_sampler=sampler)) == 3


@pytest.mark.parametrize("name", PLANS)
def test_named_samplers_take_their_plans_only(name):
    plan = PLANS[name](0)
    fits = NAMED.get(name.partition("-")[0])
    for kind in set(NAMED.values()) - {fits}:
        with pytest.raises(TypeError, match=f"plan: expected .*, got a {type(plan).__name__}; "):
            kind(plan)
    with pytest.raises(TypeError, match="plan: expected BatchPlan, got a list$"):
        L.PlanBatchSampler(list(plan.batches()))


@pytest.mark.parametrize(
    ("workers", "context"),
    [(0, None), (2, "fork"), pytest.param(2, "spawn", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("persistent", [False, True])
def test_loaders_with_and_without_workers(workers, context, persistent):
    """The same batches in the same order, epoch by epoch, also for workers that live on."""
    plan = B.TasBalanced(np.arange(40) % 5, 4, coverage="all")
    sampler = L.ClusterBatchSampler(plan, num_replicas=3, rank=1)
    loader = DataLoader(
        [{"idx": row, "x": float(row)} for row in range(40)],
        batch_sampler=sampler,
        num_workers=workers,
        multiprocessing_context=context,
        persistent_workers=persistent and workers > 0,
    )
    assert len(loader) == 3
    seen = {}
    for epoch in (0, 1, 2) if workers == 0 or persistent else (1,):
        sampler.set_epoch(epoch)
        seen[epoch] = [batch["idx"].tolist() for batch in loader]
        assert seen[epoch] == lists(plan.batches(epoch))[1:9:3]
    if len(seen) > 1:
        assert seen[0] != seen[1] != seen[2]


rows_of_batches = st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=23)


@given(rows_of_batches, st.integers(1, 9), st.sampled_from(UNEVEN), st.integers(0, 30))
def test_ranks_share_the_batches(rows, num_replicas, uneven, epoch):
    plan = Listed(rows)
    if uneven == "drop" and 0 < len(rows) < num_replicas:
        with pytest.raises(ValueError, match=f"plan has {len(rows)} batches: none would be left"):
            of_rank(0, num_replicas, plan)
        return
    ranks = [of_rank(rank, num_replicas, plan, uneven=uneven) for rank in range(num_replicas)]
    everyone = of_rank("all", num_replicas, plan, uneven=uneven)
    for sampler in [*ranks, everyone]:
        sampler.set_epoch(epoch)

    # One batch to each rank in turn, as long as there are some for all.
    planned = lists(plan.batches(epoch))
    dealt = [[] for _ in range(num_replicas)]
    at = 0
    while at < len(planned) and (uneven == "repeat" or at + num_replicas <= len(planned)):
        for hand in dealt:
            hand.append(planned[at % len(planned)])
            at += 1
    assert [list(sampler) for sampler in ranks] == dealt
    assert {len(sampler) for sampler in ranks} == {len(dealt[0])}

    # What deals out batches itself, one to each rank in turn, makes the same of all of them.
    in_turn = list(everyone)
    assert len(everyone) == len(in_turn) == num_replicas * len(dealt[0])
    assert [in_turn[rank::num_replicas] for rank in range(num_replicas)] == dealt

    gone = set(range(10)) - {row for hand in dealt for batch in hand for row in batch}
    for sampler in [*ranks, everyone]:
        assert sampler.left_over.tolist() == sorted(gone)
        assert sampler.num_left_over == max(0, len(planned) - at)
        assert sampler.num_repeated == max(0, at - len(planned))


def test_other_epochs_leave_out_other_rows():
    sampler = of_rank(0, 4, B.Shuffled(50, 5, seed=1), uneven="drop")
    assert sampler.num_left_over == 2
    left = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        left.append(sampler.left_over.tolist())
    assert [len(rows) for rows in left] == [10, 10, 10]
    assert left[0] != left[1] != left[2]


def test_an_iteration_keeps_to_its_epoch_and_plan():
    plan, other = B.Shuffled(30, 4, seed=1), B.Shuffled(30, 4, seed=2)
    sampler = L.PlanBatchSampler(plan)
    running = iter(sampler)
    first = next(running)
    sampler.set_epoch(1)
    sampler.set_plan(other)
    assert [first, *running] == lists(plan.batches(0))
    assert list(sampler) == lists(other.batches(1))


def test_plans_are_made_anew_between_epochs():
    near = np.random.default_rng(0).integers(0, 60, (2, 60, 8))
    plan = B.Sample4Geo(near[0], 6, near=2, far=2)
    sampler = L.NeighborBatchSampler(plan)
    sampler.set_epoch(4)
    before = list(sampler)
    sampler.set_plan(plan.with_neighbors(near[1]))
    assert list(sampler) == lists(plan.with_neighbors(near[1]).batches(4)) != before
    for other, message in (
        (B.Sample4Geo(near[0, :59] % 59, 6), "plan: has 59 rows, the one before has 60"),
        (B.Sample4Geo(near[0], 12), "plan: has 5 batches, the one before has 10"),
    ):
        with pytest.raises(ValueError, match=message):
            sampler.set_plan(other)
    with pytest.raises(TypeError, match="expected Sample4Geo, got a Shuffled"):
        sampler.set_plan(B.Shuffled(60, 6))
    sampler = L.PlanBatchSampler(Listed([[1], [2, 3]]))
    with pytest.raises(ValueError, match="has 3 rows in a batch, the one before has 2"):
        sampler.set_plan(Listed([[1, 2, 3], []]))
    assert list(sampler) == [[1], [2, 3]]


def test_survives_pickling_without_the_batches_of_the_epoch():
    sampler = of_rank(1, 2, B.Shuffled(5000, 8, seed=3), uneven="repeat")
    sampler.set_epoch(6)
    expected = list(sampler)
    text = pickle.dumps(sampler)
    assert len(text) < 1000
    again = pickle.loads(text)
    assert (again.epoch, again.rank, again.num_replicas) == (6, 1, 2)
    assert list(again) == expected
    again.sampler.set_epoch(7)  # reaches the copy, not the original
    assert (again.epoch, sampler.epoch) == (7, 6)


def test_frameworks_set_the_epoch_of_the_sampler_inside():
    plan = B.Shuffled(20, 3)
    sampler = of_rank(1, 2, plan)
    loader = DataLoader(range(20), batch_sampler=sampler)
    loader.batch_sampler.sampler.set_epoch(5)
    expected = lists(plan.batches(5))[1:6:2]
    assert [batch.tolist() for batch in loader] == expected
    assert list(sampler.sampler) == [row for batch in expected for row in batch]


@pytest.mark.parametrize("keywords", [{}, {"num_replicas": 4, "rank": 2}])
def test_made_anew_with_a_distributed_sampler(keywords):
    """Lightning keeps the constructor's arguments and adds ``sampler``."""
    arguments = {**keywords, "uneven": "repeat"}
    plan = B.Shuffled(27, 3)
    injected = DistributedSampler(range(27), num_replicas=4, rank=2)
    sampler = L.PlanBatchSampler(plan, **{**arguments, "sampler": injected})
    assert (sampler.num_replicas, sampler.rank) == (4, 2)
    assert list(sampler) == list(of_rank(2, 4, plan, uneven="repeat"))


@pytest.mark.parametrize("rank", [0, "all"])
def test_other_ranks_than_those_of_the_distributed_sampler(rank):
    injected = DistributedSampler(range(27), num_replicas=2, rank=1)
    message = f"sampler: is of rank 1 of 2, but num_replicas=2 and rank={rank!r} were given too"
    with pytest.raises(ValueError, match=message):
        of_rank(rank, 2, B.Shuffled(27, 3), sampler=injected)
    with pytest.raises(TypeError, match="expected a DistributedSampler, got a RandomSampler"):
        L.PlanBatchSampler(B.Shuffled(27, 3), sampler=RandomSampler(range(27)))


def test_constructor_arguments_are_attributes():
    plan = B.Shuffled(27, 3)
    sampler = of_rank(1, 2, plan, uneven="repeat")
    kept = {name: getattr(sampler, name) for name in ("plan", "num_replicas", "rank", "uneven")}
    assert kept == {"plan": plan, "num_replicas": 2, "rank": 1, "uneven": "repeat"}
    assert list(type(sampler)(**kept)) == list(sampler)


IN_A_GROUP = """
import json, sys
import nearmiss as nm, torch
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
)
plan = nm.batches.Shuffled(23, 3, seed=4)
own = nm.loaders.PlanBatchSampler(plan)
everyone = nm.loaders.PlanBatchSampler(plan, rank="all")
alone = nm.loaders.PlanBatchSampler(plan, num_replicas=1, rank=0)
torch.distributed.barrier()
torch.distributed.destroy_process_group()
print(json.dumps([repr(own), list(own), list(everyone), list(alone), everyone.batch_size]))
"""


@pytest.mark.slow
def test_ranks_of_two_real_processes(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", IN_A_GROUP, str(rank), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    planned = lists(B.Shuffled(23, 3, seed=4).batches())
    for rank, process in enumerate(processes):
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        text, own, everyone, alone, batch_size = json.loads(out)
        assert text == f"PlanBatchSampler(rank {rank} of 2: 4 of 8 batches)"
        assert own == planned[rank::2]
        assert everyone == alone == planned
        assert batch_size is None  # rounds of unequal batches are not to be skipped


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"rank": 0}, ValueError, "rank: give num_replicas and rank together"),
        ({"num_replicas": 2}, ValueError, "rank: give num_replicas and rank together"),
        ({"num_replicas": 0, "rank": 0}, ValueError, "num_replicas: must be at least 1, got 0"),
        ({"num_replicas": 2, "rank": 2}, ValueError, "rank: must be at most 1, got 2"),
        ({"num_replicas": 2, "rank": "any"}, TypeError, "rank: expected an integer, got 'any'"),
        ({"num_replicas": True, "rank": 0}, TypeError, "num_replicas: expected an integer"),
        ({"num_replicas": 5, "rank": 0}, ValueError, "5 ranks, but the plan has 4 batches"),
        ({"uneven": "pad"}, ValueError, "uneven: expected one of 'drop', 'repeat', got 'pad'"),
    ],
)
def test_arguments_are_checked_at_once(keywords, error, message):
    with pytest.raises(error, match=message):
        L.PlanBatchSampler(B.Shuffled(10, 3), **keywords)


@pytest.mark.parametrize("epoch", [-1, 2**64, 0.5, True])
def test_a_bad_epoch_changes_nothing(epoch):
    sampler = L.PlanBatchSampler(B.Shuffled(10, 3))
    with pytest.raises((TypeError, ValueError), match="epoch"):
        sampler.set_epoch(epoch)
    assert sampler.epoch == 0


def test_says_what_it_gives():
    plan = B.Shuffled(10, 3)
    assert repr(of_rank(2, 3, plan)) == (
        "PlanBatchSampler(rank 2 of 3: 1 of 4 batches, 1 left over)"
    )
    assert repr(of_rank("all", 3, plan, uneven="repeat")) == (
        "PlanBatchSampler(all ranks of 3: 6 of 4 batches, 2 repeated)"
    )
    sampler = L.NoConflictBatchSampler(B.NoConflict(2, groups=[0, 1, 0]))
    assert repr(sampler) == "NoConflictBatchSampler(rank 0 of 1: 2 of 2 batches)"


def called_as_by_the_trainer(batch_sampler, dataset, batch_size=4, drop_last=False):
    return batch_sampler(
        dataset,
        batch_size=batch_size,
        drop_last=drop_last,
        valid_label_columns=["label", "score"],
        generator=torch.Generator().manual_seed(1),
        seed=42,
    )


def test_the_trainer_of_sentence_transformers():
    plan = B.NoConflict(4, groups=np.arange(30) % 9)
    batch_sampler = TrainerBatchSampler(plan)
    assert callable(batch_sampler)
    # The Trainer saves its arguments, this one among them.
    for made in (batch_sampler, pickle.loads(pickle.dumps(batch_sampler))):
        sampler = called_as_by_the_trainer(made, range(30))
        loader = DataLoader(range(30), batch_sampler=sampler)
        for epoch in range(2):
            sampler.set_epoch(epoch)
            assert [batch.tolist() for batch in loader] == lists(plan.batches(epoch))


def test_the_trainer_plans_each_data_set():
    asked = []

    def shuffle(dataset, *, batch_size, drop_last, seed):
        asked.append((len(dataset), batch_size, drop_last, seed))
        return B.Shuffled(len(dataset), batch_size, drop_last=drop_last, seed=seed)

    batch_sampler = TrainerBatchSampler(shuffle, uneven="repeat")
    train = called_as_by_the_trainer(batch_sampler, range(30), drop_last=True)
    evaluate = called_as_by_the_trainer(batch_sampler, range(7), batch_size=5)
    assert asked == [(30, 4, True, 42), (7, 5, False, 42)]
    assert list(train) == lists(B.Shuffled(30, 4, drop_last=True, seed=42).batches())
    assert (len(evaluate), evaluate.uneven, evaluate.rank) == (2, "repeat", "all")


@pytest.mark.parametrize(
    ("plan", "error", "message"),
    [
        (B.Shuffled(29, 4), ValueError, "is over 29 rows, the data set has 30; for more"),
        (B.Shuffled(30, 5), ValueError, "has batches of 5 rows, the Trainer of 4"),
        (lambda dataset, **_: None, TypeError, "returned no BatchPlan but a NoneType"),
    ],
)
def test_the_trainer_and_a_plan_that_does_not_fit(plan, error, message):
    with pytest.raises(error, match=message):
        called_as_by_the_trainer(TrainerBatchSampler(plan), range(30))


def test_the_trainer_is_given_nonsense():
    with pytest.raises(TypeError, match="plan: expected a BatchPlan or a function, got a int"):
        TrainerBatchSampler(3)
    with pytest.raises(ValueError, match="uneven: expected one of"):
        TrainerBatchSampler(B.Shuffled(3, 1), uneven="pad")


def test_the_adapter_does_not_import_the_library():
    code = (
        "import sys, nearmiss as nm; nm.adapters.sentence_transformers; "
        "sys.exit(not {'sentence_transformers', 'transformers'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert dir(nm.adapters) == ["lightning", "sentence_transformers", "transformers"]
    with pytest.raises(AttributeError, match="no attribute 'torchlight'"):
        _ = nm.adapters.torchlight
