# SPDX-License-Identifier: Apache-2.0
"""The collate function: draws, workers, epochs, shapes of batches, errors."""

import pickle
import subprocess
import sys

import nearmiss as nm
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

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
