# SPDX-License-Identifier: Apache-2.0
"""Which texts are equal, in every form that columns come in, against a dictionary of strings."""

import datasets
import nearmiss as nm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from compare import assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from nearmiss import _core
from nearmiss.batches import NoConflict
from nearmiss.batches.texts import codes_of

#: Characters of every width that Python stores, those of which UTF-8 takes one to four bytes at
#: both ends of their ranges, and surrogates, which it has no place for.
CHARACTERS = "ab\0\x7f\x80é\xff\u0100\u07ff\u0800東\uffff\U00010000😀\U0010ffff\ud83d\ude00"
WITHOUT_SURROGATES = CHARACTERS[:-2]
TEXTS = [
    "",
    "a",
    "a" * 12,
    "a" * 13,
    "ab" * 40,
    "ab" * 40 + "c",
    "é" * 33,
    "東京" * 9,
    "😀" * 17,
    "aé東😀",
    "nul\0",
    "nul",
    None,
]


def oracle(columns):
    """Return the place, column after column, where each text comes first."""
    firsts = {None: -1}
    flat = [text for column in columns for text in column]
    return np.array([firsts.setdefault(text, place) for place, text in enumerate(flat)], np.int64)


def codes(columns):
    return codes_of([(f"column {i}", column) for i, column in enumerate(columns)], len(columns[0]))


def texts(characters):
    made = st.text(characters, max_size=40)
    return st.none() | st.sampled_from(TEXTS) | made


def columns_of(characters):
    return st.integers(0, 30).flatmap(
        lambda n: st.lists(
            st.lists(texts(characters), min_size=n, max_size=n), min_size=1, max_size=3
        )
    )


# --- strings --------------------------------------------------------------------------------------


@given(columns_of(CHARACTERS), st.sampled_from([1, 2, 7]))
def test_strings_against_a_dictionary(columns, num_threads):
    named = [(str(i), tuple(column)) for i, column in enumerate(columns)]
    assert_same_bits(_core.first_equal(named, num_threads), oracle(columns))


def test_many_texts(num_threads):
    """More than a task and a part hold, most of them several times."""
    rng = np.random.default_rng(0)
    words = [f"{'long ' * (number % 50)}text {number}é" for number in range(5000)]
    column = tuple(words[number] for number in rng.integers(0, len(words), 20_000))
    firsts = _core.first_equal([("texts", column)], num_threads)
    assert_same_bits(firsts, oracle([column]))


def test_every_prefix_differs():
    column = tuple("".join(chr(97 + i % 7) for i in range(size)) for size in range(100))
    assert_same_bits(_core.first_equal([("texts", column)]), np.arange(100))
    changed = tuple(column[-1][:i] + "z" + column[-1][i + 1 :] for i in range(99))
    assert_same_bits(_core.first_equal([("texts", changed)]), np.arange(99))


def test_surrogates_are_not_the_character_they_stand_for():
    pair = "\ud83d" + "\ude00"
    assert_same_bits(_core.first_equal([("texts", ("😀", pair, pair))]), np.array([0, 1, 1]))


class Text(str):
    """A str that is made in Python."""


def test_subclasses_of_str():
    column = [Text("é"), np.str_("é"), "é"]
    assert_same_bits(codes([column]), np.array([[0], [0], [0]]))


# --- forms ----------------------------------------------------------------------------------------


def _sliced(column):
    return pa.array(["x", None, *column, "y"]).slice(2, len(column))


def _chunked(column):
    chunks = [column[:3], [], column[3:4], column[4:]]
    return pa.chunked_array([pa.array(chunk, pa.string()) for chunk in chunks])


def _dataset(column):
    return datasets.Dataset.from_dict({"text": column, "other": list(range(len(column)))})


def _selected(column):
    backwards = _dataset(column[::-1])
    return backwards.select(range(len(column) - 1, -1, -1))["text"]


def _transformed(column):
    """What a user's function makes of a data set; the data that it reads are others."""
    dataset = datasets.Dataset.from_dict({"row": list(range(len(column)))})
    dataset = dataset.add_column("text", ["unused"] * len(column))
    dataset.set_transform(lambda batch: {"text": [column[row] for row in batch["row"]]})
    return dataset["text"]


FORMS = {
    "list": list,
    "tuple": tuple,
    "objects": lambda column: np.array(column, dtype=object),
    "strided": lambda column: np.repeat(np.array(column, dtype=object), 2)[::2],
    "arrow": pa.array,
    "arrow, 64 bits": lambda column: pa.array(column, pa.large_string()),
    "arrow, views": lambda column: pa.array(column, pa.string_view()),
    "arrow, dictionary": lambda column: pa.array(column).dictionary_encode(),
    "arrow, sliced": _sliced,
    "arrow, chunks": _chunked,
    "pandas": lambda column: pd.Series(column, dtype="string"),
    "pandas, objects": lambda column: pd.Series(column, dtype=object),
    "pandas, arrow": lambda column: pd.Series(column, dtype=pd.ArrowDtype(pa.string())),
    "dataset": lambda column: _dataset(column)["text"],
    "dataset, selected": _selected,
    "dataset, torch": lambda column: _dataset(column).with_format("torch")["text"],
    "dataset, transformed": _transformed,
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form):
    column = [*TEXTS, *TEXTS[::-1]]
    given_twice = [FORMS[form](column), column]  # a form meets plain strings, too
    expected = oracle([column, column]).reshape(2, -1).T
    assert_same_bits(codes(given_twice), expected)


@pytest.mark.parametrize("dtype", ["U30", np.dtypes.StringDType()], ids=str)
def test_arrays_of_strings(dtype):
    column = ["", "a", "aé東😀", "a", "ab" * 15]
    expected = oracle([column, column]).reshape(2, -1).T
    assert_same_bits(codes([np.array(column, dtype), column]), expected)


@given(columns_of(WITHOUT_SURROGATES), st.sampled_from(["arrow", "arrow, 64 bits", "arrow, views"]))
def test_arrow_against_a_dictionary(columns, form):
    types = {"arrow": pa.string(), "arrow, 64 bits": pa.large_string()}
    arrays = [pa.array(column, types.get(form, pa.string_view())) for column in columns]
    expected = oracle(columns).reshape(len(columns), -1).T
    assert_same_bits(codes(arrays), expected)


@pytest.mark.parametrize("form", ["arrow", "arrow, views", "arrow, sliced", "arrow, chunks"])
@pytest.mark.parametrize("column", [[], [None], [""], ["", None]], ids=str)
def test_arrow_without_a_character(form, column):
    made = pa.array(column, pa.string_view()) if form == "arrow, views" else None
    made = FORMS[form](column) if made is None and len(column) else made
    made = pa.array(column, pa.string()) if made is None else made
    assert_same_bits(codes([made]), oracle([column]).reshape(1, -1).T)


def test_integers_of_arrow_are_labels():
    assert_same_bits(codes([pa.array([3, -1, 3])]), np.array([[3], [-1], [3]]))
    labels = _dataset(["x", "y"])["other"]
    assert_same_bits(codes([labels]), np.array([[0], [1]]))


def test_a_data_set_makes_the_same_batches():
    rng = np.random.default_rng(1)
    columns = [[f"{kind} {number}" for number in rng.integers(0, 150, 200)] for kind in "ab"]
    pairs = datasets.Dataset.from_dict({"anchor": columns[0], "positive": columns[1]})
    plan = NoConflict(16, texts=[pairs["anchor"], pairs["positive"]])
    expected = NoConflict(16, texts=columns)
    assert plan.num_rows == 200
    for epoch in range(3):
        assert_same_bits(plan.batches(epoch).indices, expected.batches(epoch).indices)


def test_groups_are_texts_too():
    plan = NoConflict(2, groups=pa.array(["a", "a", None, None]))
    assert all(sorted(batch) != [0, 1] for epoch in range(20) for batch in plan.batches(epoch))


# --- bad input ------------------------------------------------------------------------------------


class Unexportable:
    """An Arrow column that cannot be exported."""

    def __arrow_c_stream__(self, requested_schema=None):
        raise NotImplementedError

    def __iter__(self):
        return iter(["a", "b"])


def test_what_cannot_be_exported_is_read_as_a_sequence():
    assert_same_bits(codes_of([("texts", Unexportable())], 2), np.array([[0], [1]]))


class Stopped:
    def __arrow_c_stream__(self, requested_schema=None):
        raise KeyboardInterrupt


def test_an_interrupt_is_passed_on():
    with pytest.raises(KeyboardInterrupt):
        codes_of([("texts", Stopped())], 2)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (
            [["a", 3]],
            TypeError,
            "column 0: expected all integers or all .* row 1 holds 3",
        ),
        ([[3, "a"]], TypeError, "column 0: expected all integers .* row 0 holds 3"),
        ([[b"a", None]], TypeError, "column 0: .* row 0 holds b'a'"),
        ([["a"], ("b", 2.5)], ValueError, "column 1: expected 1, one per row, got 2"),
        ([["a", "b"], pa.array(["b"])], ValueError, "column 1: expected 2, one per row, got 1"),
        ([["a", "b"], pa.array([1, 2])], TypeError, "column 1 holds integers"),
        ([["a"], pa.table({"x": ["b"]})], (TypeError, ValueError), "column 1"),
        ([np.array(["a", 3], dtype=object)], TypeError, "column 0: .* row 1 holds 3"),
    ],
)
def test_bad_columns_are_named(columns, error, message):
    with pytest.raises(error, match=message):
        codes(columns)


def test_the_core_takes_texts_only():
    with pytest.raises(TypeError, match="expected an Arrow column of texts"):
        _core.first_equal([("x", pa.array([1]))])
    with pytest.raises(TypeError, match="x: .* row 1 holds 7"):
        _core.first_equal([("x", ("a", 7))])
    assert not nm._core.is_arrow_text(["a"])
