# SPDX-License-Identifier: Apache-2.0
"""`Corpus`: packed once, updated in place, and never the owner of somebody else's memory."""

import copy
import gc
import pickle
import weakref

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_same_bits, assert_same_table, assert_same_topk
from hypothesis import given
from hypothesis import strategies as st
from problems import METRICS, dtype_of, problems, vectors

RNG = np.random.default_rng(0)
QUERIES = RNG.normal(size=(9, 8)).astype(np.float32)
ROWS = RNG.normal(size=(50, 8)).astype(np.float32)


def test_length_and_size():
    corpus = nm.Corpus(ROWS)
    assert len(corpus) == 50
    assert isinstance(corpus.nbytes, int)
    assert corpus.nbytes > 0
    larger = nm.Corpus(np.tile(ROWS, (100, 1)))
    assert ROWS.nbytes * 100 <= larger.nbytes < ROWS.nbytes * 100 * 4


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_and_pickles_are_refused(duplicate):
    """A shallow copy would share the packed rows, and an update of one spoil the other."""
    with pytest.raises(TypeError, match="a Corpus cannot be pickled or copied; save"):
        duplicate(nm.Corpus(ROWS))


def test_metric_defaults_to_cosine():
    assert nm.Corpus(ROWS).metric == "cosine"
    assert nm.Corpus(ROWS, metric="l2").metric == "l2"


@pytest.mark.parametrize(
    ("arguments", "error", "names"),
    [
        ({"metric": "dot"}, ValueError, "metric"),
        ({"ids": range(49)}, ValueError, "ids"),
        ({"ids": [1] * 50}, ValueError, "ids"),
        ({"ids": [0.5] * 50}, TypeError, "ids"),
        ({"ids": "abc"}, TypeError, "ids"),
        ({"groups": [0] * 51}, ValueError, "groups"),
        ({"groups": [-2] * 50}, ValueError, "groups"),
        ({"groups": [0.5] * 50}, TypeError, "groups"),
        ({"groups": ["a", 1] * 25}, TypeError, "groups"),
    ],
)
def test_bad_arguments(arguments, error, names):
    with pytest.raises(error, match=names):
        nm.Corpus(ROWS, **arguments)


def test_groups_given_twice_must_not_contradict():
    groups = np.arange(50) % 3
    corpus = nm.Corpus(ROWS, groups=groups)
    query_groups = np.arange(9) % 3
    expected = nm.mine(QUERIES, ROWS, query_groups=query_groups, corpus_groups=groups)
    assert_same_table(nm.mine(QUERIES, corpus, query_groups=query_groups), expected)
    # Groups of the corpus without groups of the queries exclude nothing.
    assert_same_table(nm.mine(QUERIES, corpus), nm.mine(QUERIES, ROWS))


# --- memory ---------------------------------------------------------------------------------------


def test_a_suitable_array_is_kept_not_copied_and_stays_alive():
    rows = ROWS.copy()
    reference = weakref.ref(rows)
    corpus = nm.Corpus(rows)
    expected = oracle.topk(QUERIES, rows, 5, "cosine")
    del rows
    gc.collect()
    assert reference() is not None
    junk = [np.full((50, 8), np.nan, np.float32) for _ in range(50)]
    assert_same_topk(nm.topk(QUERIES, corpus, 5), expected)
    del corpus, junk
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_read_only_input_is_enough(dtype):
    rows = vectors(RNG, (50, 8), dtype, "normal")
    rows.flags.writeable = False
    before = rows.copy()
    corpus = nm.Corpus(rows)
    nm.mine(rows, corpus, exclude_self=True)
    assert_same_topk(nm.topk(rows, corpus, 5), oracle.topk(rows, rows, 5, "cosine"))
    assert (rows == before).all()


# --- update ---------------------------------------------------------------------------------------


@given(data=st.data(), problem=problems(min_queries=1))
def test_an_update_equals_a_rebuild(data, problem):
    rng, rows, metric = problem["rng"], problem["corpus"].copy(), problem["metric"]
    groups = rng.integers(-1, 3, len(rows)) if data.draw(st.booleans(), label="groups") else None
    corpus = nm.Corpus(rows.copy(), metric=metric, groups=groups)
    keywords = {"num_negatives": 4, "relative_margin": 0.01}
    if groups is not None:
        keywords["query_groups"] = rng.integers(-1, 3, len(problem["queries"]))
    positives = rng.integers(0, len(rows), len(problem["queries"]))
    nm.mine(problem["queries"], corpus, positives, **keywords)  # so that caches must be dropped
    for _ in range(data.draw(st.integers(1, 3), label="updates")):
        count = data.draw(st.integers(1, len(rows)), label="count")
        places = rng.permutation(len(rows))[:count]
        fresh = rows[rng.integers(0, len(rows), count)] if data.draw(st.booleans()) else None
        if fresh is None:
            name = "bfloat16" if rows.dtype == dtype_of("bfloat16") else rows.dtype.name
            fresh = vectors(rng, (count, rows.shape[1]), name, "normal")
        rows[places] = fresh
        corpus.update(places, fresh)
    rebuilt = nm.Corpus(rows, metric=metric, groups=groups)
    k = min(5, len(rows))
    assert_same_topk(
        nm.topk(problem["queries"], corpus, k), oracle.topk(problem["queries"], rows, k, metric)
    )
    assert_same_table(
        nm.mine(problem["queries"], corpus, positives, **keywords),
        nm.mine(problem["queries"], rebuilt, positives, **keywords),
    )


@pytest.mark.parametrize("metric", METRICS)
def test_an_update_to_other_magnitudes(metric):
    rows = RNG.normal(size=(300, 12)).astype(np.float32)
    corpus = nm.Corpus(rows.copy(), metric=metric)
    queries = RNG.normal(size=(5, 12)).astype(np.float32)
    for scale in (1e12, 1e-12, 1):
        places = RNG.permutation(300)[:7]
        rows[places] *= np.float32(scale)
        corpus.update(places, rows[places])
        assert_same_topk(nm.topk(queries, corpus, 20), oracle.topk(queries, rows, 20, metric))
    everything = (rows * np.float32(1e10)).astype(np.float32)
    corpus.update(np.arange(300), everything)
    assert_same_topk(nm.topk(queries, corpus, 20), oracle.topk(queries, everything, 20, metric))


def test_an_update_does_not_write_to_the_users_array():
    """Whether the array was kept or copied, it is the user's."""
    for layout in (np.ascontiguousarray, np.asfortranarray, lambda rows: rows.astype(np.float64)):
        rows = layout(ROWS.copy())
        before = rows.copy()
        corpus = nm.Corpus(rows)
        corpus.update([3], QUERIES[:1])
        assert_same_bits(rows, before)
        assert nm.topk(QUERIES[:1], corpus, 1)[1].tolist() == [[3]]


def test_an_update_of_a_read_only_array():
    rows = ROWS.copy()
    rows.flags.writeable = False
    corpus = nm.Corpus(rows)
    corpus.update([3], QUERIES[:1])
    assert_same_bits(rows, ROWS)
    changed = ROWS.copy()
    changed[3] = QUERIES[0]
    assert_same_topk(nm.topk(QUERIES, corpus, 9), oracle.topk(QUERIES, changed, 9, "cosine"))


@pytest.mark.parametrize(
    ("places", "embeddings", "error", "names"),
    [
        ([50], QUERIES[:1], ValueError, r"rows.*50"),
        ([-1], QUERIES[:1], ValueError, r"rows.*-1"),
        ([1, 1], QUERIES[:2], ValueError, r"rows"),
        ([1, 2], QUERIES[:1], ValueError, r"rows|embeddings"),
        ([1.5], QUERIES[:1], TypeError, r"rows"),
        ([1], QUERIES[:1, :7], ValueError, r"embeddings"),
        ([1], QUERIES[0], ValueError, r"embeddings"),
        ([1], np.full((1, 8), np.inf, np.float32), ValueError, r"embeddings.*0"),
        ([4, 1], np.stack([QUERIES[0], QUERIES[0] * 0]), ValueError, r"embeddings.*1"),
        ([1], np.ones((1, 8), np.int32), TypeError, r"embeddings"),
    ],
)
def test_a_bad_update_changes_nothing(places, embeddings, error, names):
    corpus = nm.Corpus(ROWS.copy())
    before = nm.topk(QUERIES, corpus, 50)
    with pytest.raises(error, match=names):
        corpus.update(places, embeddings)
    assert_same_topk(nm.topk(QUERIES, corpus, 50), before)


def test_an_empty_update_is_fine():
    corpus = nm.Corpus(ROWS)
    corpus.update([], np.zeros((0, 8), np.float32))
    assert_same_topk(nm.topk(QUERIES, corpus, 5), oracle.topk(QUERIES, ROWS, 5, "cosine"))


# ---- packed files ------------------------------------------------------------------------------
def saved(tmp_path, rows, **options):
    path = tmp_path / "corpus.nmc"
    nm.Corpus(rows, **options).save(path)
    return path


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [8, 61, 384])  # packed in float32; in codes
def test_a_loaded_corpus_answers_alike(tmp_path, metric, dim):
    rng = np.random.default_rng(dim)
    rows = rng.standard_normal((517, dim)).astype(np.float32)
    queries = rng.standard_normal((19, dim)).astype(np.float32)
    groups = rng.integers(-1, 5, len(rows))
    options = {"metric": metric, "groups": groups, "ids": [f"d{i}" for i in range(len(rows))]}
    packed = nm.Corpus(rows, **options)
    packed.save(tmp_path / "corpus.nmc")
    loaded = nm.Corpus.load(tmp_path / "corpus.nmc", rows, **options)
    for precision in ("auto", "float32", "int8", "int16"):
        expected = nm.mine(
            queries, packed, query_groups=groups[:19], num_negatives=7, precision=precision
        )
        found = nm.mine(
            queries, loaded, query_groups=groups[:19], num_negatives=7, precision=precision
        )
        assert_same_bits(found.indices, expected.indices)
        assert_same_bits(found.scores, expected.scores)
        assert list(found.ids[0]) == list(expected.ids[0])


def test_a_loaded_corpus_is_mapped_and_can_be_updated(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1000, 64)).astype(np.float32)
    path = saved(tmp_path, rows)
    before = path.read_bytes()
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    corpus = nm.Corpus.load(path, mapped)
    changed = rows.copy()
    changed[[3, 977]] = 5 * rng.standard_normal((2, 64))
    corpus.update([3, 977], changed[[3, 977]])
    found, expected = nm.topk(changed[:40], corpus, 9), nm.topk(changed[:40], changed, 9)
    assert_same_bits(found[0], expected[0])
    assert_same_bits(found[1], expected[1])
    assert path.read_bytes() == before
    np.testing.assert_array_equal(mapped, rows)


def test_a_corpus_saved_after_an_update_is_the_updated_one(tmp_path):
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((200, 64)).astype(np.float32)
    corpus = nm.Corpus(rows)
    rows = rows.copy()
    rows[7] = rng.standard_normal(64)
    corpus.update([7], rows[7:8])
    corpus.save(tmp_path / "corpus.nmc")
    loaded = nm.Corpus.load(tmp_path / "corpus.nmc", rows)
    assert_same_bits(nm.topk(rows, loaded, 3)[1], nm.topk(rows, rows, 3)[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda o: o | {"embeddings": o["embeddings"][:, :-1]},
            r"shape of embeddings.*\[200, 64\]",
        ),
        (lambda o: o | {"embeddings": o["embeddings"].astype(np.float16)}, "element type"),
        (lambda o: o | {"embeddings": o["embeddings"] * 2}, "embeddings: the corpus in"),
        (lambda o: o | {"metric": "l2"}, "metric: the corpus in .* 'ip', got 'l2'"),
        (lambda o: o | {"groups": None}, "groups: the corpus in"),
        (lambda o: o | {"groups": [0] * 200}, "groups: the corpus in"),
    ],
)
def test_a_packed_file_of_something_else_is_refused(tmp_path, change, message):
    rng = np.random.default_rng(2)
    options = {
        "embeddings": rng.standard_normal((200, 64)).astype(np.float32),
        "metric": "ip",
        "groups": np.arange(200) // 10,
    }
    path = tmp_path / "corpus.nmc"
    nm.Corpus(**options).save(path)
    with pytest.raises(ValueError, match=message):
        nm.Corpus.load(path, **change(options))


def test_files_that_are_no_packed_corpus_are_refused(tmp_path):
    rows = np.eye(64, dtype=np.float32)
    path = saved(tmp_path, rows)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="truncated"):
        nm.Corpus.load(path, rows)
    nm.mine(rows, rows, num_negatives=2).save(path)
    with pytest.raises(ValueError, match="not a packed corpus"):
        nm.Corpus.load(path, rows)
    with pytest.raises(FileNotFoundError):
        nm.Corpus.load(tmp_path / "none.nmc", rows)
