# SPDX-License-Identifier: Apache-2.0
"""The log: what is read back, lines cut short, training that goes back."""

import pytest
from nearmiss.refresh import RefreshLog


def test_reads_back_what_was_added(tmp_path):
    log = RefreshLog(tmp_path)
    assert log.entries() == []
    assert log.swaps() == []
    log.add("started", step=3, generation=1, epoch=0)
    log.add("swapped", step=4, generation=1)
    log.add("failed", step=9, generation=2, error="no\nluck")
    first, second, third = log.entries()
    assert {**first, "time": 0} == {
        "event": "started", "step": 3, "generation": 1, "epoch": 0, "time": 0
    }  # fmt: skip
    assert first["time"] <= second["time"] <= third["time"]
    assert third["error"] == "no\nluck"
    assert log.swaps() == [(4, 1)]
    assert len((tmp_path / "refresh.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("cut", range(1, 30, 7))
def test_a_line_cut_short_harms_no_other(tmp_path, cut):
    log = RefreshLog(tmp_path)
    for step in (1, 2):
        log.add("swapped", step=step, generation=step)
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-cut])
    # Without its newline alone a line is complete.
    wanted = [(1, 1), (2, 2)] if cut == 1 else [(1, 1)]
    assert log.swaps() == wanted
    log.add("swapped", step=3, generation=3)
    assert log.swaps() == [*wanted, (3, 3)]


def test_training_that_goes_back_forgets_what_came_after(tmp_path):
    log = RefreshLog(tmp_path)
    for step, generation in ((0, 1), (10, 2), (20, 3)):
        log.add("swapped", step=step, generation=generation)
    log.add("resumed", step=15, generation=3)
    log.add("swapped", step=20, generation=4)
    assert log.swaps() == [(0, 1), (10, 2), (15, 3), (20, 4)]
    log.add("resumed", step=0, generation=4)
    assert log.swaps() == [(0, 4)]


def test_a_log_that_cannot_be_written_is_warned_of(tmp_path):
    with pytest.warns(UserWarning, match="cannot write .*refresh.jsonl"):
        RefreshLog(tmp_path / "gone").add("started", step=1, generation=1)
