# SPDX-License-Identifier: Apache-2.0
"""Tables that change while training runs: both modes, crashes, loaders, restarts, replay."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import nearmiss as nm
import numpy as np
import pytest
import refresh_miners as miners
from nearmiss.refresh import EveryEpochs, EverySteps
from torch.utils.data import DataLoader

# Workers are what some of these tests are about; the warning is about threads of torch's own.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

L = nm.loaders
SAMPLES = [{"idx": row} for row in range(miners.NUM_QUERIES)]
FAILED = "refresh: failed, training goes on with the table it has: "


class Model:
    """What is trained: a step changes its vectors, in place."""

    def __init__(self):
        self.vectors = miners.vectors_of(0)

    def train(self):
        self.vectors += np.float32(0.25) * miners.vectors_of(1)

    def snapshot(self):
        return {"vectors": self.vectors}  # not a copy


def vectors_after(steps):
    model = Model()
    for _ in range(steps):
        model.train()
    return model.vectors


def in_background(folder, mine, snapshot, schedule, **keywords):
    return L.Refresher(
        folder, mine, snapshot, schedule=schedule, mode="background", poll_every=1, **keywords
    )


def made(folder):
    return folder.load().params["made"]


def events(refresher):
    return [(e["event"], e["step"], e["generation"]) for e in refresher.log.entries()]


def tables(folder):
    """Return the indices of all tables that are there, by generation."""
    return {
        generation: np.array(nm.Negatives.load(folder.table_path(generation)).indices)
        for generation in range(1, folder.generation + 1)
    }


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited for a minute"
        time.sleep(0.005)


def only_tables(folder):
    """Whether nothing but the newest tables, the state and the log is in the folder."""
    names = {path.name for path in folder.path.iterdir()}
    return names - {"state", "refresh.jsonl"} == {
        folder.table_path(generation).name
        for generation in range(max(1, folder.generation - 1), folder.generation + 1)
    }


# --- in the training process ----------------------------------------------------------------------


def test_tables_are_mined_where_they_are_due(tmp_path):
    model = Model()
    folder = L.TableFolder(tmp_path, keep=None)
    with L.Refresher(folder, miners.plain, model.snapshot, schedule=EverySteps(3)) as refresher:
        assert refresher.refresh() == 1
        for step in range(1, 8):
            model.train()
            refresher.step(step)
            refresher.step(step)  # gradients are accumulated: no new step
            assert folder.generation == 1 + step // 3
            assert (made(folder)["step"], made(folder)["process"]) == (step // 3 * 3, os.getpid())
    for generation, indices in tables(folder).items():
        vectors = vectors_after(3 * (generation - 1))
        wanted = nm.mine(
            vectors, vectors, num_negatives=4, exclude_self=True, epoch=generation, seed=3
        )
        assert np.array_equal(indices, wanted.indices)
    assert events(refresher) == [
        ("started", 0, 1), ("swapped", 0, 1), ("started", 3, 2), ("swapped", 3, 2),
        ("started", 6, 3), ("swapped", 6, 3)
    ]  # fmt: skip
    assert refresher.log.swaps() == [(0, 1), (3, 2), (6, 3)]


def test_a_table_is_told_of_its_moment_and_of_the_one_before(tmp_path):
    told = []

    def mine(snapshot, refresh):
        previous = refresh.previous()
        told.append((refresh.generation, refresh.step, refresh.epoch, previous is None))
        if previous is not None:
            assert previous.params["made"]["generation"] == refresh.generation - 1
        assert snapshot is None
        return miners.plain({"vectors": miners.vectors_of(0)}, refresh)

    refresher = L.Refresher(tmp_path, mine, schedule=EverySteps(2))
    refresher.refresh()
    refresher.begin_epoch(0)
    refresher.step(2)
    refresher.begin_epoch(4)
    refresher.step(4)
    assert told == [(1, 0, 0, True), (2, 2, 0, False), (3, 4, 4, False)]


def test_tables_before_an_epoch(tmp_path):
    model = Model()
    refresher = L.Refresher(tmp_path, miners.plain, model.snapshot, schedule=EveryEpochs(2))
    refresher.refresh()
    generations = []
    for epoch in range(5):
        refresher.begin_epoch(epoch)
        assert refresher.folder.epoch == epoch
        generations.append(refresher.folder.generation)
        for step in range(3):
            refresher.step(3 * epoch + step + 1)
    assert generations == [1, 1, 2, 2, 3]
    assert refresher.log.swaps() == [(0, 1), (6, 2), (12, 3)]


def test_without_workers_the_next_batch_has_the_new_table(tmp_path):
    model = Model()
    refresher = L.Refresher(
        L.TableFolder(tmp_path, keep=None), miners.plain, model.snapshot, schedule=EverySteps(2)
    )
    refresher.refresh()
    collate = L.HardNegativeCollator(refresher.folder, num_negatives=4)
    seen = []
    for step, batch in enumerate(DataLoader(SAMPLES, batch_size=4, collate_fn=collate), 1):
        seen.append((batch["idx"], batch["negative_indices"]))
        model.train()
        refresher.step(step)
    for number, (rows, negatives) in enumerate(seen):
        table = tables(refresher.folder)[1 + number // 2]
        assert np.array_equal(negatives.numpy(), table[rows])


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_persistent_workers_see_new_tables(tmp_path, context):
    """Between epochs exactly; within one soon, and no batch is lost or repeated."""
    model = Model()
    folder = L.TableFolder(tmp_path, keep=None)
    schedule = EveryEpochs(1)
    refresher = L.Refresher(folder, miners.plain, model.snapshot, schedule=schedule)
    refresher.refresh()
    collate = L.HardNegativeCollator(folder, num_negatives=4)
    loader = DataLoader(
        SAMPLES,
        batch_size=2,
        collate_fn=collate,
        num_workers=2,
        prefetch_factor=1,
        persistent_workers=True,
        multiprocessing_context=context,
    )
    for epoch in range(4):
        model.train()
        refresher.begin_epoch(epoch)
        before = folder.generation
        rows, generations = [], []
        for number, batch in enumerate(loader):
            if epoch == 3 and number == 1:
                model.train()
                refresher.refresh()
            rows += batch["idx"].tolist()
            mined = tables(folder)
            generations.append(
                {g for g in mined if np.array_equal(batch["negative_indices"], mined[g][rows[-2:]])}
            )
        assert rows == list(range(miners.NUM_QUERIES))
        if epoch < 3:
            assert all(before in those for those in generations)
        else:
            # At that time each of two workers had begun at most one batch more.
            assert all(before in those for those in generations[:2])
            assert all(before + 1 in those for those in generations[4:])
            assert all(those & {before, before + 1} for those in generations)
    assert folder.generation == 5
    assert not np.array_equal(tables(folder)[4], tables(folder)[5])


def _step_and_wait(refresher, step):
    refresher.step(step)
    refresher.wait()


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        (miners.raises, "ArithmeticError: no table 2"),
        (miners.returns_nothing, "TypeError: mine: expected it to return Negatives, got a None"),
        (
            miners.lacks_queries,
            "ValueError: mine: its table lacks 2 queries of the one in use, .* 0",
        ),
        (miners.is_narrower, "ValueError: mine: its table has 2 columns, the one in use has 4"),
    ],
)
@pytest.mark.parametrize("mode", ["sync", "background"])
def test_a_table_that_fails_leaves_the_one_before(tmp_path, mine, message, mode):
    model = Model()
    L.Refresher(tmp_path, miners.plain, model.snapshot, schedule=EverySteps(9)).refresh()
    refresher = L.Refresher(
        tmp_path, mine, model.snapshot, schedule=EverySteps(2), mode=mode, poll_every=1
    )
    with pytest.warns(RuntimeWarning, match=FAILED + message):
        _step_and_wait(refresher, 2)
    assert refresher.folder.generation == 1
    assert events(refresher)[-2:] == [("started", 2, 2), ("failed", 2, 2)]
    assert only_tables(refresher.folder)
    refresher._mine = miners.plain
    if mode == "background":
        refresher._background._mine = miners.plain
    refresher.step(3)
    assert refresher.folder.generation == 1
    refresher.step(4)
    refresher.wait()
    assert refresher.folder.generation == 2


def test_a_snapshot_that_fails_leaves_the_table_too(tmp_path):
    def snapshot():
        raise MemoryError("none left")

    for mode in ("sync", "background"):
        refresher = L.Refresher(
            tmp_path, miners.plain, snapshot, schedule=EverySteps(2), mode=mode, poll_every=1
        )
        with pytest.warns(RuntimeWarning, match=FAILED + "MemoryError: none left"):
            refresher.step(2)
        assert not refresher.mining


def test_a_refresh_that_is_asked_for_raises(tmp_path):
    refresher = L.Refresher(tmp_path, miners.raises, schedule=EverySteps(2))
    with pytest.raises(ArithmeticError, match="no table 1"):
        refresher.refresh()
    assert refresher.folder.generation == 0
    assert events(refresher) == [("started", 0, 1), ("failed", 0, 1)]


def test_interrupting_publishes_nothing(tmp_path):
    def interrupted(snapshot, refresh):
        raise KeyboardInterrupt

    refresher = L.Refresher(tmp_path, interrupted, schedule=EverySteps(2))
    with pytest.raises(KeyboardInterrupt):
        refresher.step(2)
    assert refresher.folder.generation == 0


# --- in the background ----------------------------------------------------------------------------


def test_another_process_mines_what_was_there_when_it_was_started(tmp_path):
    model = Model()
    gate = tmp_path / "gate"
    refresher = in_background(
        tmp_path / "tables",
        miners.after_a_signal,
        lambda: {**model.snapshot(), "gate": gate},
        EverySteps(3),
        num_threads=2,
        niceness=7,
    )
    with refresher:
        for step in range(1, 6):
            model.train()
            refresher.step(step)
        assert refresher.mining
        assert refresher.folder.generation == 0
        gate.touch()
        refresher.wait()
        assert refresher.folder.generation == 1
        told = made(refresher.folder)
        assert told.pop("process") != os.getpid()
        niceness = min(os.getpriority(os.PRIO_PROCESS, 0) + 7, 19)
        assert told == {
            "generation": 1, "step": 3, "epoch": 0, "threads": "2", "niceness": niceness
        }  # fmt: skip
        wanted = miners.plain({"vectors": vectors_after(3)}, nm.refresh.Refresh(1, 3, 0))
        assert np.array_equal(refresher.folder.load().indices, wanted.indices)
        assert events(refresher) == [("started", 3, 1), ("swapped", 5, 1)]
        assert only_tables(refresher.folder)


def test_one_at_a_time_and_what_became_due_follows(tmp_path):
    model = Model()
    gate = tmp_path / "gate"
    refresher = in_background(
        tmp_path / "tables",
        miners.after_a_signal,
        lambda: {**model.snapshot(), "gate": gate},
        EverySteps(2),
    )
    with refresher:
        for step in range(1, 8):  # due at 2, 4 and 6
            refresher.step(step)
        assert events(refresher) == [("started", 2, 1)]
        gate.touch()
        refresher.wait()
        assert events(refresher)[1:] == [("swapped", 7, 1), ("started", 7, 2)]
        refresher.wait()
        assert not refresher.mining
        refresher.step(8)
        refresher.wait()
    assert refresher.folder.generation == 3
    assert made(refresher.folder)["step"] == 8


def test_looks_at_the_steps_it_was_told_to(tmp_path):
    model = Model()
    refresher = L.Refresher(
        tmp_path,
        miners.plain,
        model.snapshot,
        schedule=EverySteps(3),
        mode="background",
        poll_every=5,
    )
    with refresher:
        for step in range(1, 5):
            refresher.step(step)
        assert not refresher.mining
        refresher.step(5)
        assert refresher.mining
        refresher._background.wait()
        for step in range(6, 10):
            refresher.step(step)
            assert refresher.folder.generation == 0
        refresher.step(12)  # a leap over 10
        assert refresher.folder.generation == 1
    assert events(refresher)[:2] == [("started", 5, 1), ("swapped", 12, 1)]


def test_before_an_epoch_too(tmp_path):
    refresher = in_background(tmp_path, miners.plain, Model().snapshot, EveryEpochs(1))
    with refresher:
        refresher.begin_epoch(0)
        assert not refresher.mining
        refresher.begin_epoch(1, step=7)
        assert refresher.mining
        refresher._background.wait()
        refresher.begin_epoch(2, step=14)
        assert refresher.folder.generation == 1
    assert made(refresher.folder)["epoch"] == 1
    assert events(refresher) == [("started", 7, 1), ("swapped", 14, 1), ("started", 14, 2)]


def test_killed_in_mid_write(tmp_path):
    """kill -9 with half a table written: training goes on, the folder is whole, and again."""
    model = Model()
    kill = [True]
    L.Refresher(tmp_path, miners.plain, model.snapshot, schedule=EverySteps(9)).refresh()
    folder = L.TableFolder(tmp_path)
    refresher = in_background(
        folder,
        miners.killed_in_mid_write,
        lambda: {**model.snapshot(), "kill": kill[0]},
        EverySteps(2),
    )
    collate = L.HardNegativeCollator(folder, num_negatives=4)
    first = folder.load().indices
    with refresher:
        refresher.step(2)
        refresher._background._current.process.join()
        (half,) = tmp_path.glob("..refresh-*.tmp")
        assert 0 < half.stat().st_size < folder.table_path().stat().st_size
        assert np.array_equal(collate(SAMPLES)["negative_indices"], first)
        with pytest.warns(RuntimeWarning, match=FAILED + "the process was ended by SIGKILL"):
            refresher.step(3)
        assert np.array_equal(collate(SAMPLES)["negative_indices"], first)
        assert np.array_equal(L.TableFolder(tmp_path).load().indices, first)
        assert only_tables(folder)
        kill[0] = False
        model.train()
        refresher.step(4)
        refresher.wait()
        assert folder.generation == 2
        assert np.array_equal(collate(SAMPLES)["negative_indices"], folder.load().indices)
        assert not np.array_equal(folder.load().indices, first)
    assert events(refresher)[2:] == [
        ("started", 2, 2), ("failed", 3, 2), ("started", 4, 2), ("swapped", 4, 2)
    ]  # fmt: skip


def test_killed_from_outside(tmp_path):
    refresher = in_background(
        tmp_path / "tables",
        miners.after_a_signal,
        lambda: {**Model().snapshot(), "gate": tmp_path / "gate"},
        EverySteps(1),
    )
    with refresher:
        refresher.step(1)
        until((tmp_path / "gate.reached").exists)
        os.kill(refresher._background._current.process.pid, signal.SIGKILL)
        with pytest.warns(RuntimeWarning, match="ended by SIGKILL"):
            refresher.wait()
        assert refresher.folder.generation == 0
        assert only_tables(refresher.folder)


def test_a_process_that_cannot_unpickle_its_function(tmp_path):
    refresher = in_background(tmp_path, miners.Unimportable(), Model().snapshot, EverySteps(1))
    with refresher:
        refresher.step(1)
        with pytest.warns(RuntimeWarning, match="RuntimeError: made in another process"):
            refresher.wait()
        assert only_tables(refresher.folder)


def test_closing_ends_the_process_and_leaves_nothing(tmp_path):
    refresher = in_background(
        tmp_path / "tables",
        miners.after_a_signal,
        lambda: {**Model().snapshot(), "gate": tmp_path / "gate"},
        EverySteps(1),
    )
    refresher.step(1)
    process = refresher._background._current.process.pid
    refresher.close()
    assert not refresher.mining
    assert not Path(f"/proc/{process}").exists()
    assert only_tables(refresher.folder)
    (tmp_path / "gate").touch()
    refresher.step(2)  # it can be used again
    refresher.wait()
    assert refresher.folder.generation == 1
    refresher.close()


def test_a_table_asked_for_ends_the_one_that_is_mined(tmp_path):
    gate = tmp_path / "gate"
    refresher = in_background(
        tmp_path / "tables",
        miners.after_a_signal,
        lambda: {**Model().snapshot(), "gate": gate},
        EverySteps(1),
    )
    refresher.step(1)
    gate.touch()
    assert refresher.refresh() == 1
    assert not refresher.mining
    assert made(refresher.folder)["process"] == os.getpid()


SCRIPT = """
import sys, time
from pathlib import Path
import nearmiss as nm, refresh_miners as miners

if __name__ == "__main__":
    folder, gate = map(Path, sys.argv[1:])
    refresher = nm.loaders.Refresher(
        folder,
        miners.after_a_signal,
        lambda: {"vectors": miners.vectors_of(0), "gate": gate},
        schedule=nm.refresh.EverySteps(1),
        mode="background",
        poll_every=1,
    )
    refresher.step(1)
    print(refresher._background._current.process.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_the_training_process_is_killed(tmp_path):
    """Its miner ends too, and a new run takes the folder up."""
    folder, gate = tmp_path / "tables", tmp_path / "gate"
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    path = str(Path(miners.__file__).parent)
    training = subprocess.Popen(
        [sys.executable, script, folder, gate],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    miner = int(training.stdout.readline())
    until(gate.with_suffix(".reached").exists)
    training.kill()
    training.wait()
    training.stdout.close()
    until(lambda: not _runs(miner))
    assert any(path.name.endswith(".job") for path in folder.iterdir())  # nobody was left to sweep
    gate.touch()
    with in_background(folder, miners.plain, Model().snapshot, EverySteps(1)) as refresher:
        refresher.step(1)
        refresher.wait()
        assert refresher.folder.generation == 1
        assert only_tables(refresher.folder)
    assert [event for event, _, _ in events(refresher)] == ["started", "started", "swapped"]


def _runs(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- restarts and replay --------------------------------------------------------------------------


def test_a_folder_is_taken_up_again(tmp_path):
    model = Model()
    first = L.Refresher(tmp_path, miners.plain, model.snapshot, schedule=EverySteps(2))
    first.refresh()
    for step in range(1, 6):
        first.step(step)
    assert first.folder.generation == 3
    again = L.Refresher(tmp_path, miners.plain, model.snapshot, schedule=EverySteps(2))
    assert again.folder.generation == 3
    again.step(4)  # from a checkpoint of step 3
    assert again.folder.generation == 4
    assert events(again)[-3:] == [("resumed", 3, 3), ("started", 4, 4), ("swapped", 4, 4)]
    assert again.log.swaps() == [(0, 1), (2, 2), (3, 3), (4, 4)]
    once_more = L.Refresher(tmp_path, miners.plain, model.snapshot, schedule=EverySteps(2))
    once_more.step(8)  # from one of step 7: nothing to say
    assert events(once_more)[-3:] == [("swapped", 4, 4), ("started", 8, 5), ("swapped", 8, 5)]


def test_training_that_goes_back(tmp_path):
    model = Model()
    refresher = L.Refresher(tmp_path, miners.plain, model.snapshot, schedule=EverySteps(2))
    refresher.refresh()
    refresher.step(2)
    refresher.step(1)  # a second run of the same Trainer
    assert refresher.folder.generation == 2
    refresher.step(2)
    assert refresher.folder.generation == 3
    assert refresher.log.swaps() == [(0, 2), (2, 3)]


def train(switch, model, mine_late=False):
    """Train two epochs; return what the batches held."""
    collate = L.HardNegativeCollator(switch.folder, num_negatives=2, seed=1)
    loader = DataLoader(SAMPLES, batch_size=3, collate_fn=collate)
    seen, step = [], 0
    for epoch in range(2):
        switch.begin_epoch(epoch, step)
        for batch in loader:
            seen.append(batch["negative_indices"].tolist())
            step += 1
            model.train()
            if mine_late and step % 3 == 0:
                switch._background.wait()
            switch.step(step)
    switch.close()
    return seen


def test_replay_repeats_a_run_that_mined_in_the_background(tmp_path):
    source = L.TableFolder(tmp_path / "source", keep=None)
    model = Model()
    refresher = in_background(source, miners.plain, model.snapshot, EverySteps(2))
    refresher.refresh()
    wanted = train(refresher, model, mine_late=True)
    swaps = refresher.log.swaps()
    assert [swap.step for swap in swaps] != list(range(0, 17, 2))  # they came when they came
    assert len(swaps) >= 4
    replay = L.Replay(source, tmp_path / "again")
    assert replay.folder.generation == 1
    assert train(replay, Model()) == wanted
    assert replay.folder.generation == len(swaps)
    constant = L.TableFolder(tmp_path / "constant")
    constant.publish(nm.Negatives.load(source.table_path(1)))
    nothing = L.Refresher(constant, miners.raises, schedule=EverySteps(99))
    assert train(nothing, Model()) != wanted  # the tables do make a difference


def test_replay_needs_every_table(tmp_path):
    refresher = L.Refresher(
        tmp_path / "kept", miners.plain, Model().snapshot, schedule=EverySteps(1)
    )
    with pytest.raises(ValueError, match="source: .*kept has no log of swaps"):
        L.Replay(tmp_path / "kept", tmp_path / "new")
    for step in range(1, 4):
        refresher.step(step)
    with pytest.raises(ValueError, match="generation 1 is gone from .* needs TableFolder"):
        L.Replay(tmp_path / "kept", tmp_path / "new")
    folder = L.TableFolder(tmp_path / "all", keep=None)
    L.Refresher(folder, miners.plain, Model().snapshot, schedule=EverySteps(1)).step(1)
    with pytest.raises(ValueError, match="folder: .*kept has tables already"):
        L.Replay(folder, tmp_path / "kept")


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"mine": None}, TypeError, "mine: expected a function, got a NoneType"),
        ({"snapshot": 3}, TypeError, "snapshot: expected a function, got a int"),
        ({"schedule": 100}, TypeError, "schedule: expected a Schedule, got a int"),
        ({"mode": "async"}, ValueError, "mode: expected one of 'sync', 'background'"),
        ({"poll_every": 0}, ValueError, "poll_every: must be at least 1"),
        ({"num_threads": 0}, ValueError, "num_threads: must be at least 1"),
        ({"niceness": 20}, ValueError, "niceness: must be at most 19"),
        ({"mode": "background", "mine": lambda s, r: None}, TypeError, "mine: a background proc"),
    ],
)
def test_arguments_are_checked_before_anything(tmp_path, keywords, error, message):
    given = {"mine": miners.plain, "schedule": EverySteps(1), **keywords}
    mine = given.pop("mine")
    with pytest.raises(error, match=message):
        L.Refresher(tmp_path / "tables", mine, **given)
    assert not (tmp_path / "tables").exists()


def test_steps_and_epochs_are_numbers(tmp_path):
    refresher = L.Refresher(tmp_path, miners.plain, Model().snapshot, schedule=EverySteps(1))
    with pytest.raises(ValueError, match="step: must be at least 0"):
        refresher.step(-1)
    with pytest.raises(TypeError, match="epoch: expected an integer"):
        refresher.begin_epoch(1.5)
    assert events(refresher) == []


def test_a_folder_keeps_what_it_is_told_to(tmp_path):
    refresher = L.Refresher(
        L.TableFolder(tmp_path, keep=3), miners.plain, Model().snapshot, schedule=EverySteps(1)
    )
    for step in range(1, 6):
        refresher.step(step)
    kept = [g for g in range(1, 6) if refresher.folder.table_path(g).exists()]
    assert kept == [3, 4, 5]
    assert pickle.loads(pickle.dumps(refresher.folder)).keep == 3
    with pytest.raises(ValueError, match="keep: must be at least 2"):
        L.TableFolder(tmp_path, keep=1)


def test_a_table_file_is_adopted(tmp_path):
    folder = L.TableFolder(tmp_path / "tables")
    table = miners.plain({"vectors": miners.vectors_of(0)}, nm.refresh.Refresh(1, 0, 0))
    table.save(tmp_path / "file")
    assert folder.adopt(tmp_path / "file") == 1
    assert not (tmp_path / "file").exists()
    assert np.array_equal(folder.load().indices, table.indices)
    with pytest.raises(FileNotFoundError):
        folder.adopt(tmp_path / "file")
    assert folder.generation == 1


def test_schedules_and_functions_need_no_torch():
    code = "import sys, nearmiss.refresh.process; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
