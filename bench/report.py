# SPDX-License-Identifier: Apache-2.0
"""Records (JSON, one a line) to a markdown table: ``python bench/report.py RESULT.json ...``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import training.table

Record = dict[str, Any]

_HEAD = (
    "| case | match | ours | peer | peer / ours | rounds | target | GMAC/s (of peak) | memory |",
    "|---|---|---|---|---|---|---|---|---|",
)


def write_lines(path: Path, records: list[Record]) -> None:
    """Write all records, replacing the file only once it is whole."""
    partial = path.with_name(path.name + ".partial")
    lines = "".join(json.dumps(record) + "\n" for record in records)
    partial.write_text(lines, encoding="utf-8")
    os.replace(partial, path)


def read_lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def to_markdown(records: list[Record]) -> str:
    """Machine, table, and what stands behind each number."""
    machine = next(record for record in records if record["kind"] == "machine")
    cases = [record for record in records if record["kind"] == "case"]
    if machine["smoke"]:
        return "\n".join(_smoke_line(case) for case in cases)
    lines = [*_machine_lines(machine), ""]
    rows = [
        row
        for case in cases
        for match in case.get("matches", ())
        for row in _match_rows(case, match)
    ]
    if rows:
        lines += [*_HEAD, *rows, ""]
    for case in cases:
        lines += _notes(case)
        if "training" in case:
            lines += ["", *training.table.to_lines(case["training"]), ""]
    return "\n".join(lines)


def _smoke_line(case: Record) -> str:
    if "wrong" in case:
        return f"{case['case']}: WRONG: {case['wrong']}"
    if "memory" in case:
        return f"{case['case']}: {_memory_text(case['memory'])}"
    if "refresh" in case:
        return f"{case['case']}: {_refresh_text(case['refresh'])}"
    if "training" in case:
        return f"{case['case']}: ok ({len(case['training']['methods'])} methods; {case['origin']})"
    checked = sorted({name for match in case["matches"] for name in match["runs"]})
    return f"{case['case']}: ok ({', '.join(checked)}; {case['origin']})"


def _machine_lines(machine: Record) -> list[str]:
    peak = machine["peak"]
    if peak is None:
        calibration = f"not calibrated: {machine['peak_missing']}"
    else:
        calibration = (
            f"multiply-add peak ({peak['isa']}): {peak['gflops_1']:.0f} GFLOP/s with 1 thread, "
            f"{peak['gflops_n']:.0f} with {peak['threads']}"
        )
    settings = machine["environment"]
    environment = ", ".join(f"{name}={value}" for name, value in settings.items())
    return [
        f"{machine['processor']}, {machine['processors_usable']} processors, "
        f"{machine['system']}, Python {machine['python']}, NumPy {machine['numpy']}",
        f"{machine['threads']} threads for everyone; {calibration}; "
        f"environment: {environment or 'nothing set'}",
    ]


def _match_rows(case: Record, match: Record) -> list[str]:
    ours = match["runs"][match["ours"]]
    rows = []
    for peer, ratio in match["ratios"].items():
        run = match["runs"][peer]
        spread = (
            f"**{ratio['median']:.2f}** [{ratio['low']:.2f}–{ratio['high']:.2f}], "
            f"all {ratio['smallest']:.2f}–{ratio['largest']:.2f}"
        )
        rows.append(
            f"| {case['case']} | {match['match']} "
            f"| {_seconds(ours['median_s'])} | {peer} {_seconds(run['median_s'])} | {spread} "
            f"| {ratio['rounds']} | {_target(ratio)} "
            f"| {' / '.join(filter(None, map(_rate, (ours, run))))} "
            f"| {_mebibytes(ours['peak_extra_bytes'])} / {_mebibytes(run['peak_extra_bytes'])} |"
        )
    return rows


def _target(ratio: Record) -> str:
    target = ratio.get("target")
    if target is None:
        return ""
    return f"{target:.2f} {'met' if ratio['met'] else '**missed**'}"


def _rate(run: Record) -> str:
    if "draws_per_s" in run:
        return f"{run['draws_per_s'] / 1e6:.2f} M draws/s"
    if "rows_per_s" in run:
        return f"{run['rows_per_s'] / 1e6:.2f} M rows/s"
    if "queries_per_s" in run:
        return f"{run['queries_per_s']:,.0f} queries/s"
    if "gmacs" not in run:
        return ""
    if run["of_peak"] is None:
        return f"{run['gmacs']:.1f}"
    return f"{run['gmacs']:.1f} ({run['of_peak']:.0%})"


def _seconds(value: float) -> str:
    return f"{value:.3f} s" if value >= 0.1 else f"{value * 1e3:.3f} ms"


def _mebibytes(value: int | None) -> str:
    return "unknown" if value is None else f"{value / 2**20:.0f} MiB"


def _refresh_text(refresh: Record) -> str:
    verdict = "met" if refresh["met"] else "MISSED"
    return (
        f"a step took {refresh['step_s'] * 1e3:.1f} ms, and {refresh['refreshed_step_s'] * 1e3:.1f}"
        f" ms while a table was mined behind it, {refresh['ratio']:.2f} times as long (wanted: at "
        f"most {refresh['wanted']}): {verdict}; the slowest {refresh['slowest_step_s'] * 1e3:.0f} "
        f"ms; a refresh {refresh['refresh_s']:.1f} s; {refresh['steps']} steps, "
        f"{refresh['tables']} tables, no batch lost or repeated"
    )


def _memory_text(memory: Record) -> str:
    if memory["met"] is None:
        return "peak memory cannot be read on this system"
    verdict = "met" if memory["met"] else "MISSED"
    return (
        f"mine needed {_mebibytes(memory['extra_bytes'])} beyond input "
        f"({_mebibytes(memory['input_bytes'])}) and packed corpus "
        f"({_mebibytes(memory['corpus_bytes'])}), allowed "
        f"{_mebibytes(memory['allowed_bytes'])}: {verdict}"
    )


def _notes(case: Record) -> list[str]:
    if "wrong" in case:
        return [f"* {case['case']}: **wrong answer, not reported**: {case['wrong']}"]
    lines = [f"* {case['case']}: {case['origin']}."]
    if "memory" in case:
        return [f"{lines[0]} {_memory_text(case['memory'])}."]
    if "refresh" in case:
        return [f"{lines[0]} {_refresh_text(case['refresh'])}."]
    for match in case.get("matches", ()):
        lines += [f"  * {match['match']}: {_disturbances(match)}"]
        for name, version in match["versions"].items():
            facts = ", ".join(f"{key} {value}" for key, value in version.items())
            checked = match["checks"].get(name, {})
            found = ", ".join(
                f"{key.replace('_', ' ')} {value:.3g}" for key, value in checked.items()
            )
            lines.append(f"    * {name}: {facts}; {found or 'not compared'}")
        lines += [
            f"    * {name}: {_inside(run)}" for name, run in match["runs"].items() if "work" in run
        ]
    return lines


def _inside(run: Record) -> str:
    """What a run of ours did, beside its time."""
    work = run["work"]
    facts = [
        f"{run['survivors_per_query']:.1f} survivors per query",
        f"{work['rescanned']} queries rescanned",
        f"{work['fallen_back']} fallen back",
        f"{_rate(run)} effective GMAC/s"
        + ("" if run["of_peak"] is None else " (of the float32 multiply-add peak)"),
    ]
    if "packing_s" in run:
        facts.append(
            f"packing {_seconds(run['packing_s'])}, {run['packing_share']:.1%} of the time"
        )
    return ", ".join(facts)


def _disturbances(match: Record) -> str:
    text = f"steal at most {max(match['steal'], default=0.0):.1%}"
    if match["dropped_rounds"]:
        text += f", {match['dropped_rounds']} rounds dropped for it"
    if match["peak_gflops"]:
        low, high = min(match["peak_gflops"]), max(match["peak_gflops"])
        text += f", peak between rounds {low:.0f}–{high:.0f} GFLOP/s"
    return text


def main() -> None:
    for path in sys.argv[1:]:
        print(to_markdown(read_lines(Path(path))))


if __name__ == "__main__":
    main()
