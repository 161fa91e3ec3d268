# SPDX-License-Identifier: Apache-2.0
"""Negatives mined as a batch is collated: in the batch, or in a memory bank."""

import nearmiss as nm
import numpy as np
import pytest
import torch
from compare import assert_same_bits
from torch.utils.data import DataLoader

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

Collator = nm.loaders.InBatchNegativeCollator
B, D = 24, 8


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).standard_normal((2, B, D), dtype=np.float32)


@pytest.fixture(scope="module")
def samples(vectors):
    return [
        {"idx": 3 * row, "q": vectors[0, row], "d": vectors[1, row], "group": row % 5 - 1}
        for row in range(B)
    ]


def test_what_mine_finds_in_the_batch(vectors, samples):
    limits = nm.Limits(relative_margin=0.1)
    collate = Collator(
        "q",
        "d",
        num_negatives=4,
        add=("indices", "scores", "mask", "positive_scores", "embeddings", "log_probs"),
        strategy="simans:a=5,pool=9",
        limits=limits,
        seed=3,
    )
    collate.set_epoch(2)
    batch = collate(samples)
    ids = np.arange(B) * 3
    expected = nm.mine(
        *vectors,
        np.arange(B),
        num_negatives=4,
        strategy="simans:a=5,pool=9",
        limits=limits,
        query_ids=ids,
        seed=3,
        epoch=2,
    )
    assert (expected.counts < 4).any()
    for name in ("indices", "scores"):
        assert_same_bits(batch[f"negative_{name}"].numpy(), getattr(expected, name), name)
    assert_same_bits(batch["positive_scores"].numpy(), expected.positive_scores)
    assert_same_bits(batch["negative_log_probs"].numpy(), expected.log_probs.astype(np.float32))
    mask = expected.indices >= 0
    assert_same_bits(batch["negative_mask"].numpy(), mask)
    rows = np.where(mask[..., None], vectors[1][expected.indices], np.float32(0))
    assert_same_bits(batch["negative_embeddings"].numpy(), rows)
    assert batch["idx"].tolist() == ids.tolist()


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_queries_among_themselves(vectors, samples, metric):
    batch = Collator("q", num_negatives=B, metric=metric)(samples)
    expected = nm.mine(vectors[0], vectors[0], num_negatives=B, exclude_self=True, metric=metric)
    assert_same_bits(batch["negative_indices"].numpy(), expected.indices)


def test_own_group_is_excluded(samples):
    rows = Collator("q", "d", num_negatives=B, group_key="group")(samples)["negative_indices"]
    for query, row in enumerate(rows.tolist()):
        group = query % 5 - 1
        others = {j for j in range(B) if j != query and (group < 0 or j % 5 - 1 != group)}
        assert {j for j in row if j >= 0} == others


def test_a_query_that_comes_twice(samples):
    """Both copies get negatives, never each other, and draw the same."""
    twice = [*samples[:10], samples[3], samples[3]]
    collate = Collator("q", "d", num_negatives=4, strategy="softmax:pool=9,beta=1")
    rows = collate(twice)["negative_indices"]
    assert torch.equal(rows[3], rows[10])
    assert torch.equal(rows[3], rows[11])
    assert not np.isin(rows[3].numpy(), [3, 10, 11]).any()
    assert torch.equal(rows[:10, 0] >= 0, torch.ones(10, dtype=torch.bool))
    everything = Collator("q", "d", num_negatives=12)(twice)["negative_indices"]
    assert (everything >= 0).sum(dim=1).tolist() == [
        9 if i in (3, 10, 11) else 11 for i in range(12)
    ]


def test_a_batch_of_one_has_no_negatives(samples):
    add = ("indices", "scores", "mask", "weights", "embeddings")
    made = Collator("q", "d", num_negatives=3, add=add, base_collate=list)(samples[:1])
    _, rows, scores, mask, weights, embeddings = made
    assert rows.tolist() == [[-1] * 3]
    assert not mask.any()
    assert scores.isnan().all()
    assert weights.isnan().all()
    assert embeddings.shape == (1, 3, D)
    assert not embeddings.any()


@pytest.mark.parametrize("name", ["weights", "log_probs"])
def test_what_the_strategy_does_not_give(samples, name):
    with pytest.raises(ValueError, match=f"add: strategy 'top' gives no '{name}'"):
        Collator("q", "d", num_negatives=2, add=[name])(samples)


@pytest.mark.parametrize("workers", [0, 2])
def test_in_a_loader(samples, workers):
    """The same batches give the same, in any process; the epoch reaches workers that live on."""
    collate = Collator("q", "d", num_negatives=3, strategy="random", limits=nm.Limits(range_max=12))
    keywords = {"persistent_workers": True} if workers else {}
    loader = DataLoader(samples, 8, collate_fn=collate, num_workers=workers, **keywords)
    seen = []
    for epoch in range(2):
        collate.set_epoch(epoch)
        seen.append([batch["negative_indices"].tolist() for batch in loader])
        alone = [collate(samples[at : at + 8])["negative_indices"].tolist() for at in (0, 8, 16)]
        assert seen[-1] == alone
    assert seen[0] != seen[1]


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, np.float16, list])
def test_embeddings_of_any_kind(vectors, kind):
    def as_kind(row):
        if kind is list:
            return row.tolist()
        return torch.from_numpy(row).to(kind) if isinstance(kind, torch.dtype) else row.astype(kind)

    rows = [[as_kind(row) for row in side] for side in vectors]
    samples = [{"idx": i, "q": q, "d": d} for i, (q, d) in enumerate(zip(*rows, strict=True))]
    collate = Collator("q", "d", num_negatives=3, base_collate=list)
    _, found = collate(samples)
    sides = [
        torch.stack(side) if isinstance(kind, torch.dtype) else np.array(side) for side in rows
    ]
    assert_same_bits(found.numpy(), nm.mine(*sides, np.arange(B), num_negatives=3).indices)


# --- against a bank -------------------------------------------------------------------------------


def test_what_a_bank_finds(vectors, samples):
    bank = nm.loaders.MemoryBank(64, D)
    add = ("indices", "ids", "embeddings", "mask")
    collate = Collator("q", bank=bank, num_negatives=5, add=add)
    empty = collate(samples)
    assert (empty["negative_indices"] == -1).all()
    assert (empty["negative_ids"] == -1).all()
    assert not empty["negative_embeddings"].any()
    ids = np.arange(4) * 3  # of samples that are in the batch too
    bank.enqueue(vectors[1, :4], ids)
    batch = collate(samples)
    expected = bank.mine(vectors[0], positive_ids=np.arange(B) * 3, num_negatives=5)
    assert_same_bits(batch["negative_indices"].numpy(), expected.indices)
    assert_same_bits(batch["negative_ids"].numpy(), expected.ids.astype(np.int64))
    assert_same_bits(batch["negative_embeddings"].numpy(), bank.vectors(expected.indices))
    assert batch["negative_mask"].sum(dim=1).tolist() == [3] * 4 + [4] * (B - 4)


def test_a_bank_with_groups(vectors, samples):
    bank = nm.loaders.MemoryBank(64, D)
    groups = np.arange(B) % 5 - 1
    bank.enqueue(vectors[1], 1000 + np.arange(B), groups)
    collate = Collator("q", bank=bank, num_negatives=B, group_key="group")
    for query, row in enumerate(collate(samples)["negative_indices"].tolist()):
        same = {j for j in range(B) if groups[query] >= 0 and groups[j] == groups[query]}
        assert {j for j in row if j >= 0} == set(range(B)) - same


def test_a_bank_is_not_for_workers(vectors, samples):
    bank = nm.loaders.MemoryBank(64, D)
    collate = Collator("q", bank=bank, num_negatives=2)
    with pytest.raises(RuntimeError, match="bank: a worker has a copy that nobody fills"):
        next(iter(DataLoader(samples, 8, collate_fn=collate, num_workers=1)))


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"num_negatives": 0}, ValueError, "num_negatives: must be at least 1"),
        ({"bank": "bank"}, TypeError, "bank: expected a MemoryBank, got a str"),
        ({"metric": "dot"}, ValueError, "metric"),
        ({"add": ["ids"]}, ValueError, "add: only what is in a bank has 'ids'"),
        ({"add": ["sources"]}, ValueError, "add: expected one of"),
        ({"strategy": "simanz"}, ValueError, "did you mean 'simans'"),
        ({"limits": {"range_max": 3}}, TypeError, "limits: expected nearmiss.Limits"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_arguments_are_checked_at_once(keywords, error, message):
    with pytest.raises(error, match=message):
        Collator("q", **{"num_negatives": 2, **keywords})


def test_a_metric_that_is_not_the_banks():
    bank = nm.loaders.MemoryBank(4, D, "l2")
    with pytest.raises(ValueError, match="metric: 'ip', but the bank has 'l2'"):
        Collator("q", bank=bank, num_negatives=2, metric="ip")


@pytest.mark.parametrize(
    ("sample", "error", "message"),
    [
        ({"idx": 1}, KeyError, "query_key: sample 1 has no 'q'"),
        ({"q": np.ones(D), "d": np.ones(D)}, KeyError, "id_key: sample 1 has no 'idx'"),
        ({"idx": 1, "q": np.ones(D)}, KeyError, "target_key: sample 1 has no 'd'"),
        ({"idx": 1, "q": np.ones(D), "d": np.full(D, np.nan)}, ValueError, "nan|NaN|finite"),
    ],
)
def test_samples_that_cannot_be_used(samples, sample, error, message):
    with pytest.raises(error, match=message):
        Collator("q", "d", num_negatives=2, base_collate=list)([samples[0], sample])
