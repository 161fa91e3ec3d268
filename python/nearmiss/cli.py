# SPDX-License-Identifier: Apache-2.0
"""The command `nearmiss`: mine from files, list strategies, run the demo, describe the build.

Exit codes: 0 done, 2 bad input or usage, 3 more negatives missing than `--max-shortage` allows,
130 interrupted. Errors are one line on stderr; a traceback means a bug of ours.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from nearmiss import formats, strategies
from nearmiss.corpus import Corpus, check_metric
from nearmiss.formats.lines import read_ids, read_labels, read_numbers
from nearmiss.formats.npy import read_npy
from nearmiss.ids import as_unique_ids
from nearmiss.limits import Limits
from nearmiss.mining import mine
from nearmiss.negatives import Negatives
from nearmiss.positives import Positives
from nearmiss.probes import Probes
from nearmiss.progress import bar
from nearmiss.runtime import __version__, build_info, simd_targets

DONE, BAD_INPUT, SHORTAGE, INTERRUPTED = 0, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments and return its exit code."""
    try:
        args = build_parser().parse_args(argv)
        code: int = args.run(args)
        return code
    except (ValueError, TypeError, KeyError, OSError, ImportError, MemoryError) as error:
        print(f"nearmiss: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("nearmiss: interrupted, nothing was written", file=sys.stderr)
        return INTERRUPTED


def _one_line(error: Exception) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(text.split()) or type(error).__name__


def _print(text: object) -> None:
    """Print, unless nobody reads any more, as behind ``| head``."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # What is left in the buffer goes nowhere instead of failing once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _called(**options: str) -> Iterator[None]:
    """Name the option in errors about an argument that is called otherwise in Python."""
    try:
        yield
    except (ValueError, TypeError) as error:
        name, _, rest = str(error).partition(": ")
        if name not in options:
            raise
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{options[name]}: {rest}") from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="nearmiss", description="Hard-negative mining: exact, fast, reproducible."
    )
    parser.add_argument("--version", action="version", version=f"nearmiss {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    _add_mine(commands)
    _add_demo(commands)
    known = commands.add_parser("strategies", help="list what --strategy takes, and where from")
    known.set_defaults(run=_run_strategies)
    info = commands.add_parser("info", help="describe this build and the machine's SIMD targets")
    info.set_defaults(run=_run_info)
    return parser


# --- nearmiss mine --------------------------------------------------------------------------------


def _add_mine(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "mine",
        help="mine hard negatives from files of embeddings",
        description="Give every query its hard negatives and write them to a file.",
        epilog="Exit codes: 0 done, 2 bad input, 3 shortage above --max-shortage, 130 interrupted.",
    )
    parser.set_defaults(run=_run_mine)
    _add_inputs(parser)
    _add_choice(parser)
    _add_limits(parser)
    _add_running(parser)
    _add_output(parser)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("input")
    group.add_argument("--queries", required=True, type=Path, help="embeddings, .npy (n, d)")
    group.add_argument("--corpus", required=True, type=Path, help="embeddings, .npy (m, d)")
    lists = "qrels (.tsv, .txt: BEIR or TREC columns), or row numbers (.npy, -1 padded)"
    group.add_argument("--positives", type=Path, help=lists)
    group.add_argument("--exclude", type=Path, help=f"further rows never to return: {lists}")
    group.add_argument("--min-relevance", type=float, default=1, metavar="R", help="default: 1")
    unknown = "leave out judgements of unknown queries and documents"
    group.add_argument("--ignore-unknown", action="store_true", help=unknown)
    ids = "one id per line, in the order of the rows; row numbers if not given"
    group.add_argument("--query-ids", type=Path, help=ids)
    group.add_argument("--corpus-ids", type=Path, help=ids)
    labels = "group of each row: .npy, or text with one label per line (-1: none)"
    group.add_argument("--query-groups", type=Path, help=labels)
    group.add_argument("--corpus-groups", type=Path, help=labels)
    numbers = "a number for each row: .npy, or text with one per line"
    group.add_argument("--corpus-values", type=Path, help=numbers)
    given = "scores the margins refer to, .npy (n,)"
    group.add_argument("--positive-scores", type=Path, help=given)
    group.add_argument("--metric", default="cosine", help="cosine, ip or l2; default: cosine")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to choose")
    group.add_argument(
        "--num-negatives", type=int, metavar="N", help="default: the strategy's own, else 3"
    )
    which = "NAME or NAME:key=value,…, as `nearmiss strategies` lists them; default: top"
    group.add_argument("--strategy", default="top", help=which)
    group.add_argument("--range-min", type=int, default=0, metavar="RANK", help="default: 0")
    group.add_argument("--range-max", type=int, metavar="RANK", help="first rank no longer used")
    group.add_argument("--range-mode", choices=("filtered", "raw"), default="filtered")
    group.add_argument("--seed", type=int, default=0)
    group.add_argument("--epoch", type=int, default=0)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("who may be a negative")
    score = "a number, or .npy with one per query"
    group.add_argument("--max-score", metavar="S", help=score)
    group.add_argument("--min-score", metavar="S", help=score)
    group.add_argument("--absolute-margin", type=float, metavar="M", help="keep s <= s+ - M")
    group.add_argument("--relative-margin", type=float, metavar="M", help="keep s <= s+ - M |s+|")
    group.add_argument("--margin-reference", choices=("min", "max", "mean"), default="min")
    group.add_argument("--exclude-self", action="store_true", help="queries are rows of the corpus")
    group.add_argument("--no-exclude-duplicates", dest="exclude_duplicates", action="store_false")
    group.add_argument("--within-groups", action="store_true", help="only the query's own group")
    value = "keep rows of which --corpus-values has {}: a number, or .npy with one per query"
    group.add_argument("--min-value", metavar="V", help=value.format("V or more"))
    group.add_argument("--max-value", metavar="V", help=value.format("less than V"))


def _add_running(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("running")
    group.add_argument("--num-threads", type=int, metavar="N", help="default: NEARMISS_NUM_THREADS")
    group.add_argument(
        "--precision", default="auto", help="auto, float32, int16 or int8: time, never answers"
    )
    lists = "look at the P nearest clusters of the corpus only (approximate)"
    some = group.add_mutually_exclusive_group()
    some.add_argument("--probes", type=int, metavar="P", help=lists)
    some.add_argument("--recall", type=float, metavar="R", help="the same, as many as R needs")
    group.add_argument("--no-progress", action="store_true", help="no progress bar")


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("-o", "--output", required=True, type=Path)
    known = ", ".join(sorted(formats.available()))
    group.add_argument("--format", help=f"one of {known}; default: by the suffix, else table")
    group.add_argument("--on-shortage", choices=("pad", "drop", "error"), default="pad")
    group.add_argument(
        "--max-shortage",
        metavar="LIMIT",
        help="exit with 3 if more of the requested negatives are missing: a whole number of them,"
        " or a fraction with a decimal point (0.05); the output is written all the same",
    )


def _run_mine(args: argparse.Namespace) -> int:
    output_format = _output_format(args)
    max_shortage = _parse_max_shortage(args.max_shortage)
    _check_output_path(args)
    strategy = strategies.parse(args.strategy)
    check_metric(args.metric)
    probes = _probes(args)
    queries, embeddings = read_npy(args.queries), read_npy(args.corpus)
    query_ids = _optional(read_ids, args.query_ids)
    if query_ids is not None:
        as_unique_ids(query_ids, "--query-ids", len(queries), "query")
    corpus_ids = _optional(read_ids, args.corpus_ids)
    if output_format.check_ids is not None:
        output_format.check_ids(query_ids or (), "query")
        output_format.check_ids(corpus_ids or (), "corpus")
    positives = _read_lists(args.positives, query_ids, corpus_ids, args)
    limits = _limits(args, query_ids, corpus_ids)
    positive_scores = _optional(read_npy, args.positive_scores)
    # Packing is the first long work: every file has been read and every text parsed before it.
    with _called(embeddings="--corpus", ids="--corpus-ids", groups="--corpus-groups"):
        corpus = Corpus(
            embeddings,
            metric=args.metric,
            ids=corpus_ids,
            groups=_optional(_read_groups, args.corpus_groups),
            num_threads=args.num_threads,
        )
    with _progress(enabled=not args.no_progress) as progress:
        negatives = mine(
            queries,
            corpus,
            positives,
            num_negatives=args.num_negatives,
            strategy=strategy,
            limits=limits,
            positive_scores=positive_scores,
            precision=args.precision,
            approximate=probes,
            # Shortage is an outcome with an exit code of its own here, not bad input.
            on_shortage="pad" if args.on_shortage == "error" else args.on_shortage,
            seed=args.seed,
            epoch=args.epoch,
            num_threads=args.num_threads,
            progress=progress,
        )
    return _finish(args, negatives, output_format, query_ids, max_shortage)


def _probes(args: argparse.Namespace) -> Probes | None:
    if args.probes is None and args.recall is None:
        return None
    with _called(p="--probes", recall="--recall"):
        return Probes(args.probes, recall=args.recall)


def _limits(
    args: argparse.Namespace, query_ids: list[str] | None, corpus_ids: list[str] | None
) -> Limits:
    limits = Limits(
        range_min=args.range_min,
        range_max=args.range_max,
        range_mode=args.range_mode,
        max_score=_number_or_vector(args.max_score, "--max-score"),
        min_score=_number_or_vector(args.min_score, "--min-score"),
        absolute_margin=args.absolute_margin,
        relative_margin=args.relative_margin,
        margin_reference=args.margin_reference,
        exclude=_read_lists(args.exclude, query_ids, corpus_ids, args),
        exclude_duplicates=args.exclude_duplicates,
        query_groups=_optional(_read_groups, args.query_groups),
        within_groups=args.within_groups,
        corpus_values=_optional(_read_values, args.corpus_values),
        min_value=_number_or_vector(args.min_value, "--min-value"),
        max_value=_number_or_vector(args.max_value, "--max-value"),
    )
    if not args.exclude_self:
        return limits
    self_rows = _self_rows(query_ids, corpus_ids)
    if self_rows is None:
        return limits.merge(Limits(exclude_self=True))
    # Not by query_ids: those stay row numbers, by which draws are made and loaders look up.
    return limits.merge(Limits(exclude=self_rows))


def _finish(
    args: argparse.Namespace,
    negatives: Negatives,
    output_format: formats.Format,
    query_ids: list[str] | None,
    max_shortage: float | None,
) -> int:
    """Write the output, print the summary and return the exit code."""
    missing = negatives.stats["requested"] - negatives.stats["returned"]
    if missing and args.on_shortage == "error":
        _print(negatives.stats)
        return _report_shortage(missing, "--on-shortage error; nothing was written")
    # First of all: whatever becomes of the summary, the work is not lost.
    output_format.write(args.output, negatives, query_ids=query_ids)
    _print(negatives.stats)
    rows, columns = negatives.indices.shape
    _print(
        f"Wrote {args.output} ({output_format.name}: {rows:,} queries, up to {columns} negatives)"
    )
    if max_shortage is None:
        return DONE
    allowed = max_shortage
    if isinstance(max_shortage, float):
        allowed = max_shortage * negatives.stats["requested"]
    if missing > allowed:
        return _report_shortage(missing, f"--max-shortage allows {args.max_shortage}")
    return DONE


def _report_shortage(missing: int, reason: str) -> int:
    print(f"nearmiss: {missing:,} negatives are missing ({reason})", file=sys.stderr)
    return SHORTAGE


_Read = TypeVar("_Read")


def _optional(read: Callable[[Path], _Read], path: Path | None) -> _Read | None:
    return None if path is None else read(path)


def _read_lists(
    path: Path | None,
    query_ids: list[str] | None,
    corpus_ids: list[str] | None,
    args: argparse.Namespace,
) -> Any:
    """Read positives or exclusions: row numbers from .npy, else relevance judgements."""
    if path is None:
        return None
    if path.suffix == ".npy":
        return read_npy(path)
    return Positives.from_qrels(
        path,
        query_ids=query_ids,
        corpus_ids=corpus_ids,
        min_relevance=args.min_relevance,
        unknown="ignore" if args.ignore_unknown else "error",
    )


def _read_groups(path: Path) -> Any:
    return read_npy(path) if path.suffix == ".npy" else read_labels(path)


def _read_values(path: Path) -> Any:
    return read_npy(path) if path.suffix == ".npy" else read_numbers(path)


def _number_or_vector(text: str | None, option: str) -> Any:
    if text is None:
        return None
    for number in (int, float):  # whole numbers stay exact
        with suppress(ValueError):
            return number(text)
    if text.endswith(".npy"):
        return read_npy(text)
    raise ValueError(f"{option}: expected a number or a .npy file, got {text!r}")


def _self_rows(query_ids: list[str] | None, corpus_ids: list[str] | None) -> list[int] | None:
    """Return the corpus row of each query; None if rows have no ids and are the same anyway."""
    if query_ids is None and corpus_ids is None:
        return None
    if query_ids is None or corpus_ids is None:
        raise ValueError("--exclude-self: give both --query-ids and --corpus-ids, or neither")
    row_of = {corpus_id: row for row, corpus_id in enumerate(corpus_ids)}
    for query_id in query_ids:
        if query_id not in row_of:
            raise ValueError(f"--exclude-self: query id {query_id!r} is not among the corpus ids")
    return [row_of[query_id] for query_id in query_ids]


def _output_format(args: argparse.Namespace) -> formats.Format:
    if args.format is not None:
        return formats.get(args.format)
    return formats.for_path(args.output) or formats.get("table")


def _check_output_path(args: argparse.Namespace) -> None:
    """Refuse an output that cannot be written or would replace an input, before any work."""
    output: Path = args.output
    if output.is_dir():
        raise ValueError(f"--output: {output} is a folder")
    if output.exists() and not output.is_file():
        raise ValueError(f"--output: {output} is a device or a pipe, not a file")
    if not output.parent.is_dir():
        raise ValueError(f"--output: there is no folder {output.parent}")
    folder = os.path.dirname(os.path.realpath(output))  # links are followed
    if not os.access(folder, os.W_OK):
        raise ValueError(f"--output: the folder {folder} is not writable")
    if not output.exists():
        return
    given = [str(value) for name, value in vars(args).items() if name != "output"]
    if any(os.path.isfile(path) and os.path.samefile(path, output) for path in given):
        raise ValueError(f"--output: {output} is an input file and is not overwritten")


def _parse_max_shortage(text: str | None) -> int | float | None:
    """Return a count for a whole number, a fraction for a number with a decimal point."""
    if text is None:
        return None
    try:
        limit = int(text) if text.isdecimal() else float(text)
    except ValueError:
        limit = -1
    if not (limit >= 0 and (isinstance(limit, int) or limit <= 1)):
        raise ValueError(
            "--max-shortage: expected a whole number of negatives or a fraction "
            f"from 0.0 to 1.0, got {text!r}"
        )
    return limit


@contextmanager
def _progress(*, enabled: bool) -> Iterator[Callable[[float], object] | None]:
    """Show progress on stderr, if that is a terminal: tqdm's bar, or one line without tqdm."""
    if not (enabled and sys.stderr.isatty()):
        yield None
        return
    shown = bar(keep=False) if find_spec("tqdm") else _line()
    with shown as report:
        yield report


@contextmanager
def _line() -> Iterator[Callable[[float], object]]:
    try:
        yield lambda done: print(f"\rmining: {done:4.0%}", end="", file=sys.stderr, flush=True)
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


# --- nearmiss demo, strategies, info --------------------------------------------------------------


def _add_demo(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "demo",
        help="near misses among 1,797 handwritten digits, with a picture",
        description="Mine scikit-learn's handwritten digits, check, time, and draw a picture.",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("nearmiss-demo.png"))
    parser.add_argument("--num-threads", type=int, metavar="N")
    parser.set_defaults(run=_run_demo)


def _run_demo(args: argparse.Namespace) -> int:
    from nearmiss import demo  # needs matplotlib and scikit-learn

    agree = demo.run(args.output, num_threads=args.num_threads)
    return DONE if agree else 1


def _run_strategies(args: argparse.Namespace) -> int:
    _print(strategies.available())
    return DONE


def _run_info(args: argparse.Namespace) -> int:
    for name, value in build_info().items():
        _print(f"{name:<16} {value}")
    _print(f"{'runnable targets':<16} {', '.join(simd_targets())}")
    return DONE
