# SPDX-License-Identifier: Apache-2.0
"""Bugs that users of other miners have met, each named by its report. None may happen here.

Numbers alone are issues of huggingface/sentence-transformers.
"""

import json

import nearmiss as nm
import numpy as np
import oracle
import pytest
from batch_plans import PLANS
from compare import assert_same_bits, assert_same_table

RNG = np.random.default_rng(0)


def test_3819_relative_margin_with_a_negative_positive_score():
    """s+ · (1 − m) moves the threshold towards the query when s+ is negative."""
    corpus = np.array([[-0.4], [-0.39], [-0.41], [-0.5]], np.float32)
    found = nm.mine(np.ones((1, 1), np.float32), corpus, [0], relative_margin=0.05, metric="ip")
    # The threshold is -0.42, not -0.38.
    assert found.indices.tolist() == [[3, -1, -1]]


@pytest.mark.parametrize("num_negatives", [4, 5, 100])
def test_3873_3903_more_asked_for_than_the_corpus_holds(num_negatives):
    rows = RNG.normal(size=(5, 3))
    found = nm.mine(rows, rows, exclude_self=True, num_negatives=num_negatives)
    assert found.counts.tolist() == [4] * 5
    found = nm.mine(rows, rows, range_min=3, range_max=10**6, num_negatives=num_negatives)
    assert found.counts.tolist() == [2] * 5
    found = nm.mine(rows, rows, strategy="random", range_max=10**6, num_negatives=num_negatives)
    assert found.counts.tolist() == [min(5, num_negatives)] * 5


def test_3904_a_window_smaller_than_the_number_asked_for_is_named():
    rows = RNG.normal(size=(50, 3))
    with pytest.raises(ValueError, match=r"num_negatives: 5 .*\[2, 6\)"):
        nm.mine(rows, rows, range_min=2, range_max=6, num_negatives=5)


def test_3873_padding_is_never_taken_for_the_last_row(tmp_path):
    """-1 as an index is the last document in numpy; it may reach no id, pair or file."""
    rows = np.eye(3, dtype=np.float32)
    found = nm.mine(rows, nm.Corpus(rows, ids=["a", "b", "c"]), [[0, 1], [1], []], num_negatives=4)
    assert found.ids.tolist() == [
        ["c", None, None, None],
        ["a", "c", None, None],
        ["b", "a", "c", None] if found.indices[2, 0] == 1 else ["c", "a", "b", None],
    ]
    assert found.to_triplets().tolist() == [[0, 0, 2], [0, 1, 2], [1, 1, 0], [1, 1, 2]]
    assert (found.to_csr()[1] >= 0).all()
    assert (found.sample(2).indices[0] == [2, -1]).all()


def test_3872_several_positives_give_the_same_on_every_way(simd_target):
    """Arrays, a packed corpus, every SIMD target, and candidates of `topk`."""
    queries, rows = RNG.normal(size=(20, 9)), RNG.normal(size=(90, 9))
    positives = [RNG.permutation(90)[: RNG.integers(0, 9)].tolist() for _ in range(20)]
    expected = oracle.mine(queries, rows, positives, relative_margin=0.05, num_negatives=5)
    keywords = {"relative_margin": 0.05, "num_negatives": 5}
    for target in nm.simd_targets():
        simd_target(target)
        assert_same_table(nm.mine(queries, rows, positives, **keywords), expected)
        assert_same_table(nm.mine(queries, nm.Corpus(rows), positives, **keywords), expected)
    scores, indices = nm.topk(queries, rows, 90)
    assert_same_table(
        nm.mine_candidates(scores, indices, positives=positives, **keywords), expected
    )


def test_2818_one_query_with_hundreds_of_positives_costs_the_others_nothing():
    queries, rows = RNG.normal(size=(5, 9)), RNG.normal(size=(900, 9))
    positives = [[], [1], RNG.permutation(900)[:500].tolist(), [7, 8], []]
    found = nm.mine(queries, rows, positives, num_negatives=5)
    assert_same_table(found, oracle.mine(queries, rows, positives, num_negatives=5))
    assert found.counts.tolist() == [5] * 5


def test_3504_shortage_is_counted_per_query():
    corpus = np.arange(6, dtype=np.float32)[:, None]
    found = nm.mine(
        np.ones((4, 1), np.float32),
        corpus,
        num_negatives=5,
        max_score=[5, 1, 1, -1],
        metric="ip",
    )
    assert found.counts.tolist() == [5, 2, 2, 0]
    assert found.stats["short_queries"] == 3
    assert found.stats["shortage"] == {3: 2, 5: 1}
    assert found.stats["returned"] == 9


def test_3279_limits_do_not_starve_a_query():
    """Filters after a fixed top-k leave some queries with nothing, though the corpus has plenty."""
    rows = RNG.normal(size=(4000, 5)).astype(np.float32)
    queries = rows[:50]
    found = nm.mine(
        queries, rows, np.arange(50), relative_margin=0.3, max_score=0.5, num_negatives=10
    )
    assert (found.counts == 10).all()


@pytest.mark.parametrize("ruled_out_by", ["margins and ceiling", "floor"])
def test_4053_limits_cost_a_list_none_of_its_positives(tmp_path, ruled_out_by):
    """They say which rows may be negatives; the score of a positive does not matter."""
    rng = np.random.default_rng(0)
    queries, rows = rng.normal(size=(20, 9)), rng.normal(size=(90, 9))
    positives = [rng.permutation(90)[: 1 + i % 4].tolist() for i in range(20)]
    every = oracle.scores(queries, rows, "cosine")
    own = [every[i, listed] for i, listed in enumerate(positives)]
    if ruled_out_by == "floor":
        limits = nm.Limits(min_score=[float(scores.max()) + 0.01 for scores in own])
    else:
        ceiling = [float(scores.min()) - 0.1 for scores in own]
        limits = nm.Limits(absolute_margin=0.05, relative_margin=0.05, max_score=ceiling)
    found = nm.mine(queries, rows, positives, limits=limits)
    kept = {(q, p) for q, p, _ in found.to_triplets().tolist()}
    wanted = {(q, p) for q, listed in enumerate(positives) if found.counts[q] for p in listed}
    assert kept == wanted
    assert len({q for q, _ in kept}) > 10
    path = tmp_path / "lists.jsonl"
    nm.formats.get("jsonl").write(path, found)
    lists = [json.loads(line)["positive_ids"] for line in path.read_text().splitlines()]
    assert lists == [sorted(listed) for listed in positives]


@pytest.mark.parametrize("change", ["other weights", "other prompt"])
def test_3870_what_was_packed_from_another_model_is_not_taken_for_this_ones(tmp_path, change):
    """The same texts under new weights, or with a prompt before them, are other embeddings."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 12)).astype(np.float32)
    path = tmp_path / "rows.nmc"
    ids = [f"text {i}" for i in range(3000)]
    nm.Corpus(rows, ids=ids).save(path)
    nudge = rng.normal(size=rows.shape if change == "other weights" else 12)
    others = rows + np.float32(1e-6) * nudge.astype(np.float32)
    with pytest.raises(ValueError, match="embeddings"):
        nm.Corpus.load(path, others, ids=ids)
    again = nm.Corpus.load(path, rows, ids=ids)
    assert_same_bits(nm.topk(rows[:9], again, 5)[1], nm.topk(rows[:9], rows, 5)[1])


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("uneven", ["drop", "repeat"])
def test_3348_a_sampler_is_as_long_as_it_says_on_every_rank(name, uneven):
    """One rank that runs out of batches before the others leaves them waiting for ever."""
    pytest.importorskip("torch")
    plan = PLANS[name](5)
    for num_replicas in (1, 2, 3):
        for epoch in (0, 1):
            lengths = set()
            for rank in range(num_replicas):
                sampler = nm.loaders.PlanBatchSampler(
                    plan, num_replicas=num_replicas, rank=rank, uneven=uneven
                )
                sampler.set_epoch(epoch)
                assert len(sampler) == len(list(sampler))
                lengths.add(len(sampler))
            assert len(lengths) == 1
            assert min(lengths) > 0


@pytest.mark.parametrize("scale", [1e-3, 1, 7, 1e4])
def test_2944_vectors_need_not_be_normalised_for_cosine(scale):
    queries, rows = RNG.normal(size=(2, 40, 9)) * scale
    scores, _ = nm.topk(queries, rows, 5, metric="cosine")
    assert np.isfinite(scores).all()
    assert (np.abs(scores) <= 1).all()
    assert_same_bits(scores, oracle.topk(queries, rows, 5, "cosine")[0])


def test_2818_1346_copies_of_a_positive_are_no_negatives():
    rows = RNG.normal(size=(30, 9))
    rows[[4, 11, 29]] = rows[2]
    found = nm.mine(rows[2:3] + 0.01, rows, [2], num_negatives=26)
    assert sorted(found.indices[0].tolist()) == sorted(set(range(30)) - {2, 4, 11, 29})


def test_1346_negatives_are_distinct_rows():
    rows = RNG.normal(size=(30, 9))
    for strategy, more in [("top", {}), ("random", {"range_max": 25}), ("uniform", {})]:
        found = nm.mine(rows, rows, strategy=strategy, num_negatives=20, **more)
        assert all(len(set(row)) == 20 for row in found.indices.tolist())


def test_608_sibling_positives_on_other_rows():
    """A query given once per positive must not get its other positives as negatives."""
    pairs = [("q", "d0"), ("q", "d1"), ("p", "d2"), ("q", "d3")]
    positives = nm.Positives.from_pairs(
        pairs, query_ids=["p", "q"], corpus_ids=[f"d{i}" for i in range(6)]
    )
    rows = RNG.normal(size=(6, 4))
    found = nm.mine(RNG.normal(size=(2, 4)), rows, positives, num_negatives=3)
    assert set(found.indices[1].tolist()) == {2, 4, 5}


def test_nemo_no_infinity_stands_for_a_missing_negative():
    rows = np.array([[1, 0, 0], [-1, 1, 0], [0, 1, 2], [0, -1, 1]], np.float32)
    found = nm.mine(rows, rows, max_score=0.0, num_negatives=4)
    assert not np.isinf(found.scores).any()
    assert np.isnan(found.scores[found.indices < 0]).all()
    for key in ("mean", "min", "max"):
        assert np.isfinite(found.stats["scores"]["negative"][key])


def test_nemo_duplicate_query_ids_are_refused():
    rows = RNG.normal(size=(4, 3))
    with pytest.raises(ValueError, match=r"query_ids.*0.*2"):
        nm.mine(rows, rows, query_ids=[5, 6, 5, 7])
    with pytest.raises(ValueError, match="query_ids"):
        nm.Positives.from_qrels({"a": ["b"]}, query_ids=["a", "a"], corpus_ids=["b"])


def test_nemo_input_is_never_overwritten_silently(tmp_path):
    """Neither an array in memory nor the file that a corpus is mapped from."""
    rows = RNG.normal(size=(20, 3)).astype(np.float32)
    path = tmp_path / "rows.npy"
    np.save(path, rows)
    for mode in ("r", "r+", "c"):
        mapped = np.load(path, mmap_mode=mode)
        corpus = nm.Corpus(mapped)
        corpus.update([0], rows[5:6])
        assert nm.topk(rows[5:6], corpus, 2)[1].tolist() == [[0, 5]]
        assert_same_bits(np.asarray(mapped), rows)
        del corpus, mapped
    assert_same_bits(np.load(path), rows)


def test_1388_a_string_of_positives_is_not_a_list_of_characters():
    """FlagEmbedding: `pos` given as text was mined letter by letter."""
    rows = RNG.normal(size=(4, 3))
    for wrong in (
        "0123",
        ["0", "1", "2", "3"],
        [["0"], ["1"], ["2"], ["3"]],
        np.array(list("0123")),
    ):
        with pytest.raises(TypeError, match="positives"):
            nm.mine(rows, rows, wrong)
    with pytest.raises(TypeError, match="q"):
        nm.Positives.from_qrels({"q": "doc"}, query_ids=["q"], corpus_ids=["doc"])


def test_779_the_same_on_any_number_of_threads():
    """FlagEmbedding: two devices gave completely different negatives."""
    queries, rows = RNG.normal(size=(50, 12)), RNG.normal(size=(1500, 12))
    for strategy in ("top", "random"):
        results = [
            nm.mine(queries, rows, strategy=strategy, range_max=50, num_threads=threads)
            for threads in (1, 2, 3, 16)
        ]
        for other in results[1:]:
            assert_same_table(other, results[0])


def test_6673_persistent_workers_see_the_new_epoch(tmp_path):
    """huggingface/datasets: workers that live on drew the first epoch's sample for ever."""
    torch_data = pytest.importorskip("torch.utils.data")
    rows = RNG.normal(size=(40, 5)).astype(np.float32)
    table = nm.mine(rows, rows, exclude_self=True, num_negatives=20)
    table.save(tmp_path / "table")
    collate = nm.loaders.HardNegativeCollator(tmp_path / "table", num_negatives=3, seed=2)
    loader = torch_data.DataLoader(
        [{"idx": i} for i in range(40)],
        batch_size=8,
        num_workers=1,
        persistent_workers=True,
        collate_fn=collate,
    )
    seen = []
    for epoch in (0, 1, 0):
        collate.set_epoch(epoch)
        seen.append(np.concatenate([batch["negative_indices"].numpy() for batch in loader]))
        assert_same_bits(seen[-1], table.sample(3, epoch=epoch, seed=2).indices)
    assert (seen[0] != seen[1]).any()
    assert_same_bits(seen[2], seen[0])
