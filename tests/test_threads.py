# SPDX-License-Identifier: Apache-2.0
"""Threads, forks, interrupts and progress: results never depend on them, and nothing hangs."""

import os
import platform
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import nearmiss as nm
import numpy as np
import pytest
from compare import assert_same_bits, assert_same_table, assert_same_topk
from nearmiss import _core
from problems import METRICS

RNG = np.random.default_rng(0)
QUERIES = RNG.normal(size=(301, 20)).astype(np.float32)
ROWS = RNG.normal(size=(7001, 20)).astype(np.float32)

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def mine(corpus, num_threads=None, **more):
    keywords = {"num_negatives": 7, "range_max": 40, "relative_margin": 0.05, "seed": 3, **more}
    positives = np.arange(len(QUERIES))
    return nm.mine(QUERIES, corpus, positives, num_threads=num_threads, **keywords)


def run(code, *, check=True, **environment):
    """Run Python code in a process of its own and return what it printed."""
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )
    if check:
        assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout.strip() if check else answer


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("strategy", ["top", "random", "uniform"])
def test_any_number_of_threads_gives_the_same(metric, strategy):
    more = {"range_max": None} if strategy == "uniform" else {}
    one = mine(nm.Corpus(ROWS, metric=metric), 1, strategy=strategy, **more)
    for threads in (2, 7, 64):
        other = mine(nm.Corpus(ROWS, metric=metric), threads, strategy=strategy, **more)
        assert_same_table(other, one)


def test_any_number_of_threads_gives_the_same_for_few_queries():
    """One query against many rows splits the work by rows."""
    for n in (1, 2, 5):
        one = nm.topk(QUERIES[:n], ROWS, 100, num_threads=1)
        for threads in (2, 7):
            assert_same_topk(nm.topk(QUERIES[:n], ROWS, 100, num_threads=threads), one)


def test_one_corpus_serves_many_python_threads():
    corpus = nm.Corpus(ROWS)
    strategies = ["top", "random"] * 8
    expected = {name: mine(nm.Corpus(ROWS), 1, strategy=name) for name in set(strategies)}
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(mine, corpus, 1 + i % 3, strategy=s) for i, s in enumerate(strategies)]
        for name, job in zip(strategies, jobs, strict=True):
            assert_same_table(job.result(), expected[name])


def test_mining_while_updating_sees_the_old_rows_or_the_new():
    """`update` is exclusive: no result may mix the two states."""
    corpus = nm.Corpus(ROWS.copy())
    states = [ROWS, ROWS[::-1].copy()]
    expected = [mine(nm.Corpus(rows)).indices for rows in states]
    stop = threading.Event()

    def flip():
        turn = 0
        while not stop.is_set():
            turn = 1 - turn
            corpus.update(np.arange(len(ROWS)), states[turn])

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        seen = [mine(corpus).indices for _ in range(12)]
    finally:
        stop.set()
        thread.join()
    for indices in seen:
        assert any(np.array_equal(indices, state) for state in expected)


def test_first_updates_from_two_threads_are_both_kept(monkeypatch):
    """The first update packs a copy of the rows: two at a time must not start from one state."""
    corpus, pack, ready = nm.Corpus(ROWS), _core.Corpus, threading.Barrier(2)

    def pack_slowly(*arguments):
        time.sleep(0.05)
        return pack(*arguments)

    def update(start):
        places = np.arange(start, start + 20)
        ready.wait()
        corpus.update(places, QUERIES[places])

    with monkeypatch.context() as patched, ThreadPoolExecutor(2) as pool:
        patched.setattr(_core, "Corpus", pack_slowly)
        list(pool.map(update, (0, 20)))
    changed = ROWS.copy()
    changed[:40] = QUERIES[:40]
    assert_same_topk(nm.topk(QUERIES, corpus, 3), nm.topk(QUERIES, changed, 3))


def test_other_python_threads_run_meanwhile():
    """The GIL is released: a counting thread gets on while the core works."""
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    queries, rows = RNG.normal(size=(2, 6000, 64)).astype(np.float32)
    corpus = nm.Corpus(np.tile(rows, (8, 1)))
    thread.start()
    try:
        before, start = counted[0], time.perf_counter()
        nm.topk(queries, corpus, 10, num_threads=1)
        elapsed, ticks = time.perf_counter() - start, counted[0] - before
    finally:
        stop.set()
        thread.join()
    assert elapsed > 0.02, "the search was too short to tell"
    assert ticks > elapsed / 0.001 / 50


# --- how many -------------------------------------------------------------------------------------

COUNT = """
    import nearmiss as nm, numpy as np, threading
    from nearmiss import _core
    print(_core.default_num_threads())
"""


def test_the_environment_sets_the_default():
    assert run(COUNT, NEARMISS_NUM_THREADS="3") == "3"
    assert run(COUNT, NEARMISS_NUM_THREADS="1") == "1"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_the_affinity_mask_bounds_the_default():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    assert run(code + textwrap.dedent(COUNT), NEARMISS_NUM_THREADS="") == "1"


def test_the_default_is_within_what_the_machine_has():
    assert 1 <= _core.default_num_threads() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5", "3x"])
def test_a_bad_environment_is_named(value):
    code = """
        import nearmiss as nm, numpy as np
        try:
            nm.topk(np.ones((1, 2)), np.ones((3, 2)), 1)
        except ValueError as error:
            print(error)
    """
    assert "NEARMISS_NUM_THREADS" in run(code, NEARMISS_NUM_THREADS=value)


@posix
def test_one_thread_means_no_other_thread():
    code = """
        import os, nearmiss as nm, numpy as np
        rows = np.random.default_rng(0).normal(size=(3000, 32))
        before = len(os.listdir("/proc/self/task"))
        most = [0]
        def progress(fraction):
            most[0] = max(most[0], len(os.listdir("/proc/self/task")))
        nm.mine(rows, rows, num_threads=THREADS, progress=progress)
        print(most[0] - before, len(os.listdir("/proc/self/task")) - before)
    """
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("needs /proc")
    during, after = map(int, run(code.replace("THREADS", "1")).split())
    assert during <= 0
    assert after == 0
    during, _ = map(int, run(code.replace("THREADS", "3")).split())
    assert during <= 3  # the control is not exact: the pool may serve the calling thread too


def test_a_simd_target_can_be_forced_by_the_environment():
    code = "from nearmiss import _core; print(_core.simd_target())"
    for target in nm.simd_targets():
        assert run(code, NEARMISS_SIMD=target) == target


def test_an_unknown_simd_target_is_named():
    code = """
        import nearmiss as nm, numpy as np
        nm.topk(np.ones((1, 2)), np.ones((3, 2)), 1)
    """
    answer = run(code, check=False, NEARMISS_SIMD="mmx")
    assert answer.returncode != 0
    assert "mmx" in answer.stderr


# --- fork and spawn -------------------------------------------------------------------------------


DAEMON = """
    import sys, threading
    import nearmiss as nm
    import numpy as np

    rows = np.random.default_rng(0).standard_normal((60_000, 64), dtype=np.float32)
    searching = threading.Event()

    def report(fraction):
        REPORT

    def search():
        while True:
            nm.mine(rows, rows, num_threads=THREADS, progress=report)

    threading.Thread(target=search, daemon=True).start()
    assert searching.wait(60)
    END
"""
WAITS_FOR_THE_GIL = "searching.set()"
RUNS_PYTHON = "searching.set(); sum(1 for _ in iter(int, 1))"
# What exits call when Python has ended gets the exit status, here a time in microseconds; of the
# status the caller sees the lowest byte, which is 0.
OUTLIVES_PYTHON = (
    "import ctypes; libc = ctypes.CDLL(None); libc.on_exit(libc.usleep, None); sys.exit(1000 << 8)"
)


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("report", [WAITS_FOR_THE_GIL, RUNS_PYTHON])
@pytest.mark.parametrize("end", ["pass", OUTLIVES_PYTHON])
def test_a_daemon_thread_does_not_abort_the_end_of_the_process(num_threads, report, end):
    if end == OUTLIVES_PYTHON and platform.libc_ver()[0] != "glibc":
        pytest.skip("needs on_exit of glibc")
    code = DAEMON.replace("REPORT", report).replace("THREADS", str(num_threads))
    run(code.replace("END", end))


@fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_results_before_and_after_a_fork_in_parent_and_child():
    corpus = nm.Corpus(ROWS)
    before = mine(corpus, 2)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        # A fork without exec: nothing of pytest may run here.
        try:
            os.close(read)
            inside = mine(corpus, 2)
            again = mine(nm.Corpus(ROWS), 2)
            same = all(
                np.array_equal(found.indices, before.indices)
                and found.scores.tobytes() == before.scores.tobytes()
                for found in (inside, again)
            )
            os.write(write, b"same" if same else b"different")
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    try:
        deadline = time.monotonic() + 60
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                pytest.fail("the child of the fork hangs")
            time.sleep(0.01)
        assert os.read(read, 1000) == b"same"
    finally:
        os.close(read)
    assert_same_table(mine(corpus, 2), before)


@fork
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_process_pools(method):
    code = f"""
        import multiprocessing, numpy as np, nearmiss as nm
        rows = np.random.default_rng(0).normal(size=(2000, 16))
        def work(start):
            ids = np.arange(start, start + 100)
            return nm.mine(rows[ids], rows, query_ids=ids, exclude_self=True, num_threads=2).indices
        if __name__ == "__main__":
            whole = nm.mine(rows, rows, exclude_self=True, num_threads=2).indices
            with multiprocessing.get_context("{method}").Pool(2) as pool:
                parts = pool.map(work, range(0, 2000, 100))
            print(np.array_equal(np.concatenate(parts), whole))
    """
    if method == "spawn":  # spawn needs a file to import from
        code = code.replace("def work", "import sys\n        def work")
    assert run_file(code) == "True"


def run_file(code):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "script.py")
        with open(path, "w") as file:
            file.write(textwrap.dedent(code))
        answer = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", path],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout.strip()


# --- progress and interrupts ----------------------------------------------------------------------


@pytest.mark.parametrize("num_threads", [1, 2])
def test_progress_rises_to_one(num_threads):
    queries, rows = RNG.normal(size=(2, 8000, 64)).astype(np.float32)
    seen, thread = [], set()

    def progress(fraction):
        seen.append(fraction)
        thread.add(threading.get_ident())

    found = nm.mine(queries, np.tile(rows, (4, 1)), progress=progress, num_threads=num_threads)
    assert found.counts.min() == 3
    assert len(seen) >= 2
    assert seen == sorted(seen)
    assert seen[0] >= 0
    assert seen[-1] == 1
    assert thread == {threading.get_ident()}


def blind_among_others(rng, n):
    """Return rows that even queries see only the 20th bit of, as codes do not; and n queries."""
    corpus = rng.normal(size=(5003, 64)).astype(np.float32)
    corpus[:, 32:] *= np.float32(2.0**-20)
    queries = rng.normal(size=(n, 64)).astype(np.float32)
    queries[::2, :32] = 0
    return queries, corpus


def clumped(rng, n):
    """Return rows whose neighbours lie in a few panels, so that samples mislead; and n queries."""
    centres = np.repeat(rng.normal(size=(121, 40)), 50, axis=0)
    corpus = (centres + 0.2 * rng.normal(size=centres.shape)).astype(np.float32)
    return corpus[rng.integers(0, len(corpus), n)] + np.float32(0.1), corpus


@pytest.mark.parametrize(
    ("problem", "precision"), [(blind_among_others, "auto"), (clumped, "float32")]
)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_what_is_screened_again_is_not_reported_as_done(problem, precision, num_threads):
    """The first report of each pass comes at once, so 1 is seen too early if it ever is."""
    queries, corpus = problem(np.random.default_rng(1), 290)
    seen = []
    work = _core.mine(
        queries,
        "float32",
        _core.Corpus(corpus, "float32", "ip"),
        law="top",
        num_negatives=40,
        precision=precision,
        num_threads=num_threads,
        progress=seen.append,
    )["work"]
    again = work["fallen_back"] + work["rescanned"]
    assert again > 0 or _core.simd_target() == "scalar"
    assert seen == sorted(seen)
    assert 1 not in seen[:-1]
    if num_threads == 1:
        assert any(fraction == pytest.approx(1 - again / 290) for fraction in seen)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_an_exception_of_progress_stops_the_work(error, num_threads):
    queries, rows = RNG.normal(size=(2, 20_000, 64)).astype(np.float32)
    corpus = nm.Corpus(np.tile(rows, (5, 1)))
    expected = nm.topk(queries[:50], corpus, 3)
    raised = []

    def progress(fraction):
        raised.append(time.perf_counter())
        raise error("enough")

    with pytest.raises(error, match="enough"):
        nm.mine(queries, corpus, progress=progress, num_threads=num_threads)
    assert time.perf_counter() - raised[0] < 1
    assert len(raised) == 1, "progress was called again after it had raised"
    assert_same_topk(nm.topk(queries[:50], corpus, 3), expected)


INTERRUPTED = """
    import sys, time, numpy as np, nearmiss as nm
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(120_000, 128)).astype(np.float32)
    corpus = nm.Corpus(rows)
    small = nm.topk(rows[:20], corpus, 3)
    print("ready", flush=True)
    start = time.perf_counter()
    try:
        CALL
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        again = nm.topk(rows[:20], corpus, 3)
        print(np.array_equal(small[1], again[1]), flush=True)
    else:
        print("finished in", time.perf_counter() - start, flush=True)
"""


@posix
@pytest.mark.parametrize(
    "call",
    [
        "nm.mine(rows, corpus, exclude_self=True, num_threads=2)",
        "nm.mine(rows, corpus, exclude_self=True, num_threads=1, progress=lambda done: None)",
        "nm.topk(rows, corpus, 100, num_threads=2)",
        "nm.mine(np.broadcast_to(rows[0], (1_500_000, 128)), corpus, strategy='uniform', "
        "num_negatives=10)",
    ],
    ids=["mine", "mine with progress", "topk", "uniform"],
)
def test_ctrl_c_stops_within_a_second(call):
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED).replace("CALL", call)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.7)
        sent = time.perf_counter()
        child.send_signal(signal.SIGINT)
        answer = child.stdout.readline()
        waited = time.perf_counter() - sent
        assert answer == "interrupted\n", answer + child.stderr.read()
        assert waited < 1, f"stopped after {waited:.2f} s"
        assert child.stdout.readline() == "True\n"
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.communicate()


@posix
def test_ctrl_c_without_a_handler_ends_the_process():
    """The usual script: a traceback ending in KeyboardInterrupt, and no thread left behind."""
    code = INTERRUPTED.replace("except KeyboardInterrupt", "except ZeroDivisionError").replace(
        "CALL", "nm.topk(rows, corpus, 100, num_threads=2)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=10)
    finally:
        child.kill()
    assert "KeyboardInterrupt" in errors
    assert child.returncode in (-signal.SIGINT, 130, 1)


# --- DataLoader workers ---------------------------------------------------------------------------


@fork
def test_one_thread_by_default_inside_dataloader_workers():
    pytest.importorskip("torch")
    code = """
        import os, numpy as np, torch, nearmiss as nm
        from torch.utils.data import DataLoader, Dataset
        rows = np.random.default_rng(0).normal(size=(4000, 32)).astype(np.float32)
        class Miner(Dataset):
            def __len__(self):
                return 2
            def __getitem__(self, i):
                most, before = [0], len(os.listdir("/proc/self/task"))
                def progress(fraction):
                    most[0] = max(most[0], len(os.listdir("/proc/self/task")))
                nm.mine(rows, rows, progress=progress)
                return most[0] - before
        if __name__ == "__main__":
            print([int(x) for x in DataLoader(Miner(), batch_size=None, num_workers=2)])
    """
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("needs /proc")
    assert run_file(code) == "[0, 0]"


def test_same_bits_for_any_split_of_queries(num_threads):
    whole = mine(nm.Corpus(ROWS), 1)
    ids = np.arange(len(QUERIES))
    parts = [
        nm.mine(
            QUERIES[part],
            ROWS,
            ids[part],
            num_negatives=7,
            range_max=40,
            relative_margin=0.05,
            seed=3,
            query_ids=ids[part],
            num_threads=num_threads,
        )
        for part in (slice(0, 1), slice(1, 100), slice(100, 301))
    ]
    assert_same_bits(np.concatenate([part.indices for part in parts]), whole.indices)
    assert_same_bits(np.concatenate([part.scores for part in parts]), whole.scores)
