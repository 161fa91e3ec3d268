# SPDX-License-Identifier: Apache-2.0
"""Real Trainers for a few steps: which table each batch is of, epochs, restarts, what is left."""

import subprocess
import sys

import nearmiss as nm
import numpy as np
import pytest
import refresh_miners as miners
import torch
from nearmiss.refresh import EveryEpochs, EverySteps
from torch.utils.data import DataLoader

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the libraries' own, at import
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.slow,  # they take seconds to import
]

WORDS = [f"w{number}" for number in range(40)]
SAMPLES = [{"idx": row} for row in range(miners.NUM_QUERIES)]


def refresher_of(path, vectors, schedule, **keywords):
    """One with a first table, that keeps all."""
    folder = nm.loaders.TableFolder(path, keep=None)
    refresher = nm.loaders.Refresher(
        folder, miners.plain, lambda: {"vectors": vectors()}, schedule=schedule, **keywords
    )
    refresher.refresh()
    return refresher


def table(refresher, generation):
    return nm.Negatives.load(refresher.folder.table_path(generation))


# --- sentence-transformers ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, 5)) for _ in range(miners.NUM_QUERIES)]


def tiny_model():
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(["[UNK]", "[PAD]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    embedding = StaticEmbedding(tokenizer, embedding_dim=6)
    return SentenceTransformer(modules=[embedding], device="cpu")


def arguments(path, **keywords):
    from sentence_transformers import SentenceTransformerTrainingArguments

    return SentenceTransformerTrainingArguments(
        path,
        per_device_train_batch_size=6,
        num_train_epochs=2,
        learning_rate=0.5,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
        **keywords,
    )


class Spy(nm.adapters.sentence_transformers.NegativeColumns):
    """Notes, in a list shared with the callback, the rows asked for and their negatives."""

    def __init__(self, *given, **keywords):
        super().__init__(*given, **keywords)
        self.seen = []

    def __call__(self, columns):
        made = super().__call__(columns)
        negatives = [made[f"negative_{place}"] for place in (1, 2, 3, 4)]
        self.seen.append((self.collate.epoch, columns["idx"], list(zip(*negatives, strict=True))))
        return made


def st_trainer(model, texts, refresher, path, **keywords):
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    anchors = [text.rpartition(" ")[0] for text in texts]
    rows = list(range(len(texts)))
    dataset = Dataset.from_dict({"anchor": anchors, "positive": texts, "idx": rows})
    spy = Spy(refresher.folder, texts, 4)
    dataset.set_transform(spy)
    trainer = SentenceTransformerTrainer(
        model,
        arguments(path, **keywords),
        train_dataset=dataset,
        loss=MultipleNegativesRankingLoss(model),
        callbacks=[nm.adapters.transformers.RefreshCallback(refresher)],
    )
    # What the Trainer looks at before it trains is of no interest.
    started = trainer.callback_handler.on_epoch_begin

    def on_epoch_begin(*given, **named):
        if trainer.state.global_step == 0:
            spy.seen.clear()
        return started(*given, **named)

    trainer.callback_handler.on_epoch_begin = on_epoch_begin
    return trainer, spy


def test_a_trainer_of_sentence_transformers(tmp_path, texts):
    model = tiny_model()
    refresher = refresher_of(tmp_path / "tables", lambda: model.encode(texts), EverySteps(3))
    trainer, spy = st_trainer(model, texts, refresher, tmp_path / "out")
    trainer.train()
    assert refresher.log.swaps() == [(0, 1), (3, 2), (6, 3)]
    assert refresher.folder.epoch == 1
    assert [epoch for epoch, _, _ in spy.seen] == [0] * 4 + [1] * 4
    for epoch in (0, 4):  # nothing lost or repeated
        rows = [row for _, ids, _ in spy.seen[epoch : epoch + 4] for row in ids]
        assert sorted(rows) == list(range(miners.NUM_QUERIES))
    # One batch of an epoch is fetched ahead: after 3 steps batch 4 was there already, as was 7
    # after 6.
    generations = [1, 1, 1, 1, 2, 2, 2, 3]
    for (_, ids, negatives), generation in zip(spy.seen, generations, strict=True):
        indices = table(refresher, generation).indices
        assert negatives == [tuple(texts[row] for row in indices[query]) for query in ids]
    assert not np.array_equal(table(refresher, 1).indices, table(refresher, 3).indices)


def test_a_trainer_and_a_process_behind_it(tmp_path, texts):
    model = tiny_model()
    gate = tmp_path / "gate"
    folder = nm.loaders.TableFolder(tmp_path / "tables", keep=None)
    refresher = nm.loaders.Refresher(
        folder,
        miners.after_a_signal,
        lambda: {"vectors": model.encode(texts), "gate": gate},
        schedule=EverySteps(2),
        mode="background",
        poll_every=1,
    )
    gate.touch()
    refresher.refresh()
    gate.unlink()
    trainer, spy = st_trainer(model, texts, refresher, tmp_path / "out")
    trainer.train()
    assert len(spy.seen) == 8
    assert not refresher.mining  # ended with the training
    assert folder.generation == 1
    assert [entry["event"] for entry in refresher.log.entries()[2:]] == ["started"]


def test_a_trainer_that_goes_on_from_a_checkpoint(tmp_path, texts):
    model = tiny_model()
    refresher = refresher_of(tmp_path / "tables", lambda: model.encode(texts), EveryEpochs(1))
    trainer, _ = st_trainer(model, texts, refresher, tmp_path / "out")
    trainer.args.save_strategy, trainer.args.save_steps = "steps", 4
    trainer.train()
    assert refresher.log.swaps() == [(0, 1), (4, 2)]
    model = tiny_model()
    refresher = nm.loaders.Refresher(
        refresher.folder, miners.plain, lambda: {"vectors": model.encode(texts)},
        schedule=EveryEpochs(1),
    )  # fmt: skip
    trainer, _ = st_trainer(model, texts, refresher, tmp_path / "out")
    trainer.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-4"))
    assert refresher.log.swaps() == [(0, 1), (4, 2), (4, 3)]
    assert refresher.folder.epoch == 1


def test_columns_of_negatives():
    table = nm.mine_candidates(
        [[3, 2, 1], [3, 2, 1], [3, 2, 1]],
        [[0, 1, 2], [2, -1, -1], [-1, -1, -1]],
        num_negatives=3,
        query_ids=[7, 8, 9],
    )
    columns = nm.adapters.sentence_transformers.NegativeColumns(
        table, ["a", "b", "c"], 2, seed=1, id_column="query"
    )
    made = columns({"query": [8, 7], "anchor": ["x", "y"]})
    assert list(made) == ["anchor", "negative_1", "negative_2"]
    nearest, second = ("abc"[row] for row in table.sample(2, seed=1).indices[0])
    assert (made["negative_1"], made["negative_2"]) == (["c", nearest], ["c", second])
    with pytest.raises(KeyError, match="query id 9 has no negatives in the table"):
        columns({"query": [9]})
    with pytest.raises(KeyError, match="query id 5 is not in the table"):
        columns({"query": [5]})
    with pytest.raises(KeyError, match="id_column: the data set has no column 'query'"):
        columns({"idx": [9]})


# --- lightning ------------------------------------------------------------------------------------


def lightning_fit(path, refresher_from, **keywords):
    import lightning.pytorch as pl

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.vectors = torch.nn.Parameter(torch.from_numpy(miners.vectors_of(0)))
            self.seen = []

        def training_step(self, batch):
            self.seen.append((batch["idx"].tolist(), batch["negative_indices"].tolist()))
            return self.vectors[batch["negative_indices"]].square().sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.4)

    module = Module()
    refresher = refresher_from(lambda: module.vectors.detach().clone().numpy())
    collate = nm.loaders.HardNegativeCollator(refresher.folder, num_negatives=4)
    loader = DataLoader(SAMPLES, batch_size=6, shuffle=True, collate_fn=collate)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[nm.adapters.lightning.RefreshCallback(refresher)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=path,
        **keywords,
    )
    trainer.fit(module, loader)
    return module, refresher


def test_a_trainer_of_lightning(tmp_path):
    module, refresher = lightning_fit(
        tmp_path, lambda vectors: refresher_of(tmp_path / "tables", vectors, EverySteps(3))
    )
    assert refresher.log.swaps() == [(0, 1), (3, 2), (6, 3)]
    assert refresher.folder.epoch == 1
    for epoch in (0, 4):
        rows = [row for ids, _ in module.seen[epoch : epoch + 4] for row in ids]
        assert sorted(rows) == list(range(miners.NUM_QUERIES))
    for number, (ids, negatives) in enumerate(module.seen):
        generation = 1 + number // 3
        assert negatives == table(refresher, generation).indices[ids].tolist(), number


def test_lightning_counts_steps_not_batches(tmp_path):
    _, refresher = lightning_fit(
        tmp_path,
        lambda vectors: refresher_of(tmp_path / "tables", vectors, EverySteps(1)),
        accumulate_grad_batches=2,
    )
    assert refresher.log.swaps() == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]


def test_callbacks_are_imported_when_they_are_used():
    code = (
        "import sys, nearmiss as nm; nm.loaders, nm.adapters.sentence_transformers; "
        "sys.exit(not {'lightning', 'transformers'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
