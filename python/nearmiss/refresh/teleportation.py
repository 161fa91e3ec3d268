# SPDX-License-Identifier: Apache-2.0
"""ANCE-Tele: tables made of several sources and of earlier tables, drawn from by epoch windows.

Sun et al., "Reduce Catastrophic Forgetting of Dense Retrieval Training with Teleportation
Negatives", EMNLP 2022; what its text leaves open follows the authors' code.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nearmiss import _core
from nearmiss.arrays import Int64, check_integer, check_seed
from nearmiss.candidates import Candidates
from nearmiss.mining import mine_candidates
from nearmiss.negatives import Negatives, pick
from nearmiss.table_draws import PADDING

_WINDOW_STREAM = 200  # tag of random.hpp
_MOST_MOMENTUM = 61  # a table names at most 63 sources
_FRESH = ("ann", "look-ahead")


def teleport(
    ann: Negatives, look_ahead: Negatives, earlier: Negatives | None = None, *, momentum: int = 2
) -> Negatives:
    """Merge what was mined for the queries, for their positives, and before.

    A function of tables alone. The momentum negatives are those that the last ``momentum`` tables
    mined afresh: ``earlier`` remembers by `Negatives.sources` which of its own are how old.

    Parameters
    ----------
    ann : Negatives
        Mined with the queries' vectors. The authors' scripts draw 30 of each 200 nearest on MS
        MARCO, 80 on NQ and TriviaQA: ``mine(…, strategy="ance", num_negatives=30)``.
    look_ahead : Negatives
        The same, mined with the vector of each query's positive in place of the query's.
    earlier : Negatives, optional
        The table before, as this function returned it; or any table of the same queries. None:
        the first one.
    momentum : int, default 2
        How many earlier tables to remember, 0 to 61. The authors mine three times and keep
        everything, so that the third table holds what two before it mined.

    Returns
    -------
    Negatives
        Every row once, though the authors' pool holds it as often as it was mined, in as many
        columns as there were if the lists had nothing in common. `sources` tell
        who listed it: ``params["sources"]`` are ``"ann"``, ``"look-ahead"``, ``"momentum-1"`` (one
        table ago), … As scores of different vectors and models do not compare, `scores` are
        ``1 / rank``, by the best rank in any list (see `Candidates.merge`).

    Raises
    ------
    ValueError, TypeError
        If the tables are not for the same queries in the same order.

    Examples
    --------
    >>> import numpy as np, nearmiss as nm
    >>> corpus = np.random.default_rng(0).standard_normal((500, 8), dtype=np.float32)
    >>> positives = np.arange(20)
    >>> queries = corpus[positives] + 0.1
    >>> ann = nm.mine(queries, corpus, positives, strategy="ance", num_negatives=30)
    >>> ahead = nm.mine(corpus[positives], corpus, positives, strategy="ance", num_negatives=30)
    >>> first = nm.refresh.teleport(ann, ahead)
    >>> second = nm.refresh.teleport(ann, ahead, first)
    >>> second.params["sources"]
    ['ann', 'look-ahead', 'momentum-1']
    """
    momentum = check_integer(momentum, "momentum", 0, _MOST_MOMENTUM)
    tables = {"ann": ann, "look_ahead": look_ahead}
    if earlier is not None:
        tables["earlier"] = earlier
    for name, table in tables.items():
        if not isinstance(table, Negatives):
            raise TypeError(f"{name}: expected Negatives, got a {type(table).__name__}")
        if not np.array_equal(table.query_ids, ann.query_ids):
            raise ValueError(f"{name}: its queries are not those of ann, in the same order")
    lists = [
        Candidates.from_arrays(table.scores, table.indices, name=name)
        for name, table in zip(_FRESH, (ann, look_ahead), strict=True)
    ]
    if earlier is not None:
        lists += _momentum(earlier, momentum)
    merged = Candidates.merge(lists)
    positives = ann.positives
    # As wide as if they shared nothing: tables that follow each other must not become narrower.
    width = (ann.indices.shape[1] + look_ahead.indices.shape[1]) * (len(lists) - 1)
    pool = mine_candidates(
        merged,
        positives=None if positives is None else (positives.indptr, positives.rows),
        num_negatives=max(merged.indices.shape[1], width),
        query_ids=ann.query_ids,
        seed=ann.params["seed"],
        epoch=ann.params["epoch"],
    )
    return replace(pool, query_indices=ann.query_indices)


def _momentum(earlier: Negatives, momentum: int) -> list[Candidates]:
    """Return what each of the last few tables mined afresh, the latest first."""
    ages = _ages(earlier)
    lists = []
    for age in range(1, min(momentum, len(ages)) + 1):
        indices = np.where(ages[age - 1], earlier.indices, -1)
        lists.append(Candidates.from_arrays(earlier.scores, indices, name=f"momentum-{age}"))
    return lists


def _ages(earlier: Negatives) -> list[np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Tell which entries were mined afresh for this table, for the one before it, and so on."""
    if earlier.sources is None:
        return [earlier.indices >= 0]
    bits = {name: 1 << place for place, name in enumerate(earlier.params["sources"])}
    older = sorted(
        (name for name in bits if name.startswith("momentum-")),
        key=lambda name: int(name.removeprefix("momentum-")),
    )
    fresh = sum(bit for name, bit in bits.items() if name not in older)
    return [(earlier.sources & mask) > 0 for mask in (fresh, *(bits[name] for name in older))]


def epoch_window(table: Negatives, n: int, epoch: int, seed: int | None = None) -> Negatives:
    """Draw ``n`` negatives of each row so that consecutive epochs share none.

    The negatives of a query are shuffled once, by (seed, query id). Epoch e takes those at the
    places e·n … e·n + n − 1 of that order, modulo their number P: ⌊P / n⌋ epochs in a row have
    nothing in common, and P epochs in a row take each negative equally often.

    Parameters
    ----------
    table : Negatives
    n : int
        Negatives per row. A row that has no more keeps all it has. (The authors' code draws with
        replacement there.) Their scripts: 31 for MS MARCO, 11 for NQ and TriviaQA.
    epoch : int
    seed : int, optional
        Default: the seed of the search.

    Returns
    -------
    Negatives
        A table of n columns, still best first, with the optional columns of what was drawn.
    """
    n = check_integer(n, "n", 1, 2**31 - 1)
    epoch = check_seed(epoch, "epoch")
    seed = check_seed(table.params["seed"] if seed is None else seed, "seed")
    columns = _window_columns(table, n, epoch, seed)
    drawn: dict[str, Any] = {
        name: pick(array, columns, missing)
        for name, missing in PADDING.items()
        if (array := getattr(table, name)) is not None
    }
    return replace(
        table,
        counts=(columns >= 0).sum(axis=1, dtype=np.int64),
        params={**table.params, "sampled": {"n": n, "epoch": epoch, "seed": seed, "window": True}},
        **drawn,
    )


def _window_columns(table: Negatives, n: int, epoch: int, seed: int) -> Int64:
    """Return the columns of each row's window, ascending, -1 where there are too few."""
    counts = table.counts[:, np.newaxis]
    width = table.indices.shape[1]
    numbers = np.broadcast_to(np.arange(width, dtype=np.int64), (len(counts), width))
    ids = np.broadcast_to(table.query_ids[:, np.newaxis], numbers.shape)
    keys = _core.random_bits(
        seed, _WINDOW_STREAM, 0, np.ascontiguousarray(ids).ravel(), numbers.ravel()
    ).reshape(numbers.shape)
    shuffled = np.lexsort((keys, numbers >= counts), axis=1)  # what is there comes first
    places = np.arange(n, dtype=np.int64)
    size = np.maximum(counts, 1)
    start = (epoch % size.astype(np.uint64)).astype(np.int64) * (n % size) % size
    drawn = np.take_along_axis(shuffled, (start + places) % size, axis=1)
    columns = np.where(places < counts, drawn, width)
    columns.sort(axis=1)
    return np.where(columns < width, columns, -1)
