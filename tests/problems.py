# SPDX-License-Identifier: Apache-2.0
"""Random problems for the exact tests: awkward shapes, many ties, duplicates, extreme values.

`vectors` makes matrices whose scores are hard to rank; `problems` and `limits` are Hypothesis
strategies. Thresholds are taken from real scores, so that equality with a threshold is common.
"""

from typing import Any

import numpy as np
import oracle
from hypothesis import strategies as st

METRICS = ("ip", "cosine", "l2")
#: Element types by the name the core uses; float64 is rounded on the way in.
ELEMENT_TYPES = ("float32", "float16", "bfloat16", "int8", "uint8")
DTYPES = ("float64", *ELEMENT_TYPES)

#: 6 and 16 are the sides of a tile and 8 the lanes of a score: none, one, around, and far off.
ROWS = (1, 2, 5, 6, 7, 13, 15, 16, 17, 33, 97, 131)
QUERIES = (0, 1, 2, 5, 6, 7, 11, 13)
DIMENSIONS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 40)
KINDS = ("normal", "ties", "duplicates", "huge", "tiny", "mixed")


def dtype_of(name: str) -> np.dtype:
    """Return the numpy dtype of an element type; bfloat16 is that of ml_dtypes."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def core_matrix(rows: np.ndarray) -> np.ndarray:
    """Return `rows` as the core takes them: bfloat16 is held in uint16."""
    return rows.view(np.uint16) if rows.dtype == dtype_of("bfloat16") else rows


def vectors(rng: np.random.Generator, shape: tuple[int, int], dtype: str, kind: str) -> np.ndarray:
    """Return a matrix of the kind asked for, without a zero row."""
    if dtype in ("int8", "uint8"):
        small = kind in ("ties", "duplicates")
        info = np.iinfo(dtype)
        low, high = (max(-2, info.min), 3) if small else (info.min, info.max + 1)
        rows = rng.integers(low, high, shape).astype(dtype)
    elif kind == "ties":
        rows = rng.integers(-2, 3, shape).astype(dtype_of(dtype))
    else:
        values = rng.normal(size=shape)
        if kind in ("huge", "tiny", "mixed") and dtype != "float16":
            exponent = {"huge": 17, "tiny": -17, "mixed": 0}[kind]
            values *= 10.0**exponent
            if kind == "mixed":
                values *= 10.0 ** rng.integers(-12, 13, (shape[0], 1))
        rows = values.astype(dtype_of(dtype))
    if kind == "duplicates" and shape[0] > 1:
        rows = rows[rng.integers(0, max(1, shape[0] // 3), shape[0])]
    zero = ~(rows != 0).any(axis=1)
    rows[zero, -1] = 1
    return rows


@st.composite
def problems(
    draw: st.DrawFn, dtypes: tuple[str, ...] = DTYPES, min_queries: int = 0
) -> dict[str, Any]:
    """Draw queries, a corpus, a metric and the random generator that made them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n = draw(st.sampled_from([n for n in QUERIES if n >= min_queries]), label="n")
    m = draw(st.sampled_from(ROWS), label="m")
    d = draw(st.sampled_from(DIMENSIONS), label="d")
    kind = draw(st.sampled_from(KINDS), label="kind")
    dtype = draw(st.sampled_from(dtypes), label="dtype")
    metric = draw(st.sampled_from(METRICS), label="metric")
    corpus = vectors(rng, (m, d), dtype, kind)
    queries = vectors(rng, (n, d), dtype, kind)
    if n and draw(st.booleans(), label="queries from the corpus"):
        queries = corpus[rng.integers(0, m, n)]
    return {"queries": queries, "corpus": corpus, "metric": metric, "rng": rng}


def row_lists(
    rng: np.random.Generator, n: int, m: int, longest: int, share: float = 0.8
) -> list[list[int]]:
    """Return random lists of distinct rows, unsorted, some of them empty."""
    return [
        rng.permutation(m)[: rng.integers(1, longest + 1)].tolist() if rng.random() < share else []
        for _ in range(n)
    ]


def _threshold(rng: np.random.Generator, scores: np.ndarray, per_query: bool) -> Any:
    """Return a score that occurs, or one for each query."""
    if scores.shape[0] == 0:
        return np.zeros(0) if per_query else 0.0
    columns = rng.integers(0, scores.shape[1], scores.shape[0])
    chosen = scores[np.arange(scores.shape[0]), columns].astype(np.float64)
    return chosen if per_query else float(chosen[0])


@st.composite
def ranges(draw: st.DrawFn, rng: np.random.Generator, n: int, m: int) -> dict[str, Any]:
    """Draw values of corpus rows, few of them distinct, and ranges of them; some hold no row."""
    base = draw(st.sampled_from((0, 0.1, 2**53 - 10)), label="base of values")
    low, width = rng.integers(-4, 5, n), rng.integers(1, 6, n)
    if not draw(st.booleans(), label="a range per query"):
        low, width = (int(some[0]) if n else 1 for some in (low, width))
    chosen = {
        "corpus_values": base + rng.integers(-3, 4, m),
        "min_value": base + low,
        "max_value": base + low + width,
    }
    absent = draw(st.sampled_from((None, "min_value", "max_value")), label="open end")
    return {name: value for name, value in chosen.items() if name != absent}


@st.composite
def limits(draw: st.DrawFn, problem: dict[str, Any]) -> dict[str, Any]:
    """Draw limits for a problem: keywords that both `nearmiss.mine` and the oracle take."""
    rng = problem["rng"]
    scores = oracle.scores(problem["queries"], problem["corpus"], problem["metric"])
    n, m = scores.shape
    chosen: dict[str, Any] = {"num_negatives": draw(st.sampled_from((1, 2, 3, 5, 8)))}

    def maybe(label: str) -> bool:
        return draw(st.sampled_from((False, False, True)), label=label)

    if draw(st.sampled_from((False, True, True)), label="positives"):
        chosen["positives"] = row_lists(rng, n, m, min(m, 4))
        chosen["exclude_duplicates"] = draw(st.booleans(), label="exclude_duplicates")
    if maybe("exclude"):
        chosen["exclude"] = row_lists(rng, n, m, m)
    if maybe("exclude_self") and n <= m:  # ids are unique, and every one must be a corpus row
        chosen["exclude_self"] = True
        chosen["query_ids"] = rng.permutation(m)[:n]
    if maybe("groups"):
        chosen["query_groups"] = rng.integers(-1, 4, n)
        chosen["corpus_groups"] = rng.integers(-1, 3, m)
        chosen["within_groups"] = draw(st.booleans(), label="within_groups")
    if maybe("values"):
        chosen |= draw(ranges(rng, n, m))
    if maybe("max_score"):
        chosen["max_score"] = _threshold(rng, scores, draw(st.booleans()))
    if maybe("min_score"):
        chosen["min_score"] = _threshold(rng, scores, draw(st.booleans()))
    if "max_score" in chosen and "min_score" in chosen:
        # A floor above its ceiling would be refused as a contradiction.
        low, high = chosen["min_score"], chosen["max_score"]
        chosen["min_score"], chosen["max_score"] = np.minimum(low, high), np.maximum(low, high)
    if maybe("positive_scores"):
        given = _threshold(rng, scores, True).astype(np.float32)
        given[rng.random(n) < 0.2] = np.nan
        chosen["positive_scores"] = given
    if "positives" in chosen:
        chosen["margin_reference"] = draw(st.sampled_from(("min", "max", "mean")))
    if "positives" in chosen or "positive_scores" in chosen:
        if maybe("absolute_margin"):
            gap = abs(float(_threshold(rng, scores, False)) - float(_threshold(rng, scores, False)))
            chosen["absolute_margin"] = draw(st.sampled_from((0.0, gap)))
        if maybe("relative_margin"):
            chosen["relative_margin"] = draw(st.sampled_from((0.0, 0.05, 0.5)))
    chosen["range_min"] = draw(st.sampled_from((0, 0, 1, 3)))
    if maybe("range_max"):
        wide = draw(st.sampled_from((0, 1, 4, 200)))
        chosen["range_max"] = chosen["range_min"] + chosen["num_negatives"] + wide
    chosen["range_mode"] = draw(st.sampled_from(("filtered", "filtered", "raw")))
    return chosen
