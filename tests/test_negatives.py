# SPDX-License-Identifier: Apache-2.0
"""The table: what it tells, how it converts and samples, and that it survives a file."""

import dataclasses
import subprocess
import sys
import textwrap
from dataclasses import replace

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_law, assert_same_bits, assert_same_table
from nearmiss.negatives import keep_full

RNG = np.random.default_rng(0)
N, M = 12, 60
QUERIES, CORPUS = RNG.normal(size=(N, 7)), RNG.normal(size=(M, 7))
POSITIVES = [[3 * i, 3 * i + 1][: i % 3] for i in range(N)]
IDS = [f"doc-{row}" for row in range(M)]
CEILING = np.where(np.arange(N) % 4 == 1, -0.8, 1.0)  # leaves every fourth query short


@pytest.fixture
def table():
    return nm.mine(
        QUERIES,
        nm.Corpus(CORPUS, ids=IDS),
        POSITIVES,
        num_negatives=6,
        max_score=CEILING,
        query_ids=np.arange(N) + 500,
        seed=11,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.nearmiss"


def test_arrays(table):
    assert table.indices.shape == (N, 6)
    assert table.indices.dtype == np.int64
    assert table.scores.shape == (N, 6)
    assert table.scores.dtype == np.float32
    assert_same_bits(table.counts, (table.indices >= 0).sum(axis=1))
    assert_same_bits(np.isnan(table.scores), table.indices == -1)
    assert (np.diff(table.scores, axis=1)[np.diff(table.indices == -1, axis=1) == 0] <= 0).sum() > 0
    assert_same_bits(table.query_ids, np.arange(N) + 500)
    assert (table.counts < 6).any()
    assert (table.counts == 6).any()


def test_ids(table):
    for row, ids in zip(table.indices, table.ids, strict=True):
        assert list(ids) == [IDS[i] if i >= 0 else None for i in row]
    numbered = nm.mine(QUERIES, nm.Corpus(CORPUS, ids=np.arange(M) * 10), max_score=CEILING)
    assert_same_bits(numbered.ids, np.where(numbered.indices >= 0, numbered.indices * 10, -1))
    assert nm.mine(QUERIES, CORPUS).ids is None


def test_the_id_of_a_row_that_is_not_in_the_table_is_an_error(table):
    known = table.referenced_ids
    unknown = np.setdiff1d(np.arange(M + 5), known.rows)
    assert len(unknown) > 5
    for row in unknown.tolist():
        with pytest.raises(KeyError, match=f"corpus row {row}"):
            known.lookup(np.array([known.rows[0], row]))


def test_csr(table):
    indptr, indices, scores = table.to_csr()
    assert_same_bits(np.diff(indptr), table.counts)
    for i in range(N):
        part = slice(indptr[i], indptr[i + 1])
        assert_same_bits(indices[part], table.indices[i, : table.counts[i]])
        assert_same_bits(scores[part], table.scores[i, : table.counts[i]])


def test_triplets(table):
    expected = [
        (i, positive, negative)
        for i in range(N)
        for positive in POSITIVES[i]
        for negative in table.indices[i, : table.counts[i]].tolist()
    ]
    assert table.to_triplets().tolist() == [list(triplet) for triplet in expected]


def test_triplets_of_dropped_rows_name_the_query_that_was_given():
    table = nm.mine(
        QUERIES, CORPUS, POSITIVES, num_negatives=6, max_score=CEILING, on_shortage="drop"
    )
    assert 0 < len(table.query_indices) < N
    triplets = table.to_triplets()
    assert set(triplets[:, 0]) <= set(table.query_indices.tolist())
    for query, positive, _ in triplets.tolist():
        assert positive in POSITIVES[query]


def test_triplets_need_positives():
    with pytest.raises(ValueError, match="positives"):
        nm.mine(QUERIES, CORPUS).to_triplets()


def test_repr_is_short_and_tells_the_shape(table):
    text = repr(table)
    assert "(12, 6)" in text
    assert "top" in text
    assert len(text) < 200


def test_params_tell_how_it_was_made(table):
    assert table.params["strategy"] == "top"
    assert table.params["seed"] == 11
    assert table.params["rng_scheme"] == 1
    assert table.params["metric"] == "cosine"


# --- statistics -----------------------------------------------------------------------------------


def test_score_statistics_are_those_of_the_arrays(table):
    scores = table.stats["scores"]
    filled = table.scores[table.indices >= 0].astype(np.float64)
    known = table.positive_scores[~np.isnan(table.positive_scores)].astype(np.float64)
    difference = table.positive_scores.astype(np.float64)[:, None] - table.scores
    difference = difference[~np.isnan(difference)]
    for name, values in [("positive", known), ("negative", filled), ("difference", difference)]:
        assert scores[name]["count"] == len(values)
        expected = {
            "mean": values.mean(),
            "median": np.median(values),
            "min": values.min(),
            "25%": np.quantile(values, 0.25),
            "50%": np.quantile(values, 0.5),
            "75%": np.quantile(values, 0.75),
            "max": values.max(),
        }
        for key, value in expected.items():
            assert scores[name][key] == pytest.approx(value, rel=1e-6, abs=1e-7), (name, key)
        # The population's and the sample's deviation are both called std.
        assert scores[name]["std"] in (
            pytest.approx(values.std(), rel=1e-6),
            pytest.approx(values.std(ddof=1), rel=1e-6),
        )
    text = str(table.stats)
    for word in ("Positive", "Negative", "Difference", "Mean", "Median", "Std", "25%", "75%"):
        assert word in text


def test_shortage_statistics_are_true_per_query(table):
    missing = 6 - table.counts
    expected = {int(m): int((missing == m).sum()) for m in np.unique(missing) if m > 0}
    assert table.stats["shortage"] == expected
    assert table.stats["short_queries"] == (missing > 0).sum()
    assert table.stats["returned"] == table.counts.sum()
    assert table.stats["requested"] == N * 6
    assert table.stats["queries_without_positives"] == sum(not rows for rows in POSITIVES)


def test_skipped_pairs_by_cause():
    """Ten rows on a line and two equal queries, so that each cause can be counted by hand."""
    corpus = np.array([9, 9, 8, 7, 6, 5, 4, 3, 2, 1], np.float32)[:, None]
    queries = np.ones((2, 1), np.float32)
    groups = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 0])
    table = nm.mine(
        queries,
        corpus,
        [[0], []],
        num_negatives=2,
        metric="ip",
        exclude=[[5, 6], [6]],
        exclude_self=True,
        query_ids=[9, 8],
        query_groups=[1, -1],
        corpus_groups=groups,
        corpus_values=[0, 0, 0, 0, 0, 9, 9, 9, 0, 4],
        max_value=[9, 4],
        absolute_margin=1.5,
    )
    assert table.indices.tolist() == [[3, 4], [0, 1]]
    skipped = dict(table.stats["skipped"])
    assert skipped["positive"] == 1
    assert skipped["duplicate"] == 1
    assert skipped["exclude"] == 3
    assert skipped["self"] == 2
    assert skipped["group"] == 2
    assert skipped["value"] == 3 + 4
    assert "Skipped 7 pairs (35.00 %): rows outside the query's range of values" in str(table.stats)
    assert skipped["absolute_margin"] == 1  # row 2 scores 8, above 9 - 1.5
    assert skipped["max_score"] == 0
    assert skipped["relative_margin"] == 0


def test_tables_counted_before_there_were_values_can_be_read(table):
    data = table.tally.to_json()
    assert data["skipped"].pop("value") == 0
    old = dataclasses.replace(table, tally=type(table.tally).from_json(data))
    assert str(old.stats) == str(table.stats)


def test_short_queries_are_told_of_ranges_that_ruled_rows_out():
    ranges = {"corpus_values": np.arange(M), "min_value": M - 5}
    assert "Consider wider ranges of values" in str(
        nm.mine(QUERIES, CORPUS, **ranges, num_negatives=6).stats
    )


def test_rows_above_the_ceiling_go_to_the_strictest_limit():
    corpus = np.arange(10, 0, -1, dtype=np.float32)[:, None]
    queries = np.ones((3, 1), np.float32)
    table = nm.mine(
        queries,
        corpus,
        [[0], [2], []],
        num_negatives=1,
        metric="ip",
        max_score=8,
        absolute_margin=3,
    )
    # Ceilings 7, 5 and 8: rows scoring 9 8; 10 9 7 6; 10 9.
    assert table.indices.tolist() == [[3], [5], [2]]
    assert table.stats["skipped"]["absolute_margin"] == 2 + 4
    assert table.stats["skipped"]["max_score"] == 2


@pytest.mark.parametrize("strategy", ["uniform", "random"])
def test_draws_from_the_whole_corpus_do_not_count_rows_above_the_ceiling(strategy, path):
    """Not every row is scored, so the table must not say that none was ruled out."""
    table = nm.mine(QUERIES, CORPUS, POSITIVES, strategy=strategy, max_score=-0.7)
    skipped = table.stats["skipped"]
    assert skipped["max_score"] is None
    assert skipped["relative_margin"] == skipped["absolute_margin"] == 0
    assert skipped["positive"] == sum(map(len, POSITIVES))
    assert "Skipped pairs, not counted: rows above the max_score of -0.7" in str(table.stats)
    assert table.stats["short_queries"]
    assert "a higher max_score" not in str(table.stats)
    table.save(path)
    assert str(nm.Negatives.load(path).stats) == str(table.stats)


# --- sampling -------------------------------------------------------------------------------------


def test_sample_is_a_subset_best_first(table):
    for n in (1, 3, 6):
        drawn = table.sample(n)
        assert drawn.indices.shape == (N, n)
        for i in range(N):
            kept = table.indices[i, : table.counts[i]].tolist()
            rows = drawn.indices[i, : drawn.counts[i]].tolist()
            assert drawn.counts[i] == min(n, table.counts[i])
            assert [kept.index(row) for row in rows] == sorted(kept.index(row) for row in rows)
            assert len(set(rows)) == len(rows)
            places = [kept.index(row) for row in rows]
            assert_same_bits(drawn.scores[i, : len(rows)], table.scores[i, places])
            assert (drawn.indices[i, len(rows) :] == -1).all()
            assert np.isnan(drawn.scores[i, len(rows) :]).all()


def test_sampling_all_returns_all(table):
    assert_same_table(table.sample(6), table)


def test_sample_depends_on_seed_epoch_and_query_id_alone(table):
    first = table.sample(2, epoch=3, seed=5)
    assert_same_table(table.sample(2, epoch=3, seed=5), first)
    assert (table.sample(2, epoch=4, seed=5).indices != first.indices).any()
    assert (table.sample(2, epoch=3, seed=6).indices != first.indices).any()
    assert_same_bits(table.sample(2).indices, table.sample(2, epoch=0, seed=11).indices)
    rows = [7, 2, 2, 11]
    assert_same_bits(table.sample(2, epoch=3, seed=5, rows=rows).indices, first.indices[rows])


def test_sampling_law():
    n = 6000
    table = nm.mine(np.ones((n, 1)), np.arange(1, 5)[:, None] * 1.0, num_negatives=4, metric="ip")
    drawn = table.sample(2, seed=3)
    pairs = (1 << drawn.indices[:, 0]) + (1 << drawn.indices[:, 1])
    assert_law(np.unique(pairs, return_counts=True)[1], [n / 6] * 6)
    assert len(np.unique(pairs)) == 6


def test_bad_samples_are_refused(table):
    for bad in (0, -1):
        with pytest.raises(ValueError, match=r"\bn\b"):
            table.sample(bad)
    with pytest.raises(TypeError, match=r"\bn\b"):
        table.sample(1.5)
    with pytest.raises(ValueError, match=r"\bn: must be at most"):
        table.sample(2**70)
    with pytest.raises(ValueError, match="rows"):
        table.sample(1, rows=[N])


# --- optional columns -----------------------------------------------------------------------------

PADDING = {"sources": 0, "log_probs": np.nan, "weights": np.nan, "strata": -1}


def with_columns(table):
    """Return the table with optional columns that tell the query and row of each negative."""
    filled = table.indices >= 0
    numbers = table.query_indices[:, None] * M + table.indices + 1
    return replace(
        table,
        **{
            name: np.where(filled, numbers.astype(type(missing)), missing)
            for name, missing in PADDING.items()
        },
    )


def assert_columns_follow(table):
    """Demand that every optional column is where its negative is, and padded elsewhere."""
    expected = with_columns(table)
    for name, missing in PADDING.items():
        assert getattr(table, name).dtype == (np.int64 if missing in (0, -1) else np.float64)
        assert_same_bits(getattr(table, name), getattr(expected, name), name)


def test_a_table_has_no_optional_columns_by_default(table, path):
    table.save(path)
    for found in (table, nm.Negatives.load(path), table.sample(2), keep_full(table)):
        assert [getattr(found, name) for name in PADDING] == [None] * 4


def test_optional_columns_follow_their_negatives(table, path):
    table = with_columns(table)
    assert (table.counts < 6).any()
    assert_columns_follow(table)
    assert_columns_follow(table.sample(2, epoch=1))
    assert_columns_follow(table.sample(3, rows=[5, 2, 2]))
    assert_columns_follow(keep_full(table))
    assert 0 < len(keep_full(table).counts) < N
    table.save(path)
    loaded = nm.Negatives.load(path)
    assert_columns_follow(loaded)
    assert_columns_follow(loaded.sample(2))
    assert not loaded.sources.flags.writeable


def test_optional_columns_are_kept_one_by_one(table, path):
    table = replace(with_columns(table), sources=None, weights=None)
    table.save(path)
    for found in (nm.Negatives.load(path), table.sample(4), keep_full(table)):
        assert found.sources is None
        assert found.weights is None
        expected = with_columns(found)
        assert_same_bits(found.strata, expected.strata)
        assert_same_bits(found.log_probs, expected.log_probs)


# --- files ----------------------------------------------------------------------------------------


def test_a_file_gives_back_everything(table, path):
    table.save(path)
    loaded = nm.Negatives.load(path)
    assert_same_table(loaded, table)
    assert_same_bits(loaded.query_indices, table.query_indices)
    assert_same_bits(loaded.query_ids, table.query_ids)
    assert loaded.ids.tolist() == table.ids.tolist()
    assert loaded.params == table.params
    assert dict(loaded.stats) == dict(table.stats)
    assert str(loaded.stats) == str(table.stats)
    assert loaded.to_triplets().tolist() == table.to_triplets().tolist()
    assert_same_table(loaded.sample(2, epoch=1), table.sample(2, epoch=1))


def test_all_strategies_and_limits_can_be_saved(path):
    table = nm.mine(
        QUERIES,
        CORPUS,
        POSITIVES,
        strategy="random",
        range_max=20,
        exclude=POSITIVES,
        max_score=CEILING,
        min_score=-1,
        relative_margin=0.1,
        query_groups=["a"] * N,
        corpus_groups=["b"] * M,
    )
    table.save(path)
    loaded = nm.Negatives.load(path)
    assert_same_table(loaded, table)
    assert loaded.params == table.params


def test_a_loaded_table_is_mapped_and_read_only(table, path):
    table.save(path)
    loaded = nm.Negatives.load(path)
    for name in ("indices", "scores", "counts"):
        array = getattr(loaded, name)
        assert not array.flags.writeable
        owner = array
        while isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap):
            owner = owner.base
        assert isinstance(owner, np.memmap), name


def test_empty_tables(path):
    for table in (
        nm.mine(QUERIES[:0], CORPUS, num_negatives=2),
        nm.mine(QUERIES, CORPUS, max_score=-2, on_shortage="drop"),
    ):
        table.save(path)
        loaded = nm.Negatives.load(path)
        assert_same_table(loaded, table)
        assert len(loaded.indices) == 0
        assert str(loaded.stats)
        assert loaded.to_csr()[0].tolist() == [0]
        del loaded


def test_the_file_is_in_the_safetensors_layout(table, path):
    safetensors = pytest.importorskip("safetensors.numpy")
    table.save(path)
    arrays = safetensors.load_file(path)
    for name in ("indices", "scores", "counts", "positive_scores"):
        assert_same_bits(arrays[name], getattr(table, name), name)


def test_every_array_is_aligned_in_the_file(path):
    for n in (1, 2, 3):  # odd sizes, where careless packing would misalign what follows
        table = nm.mine(QUERIES[:n], nm.Corpus(CORPUS, ids=IDS), POSITIVES[:n])
        table.save(path)
        loaded = nm.Negatives.load(path)
        for name in ("indices", "scores", "counts", "positive_scores"):
            assert getattr(loaded, name).flags.aligned, name
        assert (8 + int.from_bytes(path.read_bytes()[:8], "little")) % 64 == 0
        del loaded


def test_a_truncated_file_is_refused_at_any_length(table, path):
    table.save(path)
    whole = path.read_bytes()
    for length in [0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 8, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"trunc|not a table"):
            nm.Negatives.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"hello, this is not a table at all",
        b"\x93NUMPY" + bytes(200),
        (2**60).to_bytes(8, "little") + b"{}" * 50,
        (64).to_bytes(8, "little") + b"[1, 2, 3]".ljust(64),
        (64).to_bytes(8, "little") + b'{"__metadata__": {}}'.ljust(64),
        (64).to_bytes(8, "little") + b"\xff" * 64,
    ],
)
def test_other_files_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=path.name):
        nm.Negatives.load(path)


def test_headers_that_lie_are_refused(table, path):
    table.save(path)
    whole = path.read_bytes()
    for old, new in [
        (b'"shape":[12,6]', b'"shape":[99,6]'),
        (b'"data_offsets":[0,', b'"data_offsets":[9,'),
        (b'"dtype":"F32"', b'"dtype":"F64"'),
        (b'"dtype":"I64"', b'"dtype":"O64"'),
    ]:
        assert old in whole
        path.write_bytes(whole.replace(old, new, 1))
        with pytest.raises(ValueError, match=path.name):
            nm.Negatives.load(path)


def test_a_missing_file_is_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        nm.Negatives.load(path)
    with pytest.raises(OSError, match="nowhere"):
        nm.mine(QUERIES, CORPUS).save(path.parent / "nowhere" / "table")


def test_saving_replaces_the_old_file_whole(table, path):
    path.write_bytes(b"old")
    table.save(path)
    assert_same_table(nm.Negatives.load(path), table)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_table_can_be_saved_over_the_file_it_is_mapped_from(table, path):
    table.save(path)
    loaded = nm.Negatives.load(path)
    if sys.platform != "win32":  # Windows refuses to replace a mapped file
        loaded.save(path)
        assert_same_table(loaded, table)
        assert_same_table(nm.Negatives.load(path), table)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(table, path, monkeypatch, error):
    table.save(path)
    before = path.read_bytes()

    def fail(*args):
        raise error("no space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(error):
        nm.mine(QUERIES, CORPUS, num_negatives=9).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="limits the file size by a POSIX call")
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    code = """
        import os, resource, signal, sys, numpy as np, nearmiss as nm
        os.chdir(sys.argv[1])
        rows = np.random.default_rng(0).normal(size=(3000, 4))
        small, large = nm.mine(rows[:3], rows), nm.mine(rows, rows, num_negatives=50)
        small.save("table")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            large.save("table")
        except OSError:
            pass
        else:
            raise SystemExit("no error")
        assert os.listdir() == ["table"], os.listdir()
        assert np.array_equal(nm.Negatives.load("table").indices, small.indices)
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_no_pickle_is_involved(table, path):
    table.save(path)
    assert b"pickle" not in path.read_bytes()
    assert not path.read_bytes().startswith(b"\x80")


@pytest.mark.parametrize("form", ["rows", "padded", "csr"])
def test_a_table_does_not_change_with_the_arrays_it_was_made_from(form):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((20, 6), dtype=np.float32)
    rows, ids, labels = np.arange(5), np.arange(5) + 3, np.arange(20)
    given = {"rows": rows, "padded": rows[:, None], "csr": (np.arange(6), rows)}[form]
    corpus = nm.Corpus(vectors, ids=labels, groups=labels)
    table = nm.mine(vectors[:5], corpus, given, num_negatives=2, query_ids=ids)
    triplets, found = table.to_triplets(), table.ids.copy()
    for array in (rows, ids, labels):
        array[:] = 19
    assert np.array_equal(table.to_triplets(), triplets)
    assert np.array_equal(table.query_ids, np.arange(5) + 3)
    assert np.array_equal(corpus.ids, np.arange(20))
    assert np.array_equal(corpus.groups, np.arange(20))
    again = nm.mine(vectors[:5], corpus, np.arange(5), num_negatives=2, query_ids=np.arange(5) + 3)
    assert np.array_equal(again.ids, found)
