# SPDX-License-Identifier: Apache-2.0
"""The folder of tables: generations, the epoch, other processes, writers that are killed."""

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import nearmiss as nm
import numpy as np
import pytest
from nearmiss.loaders import TableFolder


def table(seed, num_queries=20):
    vectors = np.random.default_rng(seed).standard_normal((num_queries, 8), dtype=np.float32)
    return nm.mine(vectors, vectors, num_negatives=4, exclude_self=True)


@pytest.fixture(scope="module")
def tables():
    return [table(seed) for seed in range(5)]


def names(folder):
    return sorted(path.name for path in folder.path.iterdir())


def test_a_new_folder_is_empty(tmp_path):
    folder = TableFolder(tmp_path / "a" / "b")
    assert (folder.generation, folder.epoch) == (0, 0)
    assert names(folder) == ["state"]
    assert (folder.path / "state").stat().st_size == 64
    for read in (folder.load, folder.latest, folder.table_path):
        with pytest.raises(FileNotFoundError, match="no table has been published yet"):
            read()


def test_the_newest_two_tables_are_kept(tmp_path, tables):
    folder = TableFolder(tmp_path)
    for number, negatives in enumerate(tables, 1):
        assert folder.publish(negatives) == number == folder.generation
        generation, newest = folder.latest()
        assert generation == number
        assert np.array_equal(newest.indices, negatives.indices)
        assert folder.table_path() == folder.table_path(number)
    assert names(folder) == [
        "negatives-00000004.safetensors",
        "negatives-00000005.safetensors",
        "state",
    ]
    assert repr(folder) == f"TableFolder({str(tmp_path)!r}, generation=5, epoch=0)"


def test_all_who_have_it_open_see_what_changes(tmp_path, tables):
    folder = TableFolder(tmp_path)
    other, copy = TableFolder(tmp_path), pickle.loads(pickle.dumps(folder))
    assert len(pickle.dumps(folder)) < 300
    folder.publish(tables[0])
    other.set_epoch(7)
    for one in (folder, other, copy, TableFolder(tmp_path)):
        assert (one.generation, one.epoch) == (1, 7)
    code = "import sys; from nearmiss.loaders import TableFolder as T; T(sys.argv[1]).set_epoch(9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert folder.epoch == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_shares_the_state(tmp_path, tables):
    folder = TableFolder(tmp_path)
    child = os.fork()
    if child == 0:
        try:
            folder.set_epoch(3)
            folder.publish(tables[0])
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert (folder.generation, folder.epoch) == (1, 3)


def test_a_table_that_was_mapped_stays(tmp_path, tables):
    folder = TableFolder(tmp_path)
    folder.publish(tables[0])
    first = folder.load()
    for negatives in tables[1:]:
        folder.publish(negatives)
    assert np.array_equal(first.indices, tables[0].indices)


def test_a_reader_that_raced_takes_the_newer_table(tmp_path, tables, monkeypatch):
    """Between its look at the counter and at the file, two tables are published."""
    folder = TableFolder(tmp_path)
    folder.publish(tables[0])
    load = nm.Negatives.load
    late = []

    def load_late(path):
        if not late:
            late.append(path)
            folder.publish(tables[1])
            folder.publish(tables[2])
        return load(path)

    monkeypatch.setattr(nm.Negatives, "load", load_late)
    generation, newest = folder.latest()
    assert (generation, late) == (3, [folder.table_path(1)])
    assert np.array_equal(newest.indices, tables[2].indices)
    folder.table_path(3).unlink()
    with pytest.raises(FileNotFoundError):  # and does not look for it for ever
        folder.latest()


def test_what_is_not_ours_stays(tmp_path, tables):
    folder = TableFolder(tmp_path)
    foreign = {"negatives-best.safetensors", "negatives-1.safetensors", ".negatives.tmp", "x.tmp"}
    stray = [".negatives-00000007.safetensors.0a1b2c3d.tmp", "negatives-00000004.safetensors"]
    for name in (*foreign, *stray):
        (tmp_path / name).write_bytes(b"")
    folder.publish(tables[0])
    assert set(names(folder)) == foreign | {"state", "negatives-00000001.safetensors"}


def test_two_processes_that_open_at_once_share_one_state(tmp_path):
    """Each of many threads makes the folder for itself; none maps a file that was replaced."""
    for attempt in range(20):
        path = tmp_path / str(attempt)
        opened = []
        start = threading.Barrier(4)

        def enter(path=path, opened=opened, start=start):
            start.wait()
            opened.append(TableFolder(path))

        threads = [threading.Thread(target=enter) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        opened[attempt % 4].set_epoch(attempt + 1)
        assert [folder.epoch for folder in opened] == [attempt + 1] * 4
        assert names(opened[0]) == ["state"]


def test_a_table_that_cannot_be_written_changes_nothing(tmp_path, tables, monkeypatch):
    folder = TableFolder(tmp_path)
    folder.publish(tables[0])
    with pytest.raises(TypeError, match="negatives: expected Negatives, got a str"):
        folder.publish("negatives.safetensors")

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        folder.publish(tables[1])
    assert folder.generation == 1
    assert names(folder) == ["negatives-00000001.safetensors", "state"]
    assert np.array_equal(folder.load().indices, tables[0].indices)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not the state of a table folder: 0 bytes, not 64"),
        (b"x" * 64, "not the state of a table folder"),
        (b"nearmiss" + (2).to_bytes(8, "little") + bytes(48), "version 2; this package reads"),
    ],
)
def test_a_state_that_is_none(tmp_path, content, message):
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        TableFolder(tmp_path)
    assert (tmp_path / "state").read_bytes() == content


@pytest.mark.parametrize("epoch", [-1, 2**63, 0.5, True])
def test_a_bad_epoch_changes_nothing(tmp_path, epoch):
    folder = TableFolder(tmp_path)
    folder.set_epoch(4)
    with pytest.raises((TypeError, ValueError), match="epoch"):
        folder.set_epoch(epoch)
    assert folder.epoch == 4


WRITER = """
import os, signal, sys
import numpy as np, nearmiss as nm
from nearmiss.loaders import TableFolder
folder, when = TableFolder(sys.argv[1]), sys.argv[2]
vectors = np.random.default_rng(1).standard_normal((20, 8), dtype=np.float32)
negatives = nm.mine(vectors, vectors, num_negatives=4, exclude_self=True)

def die(*_, **keywords):
    os.kill(os.getpid(), signal.SIGKILL)

replace = os.replace
if when == "in the middle of the file":
    nm.formats.table.np.ascontiguousarray = die  # the header is written
elif when == "before the rename":
    os.replace = die
elif when == "before the counter":
    os.replace = lambda *paths: (replace(*paths), die())
elif when == "before the old are removed":
    swept = iter([lambda folder: None, die])  # once before the table is written, once after
    TableFolder._sweep = lambda folder: next(swept)(folder)
folder.publish(negatives)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize(
    "when",
    [
        "in the middle of the file",
        "before the rename",
        "before the counter",
        "before the old are removed",
    ],
)
def test_a_writer_that_is_killed_leaves_a_whole_table(tmp_path, tables, when):
    folder = TableFolder(tmp_path)
    folder.publish(tables[0])
    process = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path), when], check=False)
    assert process.returncode == -signal.SIGKILL
    left = {path for path in map(Path, names(folder)) if path.suffix == ".tmp"}
    assert bool(left) == (when in {"in the middle of the file", "before the rename"})
    generation, newest = folder.latest()
    assert generation == (2 if when == "before the old are removed" else 1)
    assert np.array_equal(newest.indices, tables[generation - 1].indices)
    assert folder.publish(tables[2]) == generation + 1
    assert len(names(folder)) == 3  # two tables and the state
