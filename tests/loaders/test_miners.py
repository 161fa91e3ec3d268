# SPDX-License-Identifier: Apache-2.0
"""Miners inside a batch: against their definitions in loops, worked numbers, laws, and
pytorch-metric-learning's own miners, losses and memory.
"""

import math
import pickle
from itertools import combinations
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from compare import assert_law, rejects
from hypothesis import given
from hypothesis import strategies as st
from nearmiss import _core
from nearmiss.loaders import device_scores, miners
from nearmiss.loaders.device_scores import torch_scores

TARGETS = _core.simd_targets()
SEEDS = range(10)
ALPHA = 1e-3 / len(SEEDS)
GAPS = {
    "cosine": ("cosine", lambda s: -s),
    "ip": ("ip", lambda s: -s),
    "normalized_l2": ("cosine", lambda s: np.sqrt(np.maximum(0, 2 - 2 * s))),
    "squared_normalized_l2": ("cosine", lambda s: np.maximum(0, 2 - 2 * s)),
    "l2": ("l2", lambda s: np.sqrt(-s)),
    "squared_l2": ("l2", lambda s: -s),
}
#: Every miner, as often as its options make another rule of it.
EVERY = {
    "batch-hard": lambda **more: miners.BatchHardMiner(**more),
    "margin-all": lambda **more: miners.TripletMarginMiner(0.3, **more),
    "margin-hard": lambda **more: miners.TripletMarginMiner(0.3, "hard", **more),
    "margin-semihard": lambda **more: miners.TripletMarginMiner(0.3, "semihard", **more),
    "margin-easy": lambda **more: miners.TripletMarginMiner(0.3, "easy", **more),
    "margin-some": lambda **more: miners.TripletMarginMiner(0.3, max_triplets=5, **more),
    "semi-hard": lambda **more: miners.SemiHardMiner(0.5, **more),
    "semi-hard-nearest": lambda **more: miners.SemiHardMiner(math.inf, "nearest", **more),
    "semi-hard-always": lambda **more: miners.SemiHardMiner(0.1, "random", "random", **more),
    "soft-hard": lambda **more: miners.SoftHardMiner(**more),
    "soft-hard-always": lambda **more: miners.SoftHardMiner("random", **more),
    "multi-similarity": lambda **more: miners.MultiSimilarityMiner(**more),
    "top-2": lambda **more: miners.TopKMiner(2, **more),
}
every_miner = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())


def lists(mined):
    """Return what was mined as lists of tuples, one list for triplets and two for pairs."""
    if len(mined) == 3:
        return [list(zip(*(part.tolist() for part in mined), strict=True))]
    return [
        list(zip(*(part.tolist() for part in half), strict=True)) for half in (mined[:2], mined[2:])
    ]


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float32)


# --- definitions ----------------------------------------------------------------------------------


class Rows:
    """Every anchor's positives and negatives, with scores and gaps, in loops."""

    def __init__(self, rows, labels, others, other_labels, distance):
        metric, gap = GAPS[distance]
        candidates = rows if others is None else others
        candidate_labels = labels if others is None else other_labels
        self.scores = oracle.scores(rows, candidates, metric)
        self.gaps = gap(self.scores.astype(np.float64))
        self.anchors = []
        for i, label in enumerate(labels):
            same = [j for j, other in enumerate(candidate_labels) if other == label]
            positives = [j for j in same if others is not None or j != i]
            negatives = [j for j in range(len(candidates)) if j not in same]
            self.anchors.append((i, positives, negatives))

    def full(self):
        """Anchors that have both."""
        return [anchor for anchor in self.anchors if anchor[1] and anchor[2]]


def reference(name, rows):
    """Return what a miner that draws nothing finds."""
    found = [[]]
    if name == "batch-hard":
        for i, positives, negatives in rows.full():
            farthest = min(positives, key=lambda j: (rows.scores[i, j], j))
            nearest = min(negatives, key=lambda j: (-rows.scores[i, j], j))
            found[0].append((i, farthest, nearest))
    elif name in ("margin-all", "margin-hard", "margin-semihard", "margin-easy"):
        for i, positives, negatives in rows.full():
            for p in positives:
                for n in negatives:
                    t = rows.gaps[i, n] - rows.gaps[i, p]
                    holds = {
                        "margin-all": t <= 0.3,
                        "margin-hard": t <= 0,
                        "margin-semihard": 0 < t <= 0.3,
                        "margin-easy": t > 0.3,
                    }[name]
                    if holds:
                        found[0].append((i, p, n))
    elif name == "semi-hard-nearest":
        for i, positives, negatives in rows.full():
            for p in positives:
                farther = [n for n in negatives if rows.gaps[i, n] > rows.gaps[i, p]]
                if farther:
                    found[0].append((i, p, min(farther, key=lambda n: (rows.gaps[i, n], n))))
    elif name == "multi-similarity":
        found = [[], []]
        for i, positives, negatives in rows.full():
            nearest = min(rows.gaps[i, n] for n in negatives)
            farthest = max(rows.gaps[i, p] for p in positives)
            found[0] += [(i, p) for p in positives if rows.gaps[i, p] + 0.1 > nearest]
            found[1] += [(i, n) for n in negatives if rows.gaps[i, n] - 0.1 < farthest]
    elif name == "top-2":
        found = [[], []]
        for i, positives, negatives in rows.anchors:
            found[0] += [(i, p) for p in positives]
            best = sorted(negatives, key=lambda n: (-rows.scores[i, n], n))
            found[1] += [(i, n) for n in best[:2]]
    return found


def eligible(name, rows):
    """Return {(anchor, positive): negatives} a drawing miner may draw, all pairs it must have."""
    found = {}
    for i, positives, negatives in rows.full():
        for p in positives:
            gap = rows.gaps[i, p]
            margin = 0.5 if name == "semi-hard" else 0.1
            near = [n for n in negatives if gap < rows.gaps[i, n] < gap + margin]
            if not near and name == "semi-hard-always":
                near = negatives
            if near:
                found[i, p] = near
    return found


@st.composite
def batches(draw):
    """Odd shapes: nothing, one row, one class, equal rows, ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.sampled_from([0, 1, 2, 3, 7, 16, 33]))
    m = draw(st.sampled_from([0, 1, 5, 17, 40])) if draw(st.booleans()) else None
    d = draw(st.sampled_from([1, 2, 7, 8, 9, 24, 67]))
    classes = draw(st.sampled_from([1, 2, 5, 50]))
    kind = draw(st.sampled_from(["normal", "integers", "equal", "repeated"]))

    def rows(count):
        if kind == "normal":
            return rng.normal(size=(count, d)).astype(np.float32)
        if kind == "integers":  # no row of zeros
            return np.hstack([np.ones((count, 1)), rng.integers(-1, 2, (count, d - 1))]).astype(
                "f4"
            )
        if kind == "equal":
            return np.full((count, d), 0.3, np.float32)
        few = np.random.default_rng(3).normal(size=(3, d)).astype(np.float32)
        return few[rng.integers(0, 3, count)]

    return {
        "rows": rows(n),
        "labels": rng.integers(0, classes, n) - 1,
        "others": None if m is None else rows(m),
        "other_labels": None if m is None else rng.integers(0, classes, m) - 1,
    }


def call(miner, batch, **more):
    others = batch["others"]
    return miner(
        torch.from_numpy(batch["rows"]),
        torch.from_numpy(batch["labels"]),
        None if others is None else torch.from_numpy(others),
        None if others is None else torch.from_numpy(batch["other_labels"]),
        **more,
    )


@every_miner
@given(batch=batches(), distance=st.sampled_from(list(GAPS)), target=st.sampled_from(TARGETS))
def test_miners_equal_their_definitions(make, batch, distance, target, request, simd_target):
    name = request.node.callspec.id
    simd_target(target)
    rows = Rows(*batch.values(), distance)
    found = lists(call(make(distance=distance, num_threads=2), batch))
    if name in ("semi-hard", "semi-hard-always"):
        allowed = eligible(name, rows)
        assert [(a, p) for a, p, _ in found[0]] == list(allowed)
        assert all(n in allowed[a, p] for a, p, n in found[0])
    elif name in ("soft-hard", "soft-hard-always"):
        check_soft_hard(found[0], rows, name == "soft-hard-always")
    elif name == "margin-some":
        every = reference("margin-all", rows)[0]
        assert len(found[0]) == min(5, len(every))
        assert found[0] == sorted(set(found[0]))
        assert set(found[0]) <= set(every)
    else:
        assert found == reference(name, rows)


def check_soft_hard(found, rows, always):
    by_anchor = {a: (p, n) for a, p, n in found}
    assert list(by_anchor) == [a for a, _, _ in found] == sorted(by_anchor)
    for i, positives, negatives in rows.full():
        scores = rows.scores[i]
        hard_positives = [p for p in positives if scores[p] < max(scores[negatives])]
        hard_negatives = [n for n in negatives if scores[n] > min(scores[positives])]
        assert bool(hard_positives) == bool(hard_negatives)
        if not hard_positives and always:
            hard_positives, hard_negatives = positives, negatives
        assert (i in by_anchor) == bool(hard_positives)
        if hard_positives:
            positive, negative = by_anchor.pop(i)
            assert positive in hard_positives
            assert negative in hard_negatives
    assert not by_anchor


@given(batch=batches(), target=st.sampled_from(TARGETS))
def test_distance_weighted_draws_what_has_weight(batch, target, simd_target):
    simd_target(target)
    rows = Rows(*batch.values(), "normalized_l2")
    found = lists(call(miners.DistanceWeightedMiner(num_threads=2), batch))[0]
    allowed = {}
    for i, positives, negatives in rows.full():
        near = [n for n in negatives if rows.gaps[i, n] < 1.4]
        allowed.update({(i, p): near for p in positives if near})
    assert [(a, p) for a, p, _ in found] == list(allowed)
    assert all(n in allowed[a, p] for a, p, n in found)


def some_batch(n=150, d=40, classes=12):
    rng = np.random.default_rng(5)
    labels = rng.integers(0, classes, n)
    centres = rng.normal(size=(classes, d))
    return tensor(centres[labels] + rng.normal(size=(n, d))), torch.from_numpy(labels)


@every_miner
def test_results_depend_on_nothing_else(make, simd_target):
    rows, labels = some_batch()
    simd_target("scalar")
    expected = lists(make(num_threads=1)(rows, labels))
    assert expected[0]
    for target in TARGETS:
        simd_target(target)
        for threads in (1, 2, 7):
            assert lists(make(num_threads=threads)(rows, labels)) == expected
    assert lists(make(backend="torch")(rows, labels)) == expected
    # Whatever the element type can hold.
    halves = rows.to(torch.bfloat16)
    assert lists(make()(halves, labels)) == lists(make()(halves.double(), labels))
    # Candidates need not be contiguous, and gradients are not wanted.
    wide = torch.zeros(len(rows), 99)
    wide[:, 7:47] = rows
    assert lists(make()(wide[:, 7:47].requires_grad_(), labels)) == expected


@every_miner
@given(batch=batches(), distance=st.sampled_from(list(GAPS)))
def test_torch_finds_the_same(make, batch, distance):
    by_torch = call(make(distance=distance, backend="torch"), batch)
    assert lists(by_torch) == lists(call(make(distance=distance, backend="core"), batch))


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_scores_by_torch_have_the_bits_of_the_core(metric):
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(60, 33)).astype(np.float32)
    others = np.concatenate([rng.normal(size=(500, 33)), rows, -rows, rows * 3]).astype(np.float32)
    found = torch_scores(torch.from_numpy(rows), torch.from_numpy(others), metric, 2).numpy()
    assert found.tobytes() == oracle.scores(rows, others, metric).tobytes()
    # The control: without settling, some are off.
    plain = torch.from_numpy(rows) @ torch.from_numpy(others).T
    assert (plain.numpy() != oracle.scores(rows, others, "ip")).any()


def test_scores_next_to_a_rounding_boundary_are_settled(monkeypatch):
    """Products whose sum is just half-way between two float32, but for a last small one."""
    asked = []
    settle = device_scores._pair_scores

    def record(anchors, candidates, *rest):
        asked.extend(candidates.tolist())
        return settle(anchors, candidates, *rest)

    monkeypatch.setattr(device_scores, "_pair_scores", record)
    rng = np.random.default_rng(8)
    others = rng.normal(size=(4000, 16)).astype(np.float32)
    rows = rng.normal(size=(1, 16)).astype(np.float32)
    rows[0, :3] = 1
    others[7] = 0
    others[7, :3] = 1, 2.0**-24, 2.0**-60
    found = torch_scores(torch.from_numpy(rows), torch.from_numpy(others), "ip", 1).numpy()
    assert found.tobytes() == oracle.scores(rows, others, "ip").tobytes()
    assert others[7].tolist() in asked
    assert len(asked) < 400


# --- worked numbers -------------------------------------------------------------------------------

LINE = tensor([[0.0], [1.0], [1.5], [5.0]])
TWO_AND_TWO = torch.tensor([0, 0, 1, 1])


def test_batch_hard_on_a_line():
    found = lists(miners.BatchHardMiner("l2")(LINE, TWO_AND_TWO))[0]
    assert found[0] == (0, 1, 2)
    assert found == [(0, 1, 2), (1, 0, 2), (2, 3, 1), (3, 2, 1)]


def test_semi_hard_on_a_line():
    """d(a, p) = 1, negatives 1.5 and 5 away: none within .2, the first within .6."""

    def of_first(miner):
        return [(p, n) for a, p, n in lists(miner(LINE, TWO_AND_TWO))[0] if a == 0]

    assert of_first(miners.SemiHardMiner(0.2, distance="l2")) == []
    assert of_first(miners.SemiHardMiner(0.6, distance="l2")) == [(1, 2)]
    drawn = of_first(miners.SemiHardMiner(0.2, fallback="random", distance="l2"))
    assert drawn in ([(1, 2)], [(1, 3)])


def test_a_collapse_shows_as_the_margin():
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    rows, labels = torch.full((8, 5), 0.7), torch.arange(8) // 2
    mined = miners.BatchHardMiner()(rows, labels)
    assert len(mined[0]) == 8
    # Distances are all the same, so each triplet costs just the margin.
    assert float(losses.TripletMarginLoss(margin=0.2)(rows, labels, mined)) == pytest.approx(0.2)


def test_multi_similarity_of_coder():
    """Positives .9 and .6, negatives .65 and .3: .6 and .65 are kept."""
    candidates = tensor([[0.9], [0.6], [0.65], [0.3]])
    miner = miners.MultiSimilarityMiner(0.1, "ip")
    mined = miner(tensor([[1.0]]), torch.tensor([0]), candidates, TWO_AND_TWO)
    assert lists(mined) == [[(0, 1)], [(0, 2)]]
    assert (miner.num_pos_pairs, miner.num_neg_pairs) == (1, 1)


def test_log_distance_weights():
    """Worked numbers, and the clamp at .5. In PADS's code no distance is too far; in ours, 1.4."""
    found = miners.log_distance_weights([0.5, 1.0, 1.3999999, 1.4, 1.9, 0.2], 128)
    assert found[:3] == pytest.approx([91.3702, 17.9801, -0.3115], abs=1e-4)
    assert found[3:].tolist() == [-math.inf, -math.inf, found[0]]
    wide = miners.log_distance_weights([1.4, 1.9], 128, nonzero_loss_cutoff=2.0)
    assert np.isfinite(wide).all()


def test_negatives_too_far_are_never_drawn():
    angles = torch.tensor([0.0, 0.1, 1.2, 3.0])  # chords 1.13 and 1.99
    rows = torch.stack([angles.cos(), angles.sin(), torch.zeros(4)], dim=1)
    miner = miners.DistanceWeightedMiner()
    drawn = {n for step in range(50) for a, _, n in lists(miner(rows, TWO_AND_TWO))[0] if a == 0}
    assert drawn == {2}
    far = miners.DistanceWeightedMiner(nonzero_loss_cutoff=1.0)
    assert lists(far(rows, TWO_AND_TWO)) == [[]]


# --- laws -----------------------------------------------------------------------------------------


def counts(drawn, outcomes):
    where = {outcome: place for place, outcome in enumerate(outcomes)}
    return np.bincount([where[one] for one in drawn], minlength=len(outcomes))


def assert_follows(observed, chances):
    assert_law(observed, np.asarray(chances) * observed.sum(), ALPHA)


def many_anchors(position, candidates):
    """Anchors alike, each with draws of its own."""
    return torch.full((4000, 1), position), torch.zeros(4000, dtype=torch.int64), tensor(candidates)


@pytest.mark.parametrize("seed", SEEDS)
def test_law_of_semi_hard(seed):
    rows, labels, others = many_anchors(0.0, [[1.0], [1.1], [1.2], [-1.3], [0.5], [3.0]])
    other_labels = torch.tensor([0, 1, 1, 1, 1, 1])
    miner = miners.SemiHardMiner(0.5, distance="l2", seed=seed)
    drawn = miner(rows, labels, others, other_labels)[2].tolist()
    observed = counts(drawn, [1, 2, 3])
    assert_follows(observed, [1 / 3] * 3)
    assert rejects(assert_follows, observed, [0.4, 0.3, 0.3])


@pytest.mark.parametrize("seed", SEEDS)
def test_law_of_soft_hard(seed):
    """Positives 1, 2 and 4 away, negatives 1.5, 3 and 5: hard are 2 and 4, and 1.5 and 3."""
    rows, labels, others = many_anchors(0.0, [[1.0], [2.0], [4.0], [1.5], [-3.0], [5.0]])
    other_labels = torch.tensor([0, 0, 0, 1, 1, 1])
    _, positives, negatives = miners.SoftHardMiner(distance="l2", seed=seed)(
        rows, labels, others, other_labels
    )
    drawn = list(zip(positives.tolist(), negatives.tolist(), strict=True))
    observed = counts(drawn, [(1, 3), (1, 4), (2, 3), (2, 4)])
    assert_follows(observed, [0.25] * 4)
    assert rejects(assert_follows, observed, [0.3, 0.2, 0.2, 0.3])


@pytest.mark.parametrize("seed", SEEDS)
def test_law_of_distance_weighted(seed):
    angles = torch.tensor([0.05, 0.3, 0.8, 1.2, 1.5, 3.0])
    others = torch.stack([angles.cos(), angles.sin(), *torch.zeros(6, 6).unbind()], dim=1)
    rows = torch.zeros(4000, 8)
    rows[:, 0] = 1
    miner = miners.DistanceWeightedMiner(seed=seed)
    labels = torch.zeros(4000, dtype=torch.int64)
    drawn = miner(rows, labels, others, torch.tensor([0, 1, 1, 1, 1, 1]))[2].tolist()
    chords = (2 * (angles[1:] / 2).sin()).double().numpy()
    weights = np.exp(miners.log_distance_weights(chords, 8))
    chances = weights / weights.sum()
    assert chances[4] == 0
    observed = counts(drawn, [1, 2, 3, 4])
    assert_follows(observed, chances[:4])
    # A sampler without the clamp at .5 would draw the nearest more often.
    unclamped = np.exp(miners.log_distance_weights(chords, 8, cutoff=0.01))[:4]
    assert rejects(assert_follows, observed, unclamped / unclamped.sum())


@pytest.mark.parametrize(
    ("make", "labels"),
    [
        (lambda **more: miners.TripletMarginMiner(10.0, distance="l2", **more), [0, 0, 1, 2]),
        (lambda **more: miners.SemiHardMiner(10.0, "nearest", distance="l2", **more), [0, 0, 1, 1]),
    ],
    ids=["margin", "semi-hard"],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_law_of_max_triplets(make, labels, seed):
    """Any two of four triplets: six outcomes alike."""
    rows, labels = tensor([[0.0], [0.1], [1.0], [1.1]]), torch.tensor(labels)
    every = lists(make()(rows, labels))[0]
    assert len(every) == 4
    outcomes = list(combinations(every, 2))
    miner = make(seed=seed, max_triplets=2, num_threads=1)
    observed = counts([tuple(lists(miner(rows, labels))[0]) for _ in range(1500)], outcomes)
    assert_follows(observed, [1 / 6] * 6)
    assert rejects(assert_follows, observed, [0.25, 0.15, 0.15, 0.15, 0.15, 0.15])


def test_some_of_many_triplets_without_listing_them():
    """54 million triplets, of which 1000 are kept: listing them would take 650 MB."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("peak memory is read from /proc")
    rows, labels = (
        torch.from_numpy(np.random.default_rng(0).normal(size=(600, 4))),
        torch.arange(600) % 2,
    )
    miner = miners.TripletMarginMiner(10.0, max_triplets=1000, num_threads=2)
    Path("/proc/self/clear_refs").write_text("5")
    before = peak(status)
    found = lists(miner(rows, labels))[0]
    assert len(set(found)) == 1000
    assert peak(status) - before < 50 << 20
    # All are equally likely: anchors are spread over the whole batch.
    assert min(found)[0] < 20
    assert max(found)[0] > 580


def peak(status):
    lines = status.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


# --- steps and state ------------------------------------------------------------------------------


def test_draws_depend_on_seed_and_step():
    rows, labels = some_batch()
    miner = miners.SoftHardMiner(seed=3)
    first, second = lists(miner(rows, labels)), lists(miner(rows, labels))
    assert first != second
    assert miner.step == 2
    assert lists(miner(rows, labels, step=0)) == first
    assert miner.step == 2
    miner.set_step(1)
    assert lists(miner(rows, labels)) == second
    assert lists(miners.SoftHardMiner(seed=4)(rows, labels)) != first


def test_a_checkpoint_holds_the_step():
    rows, labels = some_batch()
    miner = miners.DistanceWeightedMiner()
    miner(rows, labels)
    state, copy = miner.state_dict(), pickle.loads(pickle.dumps(miner))
    expected = lists(miner(rows, labels))
    again = miners.DistanceWeightedMiner()
    again.load_state_dict(state)
    assert lists(again(rows, labels)) == lists(copy(rows, labels)) == expected


# --- pairs ----------------------------------------------------------------------------------------


def test_labels_of_pairs():
    """Row i of ref_emb is the positive of row i; what follows is nobody's."""
    rng = np.random.default_rng(1)
    rows = tensor(rng.normal(size=(6, 5)))
    others = torch.cat(
        [rows + 0.1 * tensor(rng.normal(size=(6, 5))), tensor(rng.normal(size=(4, 5)))]
    )
    anchors, positives, more, negatives = miners.TopKMiner(9)(rows, None, others)
    assert positives.tolist() == anchors.tolist() == list(range(6))
    assert all(a != n for a, n in zip(more.tolist(), negatives.tolist(), strict=True))
    by_ids = miners.TopKMiner(9)(rows, torch.arange(6), others, torch.arange(10))
    assert lists(by_ids) == lists((anchors, positives, more, negatives))
    same = miners.BatchHardMiner()(rows, torch.arange(6), others[:6])
    assert same[1].tolist() == list(range(6))


# --- pytorch-metric-learning ----------------------------------------------------------------------


@pytest.mark.peer
@pytest.mark.parametrize("with_ref", [False, True])
@pytest.mark.parametrize("per_class", [2, 8])
def test_the_same_as_pytorch_metric_learning(per_class, with_ref):
    theirs = pytest.importorskip("pytorch_metric_learning.miners")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    rng = np.random.default_rng(per_class)
    labels = torch.arange(96) // per_class
    centres = rng.normal(size=(96, 32))
    rows = tensor(centres[labels] + rng.normal(size=(96, 32)))
    arguments = (rows, labels)
    if with_ref:
        more = torch.arange(64) % 50
        arguments = (rows, labels, tensor(centres[more] + rng.normal(size=(64, 32))), more)

    def same(ours, peer):
        assert [sorted(half) for half in lists(ours(*arguments))] == [
            sorted(half) for half in lists(peer(*arguments))
        ]

    same(miners.BatchHardMiner(), theirs.BatchHardMiner())
    same(miners.MultiSimilarityMiner(), theirs.MultiSimilarityMiner())
    similarity = distances.DotProductSimilarity(normalize_embeddings=False)
    squared = distances.LpDistance(normalize_embeddings=False, power=2)
    for kind in ("all", "hard", "semihard", "easy"):
        same(miners.TripletMarginMiner(0.2, kind), theirs.TripletMarginMiner(0.2, kind))
        for distance in (similarity, squared, distances.CosineSimilarity()):
            same(
                miners.TripletMarginMiner(0.3, kind, distance),
                theirs.TripletMarginMiner(0.3, kind, distance=distance),
            )
    same(miners.BatchHardMiner(squared), theirs.BatchHardMiner(distance=squared))
    same(
        miners.MultiSimilarityMiner(0.2, squared),
        theirs.MultiSimilarityMiner(0.2, distance=squared),
    )


@pytest.mark.peer
def test_semi_hard_nearest_is_that_of_pytorch_metric_learning():
    """Of the farthest positive, whose negative theirs picks; the other positives are ours alone."""
    theirs = pytest.importorskip("pytorch_metric_learning.miners")
    rows, labels = some_batch()
    peer = lists(theirs.BatchEasyHardMiner("hard", "semihard")(rows, labels))
    expected = {(a, p, n) for (a, p), (_, n) in zip(*peer, strict=True)}
    found = set(lists(miners.SemiHardMiner(math.inf, "nearest")(rows, labels))[0])
    assert expected
    assert expected <= found


@pytest.mark.peer
@pytest.mark.parametrize("name", [*EVERY, "distance-weighted"])
def test_inside_losses_and_memory(name):
    losses = pytest.importorskip("pytorch_metric_learning.losses")

    def make():
        return EVERY[name]() if name in EVERY else miners.DistanceWeightedMiner()

    rows, labels = some_batch(60, 40, 10)  # NTXentLoss compares all positives with all negatives
    for loss in (losses.TripletMarginLoss(0.9), losses.ContrastiveLoss(), losses.NTXentLoss()):
        free = rows.clone().requires_grad_()
        miner = make()
        value = loss(free, labels, miner(free, labels))
        value.backward()
        assert float(value.detach()) > 0
        assert torch.isfinite(free.grad).all()
        assert free.grad.abs().sum() > 0
    torch.manual_seed(0)
    memory = losses.CrossBatchMemory(losses.ContrastiveLoss(), 40, memory_size=32, miner=make())
    for begin in range(0, 60, 15):
        batch = rows[begin : begin + 15].clone().requires_grad_()
        value = memory(batch, labels[begin : begin + 15])
        value.backward()
        assert torch.isfinite(batch.grad).all()


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["core", "torch"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1].__setitem__(2, math.nan), "embeddings: row 1 has a NaN"),
        (lambda rows: rows[2].zero_(), "embeddings: row 2 is zero"),
        (lambda rows: rows[3].__setitem__(0, math.inf), "embeddings: row 3 has a NaN or infinite"),
    ],
)
def test_bad_rows_are_named(change, message, backend):
    rows, labels = some_batch(8, 4, 2)
    change(rows)
    with pytest.raises(ValueError, match=message):
        miners.BatchHardMiner(backend=backend)(rows, labels)


@pytest.mark.parametrize("backend", ["core", "torch"])
def test_scores_that_overflow_raise(backend):
    rows = torch.full((4, 4), 1e30)
    with pytest.raises(ValueError, match="embeddings row 0 and candidate 0 overflows"):
        miners.TopKMiner(1, "ip", backend=backend)(rows, torch.arange(4))


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, {"labels": torch.arange(7)}, "labels: expected 8, one per row of embeddings"),
        (TypeError, {"labels": torch.rand(8)}, "labels: expected integers"),
        (ValueError, {"labels": None}, "labels: needed"),
        (ValueError, {"ref_emb": torch.rand(3, 5)}, "ref_emb: expected 4 dimensions"),
        (ValueError, {"ref_emb": torch.rand(3, 4)}, "ref_labels: expected 3, one per row of ref"),
        (ValueError, {"labels": None, "ref_emb": torch.rand(3, 4)}, "ref_emb: expected a positive"),
        (ValueError, {"ref_labels": torch.arange(8)}, "ref_labels: given without ref_emb"),
        (ValueError, {"embeddings": torch.rand(8)}, "embeddings: expected a 2-dim"),
        (TypeError, {"embeddings": np.ones((8, 4))}, "embeddings: expected a tensor"),
        (
            TypeError,
            {"embeddings": torch.ones(8, 4, dtype=torch.int32)},
            "embeddings: expected flo",
        ),
    ],
)
def test_bad_batches(error, arguments, message):
    rows, labels = some_batch(8, 4, 2)
    with pytest.raises(error, match=message):
        miners.BatchHardMiner()(**{"embeddings": rows, "labels": labels, **arguments})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: miners.BatchHardMiner("manhattan"), "distance: "),
        (lambda: miners.BatchHardMiner(None), "distance: expected one of cosine, ip"),
        (lambda: miners.BatchHardMiner(backend="cuda"), "backend: "),
        (lambda: miners.TripletMarginMiner(0.2, "semi"), "type_of_triplets: "),
        (lambda: miners.TripletMarginMiner(math.nan), "margin: "),
        (lambda: miners.TripletMarginMiner(max_triplets=0), "max_triplets: must be at least 1"),
        (lambda: miners.SemiHardMiner(0.0), "margin: "),
        (lambda: miners.SemiHardMiner(pick="hard"), "pick: "),
        (lambda: miners.SoftHardMiner("any"), "fallback: "),
        (lambda: miners.SoftHardMiner(seed=-1), "seed: "),
        (lambda: miners.DistanceWeightedMiner(0.0), "cutoff: "),
        (lambda: miners.DistanceWeightedMiner(0.5, 0.5), "nonzero_loss_cutoff: "),
        (lambda: miners.DistanceWeightedMiner(0.5, 2.1), "nonzero_loss_cutoff: "),
        (lambda: miners.TopKMiner(0), "k: must be at least 1"),
    ],
)
def test_bad_rules(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_other_distances_of_pytorch_metric_learning_are_refused():
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    for distance in (
        distances.SNRDistance(),
        distances.LpDistance(p=1),
        distances.LpDistance(power=3),
    ):
        with pytest.raises(ValueError, match="distance: expected one of"):
            miners.BatchHardMiner(distance)
