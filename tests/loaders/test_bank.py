# SPDX-License-Identifier: Apache-2.0
"""The memory bank: after every step it must answer like a corpus made of what it should hold."""

import io
import threading

import nearmiss as nm
import numpy as np
import oracle
import pytest
import test_contract_strategies as contract
import torch
from compare import assert_same_bits, assert_same_table, rejects
from hypothesis import given
from hypothesis import strategies as st
from nearmiss.loaders import MemoryBank

METRICS = ("cosine", "ip", "l2")


class Model:
    """What a bank must hold, slot by slot, in lists."""

    def __init__(self, capacity, order):
        self.capacity, self.order = capacity, order
        self.ids, self.groups, self.rows = [], [], []
        self.added = 0

    def enqueue(self, rows, ids, groups):
        for row, one, group in zip(rows, ids, groups, strict=True):
            slot = self.added % self.capacity
            if self.order == "keyed":
                slot = self.ids.index(one) if one in self.ids else len(self.ids)
            if slot == len(self.ids):
                self.ids.append(None), self.groups.append(None), self.rows.append(None)
            self.ids[slot], self.groups[slot], self.rows[slot] = one, group, row
            self.added += 1

    def vectors(self):
        return np.array(self.rows, dtype=np.float32)

    def slots(self, ids):
        return [slot for slot, one in enumerate(self.ids) if one in ids]


def batch_of_ids(draw, model, rng, size):
    """Ids for a batch: known ones and new ones, in a keyed bank each once and not too many."""
    if model.order == "fifo":
        return rng.integers(0, 12, size).tolist()
    new = [one for one in range(40) if one not in model.ids]
    room = model.capacity - len(model.ids)
    chosen = [*rng.permutation(model.ids).tolist(), *rng.permutation(new)[:room].tolist()]
    return rng.permutation(chosen).tolist()[:size]


@given(data=st.data())
def test_any_sequence_of_steps_against_the_oracle(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    capacity = data.draw(st.sampled_from((1, 2, 3, 5, 8, 13, 40)))
    dim = data.draw(st.sampled_from((1, 2, 3, 8, 33)))
    metric, order = (
        data.draw(st.sampled_from(METRICS)),
        data.draw(st.sampled_from(("fifo", "keyed"))),
    )
    with_ids = order == "keyed" or data.draw(st.booleans())
    with_groups, as_text = data.draw(st.booleans()), data.draw(st.booleans())
    bank, model = MemoryBank(capacity, dim, metric, order, num_threads=1), Model(capacity, order)

    def named(ids):
        return [f"id {one}" if as_text else one for one in ids]

    for _ in range(data.draw(st.integers(1, 6))):
        size = data.draw(st.integers(0, capacity))
        ids = batch_of_ids(data.draw, model, rng, size) if with_ids else None
        size = size if ids is None else len(ids)
        rows = rng.integers(-2, 3, (size, dim)).astype(np.float32)  # ties and duplicates
        rows[(rows == 0).all(axis=1), 0] = 1
        groups = rng.integers(-1, 3, size) if with_groups else None
        bank.enqueue(rows, None if ids is None else named(ids), groups)
        numbers = range(model.added, model.added + size)
        model.enqueue(
            rows, numbers if ids is None else ids, [None] * size if groups is None else groups
        )
        if data.draw(st.booleans()) and model.rows:
            check_against_oracle(data, rng, bank, model, named if with_ids else list, metric)
    assert len(bank) == len(model.rows)
    if model.rows:
        check_against_oracle(data, rng, bank, model, named if with_ids else list, metric)


def check_against_oracle(data, rng, bank, model, named, metric):
    assert bank.ids.tolist() == named(model.ids)
    assert_same_bits(bank.vectors(), model.vectors())
    n = data.draw(st.integers(0, 4))
    queries = rng.integers(-2, 3, (n, bank.dim)).astype(np.float32)
    queries[(queries == 0).all(axis=1), 0] = 1
    wanted = [rng.integers(0, 40, rng.integers(0, 4)).tolist() for _ in range(n)]
    ruled_out = [rng.integers(0, 40, rng.integers(0, 4)).tolist() for _ in range(n)]
    keywords = {"num_negatives": data.draw(st.sampled_from((1, 3, 50)))}
    ours, theirs = {}, {"metric": metric}
    if data.draw(st.booleans()):
        ours["positive_ids"] = [named(ids) for ids in wanted]
        theirs["positives"] = [model.slots(ids) for ids in wanted]
        keywords["relative_margin"] = 0.125
    if data.draw(st.booleans()):
        by_slot = [rng.integers(0, len(bank), 2).tolist() for _ in range(n)]
        ours |= {"exclude_ids": [named(ids) for ids in ruled_out], "exclude": by_slot}
        theirs["exclude"] = [
            model.slots(ids) + more for ids, more in zip(ruled_out, by_slot, strict=True)
        ]
    if data.draw(st.booleans()):
        keywords["max_score"] = 0.5
    if bank.groups is not None and data.draw(st.booleans()):
        keywords |= {"query_groups": rng.integers(-1, 3, n), "within_groups": bool(rng.integers(2))}
        theirs["corpus_groups"] = np.array(model.groups)
    if data.draw(st.booleans()):
        ours |= {"limits": nm.Limits(exclude=ours.pop("exclude", None)), **ours}
        ours.pop("exclude", None)
    found = bank.mine(queries, **keywords, **ours)
    expected = oracle.mine(queries, model.vectors(), **keywords, **theirs)
    assert_same_table(found, expected)
    known = named(model.ids)
    for slots, ids in zip(found.indices.tolist(), found.ids.tolist(), strict=True):
        assert ids[: len(slots)] == [
            known[slot] if slot >= 0 else (None if isinstance(known[0], str) else -1)
            for slot in slots
        ]


# --- slots that are not filled --------------------------------------------------------------------


def filled_bank(capacity, metric="cosine", **keywords):
    bank = MemoryBank(capacity, contract.D, metric, **keywords)
    bank.enqueue(contract.ROWS, groups=np.arange(contract.M) % 5)
    return bank


@contract.every_strategy
def test_every_strategy_answers_as_with_a_corpus_of_what_is_filled(name, monkeypatch):
    """With three times as many slots as are filled, and again once an update came in."""
    metric = contract.metrics(name)[0]
    asked = []
    monkeypatch.setattr(nm, "mine", lambda *positional, **more: asked.append((positional, more)))
    contract.mine(name)
    (queries, _, positives), keywords = asked[0]
    monkeypatch.undo()
    bank = filled_bank(3 * contract.M, metric)
    mirror = MemoryBank(contract.M, contract.D, metric)  # full, so that rows are replaced
    mirror.enqueue(contract.ROWS[::-1], groups=np.zeros(contract.M, int))
    mirror.mine(queries[:1], num_negatives=1)
    mirror.enqueue(contract.ROWS, groups=np.arange(contract.M) % 5)
    expected = nm.mine(queries, contract.ROWS, positives, metric=metric, **keywords)
    groups = keywords.pop("corpus_groups", None)
    assert groups is None or np.array_equal(groups, bank.groups)
    for one in (bank, mirror):
        assert_same_table(one.mine(queries, positives, **keywords), expected)
    assert expected.counts.any() or name in contract.SELECTIVE


def test_an_empty_bank_has_nothing_to_search():
    with pytest.raises(ValueError, match="bank: empty"):
        MemoryBank(4, 2).mine([[1.0, 0.0]])


def test_zeros_of_unfilled_slots_would_be_found_if_they_were_searched():
    """The control: in a corpus of all slots, zeros are the nearest rows."""
    bank = MemoryBank(5, 2, "l2")
    bank.enqueue(np.array([[3.0, 0], [4, 0]]))
    assert bank.mine([[0.1, 0.0]], num_negatives=5).indices.tolist() == [[0, 1, -1, -1, -1]]
    naive = nm.mine([[0.1, 0.0]], bank._vectors, num_negatives=2, metric="l2")
    assert rejects(lambda: np.testing.assert_array_equal(naive.indices, [[0, 1]]))


# --- what replaces what ---------------------------------------------------------------------------


def rows_of(*first):
    return np.array([[one, 1.0] for one in first], np.float32)


def test_a_queue_forgets_the_oldest():
    bank = MemoryBank(4, 2, "ip")
    assert bank.enqueue(rows_of(1, 2, 3)).tolist() == [0, 1, 2]
    assert bank.enqueue(rows_of(4, 5, 6)).tolist() == [3, 0, 1]
    assert bank.ids.tolist() == [4, 5, 2, 3]
    assert bank.vectors([0, -1, 2])[:, 0].tolist() == [5, 0, 3]
    found = bank.mine([[1.0, 0.0]], num_negatives=4)
    assert found.indices.tolist() == [[1, 0, 3, 2]]
    assert found.ids.tolist() == [[5, 4, 3, 2]]


def test_all_slots_of_an_id_in_a_queue_are_meant():
    bank = MemoryBank(5, 2, "ip")
    bank.enqueue(rows_of(1, 2, 3, 4), ids=["a", "b", "a", "c"])
    bank.enqueue(rows_of(5, 6), ids=["a", "a"])  # slots 4 and 0
    assert bank.mine([[1.0, 0]], positive_ids=["a"]).indices.tolist() == [[3, 1, -1]]
    assert bank.mine([[1.0, 0]], exclude_ids=[["c", "a"]]).indices.tolist() == [[1, -1, -1]]
    assert bank.mine([[1.0, 0]], positive_ids=[None], num_negatives=1).indices.tolist() == [[0]]
    bank.enqueue(rows_of(7, 8, 9), ids=["d", "d", "d"])  # slots 1, 2 and 3
    assert bank.mine([[1.0, 0]], exclude_ids=["b"], num_negatives=5).counts.tolist() == [5]
    assert bank.mine([[1.0, 0]], exclude_ids=["d"], num_negatives=5).indices.tolist() == [
        [0, 4, -1, -1, -1]
    ]


def test_an_excluded_id_is_no_positive():
    """Margins refer to positives only."""
    bank = MemoryBank(3, 2, "ip")
    bank.enqueue(rows_of(0.5, 1, 2), ids=[7, 8, 9])
    keywords = {"num_negatives": 3, "absolute_margin": 0.0}
    found = bank.mine([[1.0, 0]], positive_ids=[8], exclude_ids=[7], **keywords)
    assert found.indices.tolist() == [[-1, -1, -1]]
    found = bank.mine([[1.0, 0]], positive_ids=[9], exclude_ids=[7], **keywords)
    assert found.indices.tolist() == [[1, -1, -1]]


def test_a_keyed_bank_keeps_one_slot_for_each_id():
    bank = MemoryBank(3, 2, "ip", "keyed")
    assert bank.enqueue(rows_of(1, 2), ids=[70, 80]).tolist() == [0, 1]
    assert bank.enqueue(rows_of(3, 4), ids=[80, 90]).tolist() == [1, 2]
    assert bank.enqueue(rows_of(5), ids=[70]).tolist() == [0]
    assert bank.ids.tolist() == [70, 80, 90]
    assert bank.vectors()[:, 0].tolist() == [5, 3, 4]
    found = bank.mine([[1.0, 0]], positive_ids=[90], num_negatives=2)
    assert found.ids.tolist() == [[70, 80]]
    assert found.positive_scores.tolist() == [4]


def test_a_full_bank_is_updated_in_place(monkeypatch):
    """No search packs it anew: what one step costs depends on the batch alone."""
    packed = []
    pack = nm.Corpus._of_matrix.__func__
    monkeypatch.setattr(
        nm.Corpus,
        "_of_matrix",
        classmethod(lambda cls, *given: packed.append(len(given[0].rows)) or pack(cls, *given)),
    )
    rng = np.random.default_rng(0)
    bank = MemoryBank(64, 8)
    for step in range(12):
        bank.enqueue(rng.normal(size=(16, 8)))
        bank.mine(rng.normal(size=(2, 8)))
        assert packed == [16, 32, 48, 64][: step + 1]
    assert bank._corpus._matrix.rows.base is bank._vectors  # nor was it copied


# --- errors ---------------------------------------------------------------------------------------

NAN = np.array([[1, 1], [np.nan, 1]])
BAD = {
    "nan": ((NAN, [5, 6]), ValueError, "embeddings: row 1 holds a NaN"),
    "infinite": (([[np.inf, 1]], [5]), ValueError, "embeddings: row 0 holds a NaN or an infinity"),
    "zero": ((rows_of(1)[[0, 0]] * [[1], [0]], [5, 6]), ValueError, "embeddings: row 1 is zero"),
    "width": ((np.ones((1, 3)), [5]), ValueError, "embeddings: 3 dimensions, but the bank has 2"),
    "shape": ((np.ones(2), [5]), ValueError, "embeddings: expected a 2-dimensional"),
    "type": ((np.ones((1, 2), complex), [5]), TypeError, "embeddings: expected float64"),
    "length": ((np.ones((2, 2)), [5]), ValueError, "ids: expected 2, one per embedding, got 1"),
    "negative": ((np.ones((2, 2)), [5, -1]), ValueError, "ids: embedding 1 has id -1"),
    "text": ((np.ones((1, 2)), ["a"]), TypeError, "ids: strings, but those of the bank are int"),
    "groups": ((np.ones((1, 2)), [5], [0]), ValueError, "groups: not given for earlier"),
}
BAD_IN_A_QUEUE = {
    "too many": ((np.ones((4, 2)), [5, 6, 7, 8]), ValueError, "embeddings: 4 rows, but .* 3 slots"),
    "no ids": ((np.ones((1, 2)),), ValueError, "ids: given for earlier embeddings"),
}
BAD_BY_KEY = {
    "no slot": ((np.ones((2, 2)), [5, 6]), ValueError, "ids: no slot for 6: all 3 belong"),
    "no ids": ((np.ones((1, 2)),), ValueError, "ids: a keyed bank needs them"),
    "twice": ((np.ones((2, 2)), [1, 1]), ValueError, "ids: rows 0 and 1 have the same id 1"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("order", "arguments", "error", "message"),
    [
        *(("fifo", *case) for case in (*BAD.values(), *BAD_IN_A_QUEUE.values())),
        *(("keyed", *case) for case in (*BAD.values(), *BAD_BY_KEY.values())),
    ],
)
def test_a_bad_batch_changes_nothing(order, arguments, error, message, packed):
    bank, untouched = MemoryBank(3, 2, "cosine", order), MemoryBank(3, 2, "cosine", order)
    for one in (bank, untouched):
        one.enqueue(rows_of(1, 2), ids=[1, 2])
    if packed:
        bank.mine([[1.0, 0.0]])
    with pytest.raises(error, match=message):
        bank.enqueue(*arguments)
    for one in (bank, untouched):
        one.enqueue(rows_of(5), ids=[1])
    assert bank.state_dict().keys() == untouched.state_dict().keys()
    for name, array in bank.state_dict().items():
        assert_same_bits(array, untouched.state_dict()[name], name)
    assert_same_table(bank.mine([[1.0, 0.0]]), untouched.mine([[1.0, 0.0]]))


def test_denormals_are_no_zeros_and_zeros_are_fine_where_they_have_a_score():
    bank = MemoryBank(2, 2)
    bank.enqueue(np.array([[1e-45, 0]], np.float32))
    with pytest.raises(ValueError, match="row 0 is zero"):
        bank.enqueue(np.array([[0.0, -0.0]], np.float32))
    assert MemoryBank(2, 2, "l2").enqueue(np.zeros((1, 2))).tolist() == [0]


def test_groups_are_given_always_or_never():
    bank = MemoryBank(4, 2)
    bank.enqueue(rows_of(1), groups=["a"])
    with pytest.raises(ValueError, match="groups: needed for all"):
        bank.enqueue(rows_of(2))
    with pytest.raises(TypeError, match="groups: integers, but those of the bank are strings"):
        bank.enqueue(rows_of(2), groups=[1])
    assert len(bank) == 1
    other = MemoryBank(4, 2)
    other.enqueue(rows_of(1))
    with pytest.raises(ValueError, match="query_groups: needs corpus_groups"):
        other.mine([[1.0, 0]], query_groups=[0])


def test_ids_are_given_always_or_never():
    bank = MemoryBank(4, 2)
    bank.enqueue(rows_of(1))
    with pytest.raises(ValueError, match="ids: not given for earlier embeddings"):
        bank.enqueue(rows_of(2), ids=[5])


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"corpus_groups": [0]}, TypeError, "corpus_groups: is the bank's own"),
        ({"metric": "ip"}, TypeError, "metric: is the bank's own"),
        ({"exclude_self": True}, ValueError, "exclude_self: queries have no slots"),
        ({"limits": nm.Limits(exclude_self=True)}, ValueError, "exclude_self: queries have no"),
        ({"limits": 3}, TypeError, "limits: expected nearmiss.Limits"),
        ({"positives": [0], "positive_ids": [1]}, ValueError, "positive_ids: cannot be given"),
        ({"positives": [3]}, ValueError, "positives: "),
        ({"positive_ids": [1, 2]}, ValueError, "positive_ids: expected 1, one per query, got 2"),
        ({"positive_ids": ["a"]}, TypeError, "positive_ids: strings, but those of the bank"),
        ({"exclude_ids": [[1, -2]]}, ValueError, "exclude_ids: -2; ids start at 0"),
        ({"exclude_ids": 3}, TypeError, "exclude_ids: expected an id or a list of ids"),
        ({"exclude_ids": [1.5]}, TypeError, "exclude_ids: expected integers"),
        ({"colour": 3}, TypeError, "colour"),
    ],
)
def test_arguments_of_a_search_that_cannot_be_used(keywords, error, message):
    bank = MemoryBank(4, 2)
    bank.enqueue(rows_of(1, 2, 3), ids=[1, 2, 3])
    with pytest.raises(error, match=message):
        bank.mine([[1.0, 0.0]], **keywords)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 2), "capacity"),
        ((2, 0), "dim"),
        ((2, 2, "dot"), "metric"),
        ((2, 2, "ip", "lru"), "order"),
    ],
)
def test_a_bank_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}: "):
        MemoryBank(*arguments)


def test_only_filled_slots_have_vectors():
    bank = MemoryBank(4, 2)
    bank.enqueue(rows_of(1, 2))
    assert bank.vectors([[0, -1], [1, 1]]).shape == (2, 2, 2)
    for slot in (2, -2):
        with pytest.raises(ValueError, match=f"indices: slot {slot} is not among the 2"):
            bank.vectors([0, slot])
    with pytest.raises(TypeError, match="indices: expected integers"):
        bank.vectors([0.0])


# --- saving ---------------------------------------------------------------------------------------


def saved(bank):
    """The state after a file of plain arrays."""
    file = io.BytesIO()
    np.savez(file, **bank.state_dict())
    file.seek(0)
    return dict(np.load(file, allow_pickle=False))


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("kind", ["numbers", "text", "arrivals"])
@pytest.mark.parametrize("order", ["fifo", "keyed"])
def test_a_restored_bank_goes_on_alike(order, kind, steps):
    if order == "keyed" and kind == "arrivals":
        kind = "numbers"
    rng = np.random.default_rng(steps)
    labels = {"numbers": lambda i: i, "text": lambda i: f"é{i}\0"}

    def step(bank, number):
        ids = None if kind == "arrivals" else [labels[kind]((3 * number + i) % 7) for i in range(3)]
        groups = [None, "ä", "b"] if kind == "text" else [-1, 4, 4]
        bank.enqueue(np.random.default_rng(number).normal(size=(3, 4)), ids, groups)

    bank = MemoryBank(7, 4, "l2", order)
    for number in range(steps):
        step(bank, number)
    copy = MemoryBank(7, 4, "l2", order)
    step(copy, 99)
    copy.mine(rng.normal(size=(1, 4)))  # what it held and packed is to be gone
    copy.load_state_dict(saved(bank))
    for number in range(steps, steps + 4):
        for one in (bank, copy):
            step(one, number)
        queries = rng.normal(size=(5, 4))
        keywords = {"query_groups": ["b" if kind == "text" else 4] * 5, "num_negatives": 6}
        assert_same_table(bank.mine(queries, **keywords), copy.mine(queries, **keywords))
        assert bank.ids.tolist() == copy.ids.tolist()
        assert bank.groups.tolist() == copy.groups.tolist()
        wanted = bank.ids[:5].tolist()
        wanted += wanted[:1] * (5 - len(wanted))
        assert_same_table(
            bank.mine(queries, positive_ids=wanted), copy.mine(queries, positive_ids=wanted)
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capacity": np.array(5)}, "state: capacity is 5, but the bank's is 4"),
        ({"metric": np.array("ip")}, "state: metric is 'ip'"),
        ({"order": np.array("keyed")}, "state: order is 'keyed'"),
        ({"version": np.array(2)}, "state: version is 2"),
        ({"vectors": np.ones((3, 3))}, "vectors: 3 dimensions"),
        ({"vectors": np.zeros((3, 2))}, "vectors: row 0 is zero"),
        ({"vectors": np.ones((2, 2))}, "state: 2 vectors, but 3 were enqueued"),
        ({"vectors": np.full((3, 2), np.nan)}, "vectors: row 0 holds a NaN"),
        ({"ids": np.array([1, 2])}, "ids: expected 3"),
        ({"ids": np.array([1, 2, -3])}, "ids: embedding 2 has id -3"),
        ({"num_enqueued": np.array(-1)}, "num_enqueued: must be at least 0"),
        ({"group_codes": np.array([0, 1, 2])}, "state: group_codes do not fit"),
        ({"group_codes": np.array([0, 1])}, "groups: expected 3"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    bank = MemoryBank(4, 2)
    bank.enqueue(rows_of(1, 2, 3), ids=[1, 2, 3], groups=[5, 6, -1])
    state = bank.state_dict()
    with pytest.raises(ValueError, match=message):
        bank.load_state_dict({**state, **change})
    for name in ("version", "vectors", "num_enqueued", "order"):
        with pytest.raises(ValueError, match=f"state: has no '{name}'"):
            bank.load_state_dict({key: value for key, value in state.items() if key != name})
    for name, array in bank.state_dict().items():
        assert_same_bits(array, state[name], name)


# --- tensors and threads --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_tensors_in_and_out(dtype):
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    bank = MemoryBank(8, 4)
    bank.enqueue(
        rows.requires_grad_(), ids=torch.arange(6), groups=torch.zeros(6, dtype=torch.long)
    )
    kept = rows.detach().to(torch.float32)
    found = bank.mine(rows, positive_ids=torch.arange(6), exclude_ids=[[0, 1]] * 6)
    assert_same_table(
        found,
        oracle.mine(kept.numpy(), kept.numpy(), [[i] for i in range(6)], exclude=[[0, 1]] * 6),
    )
    vectors = bank.vectors(torch.from_numpy(found.indices))
    assert isinstance(vectors, torch.Tensor)
    assert vectors.shape == (6, 3, 4)
    assert torch.equal(vectors, kept[torch.from_numpy(found.indices)])
    assert isinstance(bank.vectors(found.indices), np.ndarray)


def test_threads_take_turns():
    """Every search sees whole batches: all rows of a batch are the same vector."""
    bank = MemoryBank(32, 2, "l2")
    bank.enqueue(np.zeros((32, 2)))
    failures = []

    def add():
        for step in range(1, 60):
            bank.enqueue(np.full((8, 2), float(step)))

    def search():
        try:
            for _ in range(60):
                found = bank.mine([[100.0, 100.0]], num_negatives=8)
                assert len(set(found.scores[0].tolist())) == 1, found.scores
                assert len(found.ids[0]) == 8
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for work in (add, search, search)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(bank.vectors()[:, 0].tolist()) == sorted([56, 57, 58, 59] * 8)
