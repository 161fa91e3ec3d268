# SPDX-License-Identifier: Apache-2.0
"""What every output format must do, over the registry; and what each one's file holds."""

import json
import os
import stat
import sys

import nearmiss as nm
import numpy as np
import pytest
from nearmiss import formats
from nearmiss.formats.base import Format, register, replacing

FORMATS = sorted(formats.available())
CORPUS_IDS = [f"d{row}" for row in range(40)]
QUERY_IDS = [f"q{row}" for row in range(9)]


def mined(*, ids=None, positives=True, **keywords):
    """Return a table with a short row, an empty row and a query without a positive."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 6), dtype=np.float32)
    exclude = [[], list(range(38)), list(range(40)), *[[] for _ in range(6)]]
    lists = [[row, row + 9] for row in range(8)] + [[]] if positives else None
    corpus = nm.Corpus(vectors, ids=ids)
    return nm.mine(vectors[:9], corpus, lists, num_negatives=3, exclude=exclude, **keywords)


@pytest.fixture(params=FORMATS)
def entry(request):
    return formats.get(request.param)


def test_found_by_name_and_suffix(entry):
    assert entry.summary
    for suffix in entry.suffixes:
        assert formats.for_path(f"folder.x/name{suffix}") is entry
        assert formats.for_path(f"NAME{suffix.upper()}") is entry


@pytest.mark.parametrize("positives", [True, False])
@pytest.mark.parametrize("query_ids", [None, QUERY_IDS])
@pytest.mark.parametrize("ids", [None, CORPUS_IDS, list(range(100, 140))])
def test_writes_every_kind_of_table(entry, tmp_path, ids, query_ids, positives):
    for on_shortage in ("pad", "drop"):
        negatives = mined(ids=ids, positives=positives, on_shortage=on_shortage)
        path = tmp_path / "table"
        entry.write(path, negatives, query_ids=query_ids)
        assert path.stat().st_size > 0
    assert [file.name for file in tmp_path.iterdir()] == ["table"]


def test_writes_an_empty_table(entry, tmp_path):
    vectors = np.eye(3, dtype=np.float32)
    entry.write(tmp_path / "table", nm.mine(vectors[:0], vectors), query_ids=[])
    assert (tmp_path / "table").exists()


def test_reads_back_what_it_wrote(entry, tmp_path):
    if entry.read is None:
        assert entry.name in ("jsonl", "trec")  # their tests below read the text
        return
    negatives = mined(ids=CORPUS_IDS)
    entry.write(tmp_path / "table", negatives)
    found = entry.read(tmp_path / "table")
    for name in ("indices", "scores", "counts", "positive_scores", "query_indices", "query_ids"):
        assert np.array_equal(getattr(found, name), getattr(negatives, name), equal_nan=True)
    assert found.ids.tolist() == negatives.ids.tolist()
    assert found.params == negatives.params
    assert dict(found.stats) == dict(negatives.stats)


def test_same_table_same_bytes(entry, tmp_path):
    for name in ("a", "b"):
        entry.write(tmp_path / name, mined(ids=CORPUS_IDS), query_ids=QUERY_IDS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_write_leaves_the_old_file(entry, tmp_path, monkeypatch):
    """The disk fails when the file is finished: the old one stays, nothing else remains."""
    path = tmp_path / "table"
    path.write_text("old")

    def full(_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        entry.write(path, mined())
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table"]


def test_an_interrupt_leaves_nothing(tmp_path):
    def write():
        with replacing(tmp_path / "table") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="pipes with a name")
def test_a_pipe_or_device_is_not_replaced(entry, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: a device or a pipe, not a file"):
        entry.write(tmp_path / "pipe", mined())
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_links_are_followed(entry, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    entry.write(tmp_path / "link", mined())
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").is_file()


def test_unknown_names_suggest_the_closest():
    with pytest.raises(ValueError, match=r"format: .*'json'; did you mean 'jsonl'\?"):
        formats.get("json")
    assert formats.for_path("table.unknown") is None


def test_names_and_suffixes_are_registered_once():
    def write(path, negatives, *, query_ids=None):
        raise AssertionError("never called")

    for name, suffix in (("table", ".new"), ("new", ".jsonl")):
        with pytest.raises(ValueError, match="already registered"):
            register(Format(name, (suffix,), "again", write))
    assert sorted(formats.available()) == FORMATS


def test_jsonl_holds_ids_and_exact_scores(tmp_path):
    negatives = mined(ids=CORPUS_IDS)
    formats.get("jsonl").write(tmp_path / "f.jsonl", negatives, query_ids=QUERY_IDS)
    lines = [json.loads(line) for line in (tmp_path / "f.jsonl").read_text().splitlines()]
    assert [line["query_id"] for line in lines] == QUERY_IDS
    for row, line in enumerate(lines):
        count = negatives.counts[row]
        assert line["negative_ids"] == [f"d{index}" for index in negatives.indices[row, :count]]
        scores = np.array(line["negative_scores"], dtype=np.float32)
        assert np.array_equal(scores, negatives.scores[row, :count])
        assert line["positive_ids"] == ([f"d{row}", f"d{row + 9}"] if row < 8 else [])
    assert [line["positive_score"] is None for line in lines] == [False] * 8 + [True]
    assert np.float32(lines[0]["positive_score"]) == negatives.positive_scores[0]
    assert lines[2]["negative_ids"] == []


def test_jsonl_uses_row_numbers_without_ids(tmp_path):
    negatives = mined(on_shortage="drop")
    formats.get("jsonl").write(tmp_path / "f.jsonl", negatives)
    lines = [json.loads(line) for line in (tmp_path / "f.jsonl").read_text().splitlines()]
    assert [line["query_id"] for line in lines] == [0, 3, 4, 5, 6, 7, 8]
    assert [line["negative_ids"] for line in lines] == negatives.indices.tolist()


def test_jsonl_takes_ids_of_any_script(tmp_path):
    ids = [*CORPUS_IDS[:-1], 'naïve "夏" \u2028']
    vectors = np.eye(40, dtype=np.float32)
    negatives = nm.mine(vectors[39:], nm.Corpus(vectors, ids=ids), num_negatives=1)
    formats.get("jsonl").write(tmp_path / "f", negatives, query_ids=np.array([7]))
    line = json.loads((tmp_path / "f").read_text("utf-8"))
    assert line["negative_ids"] == [ids[-1]]
    assert line["query_id"] == 7


def test_trec_lines(tmp_path):
    negatives = mined(ids=CORPUS_IDS)
    formats.get("trec").write(tmp_path / "f.run", negatives, query_ids=QUERY_IDS)
    lines = [line.split(" ") for line in (tmp_path / "f.run").read_text().splitlines()]
    assert len(lines) == negatives.counts.sum()
    expected = [
        (QUERY_IDS[row], f"d{negatives.indices[row, column]}", str(column + 1))
        for row in range(9)
        for column in range(negatives.counts[row])
    ]
    assert [(line[0], line[2], line[3]) for line in lines] == expected
    assert {(line[1], line[5]) for line in lines} == {("Q0", "nearmiss")}
    scores = np.array([line[4] for line in lines], dtype=np.float32)
    assert np.array_equal(scores, negatives.to_csr()[2])


@pytest.mark.parametrize("bad", ["two words", "", " edge", "tab\there"])
def test_trec_refuses_ids_with_blanks(tmp_path, bad):
    negatives = mined()
    with pytest.raises(ValueError, match="cannot stand in a column separated by blanks"):
        formats.get("trec").write(tmp_path / "f", negatives, query_ids=[bad, *QUERY_IDS[1:]])
    assert not list(tmp_path.iterdir())
