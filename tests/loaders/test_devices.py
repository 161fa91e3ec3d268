# SPDX-License-Identifier: Apache-2.0
"""Tensors on other devices: the same answers as in main memory, on the device they came from.

Runs on the CPU and on every accelerator that torch finds, so that it says something everywhere and
more on a machine that has one.
"""

import nearmiss as nm
import numpy as np
import pytest
import torch
from nearmiss import mixing, weights
from nearmiss.loaders import MemoryBank, device_picks, device_scores, miners
from nearmiss.loaders.device_scores import torch_scores

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
MINERS = {
    "batch-hard": miners.BatchHardMiner,
    "triplet-margin": lambda: miners.TripletMarginMiner(0.3),
    "triplet-margin-some": lambda: miners.TripletMarginMiner(0.3, max_triplets=50),
    "semi-hard": lambda: miners.SemiHardMiner(0.5),
    "soft-hard": miners.SoftHardMiner,
    "multi-similarity": miners.MultiSimilarityMiner,
    "distance-weighted": miners.DistanceWeightedMiner,
    "top-k": lambda: miners.TopKMiner(3),
}

on_every_device = pytest.mark.parametrize("device", DEVICES)


def some_batch(device, n=150, dim=40, classes=12, dtype=torch.float32):
    rng = np.random.default_rng(5)
    labels = rng.integers(0, classes, n)
    rows = rng.normal(size=(classes, dim))[labels] + rng.normal(size=(n, dim))
    return torch.tensor(rows, dtype=dtype, device=device), torch.tensor(labels, device=device)


@on_every_device
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("make", MINERS.values(), ids=MINERS.keys())
def test_miners_pick_what_they_pick_in_main_memory(make, dtype, device):
    expected = make()(*some_batch("cpu", dtype=dtype))
    found = make()(*some_batch(device, dtype=dtype))
    assert len(expected[0]) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.device.type == device
        assert one.tolist() == other.tolist()


@on_every_device
@pytest.mark.parametrize("make", MINERS.values(), ids=MINERS.keys())
def test_blocks_leave_no_trace(make, device, monkeypatch):
    rows, labels = some_batch(device)
    labels[:7] = torch.arange(100, 107)  # without positives
    whole = make()(rows, labels)
    for module in (device_picks, device_scores):
        monkeypatch.setattr(module, "_BLOCK_SCORES", 700)
    miner = make()
    miner.backend = "torch"
    for one, other in zip(miner(rows, labels), whole, strict=True):
        assert one.tolist() == other.tolist()


@on_every_device
@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_scores_have_the_bits_of_the_core(metric, device):
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(64, 96)).astype(np.float32)
    others = np.concatenate([rng.normal(size=(3000, 96)), rows, -rows, rows * 3])
    others = others.astype(np.float32)
    expected = torch_scores(torch.from_numpy(rows), torch.from_numpy(others), metric, 2)
    found = torch_scores(
        torch.from_numpy(rows).to(device), torch.from_numpy(others).to(device), metric, 2
    )
    assert found.device.type == device
    found = found.cpu().numpy()
    assert found.tobytes() == expected.numpy().tobytes()
    scores, indices = nm.topk(rows, nm.Corpus(others, metric=metric), 1)
    assert np.array_equal(np.take_along_axis(found, indices, axis=1), scores)


@on_every_device
def test_a_bank_takes_and_gives_what_is_on_the_device(device):
    rows, _ = some_batch(device)
    bank = MemoryBank(100, 40)
    bank.enqueue(rows[:60], list(range(60)))
    table = bank.mine(rows[60:], num_negatives=4)
    expected = nm.mine(rows[60:].cpu(), rows[:60].cpu(), num_negatives=4)
    assert np.array_equal(table.indices, expected.indices)
    looked_up = bank.vectors(torch.from_numpy(table.indices).to(device))
    assert looked_up.device.type == device
    assert torch.equal(looked_up, rows[torch.from_numpy(table.indices)])


@on_every_device
def test_losses_and_weights_stay_on_the_device(device):
    rng = np.random.default_rng(2)
    positive, negatives = rng.uniform(-1, 1, 8), rng.uniform(-1, 1, (8, 5))
    negatives[2, 3:] = np.nan
    for function in (
        lambda p, n: weights.debiased_loss(p, n, beta=1.0),
        lambda p, n: weights.contrastive_cosine_loss(p, n, margin=0.2, weight=3.0),
        lambda p, n: weights.hardness_weights(n, beta=1.0, temperature=0.5),
        lambda p, n: weights.hardest_mask(n, 2),
    ):
        expected = function(positive, negatives)
        given = [torch.tensor(part, device=device) for part in (positive, negatives)]
        found = function(*given)
        assert found.device.type == device
        np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=1e-9, atol=1e-12)


@on_every_device
def test_mixtures_stay_on_the_device_with_the_same_draws(device):
    rng = np.random.default_rng(0)
    negatives, queries = rng.normal(size=(4, 5, 3)), rng.normal(size=(4, 3))

    def all_of(convert):
        return [
            mixing.mix_pairs(convert(negatives), 3),
            mixing.mix_with_queries(convert(queries), convert(negatives), 3),
            mixing.mix_different_labels(convert(queries), [0, 1, 2, 3], 3),
        ]

    def on_device(array):
        return torch.tensor(array, device=device)

    for array, tensor in zip(all_of(np.asarray), all_of(on_device), strict=True):
        for name in ("vectors", "parents", "shares", "mask"):
            expected, found = getattr(array, name), getattr(tensor, name)
            assert found.device.type == device, name
            np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=1e-12, atol=1e-15)


@on_every_device
def test_a_corpus_and_queries_may_be_on_the_device(device):
    rows, _ = some_batch(device)
    scores, indices = nm.topk(rows, rows, 5)
    expected = nm.topk(rows.cpu().numpy(), rows.cpu().numpy(), 5)
    assert scores.tobytes() == expected[0].tobytes()
    assert indices.tobytes() == expected[1].tobytes()


def test_a_tensor_without_data_is_refused():
    with pytest.raises(TypeError, match=r"^embeddings: .* meta device$"):
        nm.Corpus(torch.empty(3, 4, device="meta"))
