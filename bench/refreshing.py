# SPDX-License-Identifier: Apache-2.0
"""What a refresh in the background costs a training step, in a process of its own.

    python refreshing.py N M K D THREADS ROUNDS BASE_ROWS     (BASE_ROWS 0: all)

Prints one line of JSON. Started by run.py; a fresh process, so that the miner's, which imports what
the main module imports, has no more to import than one of a user's script.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import data
import nearmiss as nm
import numpy as np
import numpy.typing as npt
import torch
from cases import Size
from fresh_process import run_script
from torch.utils.data import DataLoader

SLOWEST = 1.3  # a step while a table is mined, over a step without, at the median
STEPS_BETWEEN = 40
WARM_UP = 15
_NEGATIVES = 4
_BATCH = 256
_HIDDEN = 1024
_TEMPERATURE = 0.05


class Adapter(torch.nn.Module):
    """What is trained: a residual layer on frozen embeddings."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(d, _HIDDEN)
        self.outer = torch.nn.Linear(_HIDDEN, d)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        made = rows + self.outer(torch.nn.functional.gelu(self.inner(rows)))
        return torch.nn.functional.normalize(made, dim=-1)


def mine(snapshot: dict[str, Any], refresh: nm.refresh.Refresh) -> nm.Negatives:
    """Encode everything with the adapter as it was, and mine; in the background process."""
    frozen = [torch.from_numpy(np.load(path)) for path in snapshot["frozen"]]
    adapter = Adapter(frozen[0].shape[1])
    adapter.load_state_dict(snapshot["state"])
    with torch.inference_mode():
        queries, corpus = (
            torch.cat([adapter(part) for part in rows.split(4096)]).numpy() for rows in frozen
        )
    return nm.mine(
        queries,
        corpus,
        np.arange(len(queries)),  # the first rows of the corpus
        num_negatives=snapshot["num_negatives"],
        relative_margin=0.05,
        epoch=refresh.generation,
    )


class OnDemand(nm.refresh.Schedule):
    """Due when it is told so."""

    due = False

    def due_at_step(self, step: int, since: int) -> bool:
        due, self.due = self.due, False
        return due


class Training:
    """A loop over batches whose negatives are from the newest table."""

    def __init__(self, size: Size, base_rows: int | None, folder: Path) -> None:
        self.vectors = data.load_pairs("near", size.n, size.m, base_rows)
        self.corpus = torch.from_numpy(np.ascontiguousarray(self.vectors.corpus))
        self.queries = torch.from_numpy(np.ascontiguousarray(self.vectors.queries))
        self.frozen = [folder / "queries.npy", folder / "corpus.npy"]
        for path, rows in zip(self.frozen, (self.queries, self.corpus), strict=True):
            np.save(path, rows.numpy())
        self.k = size.k
        torch.manual_seed(0)
        self.adapter = Adapter(size.d)
        self.optimizer = torch.optim.AdamW(self.adapter.parameters(), lr=1e-4)
        self.schedule = OnDemand()
        self.refresher = nm.loaders.Refresher(
            nm.loaders.TableFolder(folder / "tables", keep=None),
            mine,
            self.snapshot,
            schedule=self.schedule,
            mode="background",
            poll_every=1,
        )
        self.refresher.refresh()
        self.steps = 0
        self.rows: list[int] = []
        self.batches: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
        self.stream = self.endless()

    def snapshot(self) -> dict[str, Any]:
        return {
            "state": self.adapter.state_dict(),
            "frozen": self.frozen,
            "num_negatives": self.k,
        }

    def endless(self) -> Any:
        samples = [{"idx": row} for row in range(len(self.queries))]
        collate = nm.loaders.HardNegativeCollator(self.refresher.folder, num_negatives=_NEGATIVES)
        generator = torch.Generator().manual_seed(0)
        loader: Any = DataLoader(
            samples,
            batch_size=_BATCH,
            shuffle=True,
            drop_last=True,
            collate_fn=collate,
            generator=generator,
        )
        while True:
            self.rows.clear()
            yield from loader
            if len(set(self.rows)) != len(self.rows) or len(self.rows) != len(loader) * _BATCH:
                raise AssertionError("a batch was lost or repeated")

    def step(self) -> float:
        """Train on one batch; return how long fetching, learning and telling took."""
        start = time.perf_counter()
        batch = next(self.stream)
        rows, negatives = batch["idx"], batch["negative_indices"]
        anchors = self.adapter(self.queries[rows])
        right = self.adapter(self.corpus[rows])
        wrong = self.adapter(self.corpus[negatives.clamp(min=0)].flatten(0, 1))
        scores = anchors @ torch.cat([right, wrong]).T / _TEMPERATURE
        loss = torch.nn.functional.cross_entropy(scores, torch.arange(len(rows)))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        self.refresher.step(self.steps)
        seconds = time.perf_counter() - start
        self.rows += rows.tolist()
        self.batches.append((rows.numpy(), negatives.numpy()))
        return seconds

    def check(self) -> int:
        """Every batch is drawn from one whole table, later ones never from older tables."""
        folder = self.refresher.folder
        tables = [
            nm.Negatives.load(folder.table_path(generation)).indices
            for generation in range(1, folder.generation + 1)
        ]
        swaps = self.refresher.log.swaps()
        for number, (rows, negatives) in enumerate(self.batches, 1):
            generation = max(swap.generation for swap in swaps if swap.step < number)
            held = tables[generation - 1][rows]
            known = (negatives[:, :, np.newaxis] == held[:, np.newaxis]).any(axis=2)
            if not known[negatives >= 0].all():
                raise AssertionError(f"batch {number} is not of table {generation}")
        return len(tables)


def probe(size: Size, threads: int, rounds: int, base_rows: int | None) -> dict[str, Any]:
    """Steps without and with a refresh behind them, by turns."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        training = Training(size, base_rows, Path(folder))
        for _ in range(WARM_UP):
            training.step()
        calm, busy, ratios, worst = [], [], [], []
        for _ in range(rounds):
            without = [training.step() for _ in range(STEPS_BETWEEN)]
            training.schedule.due = True
            start = time.perf_counter()
            training.step()  # begins it; on neither side, but among the slowest
            begun = time.perf_counter() - start
            behind = []
            while training.refresher.mining:
                behind.append(training.step())
            calm.append(float(np.median(without)))
            busy.append(float(np.median(behind)))
            ratios.append(busy[-1] / calm[-1])
            worst.append(max(begun, *behind))
        seconds = [entry["seconds"] for entry in training.refresher.log.entries()[2:]
                   if entry["event"] == "swapped"]  # fmt: skip
        tables = training.check()
        training.refresher.close()
    return {
        "origin": training.vectors.origin,
        "step_s": float(np.median(calm)),
        "refreshed_step_s": float(np.median(busy)),
        "ratio": float(np.median(ratios)),
        "ratios": ratios,
        "slowest_step_s": max(worst),
        "refresh_s": float(np.median(seconds)),
        "steps": training.steps,
        "tables": tables,
        "wanted": SLOWEST,
        "met": float(np.median(ratios)) <= SLOWEST,
    }


def probe_in_fresh_process(
    size: Size, threads: int, rounds: int, base_rows: int | None
) -> dict[str, Any]:
    """Run `probe` in a new interpreter and return what it printed."""
    return run_script(__file__, size.n, size.m, size.k, size.d, threads, rounds, base_rows or 0)


if __name__ == "__main__":
    warnings.simplefilter("error", RuntimeWarning)  # a refresh that fails is no measurement
    n, m, k, d, thread_count, round_count, base = map(int, sys.argv[1:])
    print(json.dumps(probe(Size(n, m, k, d), thread_count, round_count, base or None)))
