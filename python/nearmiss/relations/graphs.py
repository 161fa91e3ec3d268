# SPDX-License-Identifier: Apache-2.0
"""Who can be reached from whom, in a few steps or in any number, as lists of exclusions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Int64, as_integers, as_row_matrix, check_flag, check_integer
from nearmiss.positives import Lists, grouped, length_of, to_lists

_BLOCK = 1024  # lists made at a time


def within_hops(
    edges: npt.ArrayLike,
    num_nodes: int,
    hops: int = 2,
    *,
    sources: npt.ArrayLike | None = None,
    directed: bool = False,
) -> Lists:
    """List the nodes that are at most so many steps away from each node.

    Graph neighbours are likely false negatives: ``mine(exclude=…)`` keeps them out. HaSa also
    draws its correction of the denominator from them.

    Parameters
    ----------
    edges : array-like of int of shape (e, 2)
        Pairs of nodes; for triples their first and last column. Repeated ones and loops add
        nothing.
    num_nodes : int
        Nodes are 0, 1, …, ``num_nodes`` - 1.
    hops : int, default 2
        The most steps, at least 1. The default was read in the authors' code of HaSa.
    sources : array-like of int of shape (s,), optional
        The nodes to list neighbours for. Default: every node; all lists together may then be
        large, so give those of a batch.
    directed : bool, default False
        Whether an edge leads from its first node to its second only.

    Returns
    -------
    tuple (indptr, indices)
        List i holds the nodes reached from ``sources[i]``, ascending, without that node itself.
        A form of ``exclude`` and ``positives``.

    Raises
    ------
    ValueError
        For a node out of range, naming the edge or source, or a wrong shape.

    References
    ----------
    "HaSa: Hardness and Structure-Aware Contrastive Knowledge Graph Embedding"; the paper argues
    with the length of shortest paths, its code takes the set.

    Examples
    --------
    >>> import nearmiss as nm
    >>> near = nm.relations.within_hops([(0, 1), (1, 2), (2, 3)], 4, sources=[0])
    >>> near.rows.tolist()
    [1, 2]
    """
    num_nodes = check_integer(num_nodes, "num_nodes", 0)
    hops = check_integer(hops, "hops", 1)
    directed = check_flag(directed, "directed")
    ends = _as_edges(edges, num_nodes)
    starts = np.arange(num_nodes, dtype=np.int64)
    if sources is not None:
        starts = as_integers(sources, "sources")
        for place in np.flatnonzero((starts < 0) | (starts >= num_nodes))[:1]:
            raise ValueError(
                f"sources: {starts[place]} at {place}, but there are {num_nodes} nodes"
            )
    froms, tos = ends.T
    if not directed:
        froms, tos = np.concatenate([froms, tos]), np.concatenate([tos, froms])
    steps = grouped(froms, tos, num_nodes)
    return _reached(steps, Lists(np.arange(len(starts) + 1), starts), hops)


def ancestors(parents: Any, positives: Any) -> Lists:
    """List the ancestors of each query's positive labels that are no positives themselves.

    In a taxonomy of labels what is a poodle is also a dog and an animal, whether or not someone
    said so: ``mine(exclude=ancestors(parents, positives))`` makes them neither positives nor
    negatives.

    Parameters
    ----------
    parents
        The parents of each label, in any form of ``positives``: for a tree an array with one
        parent per label, -1 for the root; a list of lists where labels have several.
    positives
        The labels of each query, in any form of ``mine(positives=…)``.

    Returns
    -------
    tuple (indptr, indices)
        A list for each query, ascending. A form of ``exclude``.

    Raises
    ------
    ValueError
        For a parent or a positive out of range, or a label that is its own ancestor.
    TypeError
        For a form that is not accepted.

    References
    ----------
    "CQ-DINO: Mitigating Gradient Dilution via Category Queries for Vast Vocabulary Object
    Detection", its code.

    Examples
    --------
    >>> import nearmiss as nm
    >>> parents = [-1, 0, 1, 1]  # animal > dog > poodle, terrier
    >>> nm.relations.ancestors(parents, [[2], [1, 3]]).rows.tolist()
    [0, 1, 0]
    """
    num_labels = length_of(parents, "parents")
    above = to_lists(parents, "parents", num_labels, num_labels)
    held = to_lists(positives, "positives", length_of(positives, "positives"), num_labels)
    if above is None or held is None:
        raise TypeError(f"{'parents' if above is None else 'positives'}: expected lists, got None")
    _check_acyclic(above)
    return _reached(above, held, num_labels)


def _as_edges(value: Any, num_nodes: int) -> Int64:
    if hasattr(value, "__len__") and len(value) == 0:
        return np.empty((0, 2), dtype=np.int64)
    edges = as_row_matrix(value, "edges")
    if edges.shape[1] != 2:
        raise ValueError(f"edges: expected shape (edges, 2), got {edges.shape}")
    for edge in np.flatnonzero(((edges < 0) | (edges >= num_nodes)).any(axis=1))[:1]:
        raise ValueError(
            f"edges: edge {edge} is ({edges[edge, 0]}, {edges[edge, 1]}), but there are "
            f"{num_nodes} nodes"
        )
    return edges


def _reached(steps: Lists, starts: Lists, hops: int) -> Lists:
    """Return what ``hops`` steps or fewer reach from any of the starts of a list, without these."""
    owners: list[Int64] = []
    nodes: list[Int64] = []
    num_lists, num_nodes = len(starts.indptr) - 1, max(1, len(steps.indptr) - 1)
    for first in range(0, num_lists, _BLOCK):
        numbers = np.arange(first, min(first + _BLOCK, num_lists))
        block = starts.take(numbers)
        # A pair (list, node) is one number.
        frontier = seen = block.owners() * num_nodes + block.rows
        for _ in range(hops):
            reached = steps.take(frontier % num_nodes)
            pairs = np.repeat(frontier // num_nodes, reached.lengths()) * num_nodes + reached.rows
            frontier = np.setdiff1d(pairs, seen)
            if not len(frontier):
                break
            seen = np.union1d(seen, frontier)
        found = np.setdiff1d(seen, block.owners() * num_nodes + block.rows)
        owners.append(found // num_nodes + first)
        nodes.append(found % num_nodes)
    none = np.empty(0, dtype=np.int64)
    return grouped(np.concatenate([none, *owners]), np.concatenate([none, *nodes]), num_lists)


def _check_acyclic(parents: Lists) -> None:
    """Raise ValueError if a label is its own ancestor."""
    num_labels = len(parents.indptr) - 1
    children = grouped(parents.rows, parents.owners(), num_labels)
    waiting = parents.lengths()  # parents that are not known to be below a root
    clear = np.flatnonzero(waiting == 0)
    while len(clear):
        below, times = np.unique(children.take(clear).rows, return_counts=True)
        waiting[below] -= times
        clear = below[waiting[below] == 0]
    if not waiting.any():
        return
    label, seen = int(waiting.argmax()), set[int]()
    while label not in seen:  # each of these has a parent that is none of the clear ones
        seen.add(label)
        own = parents.rows[parents.indptr[label] : parents.indptr[label + 1]]
        label = int(own[waiting[own] > 0][0])
    raise ValueError(f"parents: label {label} is its own ancestor")
