# SPDX-License-Identifier: Apache-2.0
"""Run the benchmarks: ``python bench/run.py SUITE [--case NAME ...]``, or ``--smoke``.

Read README.md of this folder for the protocol and how to read a result.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

import checks
import cluster_checks
import clusters
import collating
import data
import draw_checks
import draws
import in_batch
import in_batch_checks
import numpy as np
import packing
import probes
import report
from calibrate import Calibrator, build_calibrator, describe_machine, describe_thread_pools
from cases import CASES, Case, Match, Size, Suite, find_cases
from contestants import Adapter, Answer, Task, Unavailable, load_adapter
from limits import RANKS_NEEDED, Nearest, make_limits
from measure import (
    DEFAULT_ROUNDS,
    SLOW_ROUNDS,
    Run,
    Timings,
    busy_processors,
    interleave,
    paired_ratio,
)
from numpy._core._multiarray_umath import __cpu_features__
from threadpoolctl import threadpool_limits

_QUIET = {
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}
_SMOKE_BASE_ROWS = 2000  # fewer than the corpus, so that stretching is tried too
_ONE_THREAD_QUERIES = 256
_PROBE_MILLISECONDS = 50


@dataclass(frozen=True)
class Settings:
    """How to run, as asked on the command line."""

    threads: int
    rounds: int | None
    smoke: bool
    noise_floor: bool
    extra: frozenset[str]
    device: str
    num_seeds: int


@dataclass(frozen=True)
class Contestant:
    """One run of one adapter, ready to be timed."""

    name: str
    adapter: Adapter
    run: Run

    def read(self, result: Any) -> Answer:
        return self.adapter.read(result)


def blas_variables() -> dict[str, str | None]:
    """What the peers' OpenBLAS runs best with; None for a variable that must not be set.

    Some hosts set these for the sake of old builds. The build inside faiss, in turn, takes a
    processor that is newer than itself for one without even AVX2, unless it is told.
    """
    core = "SkylakeX" if __cpu_features__.get("AVX512_SKX") else None
    return {"OPENBLAS_CORETYPE": core, "OPENBLAS_L2_SIZE": None}


def restart_in_best_environment() -> None:
    """Libraries read these when they load, so the process must begin with them."""
    blas = blas_variables()
    wrong = [name for name, value in blas.items() if os.environ.get(name) != value]
    if not wrong and all(name in os.environ for name in _QUIET):
        return
    for name in wrong:
        say(f"running with {name}={blas[name] or ''}, best for the peers' OpenBLAS")
    kept = {name: value for name, value in os.environ.items() if name not in blas}
    kept |= {name: value for name, value in blas.items() if value is not None}
    os.execve(sys.executable, sys.orig_argv, {**_QUIET, **kept})


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def set_up(name: str, task: Task) -> Contestant:
    """Prepare a run written ``adapter:job``; raises `Unavailable`."""
    adapter_name, _, job = name.partition(":")
    adapter = load_adapter(adapter_name)
    adapter.set_threads(task.threads)
    return Contestant(name, adapter, adapter.JOBS[job](task))


def load_task(case: Case, size: Size, settings: Settings) -> Task:
    """The case's vectors and limits."""
    base_rows = _SMOKE_BASE_ROWS if settings.smoke else None
    if case.kind == "pairs-real":
        vectors = data.load_pairs("real", size.n, size.m, base_rows)
    elif case.kind == "pairs-near":
        vectors = data.load_pairs("near", size.n, size.m, base_rows)
    else:
        vectors = data.load_search(case.source, size.d, size.n, size.m, base_rows)
    if case.kind == "bank":
        vectors = data.store_queries(vectors)
    if case.element_type == "int8":
        vectors = data.quantise(vectors)
    task = Task(vectors, size.k, settings.threads, case.relative_margin)
    if case.limits is None:
        return task
    ranks = Task(vectors, RANKS_NEEDED[case.limits], settings.threads)
    nearest = set_up("ours:cold", ranks)
    answer = nearest.read(nearest.run())
    limits = make_limits(case.limits, vectors, Nearest(answer.scores, answer.rows))
    vectors = replace(vectors, origin=f"{vectors.origin}; {limits.note}")
    return replace(task, vectors=vectors, limits=limits)


def set_up_match(match: Match, task: Task, names: list[str]) -> dict[str, Contestant]:
    """Those contestants that are installed; the others are named and left out."""
    contestants = {}
    for name in [match.ours, *names]:
        try:
            contestants[name] = set_up(name, task)
        except Unavailable as reason:
            say(f"  left out: {reason}")
    if match.ours not in contestants:
        raise Unavailable("nearmiss itself is needed")
    return contestants


def verify(
    case: Case, match: Match, task: Task, contestants: dict[str, Contestant], timings: Timings
) -> dict[str, Any]:
    """Check every contestant's first result; raises `checks.WrongAnswer`."""
    if case.kind == "probes":
        return verify_probes(match, task, contestants, timings)
    found: dict[str, Any] = {}
    reference = checks.make_reference(task)
    answers = {name: one.read(timings.results[name]) for name, one in contestants.items()}
    ours = answers[match.ours]
    checks.check_full(match.ours, ours)
    verify_bits(match.ours, task, ours)
    if case.kind == "bands":
        bands = our_adapter().bands(task.k)
        return {match.ours: checks.check_bands(ours, answers["ours:limits-none"], bands)}
    for name, answer in answers.items():
        if name == "ours:limits-none":
            continue
        if is_ours(name) and in_precision(name, "auto") == in_precision(match.ours, "auto"):
            checks.check_same_bits(match.ours, "the precision", ours, answer)
        if name == match.ours or case.relative_margin is None:
            tolerance = checks.OUR_TOLERANCE if is_ours(name) else checks.PEER_TOLERANCE
            found[name] = checks.check_against_reference(name, answer, reference, tolerance)
        else:
            found[name] = checks.check_agreement(task, name, ours, answer)
    return found


def verify_probes(
    match: Match, task: Task, contestants: dict[str, Contestant], timings: Timings
) -> dict[str, Any]:
    """Measure recall against our exact search; ours must not depend on the number of threads."""
    answers = {name: one.read(timings.results[name]) for name, one in contestants.items()}
    exact = next(name for name in answers if is_ours(name) and name != match.ours)
    verify_bits(exact, task, answers[exact])
    again = set_up(match.ours, replace(task, threads=1))
    checks.check_same_bits(
        match.ours, "the number of threads", answers[match.ours], again.read(again.run())
    )
    return probes.check_recalls({name: of.rows for name, of in answers.items()}, exact)


def verify_bits(name: str, task: Task, answer: Answer) -> None:
    """Ours must be the same whatever the precision, the number of threads and the batch."""
    first = np.arange(min(_ONE_THREAD_QUERIES, len(task.vectors.queries)))
    single = set_up(name, task.take(first, threads=1))
    checks.check_same_bits(
        name,
        "the number of threads or the batch",
        answer.take(first),
        single.read(single.run()),
    )
    spread = checks.spread(task)
    for precision in our_adapter().PRECISIONS:
        again = set_up(in_precision(name, precision), task.take(spread, task.threads))
        checks.check_same_bits(
            name,
            f'the batch or precision="{precision}"',
            answer.take(spread),
            again.read(again.run()),
        )


def is_ours(name: str) -> bool:
    return name.startswith("ours:")


def our_adapter() -> Any:
    """The module ``contestants/ours.py``, which knows more than other adapters."""
    return load_adapter("ours")


def in_precision(name: str, precision: str) -> str:
    """The name of a run of ours in another precision."""
    return f"ours:{our_adapter().in_precision(name.removeprefix('ours:'), precision)}"


def look_inside(name: str, task: Task, run: Run, median_s: float) -> dict[str, Any]:
    """What only we can tell of our runs: the core's counts, and the share of packing."""
    ours = our_adapter()
    work = ours.count_work(run)
    found: dict[str, Any] = {
        "work": work,
        "survivors_per_query": work["rescored"] / len(task.vectors.queries),
    }
    if ours.packs(name.removeprefix("ours:")):
        found["packing_s"] = ours.time_packing(task)
        found["packing_share"] = found["packing_s"] / median_s
    return found


def multiply_add_rates(size: Size, peak_gflops: float | None, median_s: float) -> dict[str, Any]:
    """Useful multiply-adds per second of a search, and the share of the peak."""
    rate = size.n * size.m * size.d / median_s / 1e9
    return {"gmacs": rate, "of_peak": 2 * rate / peak_gflops if peak_gflops else None}


def query_rates(size: Size, median_s: float) -> dict[str, Any]:
    """Queries answered per second."""
    return {"queries_per_s": size.n / median_s}


def summarise(
    match: Match, timings: Timings, rates: Callable[[float], dict[str, Any]]
) -> dict[str, Any]:
    """Times, rates (of a median time) and ratios of one match, as numbers."""
    runs = {}
    for name in timings.samples:
        median = float(np.median(timings.walls(name)))
        runs[name] = {
            "median_s": median,
            "least_s": float(timings.walls(name).min()),
            "wall_s": timings.walls(name).tolist(),
            "cpu_s": [sample.cpu_s for sample in timings.samples[name]],
            "repeats": timings.repeats[name],
            **rates(median),
            "peak_extra_bytes": timings.peak_bytes(name),
        }
    ratios = {
        name: paired_ratio(timings, match.ours, name).as_dict()
        for name in runs
        if name != match.ours
    }
    for name, target in match.targets.items():
        if name in ratios:
            ratios[name].update(target=target, met=ratios[name]["median"] >= target)
    return {
        "match": match.name,
        "ours": match.ours,
        "runs": runs,
        "ratios": ratios,
        "steal": timings.steal,
        "dropped_rounds": timings.dropped_rounds,
        "peak_gflops": timings.peak_gflops,
    }


def run_match(
    case: Case, match: Match, names: list[str], task: Task, settings: Settings, machine: Machine
) -> dict[str, Any]:
    """Time one match, check its answers, and sum it up."""
    contestants = set_up_match(match, task, names)
    if settings.noise_floor:
        again = set_up(match.ours, task)
        contestants = {match.ours: contestants[match.ours], "the same again": again}
        match = replace(match, targets={})
    # Only now are the libraries of all peers loaded, so that their threads can be limited.
    with threadpool_limits(limits=settings.threads):
        timings = interleave(
            {name: one.run for name, one in contestants.items()},
            settings.rounds,
            discard_first=not settings.smoke,
            read_peak=lambda: machine.probe(settings.threads),
        )
        pools = describe_thread_pools()
    size = case.smoke if settings.smoke else case.size
    rates = partial(multiply_add_rates, size, machine.peak_gflops)
    if case.kind == "probes":
        rates = partial(query_rates, size)  # each looks at pairs of its own choice
    record = summarise(match, timings, rates)
    for name, one in contestants.items():
        if is_ours(name) and case.kind != "probes":
            run = record["runs"][name]
            run.update(look_inside(name, task, one.run, run["median_s"]))
    record["checks"] = verify(case, match, task, contestants, timings)
    record["thread_pools"] = pools
    record["versions"] = {name: one.adapter.describe() for name, one in contestants.items()}
    return record


def time_jobs(
    match: Match, kind: str, task: Any, settings: Settings, machine: Machine
) -> tuple[Match, dict[str, Adapter], Timings]:
    """Time jobs that search nothing: those in the adapters' mapping ``kind``."""
    adapters: dict[str, Adapter] = {}
    for name in [match.ours, *match.peers]:
        try:
            adapters[name] = load_adapter(name.partition(":")[0])
        except Unavailable as reason:
            say(f"  left out: {reason}")
    for adapter in adapters.values():
        adapter.set_threads(settings.threads)
    runs = {name: job_of(adapters[name], kind, name, task) for name in adapters}
    if settings.noise_floor:
        again = job_of(adapters[match.ours], kind, match.ours, task)
        runs = {match.ours: runs[match.ours], "the same again": again}
        adapters = dict.fromkeys(runs, adapters[match.ours])
        match = replace(match, targets={})
    with threadpool_limits(limits=settings.threads):
        timings = interleave(
            runs,
            settings.rounds,
            discard_first=not settings.smoke,
            read_peak=lambda: machine.probe(settings.threads),
        )
    return match, adapters, timings


def job_of(adapter: Adapter, kind: str, name: str, task: Any) -> Run:
    """The run written ``adapter:job`` of a mapping of jobs that not every adapter has."""
    run: Run = getattr(adapter, kind)[name.partition(":")[2]](task)
    return run


def run_draws(
    match: Match, task: draws.DrawTask, settings: Settings, machine: Machine
) -> dict[str, Any]:
    """Time one match of random draws, check their law, and sum it up."""
    match, adapters, timings = time_jobs(match, "DRAWS", task, settings, machine)
    num_draws = task.k * len(task.query_ids)
    record = summarise(match, timings, lambda median_s: {"draws_per_s": num_draws / median_s})
    rows = {name: draws.rows_of(timings.results[name]) for name in adapters}
    record["checks"] = {name: draw_checks.check_draws(name, task, of) for name, of in rows.items()}
    first = np.arange(min(_ONE_THREAD_QUERIES, len(task.query_ids)))
    alone = job_of(adapters[match.ours], "DRAWS", match.ours, task.take(first, threads=1))
    again = draws.rows_of(alone())
    cause = "the number of threads or the batch"
    draw_checks.check_same_draws(match.ours, cause, rows[match.ours][first], again)
    record["versions"] = {name: adapter.describe() for name, adapter in adapters.items()}
    return record


def run_packing(
    match: Match, task: packing.PackTask, settings: Settings, machine: Machine
) -> dict[str, Any]:
    """Time one match of batches without conflicts, check them, and sum it up."""
    match, adapters, timings = time_jobs(match, "PACKS", task, settings, machine)
    num_rows = len(task.questions)
    record = summarise(match, timings, lambda median_s: {"rows_per_s": num_rows / median_s})
    record["checks"] = {
        name: packing.check_batches(name, task, timings.results[name]) for name in adapters
    }
    again = job_of(adapters[match.ours], "PACKS", match.ours, task)()
    packing.check_same_batches(match.ours, timings.results[match.ours], again)
    record["versions"] = {name: adapter.describe() for name, adapter in adapters.items()}
    return record


def run_collating(
    match: Match, task: collating.CollateTask, settings: Settings, machine: Machine
) -> dict[str, Any]:
    """Time one match of collating, compare the last batches, and sum it up."""
    match, adapters, timings = time_jobs(match, "COLLATES", task, settings, machine)
    record = summarise(match, timings, lambda median_s: {})
    ours = timings.results[match.ours]
    record["checks"] = {
        name: collating.check_batches(name, task, ours, timings.results[name]) for name in adapters
    }
    record["versions"] = {name: adapter.describe() for name, adapter in adapters.items()}
    return record


def run_in_batch(
    match: Match, task: in_batch.InBatchTask, size: Size, settings: Settings, machine: Machine
) -> dict[str, Any]:
    """Time one match of miners inside a batch, compare what they found, and sum it up."""
    match, adapters, timings = time_jobs(match, "MINERS", task, settings, machine)
    record = summarise(match, timings, partial(multiply_add_rates, size, machine.peak_gflops))
    ours = timings.results[match.ours]
    alone = replace(task, threads=1)
    again = job_of(adapters[match.ours], "MINERS", match.ours, alone)()
    for found, wanted in zip(in_batch.halves_of(again), in_batch.halves_of(ours), strict=True):
        if not np.array_equal(found, wanted):
            raise checks.WrongAnswer(f"{match.ours}: depends on the number of threads")
    record["checks"] = {
        name: in_batch_checks.check_mined(task, ours, name, timings.results[name])
        for name in adapters
    }
    record["versions"] = {name: adapter.describe() for name, adapter in adapters.items()}
    return record


def run_clusters(
    case: Case,
    match: Match,
    task: clusters.ClusterTask,
    size: Size,
    settings: Settings,
    machine: Machine,
) -> dict[str, Any]:
    """Time one match of k-means or its seeding, compare objectives, and sum it up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        match, adapters, timings = time_jobs(match, "CLUSTERS", task, settings, machine)
    passes = max(1, size.k)
    searched = Size(size.n * passes, size.m, 1, size.d)
    record = summarise(match, timings, partial(multiply_add_rates, searched, machine.peak_gflops))
    check = {
        "lloyd": cluster_checks.check_objectives,
        "start": cluster_checks.check_start,
        "balanced": cluster_checks.check_balanced,
        "seeding": cluster_checks.check_seeds,
    }[case.kind]
    record["checks"] = check(task, match.ours, timings.results)
    again = job_of(adapters[match.ours], "CLUSTERS", match.ours, replace(task, threads=1))()
    if not np.array_equal(again, timings.results[match.ours]):
        raise checks.WrongAnswer(f"{match.ours}: the result depends on the number of threads")
    record["versions"] = {name: adapter.describe() for name, adapter in adapters.items()}
    return record


def run_training(case: Case, settings: Settings) -> dict[str, Any]:
    """Train with every method's negatives; in a smoke run twice, and the numbers must agree."""
    from training import experiment
    from training.retrieval import load_problem
    from training.settings import SETTINGS, SMOKE_SETTINGS

    real = not settings.smoke and data.data_folder() is not None
    name = case.kind.removeprefix("train-")
    size, shared = (case.size, SETTINGS[name]) if real else (case.smoke, SMOKE_SETTINGS)
    problem = load_problem(name, size.n, synthetic=not real)
    seeds = 1 if settings.smoke else settings.num_seeds
    planned = experiment.plan_experiment(problem, shared, seeds, settings.threads, say)
    folder = None if settings.smoke else experiment.folder_of(planned)
    trained = experiment.run_all(planned, folder, say)
    if settings.smoke:
        again = experiment.run_all(replace(planned, threads=1), None, say)
        if trained != again:
            raise checks.WrongAnswer("the same seed gave other numbers")
    return {"origin": problem.origin, "size": vars(size), "training": trained}


@dataclass(frozen=True)
class Machine:
    """The machine's record and the means to measure its peak again."""

    record: dict[str, Any]
    calibrator: Calibrator

    @property
    def peak_gflops(self) -> float | None:
        peak = self.record["peak"]
        return peak["gflops_n"] if peak else None

    def probe(self, threads: int) -> float | None:
        peak = self.calibrator.measure(threads, _PROBE_MILLISECONDS)
        return peak.all_threads if peak else None


def run_case(case: Case, settings: Settings, machine: Machine) -> dict[str, Any]:
    """All matches of a case, or its memory probe."""
    size = case.smoke if settings.smoke else case.size
    say(f"{case.name}: n={size.n:,} m={size.m:,} d={size.d} k={size.k}")
    record: dict[str, Any] = {"kind": "case", "case": case.name, "size": vars(size)}
    if case.kind == "memory":
        from memory import probe_in_fresh_process

        base_rows = _SMOKE_BASE_ROWS if settings.smoke else None
        record["memory"] = probe_in_fresh_process(size, settings.threads, base_rows)
        record["origin"] = record["memory"].pop("origin")
        return record
    if case.kind == "refresh":
        import refreshing

        base_rows = _SMOKE_BASE_ROWS if settings.smoke else None
        rounds = 1 if settings.smoke else settings.rounds or SLOW_ROUNDS
        found = refreshing.probe_in_fresh_process(size, settings.threads, rounds, base_rows)
        record["refresh"] = found
        record["origin"] = found.pop("origin")
        return record
    if case.kind == "weighted" or case.kind == "complement":
        drawing = draws.make_task(case.kind, size.n, size.m, size.k, size.d, settings.threads)
        record["origin"] = "made up"
        record["matches"] = [run_draws(match, drawing, settings, machine) for match in case.matches]
        return record
    if case.kind == "packing":
        pairs = packing.make_task(size.n, size.k)
        record["origin"] = "made up"
        record["matches"] = [run_packing(match, pairs, settings, machine) for match in case.matches]
        return record
    if case.kind in get_args(collating.CollateKind):
        kind = cast(collating.CollateKind, case.kind)
        loading = collating.make_task(kind, size.n, size.m, size.k, size.d)
        record["origin"] = "made up"
        record["matches"] = [
            run_collating(match, loading, settings, machine) for match in case.matches
        ]
        return record
    if case.suite == "in-batch":
        batch = in_batch.make_task(
            case.kind, size.n, size.k, size.d, settings.threads, settings.device
        )
        record["origin"] = f"made up, on {settings.device}"
        record["matches"] = [
            run_in_batch(match, batch, size, settings, machine) for match in case.matches
        ]
        return record
    if case.suite == "kmeans":
        base_rows = _SMOKE_BASE_ROWS if settings.smoke else None
        problem = clusters.make_task(size.n, size.m, size.k, size.d, settings.threads, base_rows)
        record["origin"] = problem.origin
        record["matches"] = [
            run_clusters(case, match, problem, size, settings, machine) for match in case.matches
        ]
        return record
    if case.suite == "training":
        return record | run_training(case, settings)
    task = load_task(case, size, settings)
    record["origin"] = task.vectors.origin
    record["matches"] = []
    for position, match in enumerate(case.matches):
        asked = [name for name in case.extra if name.partition(":")[0] in settings.extra]
        names = [*match.peers, *(asked if position == 0 else [])]
        record["matches"].append(run_match(case, match, names, task, settings, machine))
    return record


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", nargs="?", choices=get_args(Suite), help="default: all")
    parser.add_argument("--case", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    parser.add_argument(
        "--rounds", type=int, help=f"rounds kept (default {DEFAULT_ROUNDS}, 3 for slow cases)"
    )
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument(
        "--with",
        dest="extra",
        nargs="+",
        default=[],
        choices=("torch", "numpy", "usearch", "sklearn"),
        help="further peers for the topk cases",
    )
    parser.add_argument(
        "--aa", action="store_true", help="time ours against itself: the noise floor"
    )
    parser.add_argument(
        "--device", default="cpu", help="where in-batch miners find their tensors, such as cuda"
    )
    parser.add_argument(
        "--seeds", type=int, default=5, help="runs of each method in the suite training"
    )
    parser.add_argument("--json", type=Path, help="write the records, one a line")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, check answers only")
    parsed = parser.parse_args(arguments)
    if parsed.rounds is not None and parsed.rounds < 1:
        parser.error("--rounds must be at least 1")
    if parsed.seeds < 1:
        parser.error("--seeds must be at least 1")
    if parsed.threads < 1:
        parser.error("--threads must be at least 1")
    if not (parsed.suite or parsed.case or parsed.smoke or parsed.list):
        parser.error("name a suite or a case, or give --smoke or --list")
    return parsed


def list_cases() -> None:
    for case in CASES:
        size = case.size
        print(f"{case.suite:7} {case.name:19} n={size.n} m={size.m} d={size.d} k={size.k}")
        for match in case.matches:
            for peer in match.peers:
                target = match.targets.get(peer)
                wanted = "no target" if target is None else f"at least {target:.2f}"
                print(f"        {match.name}: {match.ours} against {peer}: {wanted}")


def run_all(parsed: argparse.Namespace) -> int:
    settings = Settings(
        parsed.threads,
        parsed.rounds,
        parsed.smoke,
        parsed.aa,
        frozenset(parsed.extra),
        parsed.device,
        parsed.seeds,
    )
    cases = find_cases(parsed.suite, parsed.case)
    calibrator = build_calibrator()
    machine = Machine(describe_machine(calibrator, settings.threads), calibrator)
    if machine.record["peak"] is None:
        say(f"no calibration, so no percent of peak: {calibrator.missing}")
    if busy_processors() > 0.5 and not settings.smoke:
        say(f"warning: load average {busy_processors():.1f}, the machine has company")
    records: list[dict[str, Any]] = [{**machine.record, "smoke": settings.smoke}]
    wrong = 0
    for case in cases:
        try:
            records.append(run_case(case, settings, machine))
        except checks.WrongAnswer as error:
            wrong += 1
            say(f"  WRONG ANSWER, no timing reported: {error}")
            records.append({"kind": "case", "case": case.name, "wrong": str(error)})
        if parsed.json:
            report.write_lines(parsed.json, records)
    print(report.to_markdown(records))
    return 1 if wrong else 0


def main() -> int:
    restart_in_best_environment()
    parsed = parse_arguments(sys.argv[1:])
    if parsed.list:
        list_cases()
        return 0
    try:
        return run_all(parsed)
    except (ValueError, Unavailable) as error:
        say(f"error: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
