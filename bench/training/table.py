# SPDX-License-Identifier: Apache-2.0
"""The record of an experiment as a markdown table. Metrics are times 100."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]


def to_lines(record: Record) -> list[str]:
    """One line for each method, below the frozen embeddings."""
    methods, frozen, mined = record["methods"], record["frozen"], record["mined"]
    tested = {name: found["test"]["ndcg"] for name, found in methods.items()}
    references = list(dict.fromkeys(name for of in tested.values() for name in of["against"]))
    others = [name for name in frozen if name not in ("validation", "test")]
    head = [
        *("negatives", "above s⁺", "missing", "validation", "nDCG@10"),
        *(f"against {name}" for name in references),
        *("MRR@10", *others),
    ]
    before = ["none: frozen embeddings", "", "", *_numbers(frozen, ("validation", "test"), "ndcg")]
    before += ["" for _ in references]
    before += [*_numbers(frozen, ("test",), "mrr"), *_numbers(frozen, others, "ndcg")]
    lines = [_row(head), "|---" * len(head) + "|", _row(before)]
    for name, found in methods.items():
        shares = mined[name] or {}
        lines.append(
            _row(
                [
                    name,
                    *(_share(shares.get(part)) for part in ("above_positive", "missing")),
                    _number(found["validation"]["ndcg"]["mean"]),
                    _number(tested[name]["mean"]),
                    *(_difference(tested[name]["against"].get(other)) for other in references),
                    _number(found["test"]["mrr"]["mean"]),
                    *(_marked(found[other]["ndcg"]) for other in others),
                ]
            )
        )
    return lines


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _numbers(frozen: Record, names: tuple[str, ...] | list[str], metric: str) -> list[str]:
    return [_number(frozen[name][metric]) for name in names]


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
