# SPDX-License-Identifier: Apache-2.0
"""k-means on scikit-learn's estimator contract, without needing scikit-learn."""

from __future__ import annotations

import heapq
import inspect
import math
import sys
import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from nearmiss import _core
from nearmiss.arrays import (
    Float32,
    Float64,
    Int64,
    Matrix,
    as_float64_vector,
    as_matrix,
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_seed,
)
from nearmiss.corpus import widen
from nearmiss.progress import Progress, reporting
from nearmiss.runtime import resolve_num_threads

Int32: TypeAlias = npt.NDArray[np.int32]
ClusterMetric: TypeAlias = Literal["euclidean", "cosine"]

_METRICS = {"euclidean": "l2", "cosine": "cosine"}
_LAWS = ("k-means++", "greedy-k-means++", "random", "rejection", "afk-mc2", "two-level")
_CHAIN_LENGTH = 200
_LEVEL_LAW = "rejection"
_LEVEL_ITERATIONS = 10
_SEEDING_SHARE = 0.2  # of the progress of a run
_SCORES_PER_BLOCK = 1 << 22
_MOST_WEIGHT = 2.0**896  # of all rows; squared distances are below 2**128


class NotFittedError(ValueError, AttributeError):
    """A model was asked before it was fitted."""


class _Request(NamedTuple):
    """Parameters that have been checked."""

    n_clusters: int
    init: str | Matrix
    n_init: int
    max_iter: int
    tol: float
    metric: str  # the core's name for it
    seed: int
    trials: int
    threads: int
    balanced: bool
    max_cluster_size: int | None

    @property
    def limited(self) -> bool:
        return self.balanced or self.max_cluster_size is not None

    def size_limits(self, num_rows: int) -> tuple[int, int]:
        """Return the least and the most rows of a cluster."""
        k = self.n_clusters
        if self.balanced:
            return num_rows // k, -(-num_rows // k)
        assert self.max_cluster_size is not None
        if self.max_cluster_size * k < num_rows:
            raise ValueError(
                f"max_cluster_size: {k} clusters of at most {self.max_cluster_size} rows hold "
                f"{self.max_cluster_size * k}, but X has {num_rows}"
            )
        return 1, min(self.max_cluster_size, num_rows)


class KMeans:
    """Exact Lloyd k-means with the parameters and attributes of scikit-learn's estimator.

    Every row belongs to the centre of the highest score (`topk` with the centres as the corpus),
    ties to the lower centre; rows are screened in int8 with a proven bound, so that this is exact.
    Centres are means, summed in float64 over ascending rows. The result therefore has the same
    bits on every machine and for any number of threads.

    Parameters
    ----------
    n_clusters : int, default 8
        k, at most the number of rows.
    init : str or array-like of shape (k, d), default "k-means++"
        The first centres, or how to draw them among the rows. All laws count rows by
        ``sample_weight``; D² is the inertia of a row to its nearest centre so far.

        * ``"k-means++"``: the first in proportion to weight, each further one in proportion to D²
          (Arthur and Vassilvitskii 2007). O(n k d).
        * ``"greedy-k-means++"``: of ``init_trials`` such draws the one that leaves the least
          inertia; what scikit-learn calls ``"k-means++"``.
        * ``"rejection"``: the law of ``"k-means++"`` by rejection sampling, without looking at all
          rows for every centre (arXiv:2502.02085). Where that would take longer than looking at
          them, they are looked at. With ``init_trials`` (the paper's m) a row is drawn by
          weight alone after so many rejections, which is faster and no longer exactly that law.
        * ``"afk-mc2"``: Markov chains of ``init_trials`` steps that come near that law (Bachem et
          al. 2016); from the first that ends on a copy of a centre, that law itself.
        * ``"random"``: rows without replacement, in proportion to weight.
        * ``"two-level"``, for large k: √k coarse clusters, then k divided among them in proportion
          to their rows, and as many clusters made within each; both by ``"rejection"`` and at most
          10 iterations. O(n √k d) per iteration instead of O(n k d). Another path than iterations
          over all centres, and mostly to another optimum; ``max_iter`` of them follow, 1 if the
          time of one more is not to be had.
    n_init : int, default 1
        Seedings tried; the one of the least inertia is kept. Must be 1 if ``init`` is an array.
    max_iter : int, default 300
        Most iterations of one run.
    tol : float, default 1e-4
        A run ends when the squared shifts of all centres add up to at most ``tol`` times the mean
        variance of the columns, and in any case once no label changes.
    metric : {"euclidean", "cosine"}, default "euclidean"
        ``"cosine"`` is spherical k-means: centres are unit vectors, along the sum of the unit
        vectors of their rows, and the inertia of a row is 1 - cosine. Otherwise it is the squared
        distance.
    random_state : int, default 0
        Seed of the draws, which are functions of it (``rng_scheme`` 1, streams 64 to 68).
    init_trials : int, optional
        See ``init``. Default: 2 + ⌊ln k⌋ for ``"greedy-k-means++"``, no limit for
        ``"rejection"``, 200 for ``"afk-mc2"``; no other ``init`` takes it.
    balanced : bool, default False
        Whether clusters are of equal size: ⌊n/k⌋ or ⌈n/k⌉ rows each. See Notes.
    max_cluster_size : int, optional
        No cluster gets more rows than this, and none stays empty. Needs k times as many to be at
        least n. ``balanced`` implies a limit, and goes without.
    num_threads : int, optional
        Default: all that are allowed.
    progress : bool or callable, optional
        True shows a bar (needs tqdm); a function is called with the fraction done.

    Attributes
    ----------
    cluster_centers_ : float32 (k, d)
    labels_ : int32 (n,)
        The cluster of each row: ``predict`` of the rows fitted, unless sizes are limited.
    inertia_ : float
        The weighted sum of squared distances (``"cosine"``: of 1 - cosine) to the centres of the
        rows' clusters.
    inertia_history_ : float64 (n_iter_,)
        The inertia that each iteration began with.
    n_iter_ : int
        Iterations of the run that was kept.
    n_features_in_ : int
        d.
    counts_ : float64 (k,)
        Only after `partial_fit`: the weight of all rows each centre has seen.
    balance_cost_ : float
        Only where sizes are limited: the price of that. ``inertia_`` over the inertia of the same
        rows to the nearest of the same centres; 1 if the limits cost nothing (also where both are
        0).

    Notes
    -----
    An empty cluster, the lowest first, gets the row of the greatest inertia (ties to the lower
    row) that has weight, is not alone in its cluster, and is no copy of a row given away in the
    same iteration. Clusters are empty in the end, and `fit` warns, if fewer distinct rows than k
    have weight, where rows count as one whose distance rounds to 0 in float32; or if the run ended,
    by ``max_iter`` or ``tol``, with a move of the centres that left one without rows.

    **Limited sizes** (``balanced``, ``max_cluster_size``). In place of each row's nearest centre,
    fits take the assignment of least total inertia among all within the limits, a minimum cost flow
    ("constrained k-means"; Bradley, Bennett and Demiriz 2000). Sizes are exact, always. Each row
    has the choice of its 16 nearest centres, from the fourth iteration on of its 8 nearest, and of
    its last one; for k ≤ 16 of all, so that the assignment is optimal. Where that leaves no way to
    the sizes wanted, as where many rows are alike, rows are also offered the nearest clusters with
    room, up to about 64; if not even these are enough, the cheapest moves of rows to any cluster
    come first. Candidates are searched for in the first iteration, in the fourth (the last, if
    there are fewer), in every sixteenth, and for the labels returned; in between only their scores
    are computed anew. For k > 16, iterations that lower the inertia by more than 1/4096 take
    assignments by an auction (Bertsekas and Castañon 1989), whose bound starts at 1/2 of the
    inertia above the least, is halved with every iteration down to 1/64, and is far from reached
    (1.4 % above was the most seen); where an auction gets stuck, the cheapest moves of rows take
    its place, and may cost more. Later assignments and that of the labels returned are of the
    least. No iteration raises the inertia. `predict` and `score` take the nearest centre: the
    limits are of the rows fitted. Rows count alike, so there is no ``sample_weight`` and no
    `partial_fit`.

    X may be mapped from a file larger than memory: iterations walk over it in blocks and keep some
    20 bytes per row; seeding by ``"rejection"`` keeps 16 more while it lasts, the others 8 to 24.
    ``"two-level"`` copies the rows of one coarse cluster at a time besides.

    Examples
    --------
    >>> import numpy as np, nearmiss as nm
    >>> X = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> model = nm.KMeans(2).fit(X)
    >>> model.inertia_, sorted(model.cluster_centers_.ravel().tolist())
    (1.0, [0.5, 10.5])
    """

    cluster_centers_: Float32
    labels_: Int32
    inertia_: float
    inertia_history_: Float64
    n_iter_: int
    n_features_in_: int
    counts_: Float64
    balance_cost_: float

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: str | npt.ArrayLike = "k-means++",
        n_init: int = 1,
        max_iter: int = 300,
        tol: float = 1e-4,
        metric: ClusterMetric = "euclidean",
        random_state: int = 0,
        init_trials: int | None = None,
        balanced: bool = False,
        max_cluster_size: int | None = None,
        num_threads: int | None = None,
        progress: Progress = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.metric = metric
        self.random_state = random_state
        self.init_trials = init_trials
        self.balanced = balanced
        self.max_cluster_size = max_cluster_size
        self.num_threads = num_threads
        self.progress = progress

    # ---- scikit-learn's estimator contract -------------------------------------------------------

    @classmethod
    def _parameter_names(cls) -> list[str]:
        parameters = inspect.signature(cls.__init__).parameters
        return sorted(name for name in parameters if name != "self")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters by name; ``deep`` has no effect."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> KMeans:
        """Set parameters of the constructor by name; unknown names raise ValueError."""
        known = self._parameter_names()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"invalid parameter {name!r}; there are {', '.join(known)}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = {
            name: value
            for name, value in self.get_params().items()
            if value is not defaults[name].default
        }
        return f"KMeans({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's description of an estimator."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="clusterer",
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=["float32"]),
            input_tags=InputTags(),
        )

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return names for the columns of `transform`: ``kmeans0`` and so on."""
        self._check_fitted()
        names = [f"kmeans{cluster}" for cluster in range(len(self.cluster_centers_))]
        return np.array(names, dtype=object)

    # ---- fitting -----------------------------------------------------------------------------

    def fit(
        self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None
    ) -> KMeans:
        """Cluster the rows of X.

        Parameters
        ----------
        X : array-like of shape (n, d)
            As `Corpus` takes it: float64 (rounded to float32 once), float32, float16, bfloat16,
            int8 or uint8; numpy array, memory map, or tensor of torch. Other integers of numpy are
            converted to float64 first.
        y : ignored
        sample_weight : array-like of shape (n,), optional
            How much each row counts, not negative; at most 2⁸⁹⁶ together. Default: 1 each.

        Raises
        ------
        ValueError
            For parameters out of range, size limits that cannot be kept, ``sample_weight`` with
            such limits, NaN or infinite elements, fewer rows (of positive weight)
            than clusters, rows so large that squared distances overflow float32, and zero rows
            under ``"cosine"``. The row is named.
        TypeError
            For element types that are not accepted.

        Warns
        -----
        UserWarning
            If clusters are empty in the end; see Notes of the class.
        """
        request = self._check_parameters()
        matrix = _as_rows(X)
        limits = None
        if request.limited:
            _check_no_weights(sample_weight)
            _check_num_clusters(request, len(matrix.rows))
            limits = request.size_limits(len(matrix.rows))
        weights = _as_weights(sample_weight, len(matrix.rows))
        points = _make_points(matrix, weights, request)
        best: _core._Clustering | None = None
        with reporting(self.progress) as progress:
            report = _rising(progress)
            for run in range(request.n_init):
                begin, end = run / request.n_init, (run + 1) / request.n_init
                seeded = begin + _SEEDING_SHARE * (end - begin)
                centers = _first_centers(
                    points, matrix, weights, request, run, _part(report, begin, seeded)
                )
                found = points.lloyd(
                    centers,
                    request.max_iter,
                    request.tol,
                    limits,
                    request.threads,
                    _part(report, seeded, end),
                )
                if best is None or found["loss"] < best["loss"]:
                    best = found
        assert best is not None
        empty = int((best["cluster_weights"] == 0).sum())
        if empty:
            warnings.warn(
                f"{empty} of {request.n_clusters} clusters are empty: fewer rows that have weight "
                "differ, as float32 distances tell, or max_iter or tol ended the run before these "
                "clusters were given rows",
                UserWarning,
                stacklevel=2,
            )
        self.cluster_centers_ = best["centers"]
        self.labels_ = best["labels"]
        self.inertia_ = best["loss"]
        self.inertia_history_ = best["losses"]
        self.n_iter_ = len(best["losses"])
        self.n_features_in_ = matrix.rows.shape[1]
        self.__dict__.pop("counts_", None)
        self.__dict__.pop("balance_cost_", None)
        if request.limited:
            self.balance_cost_ = _ratio(best["loss"], best["free_loss"])
        return self

    def partial_fit(
        self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None
    ) -> KMeans:
        """Move the centres by one batch of rows (Sculley, "Web-scale k-means", WWW 2010).

        The first batch draws the centres, also after `fit`, whose clusters are forgotten. Then
        every batch is assigned as a whole, and each centre becomes the mean of all rows assigned to
        it so far, in whichever batch; under ``"cosine"`` the direction of such a mean, in which the
        centre stands for its earlier rows. Centres without rows stay where they are.
        ``labels_`` and ``inertia_`` are those of the batch, to the centres that it moved.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`. The first batch needs at least ``n_clusters`` rows.

        Raises
        ------
        ValueError, TypeError
            As `fit`, and for limited sizes, another number of columns than before, or another
            ``n_clusters``. The model is then as it was.
        """
        request = self._check_parameters()
        if request.limited:
            name = "balanced" if request.balanced else "max_cluster_size"
            raise ValueError(f"{name}: sizes are of all rows together; use fit")
        matrix = _as_rows(X)
        first = not hasattr(self, "counts_")
        if not first:
            self._check_width(matrix)
            if request.n_clusters != len(self.counts_):
                raise ValueError(
                    f"n_clusters: is {request.n_clusters}, but earlier batches made "
                    f"{len(self.counts_)} clusters"
                )
        row_weights = _as_weights(sample_weight, len(matrix.rows))
        points = _make_points(matrix, row_weights, request)
        if first:
            centers = _first_centers(points, matrix, row_weights, request, 0, None)
            counts, steps = np.zeros(request.n_clusters), 0
        else:
            centers, counts, steps = self.cluster_centers_, self.counts_, self.n_iter_
        labels, _ = points.assign(centers, request.threads)
        sums, weights = points.sum_clusters(labels, len(centers), request.threads)
        centers, counts = _moved(centers, counts, sums, weights, request.metric)
        self.labels_, scores = points.assign(centers, request.threads)
        self.inertia_ = points.total_loss(scores)
        self.cluster_centers_, self.counts_ = centers, counts
        self.n_iter_ = steps + 1
        self.n_features_in_ = matrix.rows.shape[1]
        return self

    def fit_predict(
        self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None
    ) -> Int32:
        """`fit`, and return ``labels_``."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def fit_transform(
        self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None
    ) -> Float32:
        """`fit`, and return the distances of the rows to the centres; see `transform`."""
        return self.fit(X, sample_weight=sample_weight).transform(X)

    # ---- the fitted model --------------------------------------------------------------------

    def predict(self, X: npt.ArrayLike) -> Int32:
        """Return the nearest centre of each row, int32 (n,), ties to the lower centre."""
        return self._assign(X, None)[0]

    def score(
        self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Return minus the inertia of X."""
        return -self._assign(X, sample_weight)[1]

    def transform(self, X: npt.ArrayLike) -> Float32:
        """Return the distance of each row to each centre, float32 (n, k).

        ``"euclidean"``: the distance itself, not squared. ``"cosine"``: 1 - cosine.
        """
        self._check_fitted()
        request = self._check_parameters()
        matrix = _as_rows(X)
        self._check_width(matrix)
        _make_points(matrix, None, request)  # refuses rows by the name of X
        k = len(self.cluster_centers_)
        centers = _core.Corpus(
            self.cluster_centers_, "float32", request.metric, None, request.threads
        )
        distances = np.empty((len(matrix.rows), k), np.float32)
        step = max(1, _SCORES_PER_BLOCK // k)
        for begin in range(0, len(distances), step):
            block = slice(begin, begin + step)
            scores, columns, _ = _core.topk(
                matrix.rows[block], matrix.element_type, centers, k, num_threads=request.threads
            )
            np.put_along_axis(distances[block], columns, scores, axis=1)
        if request.metric == "cosine":
            return np.subtract(np.float32(1), distances, out=distances)
        return np.sqrt(np.abs(distances, out=distances), out=distances)

    def _assign(self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None) -> tuple[Int32, float]:
        self._check_fitted()
        request = self._check_parameters()
        matrix = _as_rows(X)
        self._check_width(matrix)
        points = _make_points(matrix, _as_weights(sample_weight, len(matrix.rows)), request)
        labels, scores = points.assign(self.cluster_centers_, request.threads)
        return labels, points.total_loss(scores)

    # ---- checks ------------------------------------------------------------------------------

    def _check_parameters(self) -> _Request:
        init, trials = self._check_init()
        return _Request(
            check_integer(self.n_clusters, "n_clusters", 1, 2**31 - 1),
            init,
            check_integer(self.n_init, "n_init", 1, 1 if isinstance(init, Matrix) else None),
            check_integer(self.max_iter, "max_iter", 1),
            _check_not_negative(self.tol, "tol"),
            _METRICS[check_choice(self.metric, "metric", _METRICS)],
            check_seed(self.random_state, "random_state"),
            trials,
            resolve_num_threads(self.num_threads),
            check_flag(self.balanced, "balanced"),
            self._check_max_cluster_size(),
        )

    def _check_max_cluster_size(self) -> int | None:
        if self.max_cluster_size is None:
            return None
        if self.balanced:
            raise ValueError("max_cluster_size: balanced=True limits sizes already")
        return check_integer(self.max_cluster_size, "max_cluster_size", 1)

    def _check_init(self) -> tuple[str | Matrix, int]:
        """Return the law or the centres, and the trials as the core takes them."""
        if not isinstance(self.init, str):
            if self.init_trials is not None:
                raise ValueError("init_trials: given centres are not drawn")
            return as_matrix(_as_real_numbers(self.init, "init"), "init"), 0
        law = check_choice(self.init, "init", _LAWS)
        if self.init_trials is None:
            greedy = 2 + int(math.log(max(1, check_integer(self.n_clusters, "n_clusters", 1))))
            return law, {"greedy-k-means++": greedy, "afk-mc2": _CHAIN_LENGTH}.get(law, 0)
        if law in ("k-means++", "random", "two-level"):
            raise ValueError(f"init_trials: init={law!r} has none")
        return law, check_integer(self.init_trials, "init_trials", 1)

    def _check_fitted(self) -> None:
        if hasattr(self, "cluster_centers_"):
            return
        # Theirs where it exists, so that those who catch it do.
        theirs = sys.modules.get("sklearn.exceptions")
        error = NotFittedError if theirs is None else theirs.NotFittedError
        raise error("this KMeans is not fitted yet; call fit first")

    def _check_width(self, matrix: Matrix) -> None:
        width = matrix.rows.shape[1]
        if width != self.n_features_in_:
            raise ValueError(
                f"X has {width} features, but KMeans is expecting {self.n_features_in_} features "
                "as input"
            )


def _as_rows(X: Any) -> Matrix:
    """Return X as the core takes it."""
    matrix = as_matrix(_as_real_numbers(X, "X"), "X")
    if len(matrix.rows) == 0:
        raise ValueError("X: empty, expected at least one row")
    return matrix


def _as_real_numbers(value: Any, name: str) -> Any:
    """Return numbers that `Corpus` refuses as float64 if they are real, all else as it is.

    Messages say what scikit-learn's say, which its checks of estimators look for.
    """
    if not isinstance(value, np.ndarray):
        if hasattr(value, "dtype") or not hasattr(value, "__array__"):
            return value
        value = np.asarray(value)
    if value.dtype.kind == "c":
        raise ValueError(f"{name}: Complex data not supported, got {value.dtype.name}")
    if value.ndim == 1:
        raise ValueError(
            f"{name}: expected a 2-dimensional array, got shape {value.shape}. Reshape your data: "
            f"{name}.reshape(1, -1) if it is one row, {name}.reshape(-1, 1) if rows have one "
            "element"
        )
    if value.ndim == 2 and value.shape[1] == 0:
        raise ValueError(
            f"{name}: 0 feature(s) (shape={value.shape}) while a minimum of 1 is required."
        )
    if value.dtype.kind not in "iubO" or value.dtype in (np.int8, np.uint8):
        return value
    try:
        return value.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None


def _as_weights(sample_weight: npt.ArrayLike | None, num_rows: int) -> Float64 | None:
    if sample_weight is None:
        return None
    weights = as_float64_vector(sample_weight, "sample_weight", num_rows, "row of X")
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"sample_weight: expected finite numbers that are not negative, row {row} has "
            f"{weights[row]}"
        )
    if not weights.any():
        raise ValueError("sample_weight: all weights are zero")
    with np.errstate(over="ignore"):
        total = weights.sum()
    if total > _MOST_WEIGHT:
        raise ValueError(
            f"sample_weight: weights add up to {total:.3g}, so that sums over rows can overflow; "
            f"expected at most {_MOST_WEIGHT:.3g}"
        )
    return weights


def _make_points(matrix: Matrix, weights: Float64 | None, request: _Request) -> _core.Points:
    return _core.Points(matrix.rows, matrix.element_type, request.metric, weights, request.threads)


def _check_num_clusters(request: _Request, num_rows: int) -> None:
    if request.n_clusters > num_rows:
        raise ValueError(
            f"n_clusters: expected at most {num_rows}, the number of rows of X, got "
            f"{request.n_clusters} (n_samples={num_rows} should be >= n_clusters)"
        )


def _check_no_weights(sample_weight: object) -> None:
    if sample_weight is not None:
        raise ValueError(
            "sample_weight: with balanced or max_cluster_size sizes are limited in rows, which "
            "count alike"
        )


def _ratio(loss: float, least: float) -> float:
    """Return loss / least, 1 for 0 / 0."""
    if loss == least:
        return 1.0
    return loss / least if least > 0 else math.inf


def _first_centers(
    points: _core.Points,
    matrix: Matrix,
    weights: Float64 | None,
    request: _Request,
    run: int,
    report: Callable[[float], object] | None,
) -> Float32:
    """Return the given centres or drawn rows, float32 (k, d)."""
    num_rows, width = matrix.rows.shape
    _check_num_clusters(request, num_rows)
    if isinstance(request.init, Matrix):
        if request.init.rows.shape != (request.n_clusters, width):
            raise ValueError(
                f"init: expected shape {(request.n_clusters, width)} (n_clusters, columns of X), "
                f"got {request.init.rows.shape}"
            )
        return np.ascontiguousarray(widen(request.init))
    if request.init == "two-level":
        return _two_level_centers(points, matrix, weights, request, run, report)
    rows: Int64 = points.seed(
        request.n_clusters,
        request.init,
        request.trials,
        request.seed,
        run,
        request.threads,
        report,
    )
    return _taken(matrix, rows)


def _taken(matrix: Matrix, rows: Int64) -> Float32:
    return np.ascontiguousarray(widen(_subset(matrix, rows)))


def _subset(matrix: Matrix, rows: Int64) -> Matrix:
    return Matrix(np.ascontiguousarray(matrix.rows[rows]), matrix.element_type, owned=True)


def _two_level_centers(
    points: _core.Points,
    matrix: Matrix,
    weights: Float64 | None,
    request: _Request,
    run: int,
    report: Callable[[float], object] | None,
) -> Float32:
    """Return the centres of clusters made within coarse clusters, in the order of these."""
    k, num_rows = request.n_clusters, len(matrix.rows)
    counted = np.ones(num_rows, np.bool_) if weights is None else weights > 0
    if counted.sum() < k:
        raise ValueError(
            f"sample_weight: expected at least n_clusters = {k} rows of positive weight, got "
            f"{counted.sum()}"
        )
    num_coarse = math.isqrt(k)
    number = run * (num_coarse + 1)  # of the draws

    def cluster(of: _core.Points, rows: Matrix, count: int, draw: int) -> _core._Clustering:
        seeds = of.seed(count, _LEVEL_LAW, 0, request.seed, draw, request.threads)
        return of.lloyd(_taken(rows, seeds), _LEVEL_ITERATIONS, request.tol, None, request.threads)

    coarse = cluster(points, matrix, num_coarse, number)["labels"]
    sizes = np.bincount(coarse[counted], minlength=num_coarse)
    found = []
    for place, count in enumerate(_shares(sizes, k)):
        if count:
            members = np.flatnonzero(coarse == place)
            rows = _subset(matrix, members)
            own = None if weights is None else weights[members]
            made = cluster(_make_points(rows, own, request), rows, count, number + 1 + place)
            found.append(made["centers"])
        if report is not None:
            report((place + 1) / num_coarse)
    return np.concatenate(found)


def _shares(sizes: Int64, total: int) -> list[int]:
    """Divide ``total`` in proportion to sizes: at least 1 where there are rows, no more than those.

    By highest averages (Webster), ties to the lower cluster.
    """
    shares = [int(size > 0) for size in sizes]

    def entry(place: int) -> tuple[float, int]:
        return -(int(sizes[place]) / (2 * shares[place] + 1)), place

    waiting = [entry(place) for place in range(len(sizes)) if sizes[place] > shares[place]]
    heapq.heapify(waiting)
    for _ in range(total - sum(shares)):
        place = heapq.heappop(waiting)[1]
        shares[place] += 1
        if sizes[place] > shares[place]:
            heapq.heappush(waiting, entry(place))
    return shares


def _moved(
    centers: Float32, counts: Float64, sums: Float64, weights: Float64, metric: str
) -> tuple[Float32, Float64]:
    """Return the means of what the centres stood for and of the rows added, and their weights."""
    together = counts + weights
    moved = centers.copy()
    for cluster in np.flatnonzero(weights):
        mean = centers[cluster].astype(np.float64) * counts[cluster] + sums[cluster]
        mean /= together[cluster]
        if metric == "cosine":
            squares = 0.0
            for element in mean.tolist():
                squares += element * element
            if squares == 0:
                continue
            mean /= math.sqrt(squares)
        moved[cluster] = mean
    return moved, together


def _rising(
    report: Callable[[float], object] | None,
) -> Callable[[float], object] | None:
    """Return a function that reports the greatest fraction so far: sums of parts are rounded."""
    if report is None:
        return None
    reached = 0.0

    def rise(fraction: float) -> None:
        nonlocal reached
        reached = max(reached, fraction)
        report(reached)

    return rise


def _part(
    report: Callable[[float], object] | None, begin: float, end: float
) -> Callable[[float], object] | None:
    """Return a function that reports its fractions as those between begin and end."""
    if report is None:
        return None
    return lambda fraction: report(begin + (end - begin) * fraction)


def _check_not_negative(value: Any, name: str) -> float:
    number = check_number(value, name)
    if number < 0:
        raise ValueError(f"{name}: must not be negative, got {number}")
    return number
