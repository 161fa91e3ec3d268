# SPDX-License-Identifier: Apache-2.0
"""Refreshing on two real processes of a gloo group: rank 0 mines, both swap at the same step."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import refresh_miners as miners

TRAINING = """
import json, sys, time
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader
import nearmiss as nm
import refresh_miners as miners

STEPS = 9

def snapshots(rank, model):
    def snapshot():
        counted.append(rank)
        if mode == "fails":
            raise MemoryError(f"rank {rank}")
        return {"vectors": miners.vectors_of(len(counted)), "gate": folder + ".gate"}
    return snapshot

if __name__ == "__main__":
    rank, folder, mode = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    dist.init_process_group("gloo", init_method=f"file://{folder}.store", rank=rank, world_size=2)
    counted = []
    refresher = nm.loaders.Refresher(
        nm.loaders.TableFolder(folder, keep=None),
        miners.after_a_signal if mode == "background" else miners.plain,
        snapshots(rank, None),
        schedule=nm.refresh.EverySteps(3),
        mode="background" if mode == "background" else "sync",
        poll_every=2,
    )
    generations, warned = [], []
    if mode == "replay":
        refresher = nm.loaders.Replay(folder, folder + ".replayed")
    import warnings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        refresher.begin_epoch(2)
        for step in range(1, STEPS + 1):
            if (step + rank) % 2:
                time.sleep(0.05)  # now one is ahead, now the other
            # What a collator without workers would see for this step's batch.
            generations.append(refresher.folder.generation)
            if mode == "background" and step == 5 and rank == 0:
                open(folder + ".gate", "w").close()
                refresher._background.wait()
            refresher.step(step)
        if mode == "background":
            refresher.wait()
        warned = [str(warning.message) for warning in caught]
    generations.append(refresher.folder.generation)
    refresher.close()
    dist.barrier()
    print(json.dumps([generations, counted, refresher.folder.epoch, warned]))
    dist.destroy_process_group()
"""


def train(folder, mode):
    """Run both ranks; return what each of them printed."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(rank), str(folder), mode],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(miners.__file__).parent,
        )
        for rank in range(2)
    ]
    told = []
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        told.append(json.loads(out))
    return told


@pytest.mark.slow
def test_both_wait_for_the_table_and_have_it_from_the_same_step(tmp_path):
    for told in train(tmp_path / "tables", "sync"):
        generations, counted, epoch, warned = told
        assert generations == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
        assert len(counted) == 3  # every rank takes part in a snapshot
        assert (epoch, warned) == (2, [])
    for told in train(tmp_path / "tables", "replay"):
        assert told[0] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


@pytest.mark.slow
def test_both_have_a_table_that_was_mined_behind_from_the_same_step(tmp_path):
    """Due at 3, looked at and begun at 4, done at 5, looked at and swapped at 6."""
    first, second = train(tmp_path / "tables", "background")
    assert first[0] == second[0]
    assert first[0][:7] == [0, 0, 0, 0, 0, 0, 1]
    assert first[1] == [0] * len(second[1])
    assert len(first[1]) >= 2
    assert first[3] == second[3] == []


@pytest.mark.slow
def test_a_failure_leaves_both_with_what_they_have(tmp_path):
    for rank, told in enumerate(train(tmp_path / "tables", "fails")):
        assert told[0] == [0] * 10
        assert len(told[3]) == 3
        assert f"MemoryError: rank {rank}" in told[3][0]
