# SPDX-License-Identifier: Apache-2.0
"""The command line: outputs, exit codes, one-line errors, files that stay whole."""

import json
import os
import signal
import stat
import subprocess
import sys
import time

import nearmiss as nm
import numpy as np
import pytest
from nearmiss import cli

N, M = 12, 50


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write a small problem into a folder, make it the current one and return its arrays."""
    rng = np.random.default_rng(0)
    corpus = rng.standard_normal((M, 8), dtype=np.float32)
    queries = corpus[:N] + 0.2 * rng.standard_normal((N, 8), dtype=np.float32)
    monkeypatch.chdir(tmp_path)
    np.save("q.npy", queries)
    np.save("c.npy", corpus)
    np.save("p.npy", np.arange(N))
    write_lines("q.txt", [f"q{row}" for row in range(N)])
    write_lines("c.txt", [f"d{row}" for row in range(M)])
    judged = [f"q{row}\td{row}\t1" for row in range(N)]
    write_lines("qrels.tsv", ["query-id\tcorpus-id\tscore", *judged, "q3\td40\t2", "q4\td41\t0"])
    return queries, corpus


def write_lines(path, lines):
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def run(*arguments, output="out.safetensors"):
    given = ["mine", "--queries", "q.npy", "--corpus", "c.npy", "-o", output]
    return cli.main([*given, *map(str, arguments)])


def assert_same(found, expected):
    assert np.array_equal(found.indices, expected.indices)
    assert np.array_equal(found.scores, expected.scores, equal_nan=True)


def test_table_equals_mine(files, capsys):
    queries, corpus = files
    assert run("--positives", "p.npy", "--num-negatives", 4, "--relative-margin", 0.1) == 0
    expected = nm.mine(queries, corpus, np.arange(N), num_negatives=4, relative_margin=0.1)
    assert_same(nm.Negatives.load("out.safetensors"), expected)
    printed = capsys.readouterr()
    assert str(expected.stats) in printed.out
    assert "Wrote out.safetensors (table: 12 queries" in printed.out
    assert printed.err == ""


def test_qrels_and_ids(files):
    queries, corpus = files
    ids = ["--query-ids", "q.txt", "--corpus-ids", "c.txt"]
    assert run("--positives", "qrels.tsv", *ids, output="out.jsonl") == 0
    positives = [[row] for row in range(N)]
    positives[3].append(40)
    expected = nm.mine(queries, corpus, positives)
    with open("out.jsonl", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert [line["query_id"] for line in lines] == [f"q{row}" for row in range(N)]
    assert lines[3]["positive_ids"] == ["d3", "d40"]
    names = [[f"d{row}" for row in rows] for rows in expected.indices]
    assert [line["negative_ids"] for line in lines] == names
    # Graded judgements: from 2 on only d40 of q3 is a positive.
    assert run("--positives", "qrels.tsv", *ids, "--min-relevance", 2, output="two.jsonl") == 0
    with open("two.jsonl", encoding="utf-8") as file:
        assert [json.loads(line)["positive_ids"] for line in file] == [
            ["d40"] if row == 3 else [] for row in range(N)
        ]


def test_qrels_hold_row_numbers_without_ids(files):
    queries, corpus = files
    write_lines("rows.txt", [f"{row} 0 {row} 1" for row in range(N)])
    assert run("--positives", "rows.txt") == 0
    assert_same(nm.Negatives.load("out.safetensors"), nm.mine(queries, corpus, np.arange(N)))


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (["--strategy", "random", "--range-max", 9], {"strategy": "random", "range_max": 9}),
        (["--strategy", "uniform", "--seed", 3], {"strategy": "uniform", "seed": 3}),
        (
            ["--strategy", "uniform", "--seed", 3, "--epoch", 2],
            {"strategy": "uniform", "seed": 3, "epoch": 2},
        ),
        (["--range-min", 2, "--range-max", 7], {"range_min": 2, "range_max": 7}),
        (
            ["--range-max", 5, "--range-mode", "raw"],
            {"range_max": 5, "range_mode": "raw"},
        ),
        (["--max-score", 0.5, "--min-score", -0.1], {"max_score": 0.5, "min_score": -0.1}),
        (["--max-score", "ceiling.npy"], {"max_score": np.linspace(0.2, 0.6, N)}),
        (
            ["--absolute-margin", 0.2, "--margin-reference", "max"],
            {"absolute_margin": 0.2, "margin_reference": "max"},
        ),
        (
            ["--relative-margin", 0.3, "--positive-scores", "given.npy"],
            {"relative_margin": 0.3, "positive_scores": np.linspace(0.5, 0.9, N)},
        ),
        (["--exclude", "exclude.npy"], {"exclude": np.arange(20, 20 + N)}),
        (["--exclude-self"], {"exclude_self": True}),
        (["--no-exclude-duplicates"], {"exclude_duplicates": False}),
        (["--metric", "l2", "--num-threads", 2], {"metric": "l2"}),
        (["--metric", "ip", "--precision", "float32"], {"metric": "ip"}),
        (["--probes", 2], {"approximate": nm.Probes(2)}),
        (["--recall", 0.9], {"approximate": nm.Probes.for_recall(0.9)}),
        (
            ["--on-shortage", "drop", "--max-score", -0.5],
            {"on_shortage": "drop", "max_score": -0.5},
        ),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_options_are_the_keywords_of_mine(files, arguments, keywords):
    queries, corpus = files
    np.save("ceiling.npy", np.linspace(0.2, 0.6, N))
    np.save("given.npy", np.linspace(0.5, 0.9, N))
    np.save("exclude.npy", np.arange(20, 20 + N))
    assert run("--positives", "p.npy", *arguments) == 0
    found = nm.Negatives.load("out.safetensors")
    assert_same(found, nm.mine(queries, corpus, np.arange(N), **keywords))


def test_groups_from_text_and_npy(files):
    queries, corpus = files
    words = np.array(["red", "green", "-1"])
    of_queries, of_corpus = np.arange(N) % 3, np.arange(M) % 3
    write_lines("qg.txt", words[of_queries])
    write_lines("cg.txt", words[of_corpus])
    of_queries[of_queries == 2] = of_corpus[of_corpus == 2] = -1
    np.save("qg.npy", of_queries)
    np.save("cg.npy", of_corpus)
    write_lines("qg-numbers.txt", of_queries)
    write_lines("cg-numbers.txt", of_corpus)
    for within in (False, True):
        expected = nm.mine(
            queries,
            corpus,
            query_groups=of_queries,
            corpus_groups=of_corpus,
            within_groups=within,
        )
        for name in (".npy", ".txt", "-numbers.txt"):
            groups = ["--query-groups", f"qg{name}", "--corpus-groups", f"cg{name}"]
            assert run(*groups, *(["--within-groups"] if within else [])) == 0
            assert_same(nm.Negatives.load("out.safetensors"), expected)


def test_values_from_text_and_npy(files):
    queries, corpus = files
    values, least = np.arange(M) % 7, np.arange(N) % 5
    np.save("v.npy", values)
    write_lines("v.txt", values)
    write_lines("v-fractions.txt", values + 0.5)
    np.save("least.npy", least)
    expected = nm.mine(queries, corpus, corpus_values=values, min_value=least, max_value=6)
    for name, end in (("v.npy", 6), ("v.txt", "6.0"), ("v-fractions.txt", 6.5)):
        given = ["--corpus-values", name, "--min-value", "least.npy", "--max-value", end]
        assert run(*given) == 0
        assert_same(nm.Negatives.load("out.safetensors"), expected)


@pytest.mark.parametrize(
    ("line", "options", "message"),
    [
        ("x", ["--max-value", 3], "v.txt: line 2 is no number: 'x'"),
        (2**64, ["--max-value", 3], "v.txt: holds an integer beyond int64"),
        (2**53 + 1, ["--max-value", 3], "corpus_values: integers beyond 2**53"),
        ("nan", ["--max-value", 3], "corpus_values: must be finite, got nan for corpus row 1"),
        (1, ["--max-value", 2**53 + 1], "max_value: integers beyond 2**53"),
        (1, ["--min-value", "soon"], "--min-value: expected a number or a .npy file, got 'soon'"),
        (1, [], "corpus_values: needs min_value or max_value"),
    ],
)
def test_bad_values(files, capsys, line, options, message):
    write_lines("v.txt", [0.5 if line in ("x", "nan") else 0, line, *range(M - 2)])
    assert run("--corpus-values", "v.txt", *options) == 2
    assert message in capsys.readouterr().err


def test_exclude_self_finds_the_query_by_its_id(files):
    queries, corpus = files
    rows = list(range(20, 20 + N))
    write_lines("ids.txt", [f"d{row}" for row in rows])
    ids = ["--query-ids", "ids.txt", "--corpus-ids", "c.txt"]
    assert run("--exclude-self", *ids) == 0
    expected = nm.mine(queries, corpus, exclude_self=True, query_ids=rows)
    found = nm.Negatives.load("out.safetensors")
    assert_same(found, expected)
    assert found.query_ids.tolist() == list(range(N))  # a loader finds queries by row
    np.save("more.npy", np.arange(N))
    assert run("--exclude-self", *ids, "--exclude", "more.npy") == 0
    both = [[row, self_row] for row, self_row in enumerate(rows)]
    assert_same(nm.Negatives.load("out.safetensors"), nm.mine(queries, corpus, exclude=both))


def test_choices_are_checked_before_the_corpus_is_packed(files, monkeypatch, capsys):
    def pack(*arguments, **keywords):
        raise AssertionError("packed")

    monkeypatch.setattr(cli, "Corpus", pack)
    for arguments in (
        ["--strategy", "tops"],
        ["--metric", "dot"],
        ["--exclude", "missing.npy"],
        ["--query-groups", "missing.npy"],
        ["--max-score", "high"],
        ["--range-max", "0"],
    ):
        assert run(*arguments) == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    ("output", "arguments", "name"),
    [
        ("x.jsonl", [], "jsonl"),
        ("x.RUN", [], "trec"),
        ("x.nearmiss", [], "table"),
        ("x.bin", [], "table"),
        ("x", ["--format", "trec"], "trec"),
        ("x.jsonl", ["--format", "table"], "table"),
    ],
)
def test_format_by_suffix_or_name(files, capsys, output, arguments, name):
    assert run(*arguments, output=output) == 0
    assert f"({name}: " in capsys.readouterr().out


def test_an_older_output_is_replaced(files):
    write_lines("out.safetensors", ["old"])
    assert run() == 0
    assert len(nm.Negatives.load("out.safetensors").counts) == N


SHORT = ["--max-score", "-0.5"]  # few rows score so low


@pytest.mark.parametrize(
    ("limit", "code"), [(None, 0), ("0", 3), ("0.0", 3), ("1.0", 0), ("36", 0), ("0.01", 3)]
)
def test_max_shortage(files, capsys, limit, code):
    arguments = [] if limit is None else ["--max-shortage", limit]
    assert run(*SHORT, *arguments) == code
    missing = (nm.Negatives.load("out.safetensors").indices < 0).sum()  # written all the same
    assert 0 < missing < 36
    error = capsys.readouterr().err
    if code:
        assert (
            error == f"nearmiss: {missing} negatives are missing (--max-shortage allows {limit})\n"
        )
    else:
        assert error == ""


def test_max_shortage_is_exact(files):
    run(*SHORT)
    missing = int((nm.Negatives.load("out.safetensors").indices < 0).sum())
    assert run(*SHORT, "--max-shortage", missing) == 0
    assert run(*SHORT, "--max-shortage", missing - 1) == 3
    assert run(*SHORT, "--max-shortage", missing / 36) == 0
    # Dropped queries are missing too.
    assert run(*SHORT, "--on-shortage", "drop", "--max-shortage", missing - 1) == 3
    assert run("--max-shortage", "0") == 0


def test_on_shortage_error(files, capsys):
    assert run(*SHORT, "--on-shortage", "error") == 3
    assert not os.path.exists("out.safetensors")
    assert "nothing was written" in capsys.readouterr().err
    assert run("--on-shortage", "error") == 0


def bad_inputs():
    yield ["--positives", "missing.npy"], "No such file or directory: 'missing.npy'"
    yield ["--queries", "missing.npy"], "missing.npy"
    yield ["--queries", "q.txt"], "q.txt: not a .npy file"
    yield ["--queries", "short.npy"], "short.npy"
    yield ["--queries", "objects.npy"], "objects.npy: "
    yield ["--queries", "p.npy"], "queries: expected a 2-dimensional array"
    yield ["--queries", "wide.npy"], "queries: 9 dimensions, but the corpus has 8"
    yield ["--queries", "nan.npy"], "queries: row 3"
    yield ["--corpus", "nan.npy"], "row 3"
    yield ["--positives", "c.npy"], "positives: "
    yield ["--positives", "far.npy"], "positives: query 2 refers to corpus row 50"
    yield ["--positives", "qrels.tsv"], "qrels.tsv: line 2: query 'q0' is not in query_ids"
    yield ["--positives", "bad.tsv"], "bad.tsv: line 2: expected 3 columns"
    yield ["--query-ids", "c.txt"], "--query-ids: expected 12, one per query, got 50"
    yield ["--corpus-ids", "q.txt"], "--corpus-ids: expected 50, one per corpus row, got 12"
    yield ["--query-ids", "twice.txt"], "--query-ids: rows 0 and 11 have the same id 'a0'"
    yield ["--query-ids", "gap.txt"], "gap.txt: line 2 is empty"
    yield ["--query-ids", "latin.txt"], "latin.txt: not UTF-8 text"
    yield (
        ["--query-ids", "blanks.txt", "--output", "out.trec"],
        "trec: query id 'a 1' cannot stand in a column",
    )
    yield (
        ["--corpus-ids", "many.txt", "--output", "out.trec"],
        "trec: corpus id 'a 49' cannot stand in a column",
    )
    yield ["--exclude-self", "--query-ids", "q.txt"], "give both --query-ids and --corpus-ids"
    yield (
        ["--exclude-self", "--query-ids", "q.txt", "--corpus-ids", "c.txt"],
        "query id 'q0' is not among the corpus ids",
    )
    yield ["--num-negatives", "0"], "num_negatives: must be at least 1, got 0"
    yield ["--num-negatives", "many"], "argument --num-negatives: invalid int value: 'many'"
    yield ["--strategy", "tops"], "did you mean 'top'?"
    yield ["--strategy", "random"], "range_max"
    yield ["--range-min", "5", "--range-max", "5"], "range_min: must be below range_max"
    yield ["--metric", "cosinus"], "metric: expected one of 'cosine', 'ip', 'l2', got 'cosinus'"
    yield ["--metric", "cosinus"], "did you mean 'cosine'?"
    yield ["--positives", "huge.tsv"], "huge.tsv: line 1: row number 99999999999999999999 is beyond"
    yield ["--positives", "latin.tsv"], "latin.tsv: not UTF-8 text"
    yield ["--max-score", "high"], "--max-score: expected a number or a .npy file, got 'high'"
    yield ["--max-score", "nan"], "max_score: must be finite, got nan"
    yield ["--relative-margin", "0.1"], "relative_margin: needs positives"
    yield ["--query-groups", "q.txt"], "query_groups: needs"
    yield ["--corpus-groups", "q.txt", "--query-groups", "q.txt"], "--corpus-groups: expected 50"
    yield ["--corpus", "p.npy"], "--corpus: expected a 2-dimensional array"
    yield ["--probes", "0"], "--probes: must be at least 1, got 0"
    yield (
        ["--precision", "int4"],
        "precision: expected one of 'auto', 'float32', 'int16', 'int8', got 'int4'",
    )
    yield ["--num-threads", "0"], "num_threads: must be at least 1, got 0"
    yield ["--format", "json"], "did you mean 'jsonl'?"
    yield ["--max-shortage", "1.5"], "--max-shortage: expected a whole number"
    yield ["--max-shortage", "-1"], "--max-shortage"
    yield ["--max-shortage", "nan"], "--max-shortage: expected a whole number"
    yield ["--output", "folder"], "--output: folder is a folder"
    yield ["--output", "nowhere/out"], "--output: there is no folder nowhere"
    yield ["--positives", "p.npy", "--output", "p.npy"], "p.npy is an input file"
    yield ["--output", "link.npy"], "link.npy is an input file and is not overwritten"
    yield ["--unknown"], "unrecognized arguments: --unknown"


@pytest.fixture
def bad_files(files):
    np.save("wide.npy", np.ones((N, 9), dtype=np.float32))
    holed = np.ones((M, 8), dtype=np.float32)
    holed[3, 2] = np.nan
    np.save("nan.npy", holed)
    np.save("objects.npy", np.array([{}, {}], dtype=object))
    np.save("far.npy", np.array([0, 1, M, *range(3, N)]))
    with open("q.npy", "rb") as whole, open("short.npy", "wb") as file:
        file.write(whole.read()[:-4])
    write_lines("bad.tsv", ["q0\td0\t1", "q1\td1"])
    write_lines("twice.txt", [f"a{row % (N - 1)}" for row in range(N)])
    write_lines("gap.txt", ["a", "", "b"])
    write_lines("blanks.txt", [f"a {row}" if row else "a" for row in range(N)])
    write_lines("many.txt", [f"a{row}" for row in range(M - 1)] + ["a 49"])
    write_lines("huge.tsv", ["0\t99999999999999999999\t1"])
    for name in ("latin.txt", "latin.tsv"):
        with open(name, "wb") as file:
            file.write("é\té\t1\n".encode("latin-1"))
    os.mkdir("folder")
    os.link("q.npy", "link.npy")


@pytest.mark.parametrize(("arguments", "message"), list(bad_inputs()), ids=lambda v: str(v)[:60])
def test_bad_input(bad_files, capsys, arguments, message):
    before = {entry.name: entry.stat().st_size for entry in os.scandir()}
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("nearmiss: error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert {entry.name: entry.stat().st_size for entry in os.scandir()} == before


def test_unknown_judgements_can_be_left_out(files):
    write_lines("more.tsv", ["q0\td0\t1", "q99\td1\t1", "q1\td999\t1"])
    given = ["--positives", "more.tsv", "--query-ids", "q.txt", "--corpus-ids", "c.txt"]
    assert run(*given) == 2
    assert run(*given, "--ignore-unknown") == 0


@pytest.mark.skipif(sys.platform == "win32", reason="pipes with a name")
def test_a_pipe_is_no_output(files, capsys):
    """Nor is a device: as /dev/null, a file would take its place."""
    os.mkfifo("pipe")
    assert run(output="pipe") == 2
    assert "--output: pipe is a device or a pipe, not a file" in capsys.readouterr().err
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)


def test_a_folder_that_is_not_writable_is_refused_before_the_search(files, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr(cli, "Corpus", None)  # packing would fail
    assert run() == 2
    assert "is not writable" in capsys.readouterr().err


def test_a_link_stays_a_link(files):
    os.mkdir("results")
    os.symlink(os.path.join("results", "new.safetensors"), "out.safetensors")
    assert run() == 0
    assert os.path.islink("out.safetensors")
    assert len(nm.Negatives.load(os.path.join("results", "new.safetensors")).counts) == N
    assert os.listdir("results") == ["new.safetensors"]


@pytest.mark.parametrize(("limit", "code"), [("60", 0), ("0", 3)])
def test_a_reader_that_leaves_costs_nothing(files, limit, code):
    """As behind `| true`: the file is there, the exit code the same, and nobody complains."""
    reader, writer = os.pipe()
    os.close(reader)
    given = ["--queries", "q.npy", "--corpus", "c.npy", "-o", "out.safetensors"]
    missing = ["--num-negatives", "55", "--max-shortage", limit]
    done = subprocess.run(
        [sys.executable, "-m", "nearmiss", "mine", *given, *missing],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.returncode == code
    assert "pipe" not in done.stderr.lower()
    assert len(nm.Negatives.load("out.safetensors").counts) == N


def test_the_output_is_written_before_the_summary(files, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr("builtins.print", fail)
    with pytest.raises(OSError, match="no space"):
        run()
    assert len(nm.Negatives.load("out.safetensors").counts) == N


@pytest.mark.parametrize("arguments", [[], ["mien"], ["mine"], ["mine", "-o", "x"]])
def test_usage_errors(capsys, arguments):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("nearmiss: error: ")
    assert "--help" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["mine", "--help"], ["demo", "--help"]])
def test_help(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 0
    assert "usage: nearmiss" in capsys.readouterr().out


def test_strategies_are_listed_with_what_they_take(capsys):
    assert cli.main(["strategies"]) == 0
    printed = capsys.readouterr().out
    for name, strategy in nm.strategies.available().items():
        assert f"{strategy.example}: {strategy.picks}" in printed, name
    assert "a = 0.5 (sharpness, per squared score; code)" in printed


def test_info_and_version(capsys):
    assert cli.main(["info"]) == 0
    printed = capsys.readouterr().out
    assert all(target in printed for target in nm.simd_targets())
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"nearmiss {nm.__version__}\n"


class Terminal:
    """Stands in for stderr on a terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.mark.parametrize("tqdm", [True, False])
def test_progress_on_a_terminal(files, monkeypatch, tqdm):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    if not tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)  # importing it fails
    assert run() == 0
    assert "mining:" in terminal.text
    terminal.text = ""
    assert run("--no-progress") == 0
    assert terminal.text == ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of a terminal")
def test_ctrl_c_leaves_nothing_behind(tmp_path):
    """The long search of another process is interrupted: 130, one line, no file."""
    rng = np.random.default_rng(0)
    # More than ten seconds of work for one thread of a fast machine.
    np.save(tmp_path / "c.npy", rng.standard_normal((160_000, 256), dtype=np.float32))
    command = [sys.executable, "-m", "nearmiss", "mine", "--queries", "c.npy", "--corpus", "c.npy"]
    process = subprocess.Popen(
        [*command, "--num-threads", "1", "-o", "out.jsonl"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(3)
    assert process.poll() is None, "the search was too short to be interrupted"
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert time.monotonic() - start < 3
    assert process.returncode == 130
    assert error == "nearmiss: interrupted, nothing was written\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.npy"]
