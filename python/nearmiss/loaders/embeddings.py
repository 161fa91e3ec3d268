# SPDX-License-Identifier: Apache-2.0
"""Rows of embeddings, looked up for batches."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import torch

from nearmiss.arrays import Int64, as_matrix
from nearmiss.formats.npy import read_npy


class EmbeddingRows:
    """Embeddings of the corpus, from which rows are taken as float32 tensors.

    Parameters
    ----------
    source : array-like of shape (m, d), CPU tensor, or path
        Of any element type that `Corpus` takes; or the path of an ``.npy`` file, which is mapped
        into memory, anew in every process that gets a pickled copy.
    """

    def __init__(self, source: Any) -> None:
        is_path = isinstance(source, (str, os.PathLike))
        self._path: str | None = os.path.abspath(source) if is_path else None
        self._rows: torch.Tensor | None = None if is_path else _as_tensor(source)

    def __len__(self) -> int:
        return len(self._open())

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ if self._path is None else {**self.__dict__, "_rows": None}

    def take(self, rows: Int64) -> torch.Tensor:
        """Return the rows as float32, one more axis than ``rows``; zeros where that is -1."""
        flat = torch.from_numpy(np.ascontiguousarray(rows).reshape(-1))
        absent = flat < 0 if rows.size and rows.min() < 0 else None
        places = flat if absent is None else flat.clamp(min=0)
        found = self._open().index_select(0, places).to(torch.float32)
        if absent is not None:
            found.masked_fill_(absent[:, None], 0)
        return found.view(*rows.shape, found.shape[1])

    def _open(self) -> torch.Tensor:
        if self._rows is None:
            assert self._path is not None
            # Copy-on-write: torch wants memory it could write to.
            self._rows = _as_tensor(read_npy(self._path, "c"))
        return self._rows


def _as_tensor(source: Any) -> torch.Tensor:
    """Return the rows as a tensor, without a copy unless they are of an unusual form."""
    matrix = as_matrix(source, "embeddings")
    if isinstance(source, torch.Tensor) and not matrix.owned:
        return source.detach()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")  # nor is it written to
        if matrix.element_type == "bfloat16":
            return torch.from_numpy(matrix.rows.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(matrix.rows)
