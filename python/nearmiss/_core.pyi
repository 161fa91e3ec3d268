# SPDX-License-Identifier: Apache-2.0
"""The compiled core, as Python sees it. Called only by the modules of this package.

Matrices come as two-dimensional numpy arrays whose rows are contiguous and aligned (any row
stride), together with the name of their element type: ``"float32"``, ``"float16"``,
``"bfloat16"`` (held in ``uint16``), ``"int8"`` or ``"uint8"``. Lists per query come in CSR form,
``(indptr int64 (n + 1,), rows int64 (nnz,))``, the rows of each query ascending and unique.
Group codes are ``int64``; -1 belongs to no group. ``num_threads=0`` means the default.
``progress``, where given, is called on the calling thread with the fraction done; an exception
it raises stops the work, as does Ctrl-C.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, TypedDict, final

import numpy as np
import numpy.typing as npt

_Matrix: TypeAlias = npt.NDArray[Any]
_Int64: TypeAlias = npt.NDArray[np.int64]
_Float32: TypeAlias = npt.NDArray[np.float32]
_Float64: TypeAlias = npt.NDArray[np.float64]
_Csr: TypeAlias = tuple[_Int64, _Int64]
_Progress: TypeAlias = Callable[[float], object]

# (number of probes, recall if that is 0, number of lists or 0, seed, sample)
_Probes: TypeAlias = tuple[int, float, int, int, int]

class _Optional(TypedDict, total=False):
    strata: _Int64  # of law "bands": which band, (n, num_negatives), -1 padded
    # Of an approximate search: num_probes, num_lists, widened (queries), sampled (queries),
    # expected (rows in their exact pools), found (of these in the lists that were looked at), and
    # over the sampled queries the sums expected_squares, found_squares, products (of the two).
    probes: dict[str, int]

class _MineResult(_Optional):
    indices: _Int64  # (n, num_negatives), -1 padded
    scores: _Float32  # (n, num_negatives), nan padded
    counts: _Int64  # (n,)
    positive_scores: _Float32  # (n,) the reference s+ of each query, nan without one
    work: dict[str, int]
    skipped: _Int64  # (n, 7) ruled out: positive, duplicate, exclude, self, group, value, max score

@final
class Corpus:
    """Packed rows. Keeps a reference to ``rows``."""

    def __init__(
        self,
        rows: _Matrix,
        element_type: str,
        metric: str,
        groups: _Int64 | None = None,
        num_threads: int = 0,
        precision: str = "auto",
    ) -> None: ...
    @staticmethod
    def restore(
        rows: _Matrix,
        element_type: str,
        metric: str,
        groups: _Int64 | None,
        state: dict[str, Any],
    ) -> Corpus:
        """Take up what `state` returned for the same rows; refers to its arrays."""
    def state(self) -> dict[str, Any]:
        """What packing found out: arrays over the corpus's memory (until update), and numbers."""
    def move_rows(self, rows: _Matrix, element_type: str) -> None:
        """Read the same values elsewhere from now on."""
    def update(
        self, positions: _Int64, rows: _Matrix, element_type: str, num_threads: int = 0
    ) -> None: ...
    def lists(
        self, num_lists: int = 0, seed: int = 0, num_threads: int = 0
    ) -> tuple[_Float32, _Int64]:
        """Centres of the lists that approximate searches look at, and the list of each row."""
    @property
    def num_rows(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def metric(self) -> str: ...
    @property
    def element_type(self) -> str: ...
    @property
    def nbytes(self) -> int: ...

@final
class Batch:
    """Rows of a batch and their labels. Keeps references to the arrays."""

    def __init__(
        self,
        anchors: _Matrix,
        anchor_type: str,
        candidates: _Matrix | None,  # None: the anchors, and nothing is paired with itself
        candidate_type: str,
        labels: _Int64,
        candidate_labels: _Int64,
        metric: str,
        scores: _Float32 | None = None,  # (n, m), computed elsewhere
    ) -> None: ...
    # Gauges: "score", "distance", "squared_distance". Triplets are (anchors, positives, negatives),
    # pairs (anchors, positives, anchors, negatives).
    def batch_hard(self, num_threads: int = 0) -> tuple[_Int64, _Int64, _Int64]: ...
    def margin_triplets(
        self,
        gauge: str,
        above: float,
        most: float,
        max_triplets: int | None,
        seed: int,
        step: int,
        num_threads: int = 0,
    ) -> tuple[_Int64, _Int64, _Int64]: ...
    def semi_hard(
        self,
        gauge: str,
        margin: float,
        nearest: bool,
        or_any_negative: bool,
        max_triplets: int | None,
        seed: int,
        step: int,
        num_threads: int = 0,
    ) -> tuple[_Int64, _Int64, _Int64]: ...
    def soft_hard(
        self, or_any: bool, seed: int, step: int, num_threads: int = 0
    ) -> tuple[_Int64, _Int64, _Int64]: ...
    def distance_weighted(
        self,
        dimensions: float,
        nearest: float,
        farthest: float,
        max_triplets: int | None,
        seed: int,
        step: int,
        num_threads: int = 0,
    ) -> tuple[_Int64, _Int64, _Int64]: ...
    def multi_similarity(
        self, gauge: str, epsilon: float, num_threads: int = 0
    ) -> tuple[_Int64, _Int64, _Int64, _Int64]: ...
    def nearest_negatives(
        self, k: int, num_threads: int = 0
    ) -> tuple[_Int64, _Int64, _Int64, _Int64]: ...

def log_distance_weights(
    distances: _Float64, dimensions: float, nearest: float, farthest: float
) -> _Float64: ...

class _Clustering(TypedDict):
    centers: _Float32  # (k, d)
    labels: npt.NDArray[np.int32]  # (n,) to these centres
    loss: float  # the same
    free_loss: float  # to the nearest of these centres
    losses: _Float64  # (iterations,) to the centres each began with
    cluster_weights: _Float64  # (k,)

@final
class Points:
    """Rows to cluster. Keeps references to ``rows`` and ``weights``."""

    def __init__(
        self,
        rows: _Matrix,
        element_type: str,
        metric: str,  # "l2" or "cosine"
        weights: _Float64 | None = None,  # (n,)
        num_threads: int = 0,
    ) -> None: ...
    def seed(
        self,
        num_clusters: int,
        law: str,  # "k-means++", "greedy-k-means++", "random", "rejection" or "afk-mc2"
        trials: int = 0,
        seed: int = 0,
        run: int = 0,
        num_threads: int = 0,
        progress: _Progress | None = None,
    ) -> _Int64: ...
    def assign(
        self,
        centers: _Float32,  # (k, d)
        num_threads: int = 0,
        progress: _Progress | None = None,
    ) -> tuple[npt.NDArray[np.int32], _Float32]: ...  # (n,) labels and scores
    def sum_clusters(
        self, labels: npt.NDArray[np.int32], num_clusters: int, num_threads: int = 0
    ) -> tuple[_Float64, _Float64]: ...  # (k, d) sums, (k,) weights
    def total_loss(self, scores: _Float32) -> float: ...
    def lloyd(
        self,
        centers: _Float32,
        max_iter: int,
        tol: float,
        size_limits: tuple[int, int] | None = None,  # least and most rows of a cluster
        num_threads: int = 0,
        progress: _Progress | None = None,
    ) -> _Clustering: ...

def topk(
    queries: _Matrix,
    element_type: str,
    corpus: Corpus,
    k: int,
    *,
    precision: str = "auto",
    num_threads: int = 0,
    progress: _Progress | None = None,
    probes: _Probes | None = None,
) -> tuple[_Float32, _Int64, dict[str, Any]]: ...
def mine(
    queries: _Matrix,
    element_type: str,
    corpus: Corpus,
    *,
    num_negatives: int,
    # "top", "random" and "bands" (of the rank window), "uniform" (over all admissible rows)
    law: str,
    positives: _Csr | None = None,
    exclude: _Csr | None = None,
    self_rows: _Int64 | None = None,  # (n,), -1 none
    exclude_duplicates: bool = True,
    query_groups: _Int64 | None = None,
    corpus_groups: _Int64 | None = None,  # None: those the Corpus was built with
    within_groups: bool = False,
    corpus_values: _Float64 | None = None,  # (m,)
    min_value: _Float64 | None = None,  # (n,) closed
    max_value: _Float64 | None = None,  # (n,) open
    min_score: _Float64 | None = None,  # (n,)
    max_score: _Float64 | None = None,  # (n,)
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    margin_reference: str = "min",
    positive_scores: _Float32 | None = None,  # (n,) given s+, nan without one
    range_min: int = 0,
    range_max: int | None = None,
    raw_ranks: bool = False,
    query_ids: _Int64 | None = None,
    seed: int = 0,
    epoch: int = 0,
    bands: list[tuple[float, float, int, bool]] = ...,  # (low, high, quota, nearest)
    band_scale: str = "rank",
    band_spill: str = "none",
    precision: str = "auto",
    probes: _Probes | None = None,
    num_threads: int = 0,
    progress: _Progress | None = None,
) -> _MineResult: ...
def mine_candidates(
    scores: _Float32,  # (n, c), higher is closer
    rows: _Int64,  # (n, c), -1 for none
    *,
    num_negatives: int,
    law: str,  # "top", "random" or "bands"
    positives: _Csr | None = None,
    exclude: _Csr | None = None,
    self_rows: _Int64 | None = None,
    query_groups: _Int64 | None = None,
    corpus_groups: _Int64 | None = None,
    within_groups: bool = False,
    corpus_values: _Float64 | None = None,
    min_value: _Float64 | None = None,
    max_value: _Float64 | None = None,
    min_score: _Float64 | None = None,
    max_score: _Float64 | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    margin_reference: str = "min",
    positive_scores: _Float32 | None = None,  # (n,); None: looked up among the candidates
    range_min: int = 0,
    range_max: int | None = None,
    raw_ranks: bool = False,
    query_ids: _Int64 | None = None,
    seed: int = 0,
    epoch: int = 0,
    bands: list[tuple[float, float, int, bool]] = ...,
    band_scale: str = "rank",
    band_spill: str = "none",
    num_threads: int = 0,
    progress: _Progress | None = None,
) -> _MineResult: ...
def mine_pools(
    queries: _Matrix,
    element_type: str,
    corpus: Corpus,
    # sink(first_query, scores, rows, admissible, positive_scores) gets the rank windows of
    # successive queries: scores float32 and rows int64, padded, and bool, of one shape.
    sink: Callable[[int, _Float32, _Int64, npt.NDArray[np.bool_], _Float32], None],
    **limits: Any,  # those of mine, without the choice; range_max must be set
) -> _MineResult: ...  # without a table
def candidate_pools(
    scores: _Float32,
    rows: _Int64,
    sink: Callable[[int, _Float32, _Int64, npt.NDArray[np.bool_], _Float32], None],
    **limits: Any,
) -> _MineResult: ...
def pair_scores(
    queries: _Matrix,
    element_type: str,
    corpus: Corpus,
    query_rows: _Int64,
    corpus_rows: _Int64,
    *,
    num_threads: int = 0,
) -> _Float32: ...
def balanced_two_means(
    vectors: _Matrix,
    element_type: str,
    depth: int,
    seed: int,
    num_threads: int = 0,
    progress: _Progress | None = None,
) -> _Int64: ...  # the leaf of each row
def is_arrow_text(column: object) -> bool:
    """Whether the Arrow interface of an object gives texts that `first_equal` reads in place."""

def first_equal(
    columns: list[tuple[str, Any]],  # name; a tuple of str and None, or what is_arrow_text
    num_threads: int = 0,
) -> _Int64:
    """For every text, column after column: the place of the first equal one; -1 for none."""

def pack_batches(
    order: _Int64,  # every row once
    brings: _Csr | None,  # keys of each row, ascending
    refuses: _Csr | None,
    num_keys: int,
    wanted: _Int64 | None,  # (n, k) rows, -1 none
    onward: bool,
    batch_size: int,
    num_batches: int,
) -> tuple[_Int64, _Int64, _Int64]: ...  # indptr, indices, unplaced
def random_bits(
    seed: int, stream: int, epoch: int, query_ids: _Int64, counters: _Int64
) -> npt.NDArray[np.uint64]: ...
def sample_columns(
    counts: _Int64, num_columns: int, query_ids: _Int64, num_drawn: int, seed: int, epoch: int
) -> _Int64: ...  # (n, num_drawn) columns ascending, -1 padded
def sample_weighted(
    log_weights: _Float64,  # (n, p)
    ids: _Int64 | None,  # (n, p), -1 none; None: column numbers
    num_drawn: int,
    query_ids: _Int64,
    seed: int,
    epoch: int,
    with_log_probs: bool = False,
    num_threads: int = 0,
) -> tuple[_Int64, _Int64, _Float64 | None]: ...  # columns, counts, log_probs
def sample_complement(
    num_items: int,
    excluded: _Csr,
    num_drawn: int,
    weights: _Float64 | None,  # (num_items,)
    replace: bool,
    query_ids: _Int64,
    seed: int,
    epoch: int,
    num_threads: int = 0,
) -> tuple[_Int64, _Int64, None]: ...  # items, counts

@final
class AliasTable:
    def __init__(self, weights: _Float64) -> None: ...
    def draw(
        self, num_drawn: int, query_ids: _Int64, seed: int, epoch: int, num_threads: int = 0
    ) -> _Int64: ...
    def probabilities(self) -> _Float64: ...

def power_weights(values: _Float64, power: float, name: str) -> _Float64: ...
def log(x: _Float64) -> _Float64: ...  # flat; the same bits everywhere, as exp
def exp(x: _Float64) -> _Float64: ...
def inclusion_probabilities(
    weights: _Float64, sizes: _Int64, num_threads: int = 0
) -> _Float64: ...  # (n, p)
def conditional_poisson(
    log_weights: _Float64,  # (n, p)
    sizes: _Int64,  # (n,)
    query_ids: _Int64,  # (n,)
    seed: int,
    epoch: int,
    num_threads: int = 0,
) -> tuple[_Int64, _Float64]: ...  # (n, max size) columns, -1 padded; (n,) log-probabilities
def conditional_poisson_inclusion(
    log_weights: _Float64, sizes: _Int64, num_threads: int = 0
) -> _Float64: ...  # (n, p)
def conditional_poisson_weights(inclusion: _Float64, num_threads: int = 0) -> _Float64: ...
def pivotal(
    inclusion: _Float64,  # (n, p)
    order: str,  # "given" or "random"
    query_ids: _Int64,
    seed: int,
    epoch: int,
    num_threads: int = 0,
) -> _Int64: ...  # (n, largest sample) columns, -1 padded
def local_pivotal(
    inclusion: _Float64,  # (n, p)
    vectors: _Matrix,
    element_type: str,
    candidates: _Int64,  # (n, p) rows of vectors, -1 for none
    query_ids: _Int64,
    seed: int,
    epoch: int,
    num_threads: int = 0,
) -> _Int64: ...  # as pivotal
def leverage_scores(
    vectors: _Matrix,
    element_type: str,
    candidates: _Int64,  # (n, p) rows of vectors, -1 for none
    num_threads: int = 0,
) -> _Float64: ...  # (n, p)
def truncate(
    values: _Float64,  # (n, p) log-weights, or weights
    weights: bool,
    rule: str,  # "min_p", "top_p", "epsilon" or "eta"
    limit: float,
    min_keep: int,
    num_threads: int = 0,
) -> _Float64: ...  # (n, p) log-weights
def mean_plus_sd(scores: _Float64, factor: float, ddof: int, num_threads: int = 0) -> _Float64: ...
def quantile(scores: _Float64, q: float, method: str, num_threads: int = 0) -> _Float64: ...
def whisker(
    scores: _Float64, factor: float, side: str, method: str, num_threads: int = 0
) -> _Float64: ...
def simd_targets() -> list[str]: ...
def simd_target() -> str: ...
def set_simd_target(name: str) -> None: ...
def default_num_threads() -> int: ...
def build_info() -> dict[str, str]: ...
