# SPDX-License-Identifier: Apache-2.0
"""The collate function: draws, workers, epochs, shapes of batches, errors."""

import collections
import dataclasses
import pickle
import subprocess
import sys
import types
import warnings
from typing import NamedTuple

import nearmiss as nm
import numpy as np
import pytest
import torch
from compare import assert_same_bits
from nearmiss.loaders.collate import KEYS
from torch.utils.data import DataLoader, default_collate

# Workers are what these tests are about; the warning is about threads of torch's own.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

NUM_QUERIES = 60
SAMPLES = [{"idx": row, "x": float(row)} for row in range(NUM_QUERIES)]


def mined(num_negatives=10, **keywords):
    vectors = np.random.default_rng(0).standard_normal((NUM_QUERIES, 8), dtype=np.float32)
    return nm.mine(vectors, vectors, num_negatives=num_negatives, exclude_self=True, **keywords)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("table") / "negatives.safetensors"
    mined().save(file)
    return file


def draws(loader):
    """Return the negatives of each query of one epoch."""
    found = {}
    for batch in loader:
        for query, rows in zip(batch["idx"].tolist(), batch["negative_indices"], strict=True):
            found[query] = rows.tolist()
    return found


def test_adds_rows_of_the_table(path):
    table = nm.Negatives.load(path)
    collate = nm.loaders.HardNegativeCollator(path, num_negatives=3)
    batch = collate(SAMPLES[:7])
    assert batch["negative_indices"].shape == (7, 3)
    assert batch["negative_indices"].dtype == torch.int64
    assert batch["x"].tolist() == list(range(7))
    for query, rows in enumerate(batch["negative_indices"].tolist()):
        columns = [table.indices[query].tolist().index(row) for row in rows]
        assert columns == sorted(set(columns))  # distinct, closest first


def test_draws_what_sample_draws(path):
    table = nm.Negatives.load(path)
    collate = nm.loaders.HardNegativeCollator(table, num_negatives=3, seed=11)
    collate.set_epoch(5)
    expected = table.sample(3, epoch=5, seed=11).indices
    assert np.array_equal(collate(SAMPLES)["negative_indices"].numpy(), expected)


def test_whole_rows_if_all_columns_are_asked_for(path):
    table = nm.Negatives.load(path)
    collate = nm.loaders.HardNegativeCollator(path, num_negatives=10)
    assert np.array_equal(collate(SAMPLES)["negative_indices"].numpy(), table.indices)


def test_short_rows_are_padded():
    vectors = np.eye(4, dtype=np.float32)
    exclude = [[1, 2, 3], [0, 2], [], []]
    table = nm.mine(vectors, vectors, num_negatives=3, exclude=exclude, exclude_self=True)
    rows = nm.loaders.HardNegativeCollator(table, num_negatives=2)(SAMPLES[:4])["negative_indices"]
    assert rows[0].tolist() == [-1, -1]
    assert rows[1].tolist() == [3, -1]
    assert (rows[2:] >= 0).all()


@pytest.mark.parametrize(
    ("workers", "context"),
    [(1, "fork"), (2, "fork"), pytest.param(2, "spawn", marks=pytest.mark.slow)],
)
def test_workers_change_nothing(path, workers, context):
    """Any number of workers, however started, any batch size and order: the same draws."""
    collate = nm.loaders.HardNegativeCollator(path, num_negatives=3, seed=3)
    alone = [DataLoader(SAMPLES, batch_size=16, collate_fn=collate)]
    several = DataLoader(
        SAMPLES,
        batch_size=7,
        shuffle=True,
        generator=torch.Generator().manual_seed(0),
        collate_fn=collate,
        num_workers=workers,
        multiprocessing_context=context,
        persistent_workers=True,
    )
    seen = []
    for epoch in range(3):
        collate.set_epoch(epoch)
        expected = draws(alone[0])
        assert draws(several) == expected  # the same workers in every epoch
        seen.append(expected)
    assert seen[0] != seen[1] != seen[2]
    collate.set_epoch(0)
    assert draws(several) == seen[0]


def test_pickles_the_path_not_the_table(path):
    collate = nm.loaders.HardNegativeCollator(path, num_negatives=3, seed=3)
    collate.set_epoch(2)
    expected = collate(SAMPLES)["negative_indices"]
    text = pickle.dumps(collate)
    assert len(text) < 2_000
    copy = pickle.loads(text)
    assert copy.epoch == 2
    assert torch.equal(copy(SAMPLES)["negative_indices"], expected)


def test_a_relative_path_survives_a_change_of_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(path.parent)
    collate = nm.loaders.HardNegativeCollator(path.name, num_negatives=3)
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickle.dumps(collate))(SAMPLES)["negative_indices"].shape == (60, 3)


def test_query_ids_are_looked_up():
    vectors = np.random.default_rng(1).standard_normal((5, 4), dtype=np.float32)
    ids = [40, 7, 300, 12, 9]
    table = nm.mine(vectors, vectors, num_negatives=2, query_ids=ids)
    collate = nm.loaders.HardNegativeCollator(table, num_negatives=2, id_key="query")
    samples = [{"query": query} for query in (300, 40, 9)]
    expected = table.indices[[2, 0, 4]]
    assert np.array_equal(collate(samples)["negative_indices"].numpy(), expected)
    for unknown in (8, 0, 301):
        with pytest.raises(KeyError, match=f"query id {unknown} is not in the table of 5 queries"):
            collate([{"query": 40}, {"query": unknown}])


def test_tuples_become_tuples(path):
    collate = nm.loaders.HardNegativeCollator(path, num_negatives=3, id_key=1)
    batch, rows = collate([(0.5, 7), (0.25, 8)])
    assert batch[0].tolist() == [0.5, 0.25]
    assert rows.shape == (2, 3)


def test_own_base_collate_and_dataset(path):
    dataset = [f"text {row}" for row in range(NUM_QUERIES)]
    collate = nm.loaders.HardNegativeCollator(path, dataset, num_negatives=2, base_collate=list)
    batch, rows, negatives = collate(SAMPLES[:3])
    assert batch == SAMPLES[:3]
    assert negatives == [f"text {row}" for row in rows.flatten().tolist()]


def test_dataset_items_without_padding():
    vectors = np.eye(3, dtype=np.float32)
    table = nm.mine(vectors, vectors, num_negatives=2, exclude=[[1, 2], [2], []], exclude_self=True)
    dataset = [{"value": 10 * row} for row in range(3)]
    collate = nm.loaders.HardNegativeCollator(table, dataset, num_negatives=2)
    batch = collate(SAMPLES[:3])
    rows = batch["negative_indices"]
    assert batch["negatives"]["value"].tolist() == [10 * row for row in rows[rows >= 0].tolist()]
    assert collate(SAMPLES[:1])["negatives"] is None


@pytest.mark.parametrize(
    ("keywords", "sample", "error", "message"),
    [
        ({}, {"x": 1}, KeyError, "sample 0 has no 'idx'"),
        ({}, (1, 2), TypeError, "give a key for dicts, a position for tuples"),
        ({"id_key": 5}, (1, 2), KeyError, "sample 0 has no 5"),
        ({}, {"idx": "q7"}, TypeError, "'idx' of sample 0: expected an integer"),
        ({}, {"idx": -1}, ValueError, "'idx' of sample 0: must be at least 0"),
    ],
)
def test_samples_without_a_usable_id(path, keywords, sample, error, message):
    collate = nm.loaders.HardNegativeCollator(path, num_negatives=1, base_collate=list, **keywords)
    with pytest.raises(error, match=message):
        collate([sample])


def test_arguments_are_checked_at_once(path, tmp_path):
    with pytest.raises(ValueError, match="num_negatives: must be at most 10, got 11"):
        nm.loaders.HardNegativeCollator(path, num_negatives=11)
    with pytest.raises(ValueError, match="num_negatives: must be at least 1"):
        nm.loaders.HardNegativeCollator(path, num_negatives=0)
    with pytest.raises(FileNotFoundError):
        nm.loaders.HardNegativeCollator(tmp_path / "none", num_negatives=1)
    with pytest.raises(TypeError, match="negatives_or_path: expected .* got None"):
        nm.loaders.HardNegativeCollator(None, num_negatives=1)
    with pytest.raises(ValueError, match="epoch: must be at least 0"):
        nm.loaders.HardNegativeCollator(path, num_negatives=1).set_epoch(-1)


def test_the_package_alone_does_not_import_torch():
    code = "import sys, nearmiss; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- a folder of tables ---------------------------------------------------------------------------


def test_a_folder_is_followed(tmp_path):
    """Its newest table and its epoch count in the very next batch, also for who only reads."""
    folder = nm.loaders.TableFolder(tmp_path)
    collate = nm.loaders.HardNegativeCollator(tmp_path, num_negatives=3, seed=3)
    with pytest.raises(FileNotFoundError, match="no table has been published yet"):
        collate(SAMPLES)
    for epoch, width in enumerate((10, 5, 3)):
        table = mined(width)
        folder.publish(table)
        folder.set_epoch(epoch)
        expected = table.sample(3, epoch=epoch, seed=3).indices
        assert np.array_equal(collate(SAMPLES)["negative_indices"].numpy(), expected)
        assert collate.epoch == epoch
    collate.set_epoch(8)
    assert folder.epoch == 8
    folder.publish(mined(2))
    for _ in range(2):  # it does not go on with the table before
        with pytest.raises(ValueError, match="num_negatives: must be at most 2, got 3"):
            collate(SAMPLES)


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_running_workers_follow_a_folder(tmp_path, context):
    folder = nm.loaders.TableFolder(tmp_path)
    folder.publish(mined(10))
    collate = nm.loaders.HardNegativeCollator(folder, num_negatives=3, seed=3)
    loader = DataLoader(
        SAMPLES,
        batch_size=7,
        collate_fn=collate,
        num_workers=2,
        multiprocessing_context=context,
        persistent_workers=True,
    )
    alone = DataLoader(SAMPLES, batch_size=20, collate_fn=collate)
    assert draws(loader) == draws(alone)
    for epoch, width in ((1, 5), (2, 3), (3, 8)):
        folder.publish(mined(width))  # by now the files of the tables before are gone
        folder.set_epoch(epoch)
        expected = mined(width).sample(3, epoch=epoch, seed=3).indices
        assert draws(loader) == draws(alone) == dict(enumerate(expected.tolist()))


# --- what is added --------------------------------------------------------------------------------

EVERYTHING = ("indices", "scores", "mask", "weights", "log_probs", "strata", "positive_scores")


def full_table():
    """Return a table with rows of 0 to 6 negatives and every optional column."""
    rng = np.random.default_rng(4)
    rows = np.array([rng.permutation(NUM_QUERIES)[:6] for _ in range(20)])
    rows[np.arange(6) >= (np.arange(20) % 7)[:, None]] = -1
    scores = rng.random((20, 6), dtype=np.float32)
    positive_scores = rng.random(20, dtype=np.float32)
    table = nm.mine_candidates(scores, rows, positive_scores=positive_scores, num_negatives=6)
    filled = table.indices >= 0
    return dataclasses.replace(
        table,
        weights=np.where(filled, table.indices + 0.5, np.nan),
        log_probs=np.where(filled, -0.25 * table.indices, np.nan),
        strata=np.where(filled, table.indices % 3, -1),
        sources=np.where(filled, table.indices % 4 + 1, 0),
    )


@pytest.mark.parametrize("num_negatives", [2, 6])
def test_everything_that_can_be_added(num_negatives):
    table = full_table()
    collate = nm.loaders.HardNegativeCollator(
        table, num_negatives=num_negatives, add=(*EVERYTHING, "sources"), seed=2
    )
    collate.set_epoch(3)
    queries = [5, 0, 13, 6]
    batch = collate([SAMPLES[row] for row in queries])
    expected = table.sample(num_negatives, epoch=3, seed=2, rows=queries)
    for name in ("indices", "scores", "weights", "log_probs", "strata", "sources"):
        wanted = getattr(expected, name)
        wanted = wanted.astype(np.float32) if wanted.dtype.kind == "f" else wanted
        assert_same_bits(batch[f"negative_{name}"].numpy(), wanted, name)
    assert_same_bits(batch["negative_mask"].numpy(), expected.indices >= 0)
    assert batch["negative_mask"].sum(dim=1).tolist() == [
        min(num_negatives, query % 7) for query in queries
    ]
    assert_same_bits(batch["positive_scores"].numpy(), table.positive_scores[queries])
    assert list(batch) == ["idx", "x", *(KEYS[name] for name in (*EVERYTHING, "sources"))]


def test_generation_tells_the_table(tmp_path):
    folder = nm.loaders.TableFolder(tmp_path)
    collate = nm.loaders.HardNegativeCollator(folder, num_negatives=1, add=["generation"])
    for number in (1, 2):
        folder.publish(mined(2))
        assert collate(SAMPLES[:2])["negative_generation"] == number


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"add": "indices"}, TypeError, "add: expected a sequence of names, got 'indices'"),
        ({"add": ["score"]}, ValueError, "did you mean 'scores'"),
        ({"add": ["mask", "mask"]}, ValueError, "add: a name is given twice"),
        ({"add": ["weights"]}, ValueError, "add: neither the table nor the strategy has 'weights'"),
        ({"add": ["generation"]}, ValueError, "only tables of a TableFolder have a 'generation'"),
        ({"strategy": "simans"}, ValueError, "strategy 'simans': needs positives"),
        ({"embeddings": np.ones((59, 3))}, ValueError, "embeddings: expected 60, .* got 59"),
        ({"embeddings": np.ones(60)}, ValueError, "embeddings: expected a 2-dimensional array"),
        ({"embeddings": "none.npy"}, FileNotFoundError, "none.npy"),
        ({"embeddings": __file__}, ValueError, "test_collate.py: not a .npy file"),
    ],
)
def test_what_cannot_be_added_is_refused_at_once(path, keywords, error, message):
    with pytest.raises(error, match=message):
        nm.loaders.HardNegativeCollator(path, num_negatives=1, **keywords)


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["simans:a=20,pool=10", "softmax:pool=10,beta=4", "random", "top"])
def test_draws_by_the_law_of_a_strategy(law):
    """What `sample` draws, whatever the batch; a query may come twice in it."""
    vectors = np.random.default_rng(0).standard_normal((2, NUM_QUERIES, 8), dtype=np.float32)
    table = nm.mine(*vectors, np.arange(NUM_QUERIES), num_negatives=10)
    add = ["indices", "scores"] + (["log_probs"] if ":" in law else [])
    collate = nm.loaders.HardNegativeCollator(table, num_negatives=3, strategy=law, seed=5, add=add)
    collate.set_epoch(2)
    expected = table.sample(3, epoch=2, seed=5, strategy=law)
    for queries in (range(NUM_QUERIES), [7], [7, 59, 0, 7], range(NUM_QUERIES - 1, -1, -3)):
        batch = collate([SAMPLES[row] for row in queries])
        for name in add:
            wanted = getattr(expected, name)[list(queries)]
            wanted = wanted.astype(np.float32) if name == "log_probs" else wanted
            assert_same_bits(batch[f"negative_{name}"].numpy(), wanted, name)


@pytest.mark.parametrize("queries", [[0], [0, 7, 14], [0, 5]])
def test_a_law_where_rows_are_empty(queries):
    """Nobody draws, so nobody tells a probability: padding, not an error."""
    collate = nm.loaders.HardNegativeCollator(
        full_table(), num_negatives=2, strategy="softmax:pool=6", add=["log_probs", "mask"]
    )
    batch = collate([SAMPLES[query] for query in queries])
    assert torch.equal(batch["negative_log_probs"].isnan(), ~batch["negative_mask"])
    assert batch["negative_mask"].sum(dim=1).tolist() == [min(2, query % 7) for query in queries]


def test_a_law_in_workers(path):
    collate = nm.loaders.HardNegativeCollator(path, num_negatives=3, strategy="softmax:pool=10")
    several = DataLoader(
        SAMPLES, 7, shuffle=True, collate_fn=collate, num_workers=2, persistent_workers=True
    )
    alone = DataLoader(SAMPLES, 20, collate_fn=collate)
    seen = []
    for epoch in range(2):
        collate.set_epoch(epoch)
        seen.append(draws(alone))
        assert draws(several) == seen[-1]
    assert seen[0] != seen[1]


# --- embeddings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "int8", "uint8", "bfloat16 tensor", "float32 tensor"]
)
def test_embeddings_are_looked_up(dtype):
    whole = np.random.default_rng(0).integers(0, 100, (NUM_QUERIES, 5))
    kind, _, tensor = dtype.partition(" ")
    rows = torch.from_numpy(whole).to(getattr(torch, kind)) if tensor else whole.astype(kind)
    collate = nm.loaders.HardNegativeCollator(full_table(), num_negatives=4, embeddings=rows)
    batch = collate(SAMPLES[:20])
    found, indices = batch["negative_embeddings"], batch["negative_indices"].numpy()
    assert found.dtype == torch.float32
    expected = np.where(indices[..., None] >= 0, whole[indices], 0).astype(np.float32)
    assert (indices < 0).any()
    assert_same_bits(found.numpy(), expected)
    found += 1  # it is a copy
    assert np.array_equal(np.asarray(rows.to(torch.int64) if tensor else rows), whole)


def test_a_file_of_embeddings_is_mapped_anew(path, tmp_path):
    rows = np.random.default_rng(0).standard_normal((NUM_QUERIES, 5), dtype=np.float32)
    np.save(tmp_path / "rows.npy", rows)
    before = (tmp_path / "rows.npy").read_bytes()
    collate = nm.loaders.HardNegativeCollator(
        path, num_negatives=3, add=[], embeddings=tmp_path / "rows.npy"
    )
    expected = rows[
        nm.loaders.HardNegativeCollator(path, num_negatives=3)(SAMPLES)[KEYS["indices"]]
    ]
    text = pickle.dumps(collate)
    assert len(text) < 2_000
    for one in (collate, pickle.loads(text)):
        assert_same_bits(one(SAMPLES)["negative_embeddings"].numpy(), expected)
        assert "negative_indices" not in one(SAMPLES)
    assert (tmp_path / "rows.npy").read_bytes() == before


def test_arrays_that_are_not_writable_are_taken_silently(path):
    rows = np.ones((NUM_QUERIES, 3), np.float32)
    rows.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nm.loaders.HardNegativeCollator(path, num_negatives=3, embeddings=rows)(SAMPLES)


def test_a_row_that_embeddings_lack_is_an_error():
    table = nm.mine_candidates([[1.0]], [[7]], num_negatives=1)  # of a corpus of unknown size
    collate = nm.loaders.HardNegativeCollator(table, num_negatives=1, embeddings=np.ones((7, 2)))
    with pytest.raises((IndexError, RuntimeError), match="out of range"):
        collate(SAMPLES[:1])


# --- batches of any kind --------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Batch:
    ids: list
    negative_indices: torch.Tensor | None = None
    negative_mask: torch.Tensor | None = None


class Row(NamedTuple):
    idx: int
    x: float
    negative_indices: int


@dataclasses.dataclass
class Sample:
    idx: int


class Encoding(collections.UserDict):
    """As of a tokenizer."""


def ids_of(samples):
    return [sample["idx"] for sample in samples]


def test_dataclasses_get_their_fields_set(path):
    collate = nm.loaders.HardNegativeCollator(
        path,
        num_negatives=2,
        add=("mask", "indices"),
        base_collate=lambda samples: Batch(ids_of(samples)),
    )
    batch = collate(SAMPLES[:3])
    assert isinstance(batch, Batch)
    assert batch.ids == [0, 1, 2]
    assert batch.negative_indices.shape == (3, 2)
    assert batch.negative_mask.all()
    collate = nm.loaders.HardNegativeCollator(
        path,
        num_negatives=2,
        add=("indices", "positive_scores"),
        base_collate=lambda samples: Batch(ids_of(samples)),
    )
    with pytest.raises(TypeError, match="made a Batch, .* but none named 'positive_scores'"):
        collate(SAMPLES[:3])


def test_named_tuples_get_their_fields_set(path):
    samples = [Row(row, float(row), 0) for row in range(5)]
    batch = nm.loaders.HardNegativeCollator(path, num_negatives=2)(samples)
    assert isinstance(batch, Row)
    assert batch.idx.tolist() == [0, 1, 2, 3, 4]
    assert batch.negative_indices.shape == (5, 2)


@pytest.mark.parametrize(
    "kind", [dict, collections.OrderedDict, Encoding, types.MappingProxyType], ids=str
)
def test_mappings_stay_what_they_are(path, kind):
    made = kind({"ids": [0, 1, 2]})
    collate = nm.loaders.HardNegativeCollator(path, num_negatives=2, base_collate=lambda _: made)
    batch = collate(SAMPLES[:3])
    assert type(batch) is (dict if kind is types.MappingProxyType else kind)
    assert list(batch) == ["ids", "negative_indices"]
    assert list(made) == ["ids"]  # and may be somebody else's


@pytest.mark.parametrize("made", [Batch, torch.zeros(3), None, (1, 2), [1, 2], "text"], ids=str)
def test_anything_else_becomes_the_first_of_a_tuple(path, made):
    collate = nm.loaders.HardNegativeCollator(
        path, num_negatives=2, add=("mask", "indices"), base_collate=lambda _: made
    )
    first, mask, rows = (*collate(SAMPLES[:3]),)
    assert first is made
    assert (mask.dtype, rows.shape) == (torch.bool, (3, 2))


@pytest.mark.parametrize(
    ("samples", "key"),
    [
        ([{"idx": torch.tensor(row)} for row in (4, 9)], "idx"),
        ([{"idx": np.int32(row)} for row in (4, 9)], "idx"),
        ([(0.5, 4), (0.5, 9)], 1),
        ([(0.5, 4), (0.5, 9)], -1),
        ([Row(4, 0, 0), Row(9, 0, 0)], "idx"),
        ([Sample(4), Sample(9)], "idx"),
        ([types.MappingProxyType({"idx": row}) for row in (4, 9)], "idx"),
    ],
    ids=lambda value: type(value[0]).__name__ if isinstance(value, list) else str(value),
)
@pytest.mark.parametrize("base_collate", [None, lambda samples: samples], ids=["torch's", "own"])
def test_samples_of_any_kind(path, samples, key, base_collate):
    if base_collate is None and isinstance(samples[0], (Sample, types.MappingProxyType)):
        base_collate = list  # torch's cannot collate them
    collate = nm.loaders.HardNegativeCollator(
        path, num_negatives=2, id_key=key, base_collate=base_collate
    )
    batch = collate(samples)
    rows = batch["negative_indices"] if isinstance(batch, dict) else batch[-1]
    expected = nm.loaders.HardNegativeCollator(path, num_negatives=2)([SAMPLES[4], SAMPLES[9]])
    assert torch.equal(rows, expected["negative_indices"])


@pytest.mark.parametrize("value", [True, 1.0, "1", None, 2**63, -1, [1]])
@pytest.mark.parametrize("base_collate", [default_collate, list], ids=["torch's", "own"])
def test_ids_that_are_none(path, value, base_collate):
    collate = nm.loaders.HardNegativeCollator(path, num_negatives=2, base_collate=base_collate)
    samples = [{"idx": value}, {"idx": value}]
    with pytest.raises((TypeError, ValueError, OverflowError, RuntimeError)):
        collate(samples)


def test_a_base_that_reorders_does_not_mislead(path):
    """Negatives belong to the samples as they came; what torch's own collate made is in order."""
    collate = nm.loaders.HardNegativeCollator(path, num_negatives=2, base_collate=ids_of)
    for order in ([3, 1, 2], [1, 2, 3]):
        ids, rows = collate([SAMPLES[row] for row in order])
        assert ids == order
        whole = nm.loaders.HardNegativeCollator(path, num_negatives=2)(SAMPLES)["negative_indices"]
        assert torch.equal(rows, whole[order])


def test_items_are_fetched_at_once_where_that_is_offered(path):
    asked = []

    class Texts:
        def __getitems__(self, rows):
            asked.append(len(rows))
            return [f"text {row}" for row in rows]

    collate = nm.loaders.HardNegativeCollator(path, Texts(), num_negatives=2, base_collate=list)
    _, rows, items = collate(SAMPLES[:3])
    assert asked == [6]
    assert items == [f"text {row}" for row in rows.flatten().tolist()]


@pytest.mark.parametrize("workers", [0, 2])
def test_pinned_memory(path, workers):
    """Where there is an accelerator torch pins what was added; where not, it warns and does not."""
    collate = nm.loaders.HardNegativeCollator(
        path, num_negatives=3, add=("indices", "mask"), embeddings=np.ones((NUM_QUERIES, 2))
    )
    loader = DataLoader(SAMPLES, 20, collate_fn=collate, num_workers=workers, pin_memory=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pin_memory")
        batch = next(iter(loader))
    added = [batch[key] for key in ("negative_indices", "negative_mask", "negative_embeddings")]
    assert [tensor.is_pinned() for tensor in added] == [torch.cuda.is_available()] * 3
    assert torch.equal(batch["negative_indices"], collate(SAMPLES[:20])["negative_indices"])
