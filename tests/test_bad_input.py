# SPDX-License-Identifier: Apache-2.0
"""Every kind of bad or odd input has one stated outcome: an error that names it, or the answer."""

import subprocess
import sys
import textwrap

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_same_bits, assert_same_topk
from problems import dtype_of

RNG = np.random.default_rng(0)
QUERIES = RNG.normal(size=(9, 8)).astype(np.float32)
CORPUS = RNG.normal(size=(50, 8)).astype(np.float32)


def changed(rows, row, column, value):
    rows = rows.copy()
    rows[row, column] = value
    return rows


CALLS = {
    "topk": lambda queries, corpus, **more: nm.topk(queries, corpus, 3, **more),
    "mine": lambda queries, corpus, **more: nm.mine(queries, corpus, **more),
    "uniform": lambda queries, corpus, **more: nm.mine(queries, corpus, strategy="uniform", **more),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


# --- values ---------------------------------------------------------------------------------------


@every_call
@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_with_their_row(call, metric, dtype, value):
    queries, corpus = QUERIES.astype(dtype_of(dtype)), CORPUS.astype(dtype_of(dtype))
    with pytest.raises(ValueError, match=r"(?s)queries.*\b6\b"):
        call(changed(queries, 6, 7, value), corpus, metric=metric)
    with pytest.raises(ValueError, match=r"(?s)corpus.*\b41\b"):
        call(queries, changed(corpus, 41, 0, value), metric=metric)


@every_call
def test_the_first_bad_row_is_named_whichever_thread_meets_it(call):
    corpus = RNG.normal(size=(60_000, 8)).astype(np.float32)
    corpus[[1234, 30_000, 59_999], 3] = np.nan
    with pytest.raises(ValueError, match=r"\b1234\b"):
        call(QUERIES, corpus, num_threads=2)
    queries = RNG.normal(size=(5000, 8)).astype(np.float32)
    queries[[77, 4999], 3] = np.nan
    with pytest.raises(ValueError, match=r"\b77\b"):
        call(queries, CORPUS, num_threads=2)


@every_call
def test_zero_vectors_under_cosine_are_refused_with_their_row(call):
    with pytest.raises(ValueError, match=r"(?s)queries.*\b4\b"):
        call(changed(QUERIES, 4, slice(None), 0), CORPUS, metric="cosine")
    with pytest.raises(ValueError, match=r"(?s)corpus.*\b33\b"):
        call(QUERIES, changed(CORPUS, 33, slice(None), -0.0), metric="cosine")


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_zero_vectors_under_other_metrics_are_fine(metric):
    queries = changed(QUERIES, 4, slice(None), 0)
    corpus = changed(CORPUS, 33, slice(None), 0)
    found = nm.topk(queries, corpus, 9, metric=metric)
    assert_same_topk(found, oracle.topk(queries, corpus, 9, metric))


def test_a_float64_beyond_float32_is_refused_with_its_row():
    with pytest.raises(ValueError, match=r"(?s)corpus.*\b7\b"):
        nm.topk(QUERIES, changed(CORPUS.astype(np.float64), 7, 1, 1e39), 3)
    with pytest.raises(ValueError, match=r"(?s)queries.*\b2\b"):
        nm.topk(changed(QUERIES.astype(np.float64), 2, 1, -1e39), CORPUS, 3)


def test_a_float64_below_float32_becomes_zero_and_that_is_a_zero_vector():
    corpus = changed(CORPUS.astype(np.float64), 7, slice(None), 1e-60)
    with pytest.raises(ValueError, match=r"\b7\b"):
        nm.topk(QUERIES, corpus, 3, metric="cosine")
    found = nm.topk(QUERIES, corpus, 3, metric="ip")
    assert_same_topk(found, oracle.topk(QUERIES, corpus, 3, "ip"))


# --- shapes and types -----------------------------------------------------------------------------


@every_call
@pytest.mark.parametrize("shape", [(), (8,), (2, 4, 8), (50, 0)])
def test_wrong_rank_is_refused(call, shape):
    with pytest.raises(ValueError, match="queries"):
        call(np.ones(shape, np.float32), CORPUS)
    with pytest.raises(ValueError, match="corpus"):
        call(QUERIES, np.ones(shape, np.float32))


@every_call
def test_different_dimensions_are_refused(call):
    with pytest.raises(ValueError, match=r"(?s)7.*8|8.*7"):
        call(QUERIES[:, :7], CORPUS)


@every_call
@pytest.mark.parametrize(
    "dtype", [np.int16, np.int32, np.int64, np.uint32, np.complex64, bool, object, "U3", "M8[s]"]
)
def test_other_element_types_are_refused_naming_the_accepted(call, dtype):
    with pytest.raises(TypeError, match=r"(?s)queries.*float32"):
        call(np.ones((9, 8)).astype(dtype), CORPUS)
    with pytest.raises(TypeError, match=r"(?s)corpus.*float32"):
        call(QUERIES, np.ones((50, 8)).astype(dtype))


@every_call
@pytest.mark.parametrize("value", ["vectors.npy", b"12", None, 3.0, {"a": 1}, {1, 2}])
def test_what_is_no_array_is_refused(call, value):
    with pytest.raises((TypeError, ValueError), match="queries"):
        call(value, CORPUS)
    with pytest.raises((TypeError, ValueError), match="corpus"):
        call(QUERIES, value)


def test_ragged_rows_are_refused():
    with pytest.raises(ValueError, match="queries"):
        nm.topk([[1.0, 2.0], [3.0]], CORPUS[:, :2], 1)


def test_a_column_of_vectors_gets_a_hint():
    column = np.empty(3, dtype=object)
    column[:] = list(CORPUS[:3])
    with pytest.raises(ValueError, match=r"corpus.*shape \(3,\).*numpy\.stack"):
        nm.topk(QUERIES, column, 1)


def test_masked_and_sparse_arrays_are_refused():
    with pytest.raises(TypeError, match="masked"):
        nm.topk(np.ma.array(QUERIES, mask=QUERIES > 1), CORPUS, 1)
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match="sparse"):
        nm.topk(QUERIES, sparse.csr_matrix(CORPUS), 1)


def test_lists_of_numbers_are_arrays():
    found = nm.topk([[1, 0]], [[0, 1], [1, 0], [1, 1]], 2, metric="ip")
    assert found[1].tolist() == [[1, 2]]


# --- memory layouts: accepted, and the same answer ------------------------------------------------


def read_only(rows):
    rows = rows.copy()
    rows.flags.writeable = False
    return rows


def misaligned(rows):
    raw = np.zeros(rows.nbytes + 1, np.uint8)
    view = raw[1:].view(rows.dtype).reshape(rows.shape)
    view[:] = rows
    assert view.flags.aligned == (rows.itemsize == 1)
    return view


def strided(rows):
    wide = np.full((len(rows) * 3, rows.shape[1] + 5), 99, rows.dtype)
    wide[::3, 2:-3] = rows
    return wide[::3, 2:-3]


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "negative row stride": lambda rows: rows[::-1].copy()[::-1],
    "negative column stride": lambda rows: rows[:, ::-1].copy()[:, ::-1],
    "read-only": read_only,
    "misaligned": misaligned,
    "big endian": lambda rows: rows.astype(rows.dtype.newbyteorder(">")),
    "rows apart": strided,
    "columns apart": lambda rows: np.repeat(rows, 2, axis=1)[:, ::2],
    "transposed view": lambda rows: rows.T.copy().T,
    "broadcast": lambda rows: np.broadcast_to(rows[:1], rows.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int8])
def test_layouts_do_not_matter(layout, dtype):
    queries = np.round(QUERIES * 9).astype(dtype) + (np.round(QUERIES * 9) == 0).astype(dtype)
    corpus = np.round(CORPUS * 9).astype(dtype) + (np.round(CORPUS * 9) == 0).astype(dtype)
    q, x = layout(queries), layout(corpus)
    expected = oracle.topk(np.array(q), np.array(x), 9, "cosine")
    assert_same_topk(nm.topk(q, x, 9), expected)
    found = nm.mine(q, x, num_negatives=9)
    assert_same_topk((found.scores, found.indices), expected)


def test_a_memory_map(tmp_path):
    path = tmp_path / "corpus.npy"
    np.save(path, CORPUS)
    mapped = np.load(path, mmap_mode="r")
    assert_same_topk(nm.topk(QUERIES, mapped, 9), oracle.topk(QUERIES, CORPUS, 9, "cosine"))


def assert_runs(code, path):
    """In a process of its own: what must not happen is a bus error."""
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, (answer.returncode, answer.stdout, answer.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let a mapped file shrink")
def test_a_memory_map_truncated_after_packing_is_refused(tmp_path):
    code = """
        import os, sys, numpy as np, nearmiss as nm
        path = sys.argv[1]
        np.save(path, np.ones((5000, 64), np.float32))
        corpus = nm.Corpus(np.load(path, mmap_mode="r"))
        os.truncate(path, 4096)
        row = np.ones((1, 64))
        for call in (lambda: nm.topk(row, corpus, 1), lambda: nm.mine(row, corpus),
                     lambda: nm.mine(row, corpus, strategy="uniform"),
                     lambda: corpus.update([0], row)):
            try:
                call()
            except ValueError as error:
                assert "corpus: the file behind this memory map is truncated" in str(error), error
            else:
                raise SystemExit("no error")
    """
    assert_runs(code, tmp_path / "corpus.npy")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let a mapped file shrink")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_truncated_memory_map_is_refused(tmp_path, dtype):
    code = f"""
        import os, sys, numpy as np, nearmiss as nm
        path = sys.argv[1]
        np.save(path, np.ones((5000, 64), "{dtype}"))
        mapped = np.load(path, mmap_mode="r")
        os.truncate(path, 4096)
        for call in (lambda rows: nm.topk(rows[:2], rows, 1), nm.Corpus,
                     lambda rows: nm.mine(np.ones((2, 64)), rows[::2])):
            try:
                call(mapped)
            except ValueError as error:
                assert "truncated" in str(error), error
            else:
                raise SystemExit("no error")
    """
    assert_runs(code, tmp_path / "corpus.npy")


@pytest.mark.parametrize("name", ["float64", "float32", "float16", "bfloat16", "int8", "uint8"])
def test_tensors_of_torch(name):
    torch = pytest.importorskip("torch")
    values = np.abs(np.round(np.concatenate([QUERIES, CORPUS]) * 9)) + 1
    rows = values.astype(dtype_of(name))
    tensor = torch.from_numpy(values).to(getattr(torch, name))
    expected = oracle.topk(rows[:9], rows[9:], 5, "cosine")
    assert_same_topk(nm.topk(tensor[:9], tensor[9:], 5), expected)
    assert_same_topk(nm.topk(tensor[:9].requires_grad_(), tensor[9:], 5), expected) if (
        tensor.is_floating_point()
    ) else None


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, -1, 51, 10**9])
def test_k_out_of_range_is_refused(k):
    with pytest.raises(ValueError, match=r"\bk\b"):
        nm.topk(QUERIES, CORPUS, k)


@pytest.mark.parametrize("k", [2.0, "2", None, True, [2]])
def test_k_of_another_type_is_refused(k):
    with pytest.raises(TypeError, match=r"\bk\b"):
        nm.topk(QUERIES, CORPUS, k)


def test_numpy_integers_are_integers():
    assert nm.topk(QUERIES, CORPUS, np.int32(2))[1].shape == (9, 2)
    assert nm.mine(QUERIES, CORPUS, num_negatives=np.uint8(2)).indices.shape == (9, 2)


@every_call
def test_an_empty_corpus_is_refused(call):
    with pytest.raises(ValueError, match="corpus"):
        call(QUERIES, np.zeros((0, 8), np.float32))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8"])
def test_no_query_is_an_empty_result(dtype):
    queries = np.zeros((0, 8), dtype)
    scores, indices = nm.topk(queries, CORPUS, 3)
    assert_same_bits(scores, np.zeros((0, 3), np.float32))
    assert_same_bits(indices, np.zeros((0, 3), np.int64))
    for strategy in ("top", "uniform"):
        found = nm.mine(queries, CORPUS, [], num_negatives=4, strategy=strategy)
        assert_same_bits(found.indices, np.zeros((0, 4), np.int64))
        assert_same_bits(found.counts, np.zeros(0, np.int64))


BAD_ARGUMENTS = [
    ({"num_negatives": 0}, ValueError, "num_negatives"),
    ({"num_negatives": -3}, ValueError, "num_negatives"),
    ({"num_negatives": 2.5}, TypeError, "num_negatives"),
    ({"num_negatives": True}, TypeError, "num_negatives"),
    ({"num_negatives": 2**31}, ValueError, "num_negatives: must be at most"),
    ({"num_negatives": 2**80, "strategy": "uniform"}, ValueError, "num_negatives: must be at most"),
    ({"range_min": 2**63}, ValueError, "range_min: must be at most"),
    ({"range_min": 2**63 - 1}, ValueError, "range_max: must be at most"),
    ({"range_max": 2**63}, ValueError, "range_max: must be at most"),
    ({"range_min": -1}, ValueError, "range_min"),
    ({"range_min": 5, "range_max": 5}, ValueError, "range_min"),
    ({"range_min": 9, "range_max": 5}, ValueError, "range_min"),
    ({"range_max": 0}, ValueError, "range_max"),
    ({"range_min": 1, "range_max": 3, "num_negatives": 3}, ValueError, "num_negatives"),
    ({"range_mode": "filterd"}, ValueError, "range_mode.*; did you mean 'filtered'"),
    ({"margin_reference": "median"}, ValueError, "margin_reference.*'mean'"),
    ({"metric": "cosin"}, ValueError, "metric.*; did you mean 'cosine'"),
    ({"metric": "euclidean"}, ValueError, "metric.*'l2'"),
    ({"metric": 3}, (ValueError, TypeError), "metric"),
    ({"strategy": "radnom"}, ValueError, "strategy.*; did you mean 'random'"),
    ({"strategy": "Uniform"}, ValueError, "strategy.*; did you mean 'uniform'"),
    ({"strategy": None}, TypeError, "strategy"),
    ({"strategy": "random"}, ValueError, "range_max"),
    ({"strategy": "uniform", "range_max": 9}, ValueError, "range_max"),
    ({"strategy": "top:p=1"}, ValueError, "top"),
    ({"precision": "int4"}, ValueError, "precision.*'float32'"),
    ({"on_shortage": "raise"}, ValueError, "on_shortage.*'error'"),
    ({"max_score": np.nan}, ValueError, "max_score"),
    ({"min_score": [0.1] * 8 + [np.nan]}, ValueError, "min_score.*8"),
    ({"max_score": [1.0] * 8}, ValueError, "max_score"),
    ({"max_score": "0.9"}, (TypeError, ValueError), "max_score"),
    ({"max_score": 0.1, "min_score": 0.2}, ValueError, "min_score"),
    ({"absolute_margin": np.nan}, ValueError, "absolute_margin"),
    ({"relative_margin": np.inf}, ValueError, "relative_margin"),
    ({"relative_margin": 0.1}, ValueError, "relative_margin.*positive"),
    ({"relative_margin": "5%"}, TypeError, "relative_margin"),
    ({"positive_scores": [0.5] * 8}, ValueError, "positive_scores"),
    ({"positive_scores": [0.5] * 8 + [np.inf]}, ValueError, "positive_scores.*8"),
    ({"query_groups": [0] * 8, "corpus_groups": [0] * 50}, ValueError, "query_groups"),
    ({"query_groups": [0] * 9, "corpus_groups": [0] * 49}, ValueError, "corpus_groups"),
    ({"query_groups": [0] * 9}, ValueError, "groups"),
    ({"query_groups": [-2] * 9, "corpus_groups": [0] * 50}, ValueError, "query_groups"),
    ({"query_groups": [0.5] * 9, "corpus_groups": [0] * 50}, TypeError, "query_groups"),
    ({"query_groups": ["a"] * 9, "corpus_groups": [0] * 50}, TypeError, "groups"),
    ({"within_groups": True}, ValueError, "within_groups|groups"),
    ({"within_groups": "yes"}, TypeError, "within_groups"),
    ({"min_value": 1}, ValueError, "min_value: needs corpus_values"),
    ({"max_value": [1] * 9}, ValueError, "max_value: needs corpus_values"),
    ({"corpus_values": [1] * 50}, ValueError, "corpus_values: needs min_value or max_value"),
    ({"corpus_values": [1] * 49, "min_value": 0}, ValueError, "corpus_values: expected 50.*49"),
    ({"corpus_values": 1, "min_value": 0}, ValueError, "corpus_values: expected a 1-dim"),
    ({"corpus_values": [[1]] * 50, "min_value": 0}, ValueError, "corpus_values: expected a 1-dim"),
    ({"corpus_values": [1] * 49 + [np.nan]}, ValueError, "corpus_values.*nan for corpus row 49"),
    ({"corpus_values": [-np.inf] + [1] * 49}, ValueError, "corpus_values.*-inf for corpus row 0"),
    ({"corpus_values": [0, 2**53 + 1]}, ValueError, r"corpus_values.*2\*\*53.*corpus row 1"),
    ({"corpus_values": [0, -(2**53) - 1]}, ValueError, r"corpus_values.*2\*\*53.*corpus row 1"),
    ({"corpus_values": [2**63]}, ValueError, r"corpus_values.*2\*\*53.*corpus row 0"),
    ({"corpus_values": [2**64]}, TypeError, "corpus_values"),
    ({"corpus_values": ["1999"] * 50}, TypeError, "corpus_values: expected real numbers"),
    ({"corpus_values": "1999"}, TypeError, "corpus_values"),
    ({"corpus_values": [True] * 50}, TypeError, "corpus_values.*bool"),
    ({"corpus_values": np.zeros(50, "M8[D]")}, TypeError, "corpus_values.*datetime64.*astype"),
    ({"max_value": np.datetime64("2020-01-01", "ns")}, TypeError, "max_value.*datetime64.*astype"),
    ({"max_value": np.zeros(9, "m8[s]")}, TypeError, "max_value.*timedelta64.*astype"),
    ({"max_value": "2020"}, TypeError, "max_value: expected a number"),
    ({"max_value": True}, TypeError, "max_value: expected a number"),
    ({"max_value": 2**53 + 1}, ValueError, r"max_value.*2\*\*53"),
    ({"min_value": -(2**70)}, ValueError, r"min_value.*2\*\*53"),
    ({"min_value": [0, 2**60]}, ValueError, r"min_value.*2\*\*53.*for query 1"),
    ({"min_value": np.nan}, ValueError, "min_value"),
    ({"max_value": -np.inf}, ValueError, "max_value"),
    ({"max_value": [1] * 8 + [np.nan]}, ValueError, "max_value.*nan for query 8"),
    ({"min_value": [1] * 8 + [np.inf]}, ValueError, "min_value.*inf for query 8"),
    ({"min_value": 2, "max_value": 2}, ValueError, "min_value: must be below max_value, got 2.0"),
    ({"min_value": [1, 2, 3], "max_value": 2}, ValueError, "min_value: .* 2.0 and 2.0 for query 1"),
    ({"min_value": [1] * 9, "max_value": [2] * 8}, ValueError, "min_value has 9 .*max_value has 8"),
    ({"corpus_values": [1] * 50, "min_value": [1] * 8}, ValueError, "min_value: expected 9.*got 8"),
    ({"exclude_self": 1}, TypeError, "exclude_self"),
    ({"exclude_self": True, "query_ids": [*range(8), 50]}, ValueError, "exclude_self.*query 8"),
    ({"query_ids": [1, 2]}, ValueError, "query_ids"),
    ({"query_ids": [0, 1, 2, 3, 4, 5, 6, 7, -5]}, ValueError, "query_ids.*-5"),
    ({"query_ids": [0, 1, 2, 3, 4, 3, 6, 7, 8]}, ValueError, "query_ids.*3.*5"),
    ({"query_ids": [0.5] * 9}, TypeError, "query_ids"),
    ({"seed": -1}, ValueError, "seed"),
    ({"seed": 2**64}, ValueError, "seed"),
    ({"seed": 1.5}, TypeError, "seed"),
    ({"epoch": -1}, ValueError, "epoch"),
    ({"num_threads": 0}, ValueError, "num_threads"),
    ({"num_threads": -1}, ValueError, "num_threads"),
    ({"num_threads": 1.5}, TypeError, "num_threads"),
    ({"limits": {"max_score": 1}}, TypeError, "limits"),
    ({"progress": "yes"}, TypeError, "progress"),
]


@pytest.mark.parametrize(
    ("arguments", "error", "names"),
    BAD_ARGUMENTS,
    ids=[str(case[0])[:60] for case in BAD_ARGUMENTS],
)
def test_bad_arguments_are_named(arguments, error, names):
    with pytest.raises(error, match=f"(?s){names}"):
        nm.mine(QUERIES, CORPUS, **arguments)


def test_bad_arguments_are_named_even_without_queries():
    """An empty batch is no reason to let a mistake pass."""
    empty = QUERIES[:0]
    for arguments, error, names in BAD_ARGUMENTS[:20]:
        with pytest.raises(error, match=f"(?s){names}"):
            nm.mine(empty, CORPUS, **arguments)


def test_unknown_keywords_are_refused():
    with pytest.raises(TypeError, match="max_scor"):
        nm.mine(QUERIES, CORPUS, max_scor=0.5)


def test_a_failed_call_leaves_the_corpus_usable():
    corpus = nm.Corpus(CORPUS)
    before = nm.topk(QUERIES, corpus, 3)
    with pytest.raises(ValueError, match="queries"):
        nm.topk(changed(QUERIES, 1, 1, np.nan), corpus, 3)
    with pytest.raises(ValueError, match="embeddings"):
        corpus.update([3], np.full((1, 8), np.nan, np.float32))
    assert_same_topk(nm.topk(QUERIES, corpus, 3), before)


# --- mine_candidates ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "indices", "more", "error", "names"),
    [
        ([[0.5, np.nan]], [[1, 2]], {}, ValueError, "scores"),
        ([[0.5, np.inf]], [[1, 2]], {}, ValueError, "scores"),
        ([[0.5, 0.4]], [[1, 2, 3]], {}, ValueError, "indices"),
        ([0.5, 0.4], [1, 2], {}, ValueError, "scores"),
        ([[0.5, 0.4]], [[1, -2]], {}, ValueError, "indices"),
        ([[0.5, 0.4]], [[1.0, 2.0]], {}, TypeError, "indices"),
        ([[0.5, 0.4]], [["a", "b"]], {}, TypeError, "indices"),
        ([[0.5, 0.4]], [[1, 2]], {"strategy": "uniform"}, ValueError, "uniform"),
        ([[0.5, 0.4]], [[1, 2]], {"num_negatives": 0}, ValueError, "num_negatives"),
        ([[0.5, 0.4]], [[1, 2]], {"min_value": 0}, ValueError, "min_value: needs corpus_values"),
        ([[0.5, 0.4]], [[1, 2]], {"corpus_values": [1] * 3}, ValueError, "corpus_values: needs"),
        (
            [[0.5, 0.4]],
            [[1, 3]],
            {"corpus_values": [1] * 3, "min_value": 0},
            ValueError,
            "indices: query 0 refers to corpus row 3; .*the corpus has 3 rows",
        ),
        (
            [[0.5, 0.4]],
            [[1, 2]],
            {"corpus_values": [1] * 3, "min_value": 0, "positives": [3]},
            ValueError,
            "positives.* row 3,.*3 rows",
        ),
        (
            [[0.5, 0.4]],
            [[1, 2]],
            {
                "corpus_values": [1] * 3,
                "min_value": 0,
                "query_groups": [0],
                "corpus_groups": [0] * 4,
            },
            ValueError,
            "corpus_values: expected 4, one per corpus row, got 3",
        ),
        (
            [[0.5, 0.4]],
            [[2**32 - 2, 1]],
            {},
            ValueError,
            r"indices: query 0 .* 4294967294; corpus rows go from 0 to 2\^32 - 3",
        ),
        ([[0.5]], [[1]], {"positives": [[2**40]]}, ValueError, "positives: query 0 .* 1099"),
        ([[0.5]], [[1]], {"exclude": [[2**40]]}, ValueError, "exclude: query 0 .* 1099"),
        (
            [[0.5]],
            [[1]],
            {"exclude_self": True, "query_ids": [2**40]},
            ValueError,
            "exclude_self: query 0 .* 1099",
        ),
    ],
)
def test_bad_candidates_are_refused(scores, indices, more, error, names):
    with pytest.raises(error, match=names):
        nm.mine_candidates(
            np.array(scores, np.float32), np.array(indices), **{"positives": [0], **more}
        )
