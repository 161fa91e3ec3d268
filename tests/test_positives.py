# SPDX-License-Identifier: Apache-2.0
"""Positives in every form mean the same; a wrong form is refused, never guessed."""

from functools import partial

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits, assert_same_table
from hypothesis import given
from hypothesis import strategies as st

RNG = np.random.default_rng(0)
QUERIES, CORPUS = RNG.normal(size=(4, 6)), RNG.normal(size=(30, 6))
LISTS = [[7, 3], [29], [], [0, 1, 2]]


def mine(positives, **more):
    return nm.mine(QUERIES, CORPUS, positives, num_negatives=5, relative_margin=0.1, **more)


def padded(lists, width):
    rows = np.full((len(lists), width), -1)
    for i, items in enumerate(lists):
        rows[i, : len(items)] = items
    return rows


def csr(lists):
    return np.cumsum([0, *map(len, lists)]), np.array([row for items in lists for row in items])


def as_scipy(kind):
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.zeros((4, 30), np.float32)
    for i, rows in enumerate(LISTS):
        dense[i, rows] = 1
    return getattr(sparse, kind)(dense)


FORMS = {
    "list of lists": LISTS,
    "list of arrays": [np.array(rows, np.int32) for rows in LISTS],
    "list of sets": [set(rows) for rows in LISTS],
    "object array": np.array([list(rows) for rows in LISTS], dtype=object),
    "padded": padded(LISTS, 3),
    "padded wider": padded(LISTS, 7),
    "padded in front": padded(LISTS, 3)[:, ::-1],
    "padded, Fortran order": np.asfortranarray(padded(LISTS, 3)),
    "padded, int16": padded(LISTS, 3).astype(np.int16),
    "CSR tuple": csr(LISTS),
    "CSR tuple of lists": tuple(part.tolist() for part in csr(LISTS)),
    "duplicated": [[7, 3, 7, 7], [29, 29], [], [2, 1, 0, 0]],
    "pairs": nm.Positives.from_pairs([(0, 3), (3, 2), (0, 7), (1, 29), (3, 1), (3, 0)]),
    "pairs array": nm.Positives.from_pairs(
        np.array([(0, 3), (3, 2), (0, 7), (1, 29), (3, 1), (3, 0)]), num_queries=4
    ),
    "qrels": nm.Positives.from_qrels({"0": {"3": 1, "7": 2, "9": 0}, "1": ["29"], "3": [0, 1, 2]}),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_forms_mean_the_same(form):
    expected = mine(LISTS)
    for i, rows in enumerate(LISTS):
        assert not set(rows) & set(expected.indices[i].tolist())
    assert_same_table(mine(form), expected)
    by_exclusion = nm.mine(QUERIES, CORPUS, exclude=form, num_negatives=5)
    assert_same_table(by_exclusion, nm.mine(QUERIES, CORPUS, exclude=LISTS, num_negatives=5))


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array", "csc_matrix", "coo_array"])
def test_scipy_sparse(kind):
    assert_same_table(mine(as_scipy(kind)), mine(LISTS))


def test_an_explicit_zero_of_a_sparse_matrix_is_no_positive():
    matrix = as_scipy("csr_matrix")
    matrix.data[matrix.indices == 3] = 0
    assert_same_table(mine(matrix), mine([[7], [29], [], [0, 1, 2]]))


def test_a_torch_tensor():
    torch = pytest.importorskip("torch")
    assert_same_table(mine(torch.from_numpy(padded(LISTS, 3))), mine(LISTS))
    with pytest.raises(TypeError, match="positives: expected integers, got bfloat16"):
        mine(torch.zeros(4).bfloat16())
    elsewhere = torch.zeros(4, dtype=torch.int64, device="meta")
    with pytest.raises(TypeError, match="positives: expected a tensor with data"):
        mine(elsewhere)
    with pytest.raises(TypeError, match="query_groups: expected a tensor with data"):
        mine(LISTS, query_groups=elsewhere, corpus_groups=np.zeros(30, np.int64))


COLUMNS = {
    "pandas": lambda pandas, values: pandas.Series(values),
    "pyarrow": lambda pyarrow, values: pyarrow.array(values),
    "datasets": lambda datasets, values: datasets.Dataset.from_dict({"rows": values})["rows"],
}


@pytest.mark.parametrize("package", COLUMNS)
def test_columns_of_tables(package):
    """Of pandas, pyarrow and datasets: one row each, or lists of any length."""
    one, several = [7, 29, 1, 0], [[7], [29, 3], [], [0]]
    column = partial(COLUMNS[package], pytest.importorskip(package))
    assert_same_table(mine(column(one)), mine(one))
    assert_same_table(mine(column(several)), mine(several))


def test_a_range_is_one_row_each():
    assert_same_table(mine(range(4)), mine([0, 1, 2, 3]))


def test_one_positive_each():
    one = [7, 29, -1, 0]
    expected = mine([[7], [29], [], [0]])
    for form in (one, np.array(one), np.array(one)[:, None], np.array(one, np.int32)):
        assert_same_table(mine(form), expected)
    assert_same_bits(np.isnan(expected.positive_scores), np.array([False, False, True, False]))


@given(
    lists=st.lists(st.lists(st.integers(0, 29), max_size=6), min_size=4, max_size=4),
    data=st.data(),
)
def test_any_lists_in_any_order(lists, data):
    expected = mine(lists)
    shuffled = [data.draw(st.permutations(rows)) for rows in lists]
    assert_same_table(mine(shuffled), expected)
    assert_same_table(mine(csr(lists) if any(lists) else padded(lists, 1)), expected)
    assert_same_table(mine(padded(lists, 6)), expected)
    pairs = [(i, row) for i, rows in enumerate(lists) for row in rows]
    assert_same_table(mine(nm.Positives.from_pairs(data.draw(st.permutations(pairs)))), expected)


@pytest.mark.parametrize(
    ("positives", "error", "names"),
    [
        ("7 29", TypeError, "positives"),
        (["7", "29", "1", "0"], TypeError, "positives"),
        ([["7"], ["29"], [], ["0"]], TypeError, "positives"),
        (["doc", [1], [2], [3]], TypeError, "positives"),
        (np.array(["7", "29", "1", "0"]), TypeError, "positives"),
        ({0: [7]}, TypeError, "positives"),
        (np.array([0.0, 1.0, 2.0, 3.0]), TypeError, "positives"),
        ([[0.5], [], [], []], TypeError, "query 0"),
        (np.array([True, False, True, False]), TypeError, "positives"),
        ([[True], [], [], []], TypeError, "query 0"),
        ([7, None, 1, 0], TypeError, "query 1.*None"),
        ([7, 29, [1], 0], TypeError, r"query 2.*\[1\]"),
        (np.ma.array([7, 29, 1, 0], mask=[0, 0, 1, 0]), TypeError, "positives: masked"),
        ({7, 29, 1, 0}, TypeError, "positives"),
        ([0, 1, 2], ValueError, "4 queries"),
        ([[0]] * 5, ValueError, "4 queries"),
        (np.zeros((3, 2), int), ValueError, "4 queries"),
        (np.zeros((4, 2, 1), int), ValueError, "positives"),
        ([0, 1, 30, 3], ValueError, "query 2 .*30"),
        ([[0], [1, 99], [], []], ValueError, "query 1 .*99"),
        ([0, -2, 0, 0], ValueError, "query 1 .*-2"),
        (([0, 1, 2, 3], [0, 1, 2]), ValueError, "indptr"),
        (([0, 1, 2, 3, 4], [0, 1, 2]), ValueError, "indptr"),
        (([0, 2, 1, 3, 3], [0, 1, 2]), ValueError, "query 1"),
        (([1, 1, 2, 3, 3], [0, 1, 2]), ValueError, "indptr"),
        ((0, 1, 2, 3), TypeError, "tuple"),
        (np.array([2**64 - 1, 0, 0, 0], np.uint64), ValueError, "positives"),
        (nm.Positives.from_pairs([(4, 0)]), ValueError, "query 4"),
        (nm.Positives.from_pairs([(0, 0)], num_queries=3), ValueError, "3 queries"),
    ],
)
def test_bad_positives_are_refused(positives, error, names):
    with pytest.raises(error, match=names):
        nm.mine(QUERIES, CORPUS, positives)
    with pytest.raises(error, match=names.replace("positives", "exclude")):
        nm.mine(QUERIES, CORPUS, exclude=positives)


def test_a_sparse_matrix_of_the_wrong_shape_is_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ValueError, match="shape"):
        mine(sparse.csr_matrix((4, 29)))


# --- pairs and qrels ------------------------------------------------------------------------------

QUERY_IDS = ["q0", "q1", "q2", "q3"]
CORPUS_IDS = [f"d{row}" for row in range(30)]


def named(**judgements):
    return nm.Positives.from_qrels(judgements, query_ids=QUERY_IDS, corpus_ids=CORPUS_IDS)


def test_pairs_by_id():
    pairs = [("q0", "d3"), ("q0", "d7"), ("q1", "d29"), ("q3", "d0"), ("q3", "d1"), ("q3", "d2")]
    by_id = nm.Positives.from_pairs(pairs, query_ids=QUERY_IDS, corpus_ids=CORPUS_IDS)
    assert_same_table(mine(by_id), mine(LISTS))
    assert len(by_id) == 6


def test_qrels_by_id():
    qrels = named(q0={"d3": 1, "d7": 1}, q1={"d29": 3}, q3=["d0", "d1", "d2"])
    assert_same_table(mine(qrels), mine(LISTS))


def test_relevance_below_the_minimum_is_no_positive():
    qrels = {"q0": {"d3": 1, "d7": 2, "d8": 0, "d9": -1}}
    ids = {"query_ids": QUERY_IDS, "corpus_ids": CORPUS_IDS}
    assert nm.Positives.from_qrels(qrels, **ids).corpus_rows.tolist() == [3, 7]
    strict = nm.Positives.from_qrels(qrels, min_relevance=2, **ids)
    assert strict.corpus_rows.tolist() == [7]


QRELS_FILES = {
    "BEIR": "query-id\tcorpus-id\tscore\nq0\td3\t1\nq0\td7\t1\nq1\td29\t2\nq2\td5\t0\n"
    "q3\td0\t1\nq3\td1\t1\nq3\td2\t1\n",
    "TREC": "q0 0 d3 1\nq0 0 d7 1\nq1 0 d29 2\nq2 0 d5 0\nq3 0 d0 1\nq3 0 d1 1\nq3 0 d2 1\n",
    "two columns": "q0\td3\nq0\td7\nq1\td29\nq3\td0\nq3\td1\nq3\td2\n",
    "Windows": "q0\td3\t1\r\nq0\td7\t1\r\nq1\td29\t2\r\n\r\nq3\td0\t1\r\nq3\td1\t1\r\nq3\td2\t1",
}


@pytest.mark.parametrize("text", QRELS_FILES.values(), ids=QRELS_FILES.keys())
def test_qrels_files(tmp_path, text):
    path = tmp_path / "qrels.tsv"
    path.write_bytes(text.encode())
    qrels = nm.Positives.from_qrels(path, query_ids=QUERY_IDS, corpus_ids=CORPUS_IDS)
    assert_same_table(mine(qrels), mine(LISTS))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("q0\td3\t1\nq0\td7\n", "line 2"),
        ("q0\td3\t1\nq0\td7\tyes\n", "line 2"),
        ("q0\td3\t1\nq9\td7\t1\n", "q9"),
        ("q0\td3\t1\nq0\td99\t1\n", "d99"),
        ("q0\n", "line 1"),
    ],
)
def test_malformed_qrels_are_refused(tmp_path, text, names):
    path = tmp_path / "qrels.tsv"
    path.write_text(text)
    with pytest.raises(ValueError, match=names):
        nm.Positives.from_qrels(path, query_ids=QUERY_IDS, corpus_ids=CORPUS_IDS)


def test_files_that_are_not_utf_8_are_named(tmp_path):
    path = tmp_path / "latin.tsv"
    path.write_bytes("q0\td3\t1\nq0\té\t1\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.tsv: not UTF-8 text"):
        nm.Positives.from_qrels(path)


@pytest.mark.parametrize("number", [str(2**63), "9" * 25, "9" * 5000])
def test_row_numbers_beyond_int64_are_refused_with_their_line(tmp_path, number):
    path = tmp_path / "qrels.tsv"
    path.write_text(f"0\t3\t1\n0\t{number}\t1\n")
    with pytest.raises(
        ValueError, match=r"qrels\.tsv: line 2: row number \d+…? is beyond"
    ) as error:
        nm.Positives.from_qrels(path)
    assert len(str(error.value)) < 300


def test_unknown_ids_can_be_ignored_knowingly():
    qrels = {"q0": ["d3", "d99"], "q9": ["d1"]}
    ids = {"query_ids": QUERY_IDS, "corpus_ids": CORPUS_IDS}
    with pytest.raises(ValueError, match="d99"):
        nm.Positives.from_qrels(qrels, **ids)
    known = nm.Positives.from_qrels(qrels, unknown="ignore", **ids)
    assert (known.query_rows.tolist(), known.corpus_rows.tolist()) == ([0], [3])


def test_a_string_is_not_a_list_of_ids():
    with pytest.raises(TypeError, match="q0"):
        named(q0="d3")


def test_ids_that_are_not_unique_are_refused():
    with pytest.raises(ValueError, match="q1"):
        nm.Positives.from_pairs([("q0", 1)], query_ids=["q0", "q1", "q1"])


def test_pairs_must_be_pairs():
    for wrong in ([(0, 1, 2)], [0, 1], np.zeros((3, 3), int)):
        with pytest.raises(ValueError, match="pair"):
            nm.Positives.from_pairs(wrong)
    with pytest.raises(ValueError, match="-1"):
        nm.Positives.from_pairs([(0, -1)])
    for wrong in (None, 5, np.ma.array([[0, 1]])):
        with pytest.raises(TypeError, match="pairs: "):
            nm.Positives.from_pairs(wrong)


def test_positives_do_not_change_with_the_arrays_they_were_made_from():
    rows = np.arange(3)
    made = nm.Positives(rows, rows)
    rows[:] = 29
    assert (made.query_rows.tolist(), made.corpus_rows.tolist()) == ([0, 1, 2], [0, 1, 2])


def test_positives_are_frozen():
    with pytest.raises(AttributeError):
        FORMS["pairs"].num_queries = 9
