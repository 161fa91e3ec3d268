# SPDX-License-Identifier: Apache-2.0
"""Triples (head, relation, tail) of a knowledge graph: which side to corrupt, and with what."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Float64, Int64, as_row_matrix, check_choice, check_integer
from nearmiss.positives import Lists, grouped

Side = Literal["head", "tail"]


def head_corruption_probabilities(triples: npt.ArrayLike, num_relations: int) -> Float64:
    """Return how likely the head, not the tail, is to be replaced, for each relation.

    ``tph / (tph + hpt)``: tph is how many tails a head of the relation has on average, hpt how
    many heads a tail has. Where a head has many tails, a random tail is more likely to be true, so
    the head is replaced more often.

    Parameters
    ----------
    triples : array-like of int of shape (t, 3)
        Head, relation, tail. Repeated triples count once.
    num_relations : int
        Relations are 0, 1, …, ``num_relations`` - 1.

    Returns
    -------
    (num_relations,) float64
        nan for a relation without triples.

    Raises
    ------
    ValueError
        For a negative number or a relation out of range, naming the triple.

    Notes
    -----
    With T distinct triples of H heads and of U tails, tph = T / H and hpt = T / U, so the
    probability is U / (H + U).

    References
    ----------
    Wang, Zhang, Feng & Chen, "Knowledge Graph Embedding by Translating on Hyperplanes",
    AAAI 2014; the Bernoulli sampler of PyKEEN.

    Examples
    --------
    >>> import nearmiss as nm
    >>> triples = [(0, 0, 5), (0, 0, 6), (1, 0, 7)]  # 1.5 tails per head, 1 head per tail
    >>> nm.relations.head_corruption_probabilities(triples, 1)
    array([0.6])
    """
    typed = pseudo_typed(triples, num_relations)
    heads, tails = typed.heads.lengths(), typed.tails.lengths()
    probabilities = np.full(len(heads), np.nan)
    np.divide(tails, heads + tails, out=probabilities, where=heads > 0)
    return probabilities


class PseudoTyped(NamedTuple):
    """The entities that each relation has on its sides, as tuples (indptr, indices).

    Attributes
    ----------
    heads, tails : Lists
        List r holds the heads, the tails, of relation r, ascending.
    """

    heads: Lists
    tails: Lists


def pseudo_typed(triples: npt.ArrayLike, num_relations: int) -> PseudoTyped:
    """List the entities that stand on each side of each relation: candidates of the right type.

    PyKEEN's sampler of this name draws from the heads and the tails of a relation laid one after
    the other; where the draw fell says which side of the triple it replaces. What it draws may be
    true: leave out `known_completions`.

    Parameters
    ----------
    triples : array-like of int of shape (t, 3)
        Head, relation, tail.
    num_relations : int
        Relations are 0, 1, …, ``num_relations`` - 1.

    Returns
    -------
    PseudoTyped

    Raises
    ------
    ValueError
        For a negative number or a relation out of range, naming the triple.

    Examples
    --------
    >>> import nearmiss as nm
    >>> sides = nm.relations.pseudo_typed([(0, 0, 5), (0, 0, 6), (1, 1, 7)], 2)
    >>> sides.heads.rows, sides.tails.rows
    (array([0, 1]), array([5, 6, 7]))
    """
    num_relations = check_integer(num_relations, "num_relations", 0)
    heads, relations, tails = _as_triples(triples, "triples").T
    for triple in np.flatnonzero(relations >= num_relations)[:1]:
        raise ValueError(
            f"triples: triple {triple} has relation {relations[triple]}, but there are "
            f"{num_relations} relations"
        )
    return PseudoTyped(
        grouped(relations, heads, num_relations), grouped(relations, tails, num_relations)
    )


def known_completions(triples: npt.ArrayLike, batch: npt.ArrayLike, side: Side) -> Lists:
    """List the entities that make each triple of a batch a known one when put on one side.

    Parameters
    ----------
    triples : array-like of int of shape (t, 3)
        What is known to be true: head, relation, tail.
    batch : array-like of int of shape (b, 3)
        The triples to corrupt.
    side : {"head", "tail"}
        Which entity is to be replaced.

    Returns
    -------
    tuple (indptr, indices)
        A list for each triple of the batch, ascending; the entity that stands there already is in
        it if the triple is known. A form of ``exclude``, of `neighbor_cluster_negatives` and of
        ``sampling.complement``.

    Raises
    ------
    ValueError
        For a wrong shape or a negative number, naming the triple.

    Examples
    --------
    >>> import nearmiss as nm
    >>> known = [(0, 0, 5), (0, 0, 6), (1, 0, 5)]
    >>> nm.relations.known_completions(known, [(0, 0, 5)], "tail").rows
    array([5, 6])
    """
    check_choice(side, "side", ("head", "tail"))
    replaced, kept = (0, 2) if side == "head" else (2, 0)
    facts, asked = _as_triples(triples, "triples"), _as_triples(batch, "batch")
    # Pairs (relation, other entity) as dense numbers.
    both = np.concatenate([facts, asked])
    relations = np.unique(both[:, 1], return_inverse=True)[1]
    distinct, entities = np.unique(both[:, kept], return_inverse=True)
    keys = np.unique(relations * np.int64(len(distinct)) + entities, return_inverse=True)[1]
    completions = grouped(keys[: len(facts)], facts[:, replaced], int(keys.max(initial=-1)) + 1)
    return completions.take(keys[len(facts) :])


def _as_triples(value: Any, name: str) -> Int64:
    if hasattr(value, "__len__") and len(value) == 0:
        return np.empty((0, 3), dtype=np.int64)
    triples = as_row_matrix(value, name)
    if triples.shape[1] != 3:
        raise ValueError(f"{name}: expected shape (triples, 3), got {triples.shape}")
    for triple in np.flatnonzero((triples < 0).any(axis=1))[:1]:
        raise ValueError(
            f"{name}: triple {triple} is {tuple(triples[triple].tolist())}; numbers start at 0"
        )
    return triples
