# SPDX-License-Identifier: Apache-2.0
"""`mine_hard_negatives` with the call of sentence-transformers' function of that name."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch

from nearmiss import _core
from nearmiss.arrays import Float32, Int64, check_choice, check_integer
from nearmiss.corpus import Corpus
from nearmiss.formats.base import replacing
from nearmiss.limits import Limits
from nearmiss.mining import mine, mine_candidates, topk
from nearmiss.negatives import Negatives
from nearmiss.positives import Positives
from nearmiss.request import Request

if TYPE_CHECKING:
    from datasets import Dataset

OutputFormat: TypeAlias = Literal["triplet", "n-tuple", "labeled-pair", "labeled-list"]

_FORMATS = ("triplet", "n-tuple", "labeled-pair", "labeled-list")
_SIMILARITIES = ("cosine", "dot")  # the same on vectors of unit length


def mine_hard_negatives(
    dataset: Dataset,
    model: Any,
    anchor_column_name: str | None = None,
    positive_column_name: str | None = None,
    corpus: list[str] | None = None,
    cross_encoder: Any = None,
    range_min: int = 0,
    range_max: int | None = None,
    max_score: float | None = None,
    min_score: float | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    num_negatives: int = 3,
    sampling_strategy: Literal["random", "top"] = "top",
    query_prompt_name: str | None = None,
    query_prompt: str | None = None,
    corpus_prompt_name: str | None = None,
    corpus_prompt: str | None = None,
    include_positives: bool = False,
    output_format: OutputFormat = "triplet",
    output_scores: bool = False,
    batch_size: int = 32,
    faiss_batch_size: int = 16384,
    use_faiss: bool = False,
    use_multi_process: list[str] | bool = False,
    verbose: bool = True,
    cache_folder: str | None = None,
    as_triplets: bool | None = None,
    margin: float | None = None,
    *,
    seed: int = 0,
    num_threads: int | None = None,
) -> Dataset:
    """Add mined negatives to a data set of pairs; called as sentence-transformers' function.

    The rows are the same where that finds what it was asked for. They differ where it does not:
    it looks at the nearest few of each query and filters them, so that a query whose nearest are
    all filtered out goes short; here the search goes on. And where scores are so close that
    its float32 sums put them in another order.

    Parameters
    ----------
    dataset : datasets.Dataset
        Pairs. An anchor that comes several times has several positives.
    model : SentenceTransformer
        Its similarity must be ``"cosine"`` or ``"dot"``, which are the same here: embeddings are
        normalised.
    anchor_column_name, positive_column_name : str, optional
        Default: the first and the second column.
    corpus : list of str, optional
        Texts to find negatives among, besides all positives. Texts that come several times count
        once.
    cross_encoder : CrossEncoder, optional
        Scores the nearest ``range_max`` candidates, and the positives, anew; limits, ranks and
        output are then by its scores. (There, only if a margin or a limit of scores is given.)
    range_min, range_max, max_score, min_score, absolute_margin, relative_margin, num_negatives
        As for `nearmiss.mine`: ranks count what passes all other limits, and several positives
        give the least of their scores. ``range_max`` is by default without limit for
        ``sampling_strategy="top"``; for ``"random"`` and ``cross_encoder`` it is ``range_min`` +
        the most positives of an anchor + ``num_negatives``, or ten times these with a margin or
        a limit of scores.
    sampling_strategy : {"top", "random"}
        The nearest, or any in the window.
    query_prompt_name, query_prompt, corpus_prompt_name, corpus_prompt, batch_size, \
use_multi_process
        For ``model.encode_query`` and ``encode_document``.
    include_positives : bool, default False
        Positives may be found too, margins permitting; the output is then ``"n-tuple"``.
    output_format : {"triplet", "n-tuple", "labeled-pair", "labeled-list"}
        (anchor, positive, negative); (anchor, positive, negative_1, …), without pairs that have too
        few; (anchor, text, label); (anchor, texts, labels).
    output_scores : bool, default False
        A column ``scores`` behind these; ``score`` or ``scores`` in place of the labels.
    faiss_batch_size, use_faiss
        Not used.
    verbose : bool, default True
        Print the statistics of the search.
    cache_folder : path, optional
        Where to keep embeddings. They are found again for the same weights, prompts and texts.
    as_triplets, margin
        Old names: of ``output_format="triplet"`` or ``"n-tuple"``, and of ``absolute_margin``.
    seed : int, default 0
        Of ``sampling_strategy="random"``.
    num_threads : int, optional
        As for `nearmiss.mine`.

    Returns
    -------
    datasets.Dataset

    Raises
    ------
    ValueError
        For an empty data set, one column only, another similarity, or what `nearmiss.mine` refuses.
    ImportError
        If the package datasets is not installed.
    """
    from datasets import Dataset

    output_format, absolute_margin = _old_names(output_format, absolute_margin, as_triplets, margin)
    output_format = "n-tuple" if include_positives else output_format
    check_choice(output_format, "output_format", _FORMATS)
    check_choice(sampling_strategy, "sampling_strategy", ("top", "random"))
    num_negatives = check_integer(num_negatives, "num_negatives", 1)
    range_min = check_integer(range_min, "range_min", 0)
    if model.similarity_fn_name not in _SIMILARITIES:
        raise ValueError(
            f"model: expected a similarity of {' or '.join(_SIMILARITIES)}, "
            f"got {model.similarity_fn_name!r}"
        )
    pairs = _Pairs.of(dataset, anchor_column_name, positive_column_name, corpus)
    if range_max is None and (sampling_strategy == "random" or cross_encoder is not None):
        given = (max_score, min_score, absolute_margin, relative_margin)
        wanted = num_negatives if all(limit is None for limit in given) else 10 * num_negatives
        range_max = range_min + wanted + pairs.most_positives
    limits = Limits(
        range_min=range_min,
        range_max=range_max,
        max_score=max_score,
        min_score=min_score,
        absolute_margin=absolute_margin,
        relative_margin=relative_margin,
    )
    # Refuses what the search would, before anything is encoded.
    Request.of(num_negatives, sampling_strategy, limits, seed, 0, "pad")
    with _encoding(model, use_multi_process) as pool:
        encoder = _Encoder(model, cache_folder, {"batch_size": batch_size, "pool": pool})
        queries = encoder.encode("query", pairs.queries, query_prompt_name, query_prompt)
        documents = encoder.encode("document", pairs.corpus, corpus_prompt_name, corpus_prompt)
    search: dict[str, Any] = {
        "positives": None if include_positives else pairs.positives,
        "num_negatives": num_negatives,
        "strategy": sampling_strategy,
        "limits": limits,
        "seed": seed,
        "num_threads": num_threads,
    }
    packed = Corpus(documents, metric="cosine")
    if cross_encoder is None:
        scores = _core.pair_scores(queries, "float32", packed._core, pairs.of_query, pairs.row)
        negatives = mine(queries, packed, positive_scores=pairs.least(scores), **search)
    else:
        depth = min((range_max or 0) + pairs.most_positives, len(packed))
        found = topk(queries, packed, depth, num_threads=num_threads)[1]
        with _encoding(cross_encoder, use_multi_process) as pool:
            keywords = {"batch_size": batch_size, "pool": pool}
            rescored, scores = _rescore(cross_encoder, pairs, found, keywords)
        least = pairs.least(scores)
        negatives = mine_candidates(rescored, found, positive_scores=least, **search)
    if verbose:
        print(negatives.stats)
    return Dataset.from_dict(_columns(pairs, negatives, scores, output_format, output_scores))


def _old_names(
    output_format: Any, absolute_margin: float | None, as_triplets: bool | None, margin: Any
) -> tuple[Any, float | None]:
    if as_triplets is not None:
        output_format = "triplet" if as_triplets else "n-tuple"
        _deprecated("as_triplets", "output_format")
    if margin is not None:
        absolute_margin = margin
        _deprecated("margin", "absolute_margin")
    return output_format, absolute_margin


def _deprecated(old: str, new: str) -> None:
    warnings.warn(f"{old} is deprecated; use {new}", DeprecationWarning, stacklevel=4)


# --- the pairs ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pairs:
    """The texts, each once, and who is whose positive: (query, corpus row), ascending by query."""

    names: tuple[str, str]
    queries: list[str]
    corpus: list[str]
    of_query: Int64
    row: Int64
    most_positives: int  # of an anchor; a pair that comes twice counts twice, as there

    @classmethod
    def of(
        cls, dataset: Dataset, anchor: str | None, positive: str | None, corpus: list[str] | None
    ) -> _Pairs:
        if len(dataset) == 0:
            raise ValueError("dataset: is empty")
        names = dataset.column_names
        if len(names) < 2:
            raise ValueError(f"dataset: expected two columns, got {len(names)}")
        for name in (anchor, positive):
            if name is not None and name not in names:
                raise ValueError(f"dataset: has no column {name!r}, only {', '.join(names)}")
        anchor, positive = anchor or names[0], positive or names[1]
        anchors, right = list(dataset[anchor]), list(dataset[positive])
        query_of = {text: place for place, text in enumerate(dict.fromkeys(anchors))}
        texts = dict.fromkeys([*(right if corpus is None else corpus), *right])
        row_of = {text: row for row, text in enumerate(texts)}
        pairs = dict.fromkeys(
            (query_of[query], row_of[text]) for query, text in zip(anchors, right, strict=True)
        )
        ordered = np.array(sorted(pairs, key=lambda pair: pair[0]), dtype=np.int64)
        of_query, row = np.ascontiguousarray(ordered.T)
        most = max(Counter(anchors).values())
        return cls((anchor, positive), list(query_of), list(row_of), of_query, row, most)

    @property
    def positives(self) -> Positives:
        return Positives.from_pairs(
            np.stack([self.of_query, self.row], axis=1), num_queries=len(self.queries)
        )

    def least(self, scores: Float32) -> Float32:
        """Return the least score of each query's positives."""
        least = np.full(len(self.queries), np.inf, dtype=np.float32)
        np.minimum.at(least, self.of_query, scores)
        return least


def _rescore(
    cross_encoder: Any, pairs: _Pairs, found: Int64, keywords: dict[str, Any]
) -> tuple[Float32, Float32]:
    """Return the cross-encoder's scores of the candidates, and those of the pairs."""
    texts = [
        (query, pairs.corpus[row])
        for query, rows in zip(pairs.queries, found.tolist(), strict=True)
        for row in rows
    ]
    texts += [
        (pairs.queries[query], pairs.corpus[row])
        for query, row in zip(pairs.of_query, pairs.row, strict=True)
    ]
    scores = np.asarray(cross_encoder.predict(texts, **keywords), dtype=np.float32)
    return scores[: found.size].reshape(found.shape), scores[found.size :]


# --- embeddings -----------------------------------------------------------------------------------


@contextmanager
def _encoding(model: Any, use_multi_process: list[str] | bool) -> Iterator[Any]:
    """Give the pool of processes to encode with, None for this process."""
    if not use_multi_process:
        yield None
        return
    devices = None if isinstance(use_multi_process, bool) else use_multi_process
    pool = model.start_multi_process_pool(target_devices=devices)
    try:
        yield pool
    finally:
        model.stop_multi_process_pool(pool)


class _Encoder:
    """Encodes texts, or finds what it encoded before."""

    def __init__(self, model: Any, cache_folder: str | None, keywords: dict[str, Any]) -> None:
        self._model = model
        self._folder = None if cache_folder is None else Path(cache_folder)
        self._keywords = keywords

    def encode(
        self, side: str, texts: list[str], prompt_name: str | None, prompt: str | None
    ) -> Float32:
        """Return the embeddings of queries or documents, of unit length."""
        if self._folder is None:
            return self._encode(side, texts, prompt_name, prompt)
        path = self._folder / f"{side}-{self._key(side, texts, prompt_name, prompt)}.npy"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                np.save(file, self._encode(side, texts, prompt_name, prompt))
        return np.asarray(np.load(path))

    def _encode(
        self, side: str, texts: list[str], prompt_name: str | None, prompt: str | None
    ) -> Float32:
        encode = getattr(self._model, f"encode_{side}")
        embeddings: Float32 = encode(
            texts,
            normalize_embeddings=True,
            convert_to_numpy=True,
            prompt_name=prompt_name,
            prompt=prompt,
            **self._keywords,
        )
        return np.ascontiguousarray(embeddings, dtype=np.float32)

    def _key(self, *what: Any) -> str:
        """Return a digest of the model's weights and settings, and of what it is to encode."""
        digest = hashlib.sha256(repr((str(self._model), self._model.prompts, what)).encode())
        for name, weights in self._model.state_dict().items():
            digest.update(repr((name, weights.dtype, tuple(weights.shape))).encode())
            flat = weights.detach().cpu().contiguous().view(-1)
            digest.update(flat.view(torch.uint8).numpy().data)  # bfloat16 too
        return digest.hexdigest()


# --- the data set ---------------------------------------------------------------------------------


def _columns(
    pairs: _Pairs,
    negatives: Negatives,
    scores: Float32,
    output_format: OutputFormat,
    output_scores: bool,
) -> dict[str, list[Any]]:
    """Lay out the columns of a format; ``scores`` are those of the pairs."""
    texts = np.array([*pairs.corpus, None], dtype=object)  # the last for -1
    rows = [_Row(*entry) for entry in zip(
        [pairs.queries[query] for query in pairs.of_query],
        texts[pairs.row].tolist(),
        scores.tolist(),
        *_ragged(negatives, texts, pairs.of_query),
        strict=True,
    )]  # fmt: skip
    if output_format == "triplet":
        return _triplets(pairs.names, rows, output_scores)
    if output_format == "n-tuple":
        return _tuples(pairs.names, rows, output_scores, negatives.indices.shape[1])
    if output_format == "labeled-pair":
        return _labeled_pairs(pairs, rows, output_scores)
    return _labeled_lists(pairs.names, rows, output_scores)


@dataclass(frozen=True)
class _Row:
    """A pair and the negatives of its query."""

    anchor: str
    positive: str
    score: float
    negatives: list[str]
    scores: list[float]


def _ragged(
    negatives: Negatives, texts: Any, queries: Int64
) -> tuple[list[list[str]], list[list[float]]]:
    """Return texts and scores of the negatives of these queries, without padding."""
    counts = negatives.counts.tolist()
    found, scores = texts[negatives.indices].tolist(), negatives.scores.tolist()
    return (
        [found[query][: counts[query]] for query in queries],
        [scores[query][: counts[query]] for query in queries],
    )


def _triplets(names: tuple[str, str], rows: Sequence[_Row], with_scores: bool) -> dict[str, Any]:
    made = [
        (row.anchor, row.positive, text, [row.score, score])
        for row in rows
        for text, score in zip(row.negatives, row.scores, strict=True)
    ]
    return _named((*names, "negative", "scores") if with_scores else (*names, "negative"), made)


def _tuples(
    names: tuple[str, str], rows: Sequence[_Row], with_scores: bool, num_negatives: int
) -> dict[str, Any]:
    made = [
        (row.anchor, row.positive, *row.negatives, [row.score, *row.scores])
        for row in rows
        if len(row.negatives) == num_negatives
    ]
    numbered = (f"negative_{place + 1}" for place in range(num_negatives))
    return _named((*names, *numbered, "scores")[: None if with_scores else -1], made)


def _labeled_pairs(pairs: _Pairs, rows: Sequence[_Row], with_scores: bool) -> dict[str, Any]:
    made = []
    for place, row in enumerate(rows):
        made.append((row.anchor, row.positive, row.score if with_scores else 1))
        if place + 1 == len(rows) or pairs.of_query[place + 1] != pairs.of_query[place]:
            made += [
                (row.anchor, text, score if with_scores else 0)
                for text, score in zip(row.negatives, row.scores, strict=True)
            ]
    return _named((*pairs.names, "score" if with_scores else "label"), made)


def _labeled_lists(
    names: tuple[str, str], rows: Sequence[_Row], with_scores: bool
) -> dict[str, Any]:
    made = [
        (
            row.anchor,
            [row.positive, *row.negatives],
            [row.score, *row.scores] if with_scores else [1] + [0] * len(row.negatives),
        )
        for row in rows
        if row.negatives
    ]
    return _named((*names, "scores" if with_scores else "labels"), made)


def _named(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Return the columns of rows, cut to as many as there are names."""
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}
