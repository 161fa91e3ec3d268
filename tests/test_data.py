# SPDX-License-Identifier: Apache-2.0
"""Real data with exact answers. The data lives beside the project: see `NEARMISS_DATA`."""

import csv
import gzip
import json

import nearmiss as nm
import numpy as np
import oracle
import pytest
from compare import assert_close_topk, assert_same_bits, assert_same_table

EXACT = 500  # queries of the digits that have ground truth
DEPTH = 100


@pytest.fixture(scope="module")
def digits(data_dir):
    folder = data_dir / "img_mnist10k"
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(10_000, 784)
    with gzip.open(folder / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images, labels.astype(np.int64), np.load(folder / "derived_groundtruth.npz")


@pytest.mark.parametrize("bits", ["u4", "u8"])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
def test_neighbours_of_digits_id_for_id(digits, bits, dtype):
    images, _, truth = digits
    rows = (images >> 4 if bits == "u4" else images).astype(dtype)
    found = nm.mine(rows[:EXACT], rows, exclude_self=True, num_negatives=DEPTH, metric="l2")
    assert_same_bits(found.indices, truth[f"{bits}_l2_nn_ids"].astype(np.int64))
    expected = np.abs(truth[f"{bits}_l2_nn_score"].astype(np.float64))
    assert_same_bits(found.scores.astype(np.float64), -expected)


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("bits", ["u4", "u8"])
def test_hard_negatives_of_digits_id_for_id(digits, bits, metric):
    """Near images of other digits: the own label is the own group."""
    images, labels, truth = digits
    rows = images >> 4 if bits == "u4" else images
    found = nm.mine(
        rows[:EXACT],
        rows,
        query_groups=labels[:EXACT],
        corpus_groups=labels,
        num_negatives=DEPTH,
        metric=metric,
    )
    assert_same_bits(found.indices, truth[f"{bits}_{metric}_hardneg_ids"].astype(np.int64))
    assert (labels[found.indices] != labels[:EXACT, None]).all()


def test_published_distances(data_dir):
    """Values near 1e5, where a float32 expansion of the distance cancels badly."""
    folder = data_dir / "knn_opensearch"
    with open(folder / "test_vectors_1000x128.json") as file:
        items = [json.loads(line) for line in file if line.strip()]
    rows = np.array([item["vector"] for item in items], np.float64)
    place = {int(item["id"]): row for row, item in enumerate(items)}
    with open(folder / "test_queries_100x128.csv") as file:
        queries = np.array([[float(v) for v in line] for line in csv.reader(file)])
    with open(folder / "test_ground_truth_l2_100.csv") as file:
        truth = np.array([[place[int(v)] for v in line] for line in csv.reader(file)])
    exact = -((queries[:, None] - rows[truth]) ** 2).sum(axis=2)
    corpus = nm.Corpus(rows, metric="l2", ids=[int(item["id"]) for item in items])
    found = nm.topk(queries, corpus, 1000)
    tolerance = 3e-7 * np.abs(exact).max()  # theirs is float32; at most one adjacent swap a row
    assert_close_topk(found, (exact, truth), tolerance)
    agree = (found[1] == truth).all(axis=1).sum()
    assert agree >= 93
    assert_same_bits(found[1][:, :200], truth[:, :200].astype(np.int64))


def read_ids(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line)["_id"] for line in file]


def test_cranfield(data_dir):
    """Judged abstracts as positives: the whole way from qrels to a table."""
    folder = data_dir / "beir" / "cranfield"
    corpus_ids, query_ids = read_ids(folder / "corpus.jsonl"), read_ids(folder / "queries.jsonl")
    rows, queries = np.load(folder / "corpus.npy"), np.load(folder / "queries.npy")
    qrels = nm.Positives.from_qrels(
        folder / "qrels" / "test.tsv",
        query_ids=query_ids,
        corpus_ids=corpus_ids,
        unknown="ignore",
    )
    assert len(qrels) > 1000
    corpus = nm.Corpus(rows, ids=corpus_ids)
    found = nm.mine(queries, corpus, qrels, num_negatives=5, relative_margin=0.05)
    positives = [qrels.corpus_rows[qrels.query_rows == i].tolist() for i in range(len(queries))]
    expected = oracle.mine(queries, rows, positives, num_negatives=5, relative_margin=0.05)
    assert_same_table(found, expected)
    for i in range(len(queries)):
        negatives = found.indices[i, : found.counts[i]]
        assert not set(negatives.tolist()) & set(positives[i])
        assert [corpus_ids[row] for row in negatives] == list(found.ids[i, : found.counts[i]])
    assert found.stats["scores"]["difference"]["min"] > 0
    assert found.stats["returned"] == found.counts.sum() > 1000
    assert found.stats["skipped"]["positive"] == len(qrels)
