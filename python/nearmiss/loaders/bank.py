# SPDX-License-Identifier: Apache-2.0
"""A memory bank: embeddings of earlier steps, kept to mine negatives from. Needs numpy only.

Slots fill in order, so the filled ones are always the first ``len(bank)``, and a corpus of exactly
these is searched: an empty slot cannot be returned, whatever the limits and the strategy. While
slots are being added, that corpus is packed anew by the first search after it; from then on rows
that are replaced are repacked where they lie.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import (
    Float32,
    Int64,
    Matrix,
    as_matrix,
    check_choice,
    check_integer,
    integers_to_int64,
)
from nearmiss.corpus import Corpus, Metric, check_metric, widen
from nearmiss.groups import CorpusGroups, as_group_labels
from nearmiss.ids import Labels, as_labels, as_unique_ids, decode_strings, encode_strings
from nearmiss.limits import Limits
from nearmiss.mining import mine
from nearmiss.negatives import Negatives
from nearmiss.positives import Lists
from nearmiss.request import merge_limits
from nearmiss.runtime import resolve_num_threads

Order: TypeAlias = Literal["fifo", "keyed"]

_FORMAT_VERSION = 1
_MOST_SLOTS = 2**32 - 2  # what a corpus holds


class MemoryBank:
    """Embeddings of earlier steps, mined like a corpus.

    A ``"fifo"`` bank is a queue: new embeddings take the place of the oldest (MoCo; cross-batch
    memory). A ``"keyed"`` bank has one slot for each id: an embedding takes the place of the
    earlier one of its id (the memory bank of instance discrimination).

    Parameters
    ----------
    capacity : int
        Number of slots.
    dim : int
        Number of dimensions.
    metric : {"cosine", "ip", "l2"}
    order : {"fifo", "keyed"}
        What a new embedding replaces.
    num_threads : int, optional
        Threads for packing. Default: all that are allowed.

    Raises
    ------
    ValueError, TypeError
        For arguments that cannot be used.

    Notes
    -----
    Embeddings are held as float32 in main memory, whatever the device of a tensor; its gradient is
    left behind. `enqueue` takes time proportional to its batch. While a bank fills, the first
    search after slots were added packs all that are filled, which costs less than the search unless
    there are only a few queries.

    Methods may be called from several threads and take turns; a search uses all threads by
    itself. They must not be called from a ``progress`` callback of the same bank's `mine`.

    References
    ----------
    He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020.
    Wang et al., "Cross-Batch Memory for Embedding Learning", CVPR 2020.
    Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR
    2018.

    Examples
    --------
    >>> import numpy as np
    >>> from nearmiss.loaders import MemoryBank
    >>> bank = MemoryBank(capacity=3, dim=2)
    >>> bank.enqueue(np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32), ids=["a", "b", "c"])
    array([0, 1, 2])
    >>> found = bank.mine([[1.0, 0.1]], positive_ids=["a"], num_negatives=2)
    >>> found.indices, found.ids
    (array([[1, 2]]), array([['b', 'c']], dtype=object))
    >>> bank.enqueue(np.array([[-1, 0]], np.float32), ids=["d"])  # in the place of "a"
    array([0])
    """

    def __init__(
        self,
        capacity: int,
        dim: int,
        metric: Metric = "cosine",
        order: Order = "fifo",
        *,
        num_threads: int | None = None,
    ) -> None:
        self.capacity = check_integer(capacity, "capacity", 1, _MOST_SLOTS)
        self.dim = check_integer(dim, "dim", 1)
        self.metric: str = check_metric(metric)
        self.order: str = check_choice(order, "order", ("fifo", "keyed"))
        self._num_threads = resolve_num_threads(num_threads)
        self._lock = threading.RLock()
        self._vectors: Float32 = np.zeros((self.capacity, self.dim), dtype=np.float32)
        self._num_filled = 0
        self._num_enqueued = 0  # of a FIFO bank: the next slot is this modulo the capacity
        self._has_ids: bool | None = None  # whether enqueue was given ids; None: not called yet
        self._ids: Labels | None = None  # (capacity,), from the first embeddings on
        self._groups: Labels | None = None  # the same; None: without groups
        self._slots_of: dict[Any, list[int]] = {}
        self._corpus: Corpus | None = None  # of the filled slots; None: to be packed

    def __len__(self) -> int:
        """Return the number of filled slots, which are the first ones."""
        return self._num_filled

    def __repr__(self) -> str:
        return (
            f"MemoryBank(filled={len(self)}, capacity={self.capacity}, dim={self.dim}, "
            f"metric={self.metric!r}, order={self.order!r})"
        )

    @property
    def ids(self) -> Labels:
        """The id in each filled slot (int64, or object holding str), a copy."""
        with self._lock:
            return np.empty(0, np.int64) if self._ids is None else self._ids[: len(self)].copy()

    @property
    def groups(self) -> Labels | None:
        """The group label in each filled slot, a copy; None if the bank has no groups."""
        with self._lock:
            return None if self._groups is None else self._groups[: len(self)].copy()

    def vectors(self, indices: Any = None) -> Any:
        """Return embeddings by slot.

        Parameters
        ----------
        indices : array-like or tensor of int, of any shape, optional
            Slots, such as `Negatives.indices`; -1 for none. Default: all that are filled.

        Returns
        -------
        (…, dim) float32 array, or tensor on their device if ``indices`` is a tensor
            A copy; zeros where ``indices`` is -1.

        Raises
        ------
        ValueError
            For a slot that is not filled.
        TypeError
            For anything but integers.
        """
        torch = sys.modules.get("torch")
        as_tensor = torch is not None and isinstance(indices, torch.Tensor)
        with self._lock:
            if indices is None:
                return self._vectors[: len(self)].copy()
            given = indices.cpu().numpy() if as_tensor else np.asarray(indices)
            slots = integers_to_int64(given, "indices").reshape(given.shape)
            outside = (slots < -1) | (slots >= len(self))
            if outside.any():
                slot = slots[outside][0]
                raise ValueError(f"indices: slot {slot} is not among the {len(self)} filled ones")
            found = np.zeros((*slots.shape, self.dim), dtype=np.float32)
            found[slots >= 0] = self._vectors[slots[slots >= 0]]
        if torch is not None and as_tensor:
            return torch.from_numpy(found).to(indices.device)
        return found

    # --- adding -----------------------------------------------------------------------------------

    def enqueue(
        self,
        embeddings: npt.ArrayLike,
        ids: Iterable[Any] | None = None,
        groups: Iterable[Any] | None = None,
    ) -> Int64:
        """Add a batch of embeddings. On error nothing has changed.

        Parameters
        ----------
        embeddings : array-like of shape (b, dim)
            Any element type of `Corpus`; kept as float32. Not more than ``capacity``.
        ids : sequence of int or str of shape (b,)
            What each embedding is of, from 0 on if numbers. A keyed bank needs them, each once. In
            a FIFO bank an id may be in several slots, of one batch or of several; all of them are
            then meant by ``positive_ids`` and ``exclude_ids``. Default: how many embeddings were
            added before, a number of its own for each.
        groups : sequence of int or str of shape (b,), optional
            Group labels, -1 (or None among strings) for none, to which ``query_groups`` refers.
            Either every batch has them or none.

        Returns
        -------
        (b,) int64
            The slots taken.

        Raises
        ------
        ValueError
            For other shapes, NaN or infinite elements or zero vectors under ``"cosine"`` (the row
            is named), more embeddings than slots, ids that are missing, negative or, in a keyed
            bank, repeated, or groups or ids in some batches only.
        TypeError
            For element types that are not accepted, or ids or groups of another type than before.
        """
        rows = self._check_embeddings(embeddings, "embeddings")
        with self._lock:
            labels = self._check_ids(ids, len(rows))
            group_labels = self._check_groups(groups, len(rows))
            slots = self._slots_for(len(rows), labels)
            if len(rows):
                self._store(slots, rows, labels, group_labels)
                self._has_ids = ids is not None
                self._num_enqueued += len(rows)
        return slots

    def _check_embeddings(self, embeddings: npt.ArrayLike, name: str) -> Float32:
        rows = widen(as_matrix(embeddings, name))
        if rows.shape[1] != self.dim:
            raise ValueError(f"{name}: {rows.shape[1]} dimensions, but the bank has {self.dim}")
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            raise ValueError(f"{name}: row {int(bad.argmax())} holds a NaN or an infinity")
        if self.metric == "cosine":
            # By bits: a caller that flushes denormals would take them for zeros.
            bits = np.ascontiguousarray(rows).view(np.uint32) & np.uint32(0x7FFFFFFF)
            zero = ~bits.any(axis=1)
            if zero.any():
                raise ValueError(
                    f"{name}: row {int(zero.argmax())} is zero, which has no cosine similarity"
                )
        return rows

    def _check_ids(self, ids: Iterable[Any] | None, count: int) -> Labels:
        if ids is None:
            if self.order == "keyed":
                raise ValueError("ids: a keyed bank needs them")
            if self._has_ids:
                raise ValueError("ids: given for earlier embeddings, so they are needed for all")
            return np.arange(self._num_enqueued, self._num_enqueued + count, dtype=np.int64)
        if self._has_ids is False:
            raise ValueError("ids: not given for earlier embeddings, so they cannot be given now")
        check = as_unique_ids if self.order == "keyed" else as_labels
        labels = check(ids, "ids", count, "embedding")
        _check_ids_present(labels)
        _check_same_kind(labels, self._ids, "ids")
        return labels

    def _check_groups(self, groups: Iterable[Any] | None, count: int) -> Labels | None:
        if self._num_filled and count and (groups is None) != (self._groups is None):
            rule = "needed for all" if groups is None else "not given for earlier embeddings"
            raise ValueError(f"groups: {rule}; either every batch has groups or none")
        if groups is None:
            return None
        labels = as_group_labels(groups, "groups", count, "embedding")
        _check_same_kind(labels, self._groups, "groups")
        return labels

    def _slots_for(self, count: int, labels: Labels) -> Int64:
        """Return the slots of a batch, which is refused if there are not enough."""
        if self.order == "fifo":
            if count > self.capacity:
                raise ValueError(
                    f"embeddings: {count} rows, but the bank has {self.capacity} slots"
                )
            return (self._num_enqueued + np.arange(count, dtype=np.int64)) % self.capacity
        slots = np.empty(count, dtype=np.int64)
        used = self._num_filled
        for place, label in enumerate(labels.tolist()):
            known = self._slots_of.get(label)
            slots[place] = used if known is None else known[0]
            used += known is None
            if used > self.capacity:
                raise ValueError(
                    f"ids: no slot for {label!r}: all {self.capacity} belong to other ids"
                )
        return slots

    def _store(
        self, slots: Int64, rows: Float32, labels: Labels, group_labels: Labels | None
    ) -> None:
        """Put what has been checked into different slots, which leave no gap."""
        filled = max(self._num_filled, int(slots.max()) + 1)
        if self._corpus is not None and filled == self._num_filled:
            self._corpus.update(slots, rows, num_threads=self._num_threads)  # in self._vectors
        else:
            self._vectors[slots] = rows
            self._corpus = None
        self._write_ids(slots, labels)
        if group_labels is not None:
            if self._groups is None:
                self._groups = np.empty(self.capacity, dtype=group_labels.dtype)
            self._groups[slots] = group_labels
        self._num_filled = filled

    def _write_ids(self, slots: Int64, labels: Labels) -> None:
        if self._ids is None:
            self._ids = np.empty(self.capacity, dtype=labels.dtype)
        for slot in slots[slots < self._num_filled].tolist():
            left = self._slots_of[self._ids[slot]]
            left.remove(slot)
            if not left:
                del self._slots_of[self._ids[slot]]
        self._ids[slots] = labels
        for slot, label in zip(slots.tolist(), labels.tolist(), strict=True):
            self._slots_of.setdefault(label, []).append(slot)

    # --- mining -----------------------------------------------------------------------------------

    def mine(
        self,
        queries: npt.ArrayLike,
        positives: Any = None,
        *,
        positive_ids: Any = None,
        exclude_ids: Any = None,
        limits: Limits | None = None,
        **keywords: Any,
    ) -> Negatives:
        """Mine negatives among the filled slots: `nearmiss.mine` with the bank as corpus.

        Parameters
        ----------
        queries : array-like of shape (n, dim)
        positives : optional
            Slots of the known positives, in any form of `nearmiss.mine`.
        positive_ids : sequence of length n, optional
            The same by id: for each query an id or a list of ids; -1, or None among strings, for
            none. Every slot of these ids is a positive; ids that are not in the bank have none.
            Not together with ``positives``.
        exclude_ids : sequence of length n, optional
            Ids, in the same forms, whose slots are excluded without being positives, such as
            those of the query itself: margins do not refer to them.
        limits : Limits, optional
        **keywords
            All others of `nearmiss.mine`: limits one by one, ``strategy``, ``num_negatives``,
            ``query_ids``, ``seed``, ``epoch``, ``on_shortage``, … The metric and the groups
            (``query_groups`` refers to those given to `enqueue`) are the bank's own.
            ``corpus_values`` are one per filled slot, ``exclude`` holds slots.

        Returns
        -------
        Negatives
            ``indices`` are slots, valid until the bank changes; ``ids`` are the bank's.

        Raises
        ------
        ValueError
            For an empty bank, and as `nearmiss.mine`.
        TypeError
            For ids of another type than the bank's, and as `nearmiss.mine`.
        """
        _check_keywords(limits, keywords)
        num_queries = len(as_matrix(queries, "queries").rows)
        with self._lock:
            if not len(self):
                raise ValueError("bank: empty, expected at least one embedding; call enqueue first")
            if positive_ids is not None:
                if positives is not None:
                    raise ValueError("positive_ids: cannot be given together with positives")
                positives = self._slots_of_queries(positive_ids, "positive_ids", num_queries)
            own: dict[str, Any] = {}
            if exclude_ids is not None:
                own["exclude"] = self._slots_of_queries(exclude_ids, "exclude_ids", num_queries)
            if self._groups is not None and _refers_to_groups(limits, keywords):
                own["corpus_groups"] = self._groups[: len(self)]
            limits = merge_limits(limits, Limits(**own))
            return mine(queries, self._packed(), positives, limits=limits, **keywords)

    def _packed(self) -> Corpus:
        if self._corpus is None:
            filled = Matrix(self._vectors[: len(self)], "float32", owned=True)
            self._corpus = Corpus._of_matrix(filled, self.metric, None, self._num_threads, "auto")
        # A view: it follows the bank, and tables copy what they mention.
        self._corpus._ids = None if self._ids is None else self._ids[: len(self)]
        return self._corpus

    def _slots_of_queries(self, ids: Any, name: str, num_queries: int) -> Lists:
        """Return the slots of the ids of each query."""
        if isinstance(ids, (str, bytes)) or not hasattr(ids, "__iter__"):
            raise TypeError(f"{name}: expected an id or a list of ids for each query")
        items = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        if len(items) != num_queries:
            raise ValueError(f"{name}: expected {num_queries}, one per query, got {len(items)}")
        lists = [_as_list(item) for item in items]
        flat = as_labels([one for ids_of in lists for one in ids_of], name, None, "id")
        if flat.dtype == np.int64 and len(flat) and flat.min() < -1:
            raise ValueError(f"{name}: {flat.min()}; ids start at 0 and -1 means none")
        present = flat[flat != (-1 if flat.dtype == np.int64 else None)]
        _check_same_kind(present, self._ids, name)
        queries = np.repeat(np.arange(num_queries), [len(ids_of) for ids_of in lists]).tolist()
        slots: list[int] = []
        counts = np.zeros(num_queries + 1, dtype=np.int64)
        for query, label in zip(queries, flat.tolist(), strict=True):
            found = self._slots_of.get(label, ())
            slots += found
            counts[query + 1] += len(found)
        return Lists(np.cumsum(counts, dtype=np.int64), np.array(slots, dtype=np.int64))

    # --- saving -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Return all that the bank holds as plain arrays: ``numpy.savez`` keeps them, no pickle.

        Strings are UTF-8 bytes and where each one ends.
        """
        with self._lock:
            state: dict[str, npt.NDArray[Any]] = {
                "version": np.array(_FORMAT_VERSION, dtype=np.int64),
                "capacity": np.array(self.capacity, dtype=np.int64),
                "metric": np.array(self.metric),
                "order": np.array(self.order),
                "num_enqueued": np.array(self._num_enqueued, dtype=np.int64),
                "vectors": self._vectors[: len(self)].copy(),
            }
            if self._has_ids:
                state |= _labels_to_arrays("ids", self.ids)
            if self._groups is not None:
                groups = CorpusGroups.of(self.groups, None, "groups")
                state["group_codes"] = groups.codes
                state |= _labels_to_arrays("group_labels", groups.distinct)
            return state

    def load_state_dict(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Replace all that the bank holds by what `state_dict` returned. On error nothing changes.

        Raises
        ------
        ValueError
            If the state is of a bank of another capacity, number of dimensions, metric or order,
            or is incomplete or inconsistent.
        """
        restored = MemoryBank(
            self.capacity,
            self.dim,
            self.metric,  # type: ignore[arg-type]
            self.order,  # type: ignore[arg-type]
            num_threads=self._num_threads,
        )
        restored._fill_from(state)
        with self._lock:
            restored._lock = self._lock
            self.__dict__.update(restored.__dict__)

    def _fill_from(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Fill a new bank; what is wrong with the state is found before anything is stored."""
        for name, own in (
            ("version", _FORMAT_VERSION),
            ("capacity", self.capacity),
            ("metric", self.metric),
            ("order", self.order),
        ):
            found = _entry(state, name).tolist()
            if found != own:
                raise ValueError(f"state: {name} is {found!r}, but the bank's is {own!r}")
        num_enqueued = check_integer(_entry(state, "num_enqueued").tolist(), "num_enqueued", 0)
        rows = self._check_embeddings(_entry(state, "vectors"), "vectors")
        most = min(num_enqueued, self.capacity)
        if len(rows) > most or (self.order == "fifo" and len(rows) != most):
            raise ValueError(f"state: {len(rows)} vectors, but {num_enqueued} were enqueued")
        ids, groups = _labels_from_arrays("ids", state), _groups_from_arrays(state)
        if not len(rows):
            return
        slots = np.arange(len(rows), dtype=np.int64)
        if ids is None and self.order == "fifo":
            # The last embedding that went into each slot.
            labels: Labels = slots + (num_enqueued - 1 - slots) // self.capacity * self.capacity
        else:
            labels = self._check_ids(ids, len(rows))
        group_labels = self._check_groups(groups, len(rows))
        self._store(slots, rows, labels, group_labels)
        self._has_ids = ids is not None
        self._num_enqueued = num_enqueued


def _check_ids_present(labels: Labels) -> None:
    """Raise ValueError for an id that means "none" elsewhere."""
    if labels.dtype == np.int64:
        bad = labels < 0
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(f"ids: embedding {row} has id {labels[row]}; ids start at 0")
        return
    for row, label in enumerate(labels):
        if label is None:
            raise ValueError(f"ids: embedding {row} has no id")


def _check_same_kind(labels: Labels, earlier: Labels | None, name: str) -> None:
    if earlier is None or not len(labels) or labels.dtype == earlier.dtype:
        return
    kinds = ["integers" if kind.dtype == np.int64 else "strings" for kind in (labels, earlier)]
    raise TypeError(f"{name}: {kinds[0]}, but those of the bank are {kinds[1]}")


def _as_list(item: Any) -> list[Any]:
    """Return the ids of one query, given as an id or a list of them."""
    if hasattr(item, "tolist"):
        item = item.tolist()
    return list(item) if isinstance(item, (list, tuple)) else [item]


def _check_keywords(limits: Limits | None, keywords: Mapping[str, Any]) -> None:
    for name in ("corpus", "metric", "corpus_groups"):
        if name in keywords:
            raise TypeError(f"{name}: is the bank's own and cannot be given")
    if limits is not None and not isinstance(limits, Limits):
        raise TypeError(f"limits: expected nearmiss.Limits, got a {type(limits).__name__}")
    if keywords.get("exclude_self") or (limits is not None and limits.exclude_self):
        raise ValueError("exclude_self: queries have no slots; give their ids as exclude_ids")


def _refers_to_groups(limits: Limits | None, keywords: Mapping[str, Any]) -> bool:
    if keywords.get("query_groups") is not None:
        return True
    return limits is not None and limits.query_groups is not None


# --- labels as plain arrays -----------------------------------------------------------------------


def _entry(state: Mapping[str, npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    if name not in state:
        raise ValueError(f"state: has no {name!r}")
    return np.asarray(state[name])


def _labels_to_arrays(name: str, labels: Labels) -> dict[str, npt.NDArray[Any]]:
    if labels.dtype == np.int64:
        return {name: labels}
    text, ends = encode_strings(labels)
    return {f"{name}_text": text, f"{name}_ends": ends}


def _labels_from_arrays(name: str, state: Mapping[str, npt.NDArray[Any]]) -> Labels | None:
    if name in state:
        return np.array(as_labels(_entry(state, name), name, None, "embedding"))
    if f"{name}_text" not in state:
        return None
    return decode_strings(_entry(state, f"{name}_text"), _entry(state, f"{name}_ends"))


def _groups_from_arrays(state: Mapping[str, npt.NDArray[Any]]) -> Labels | None:
    if "group_codes" not in state:
        return None
    distinct = _labels_from_arrays("group_labels", state)
    codes = integers_to_int64(_entry(state, "group_codes"), "group_codes")
    if distinct is None or (len(codes) and not -1 <= codes.min() <= codes.max() < len(distinct)):
        raise ValueError("state: group_codes do not fit group_labels")
    none = np.array([-1 if distinct.dtype == np.int64 else None], dtype=distinct.dtype)
    return np.concatenate([distinct, none])[codes]
