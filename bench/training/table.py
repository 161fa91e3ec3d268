# SPDX-License-Identifier: Apache-2.0
"""The record of an experiment as a markdown table. Metrics are times 100."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]
_COMPARED = ("random", "sentence-transformers, defaults", "sentence-transformers, margin 0.05")


def to_lines(record: Record) -> list[str]:
    """One line for each method."""
    methods = record["methods"]
    references = [name for name in _COMPARED if name in methods]
    others = [name for name in record["num_queries"] if name not in ("validation", "test")]
    head = [
        *("negatives", "above s⁺", "missing", "validation", "nDCG@10"),
        *(f"against {name}" for name in references),
        *("MRR@10", *others),
    ]
    lines = [_row(head), "|---" * len(head) + "|"]
    for name, found in methods.items():
        shares = record["mined"].get(name) or {}
        against = found["test"]["ndcg"]["against"]
        lines.append(
            _row(
                [
                    name,
                    *(_share(shares.get(part)) for part in ("above_positive", "missing")),
                    _number(found["validation"]["ndcg"]["mean"]),
                    _number(found["test"]["ndcg"]["mean"]),
                    *(_difference(against.get(other)) for other in references),
                    _number(found["test"]["mrr"]["mean"]),
                    *(_marked(found[other]["ndcg"]) for other in others),
                ]
            )
        )
    return lines


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: float) -> str:
    return f"{100 * value:.2f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _difference(against: Record | None) -> str:
    """Bold where the interval does not hold 0."""
    if against is None:
        return ""
    low, high = against["interval"]
    text = f"{100 * against['difference']:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def _marked(value: Record) -> str:
    """A mean, with an arrow where its difference to random negatives is beyond chance."""
    low, high = value["against"].get("random", {"interval": (0.0, 0.0)})["interval"]
    return _number(value["mean"]) + (" ↑" if low > 0 else " ↓" if high < 0 else "")
