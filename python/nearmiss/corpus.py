# SPDX-License-Identifier: Apache-2.0
"""The vectors negatives are drawn from, packed once for many searches."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any, Literal, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from nearmiss import _core
from nearmiss.arrays import (
    Matrix,
    as_integers,
    as_matrix,
    check_choice,
    check_not_truncated,
    widen_bfloat16,
)
from nearmiss.formats.packed import describe, read_packed, write_packed
from nearmiss.groups import CorpusGroups
from nearmiss.ids import Labels, as_unique_ids
from nearmiss.runtime import resolve_num_threads

Metric: TypeAlias = Literal["cosine", "ip", "l2"]


class Corpus:
    """Vectors packed for search, with optional ids and groups.

    Any number of searches may run on one corpus at a time; `update` waits for them.

    Parameters
    ----------
    embeddings : array-like of shape (m, d)
        float64 (rounded to float32 once), float32, float16, bfloat16, int8 or uint8; numpy
        array, memory map, or tensor of torch (from another device it is copied). A suitable
        array (not float64, elements of a row adjacent and aligned) is referred to, not copied:
        do not change it afterwards, use `update`.
    metric : {"cosine", "ip", "l2"}
        Cosine similarity, inner product, or negative squared distance: higher is closer.
    ids : sequence of int or str, optional
        An id of your own for each row, all different; results then have `Negatives.ids`.
    groups : array-like of int or str of shape (m,), optional
        A group label for each row; -1 (or None among strings) means none. Rows are packed by
        group, so that searches skip the query's own group at no cost.
    num_threads : int, optional
        Threads for packing. Default: all that are allowed.

    Raises
    ------
    ValueError
        For an empty corpus, NaN or infinite elements, zero rows under ``"cosine"`` (the row is
        named), repeated ids, or lengths that do not match.
    TypeError
        For element types that are not accepted.

    Examples
    --------
    >>> import numpy as np, nearmiss as nm
    >>> corpus = nm.Corpus(np.eye(4, dtype=np.float32), ids=["a", "b", "c", "d"])
    >>> len(corpus), corpus.dim, corpus.metric
    (4, 4, 'cosine')
    """

    def __init__(
        self,
        embeddings: npt.ArrayLike,
        metric: Metric = "cosine",
        ids: Iterable[Any] | None = None,
        groups: Iterable[Any] | None = None,
        num_threads: int | None = None,
    ) -> None:
        threads = resolve_num_threads(num_threads)
        check_metric(metric)
        matrix = as_corpus_matrix(embeddings, "embeddings")
        num_rows = len(matrix.rows)
        self._ids = None if ids is None else as_unique_ids(ids, "ids", num_rows, "corpus row")
        self._groups = None if groups is None else CorpusGroups.of(groups, num_rows, "groups")
        self._pack(matrix, metric, threads, "auto")

    @classmethod
    def _of_matrix(
        cls,
        matrix: Matrix,
        metric: str,
        groups: CorpusGroups | None,
        threads: int,
        precision: str,
    ) -> Corpus:
        """Pack what `mine` has checked already."""
        corpus = cls.__new__(cls)
        corpus._ids = None
        corpus._groups = groups
        corpus._pack(matrix, metric, threads, precision)
        return corpus

    def _pack(self, matrix: Matrix, metric: str, threads: int, precision: str) -> None:
        self._core = _core.Corpus(
            matrix.rows, matrix.element_type, metric, self._group_codes(), threads, precision
        )
        self._matrix = matrix
        self._update_lock = threading.Lock()

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled: a copy would share rows that `update` replaces."""
        raise TypeError(
            "a Corpus cannot be pickled or copied; save() what was packed and load() it where it "
            "is needed, or pack the embeddings there"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what packing computed to a file, so that `load` need not compute it again.

        The file is a quarter to a third of float32 embeddings in size, and takes the place of an
        older one at once and only when complete. It holds neither embeddings nor ids nor groups.

        Parameters
        ----------
        path : path-like
            By custom ``*.nmc``.
        """
        with self._update_lock:
            write_packed(path, self._core.state(), self._description())

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        embeddings: npt.ArrayLike,
        metric: Metric = "cosine",
        ids: Iterable[Any] | None = None,
        groups: Iterable[Any] | None = None,
    ) -> Corpus:
        """Open a corpus that `save` wrote, mapped into memory: no packing, and shared by processes.

        Parameters
        ----------
        path : path-like
            The file.
        embeddings, metric, ids, groups
            As the corpus was made from them. Shape, element type, groups and a sample of about
            1,000 rows are compared; that the other rows are the same too is up to you. With
            ``np.load(…, mmap_mode="r")`` nothing is read until it is needed.

        Raises
        ------
        OSError
            If the file cannot be opened.
        ValueError
            If it is not such a file, is truncated, or was packed from something else.
        """
        check_metric(metric)
        matrix = as_corpus_matrix(embeddings, "embeddings")
        corpus = cls.__new__(cls)
        num_rows = len(matrix.rows)
        corpus._ids = None if ids is None else as_unique_ids(ids, "ids", num_rows, "corpus row")
        corpus._groups = None if groups is None else CorpusGroups.of(groups, num_rows, "groups")
        corpus._matrix = matrix
        corpus._update_lock = threading.Lock()
        codes = corpus._group_codes()
        state = read_packed(path, describe(matrix, metric, codes))
        corpus._core = _core.Corpus.restore(matrix.rows, matrix.element_type, metric, codes, state)
        return corpus

    def _group_codes(self) -> npt.NDArray[np.int64] | None:
        return None if self._groups is None else self._groups.codes

    def _description(self) -> dict[str, Any]:
        return describe(self._matrix, self.metric, self._group_codes())

    def update(
        self, rows: npt.ArrayLike, embeddings: npt.ArrayLike, *, num_threads: int | None = None
    ) -> None:
        """Replace the vectors of some rows; ids and groups stay.

        The array the corpus was made from is never written: the first update copies it, and
        later ones change the copy in place. On error nothing has changed. Updates from several
        threads take turns. Clusters of approximate searches (`Probes`) are made anew by the next.

        Parameters
        ----------
        rows : array-like of int of shape (u,)
            Which rows, each once.
        embeddings : array-like of shape (u, d)
            Their new vectors, of the corpus's element type; a float32 corpus takes any type.
        num_threads : int, optional
            Threads for packing.

        Raises
        ------
        ValueError
            For rows beyond the corpus or given twice, other shapes, NaN or infinite elements, or
            zero vectors under ``"cosine"``.
        TypeError
            For element types that the corpus cannot hold exactly.
        """
        threads = resolve_num_threads(num_threads)
        positions = as_integers(rows, "rows")
        matrix = as_matrix(embeddings, "embeddings")
        # Two first updates at a time would each start from the user's rows: one would be lost.
        with self._update_lock:
            self._check_update(positions, matrix)
            self._replace_rows(positions, matrix, threads)

    def _replace_rows(self, positions: npt.NDArray[np.int64], matrix: Matrix, threads: int) -> None:
        new_rows = widen(matrix) if self._core.element_type == "float32" else matrix.rows
        if not self._matrix.owned:
            own = np.array(self._matrix.rows, order="C")
            self._core.move_rows(own, self._core.element_type)
            self._matrix = Matrix(own, self._core.element_type, owned=True)
        self._core.update(positions, new_rows, self._core.element_type, threads)

    def _check_update(self, positions: npt.NDArray[np.int64], matrix: Matrix) -> None:
        check_not_truncated(self._matrix.rows, "corpus")
        if len(positions) != len(matrix.rows):
            raise ValueError(
                f"embeddings: expected {len(positions)} rows, one for each of rows, "
                f"got {len(matrix.rows)}"
            )
        if matrix.rows.shape[1] != self.dim:
            raise ValueError(
                f"embeddings: {matrix.rows.shape[1]} dimensions, but the corpus has {self.dim}"
            )
        if self._core.element_type not in ("float32", matrix.element_type):
            raise TypeError(
                f"embeddings: expected {self._core.element_type}, the corpus's element type, "
                f"got {matrix.element_type}"
            )
        outside = (positions < 0) | (positions >= len(self))
        if outside.any():
            row = positions[int(outside.argmax())]
            raise ValueError(f"rows: row {row} is not in the corpus, which has {len(self)} rows")
        distinct, times = np.unique(positions, return_counts=True)
        if len(distinct) != len(positions):
            raise ValueError(f"rows: row {distinct[int(times.argmax())]} is given twice")

    def __len__(self) -> int:
        return self._core.num_rows

    def __repr__(self) -> str:
        return (
            f"Corpus(rows={len(self)}, dim={self.dim}, metric={self.metric!r}, "
            f"element_type={self._core.element_type!r}, nbytes={self.nbytes})"
        )

    @property
    def dim(self) -> int:
        """Number of dimensions."""
        return self._core.dim

    @property
    def metric(self) -> str:
        """The metric: ``"cosine"``, ``"ip"`` or ``"l2"``."""
        return self._core.metric

    @property
    def nbytes(self) -> int:
        """Bytes held beyond the caller's array: the packed form, and a copy if one was made."""
        return self._core.nbytes + (self._matrix.rows.nbytes if self._matrix.owned else 0)

    @property
    def ids(self) -> Labels | None:
        """The id of each row (int64, or object holding str), or None."""
        return self._ids

    @property
    def groups(self) -> Labels | None:
        """The group label of each row as given, or None."""
        return None if self._groups is None else self._groups.labels


def as_corpus_matrix(embeddings: npt.ArrayLike, name: str) -> Matrix:
    """Return the rows of a corpus, of which there must be some."""
    matrix = as_matrix(embeddings, name)
    if len(matrix.rows) == 0:
        raise ValueError(f"{name}: empty, expected at least one row")
    return matrix


def check_metric(metric: str, name: str = "metric") -> str:
    """Return the metric if it is one, with the accepted ones in the message otherwise."""
    return check_choice(metric, name, ("cosine", "ip", "l2"))


def widen(matrix: Matrix) -> npt.NDArray[np.float32]:
    """Return the rows as float32, which holds every accepted element exactly."""
    if matrix.element_type == "bfloat16":
        return widen_bfloat16(matrix.rows)
    return matrix.rows.astype(np.float32, copy=False)
