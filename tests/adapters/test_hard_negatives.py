# SPDX-License-Identifier: Apache-2.0
"""`mine_hard_negatives` against sentence-transformers' own, and where it should differ."""

import random
import zlib

import nearmiss as nm
import numpy as np
import pytest
import torch

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.slow,
    pytest.mark.peer,
]

ours = nm.adapters.sentence_transformers.mine_hard_negatives
WORDS = [f"w{number}" for number in range(60)]
FORMATS = ("triplet", "n-tuple", "labeled-pair", "labeled-list")


def theirs(*given, **keywords):
    from sentence_transformers.util import mine_hard_negatives

    return mine_hard_negatives(*given, verbose=False, **keywords)


def model_of(seed):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(["[UNK]", "[PAD]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(seed)
    module = StaticEmbedding(tokenizer, embedding_dim=12)
    return SentenceTransformer(modules=[module], device="cpu", prompts={"ask": "w1 w2 "})


@pytest.fixture(scope="module")
def model():
    return model_of(0)


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, 7, replace=False)) for _ in range(90)]


@pytest.fixture(scope="module")
def dataset(texts):
    """Anchors with one, two or three positives; a pair comes twice; others share a positive."""
    from datasets import Dataset

    positives = [*texts[:40], *texts[20:30], texts[0], texts[5]]
    anchors = [f"{text.rpartition(' ')[0]} w3" for text in texts[:40]]
    anchors += [anchors[place // 2] for place in range(10)]
    anchors += [anchors[0], anchors[7]]
    return Dataset.from_dict({"question": anchors, "answer": positives})


def same(found, wanted):
    """Texts are equal, scores but for their rounding."""
    assert found.column_names == wanted.column_names
    assert len(found) == len(wanted) > 0
    for name in wanted.column_names:
        if name in ("score", "scores"):
            for one, other in zip(found[name], wanted[name], strict=True):
                assert np.allclose(one, other, rtol=0, atol=1e-6)
        else:
            assert list(found[name]) == list(wanted[name])


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("output_scores", [False, True])
def test_every_format(dataset, model, texts, output_format, output_scores):
    keywords = {"output_format": output_format, "output_scores": output_scores, "corpus": texts}
    same(ours(dataset, model, verbose=False, **keywords), theirs(dataset, model, **keywords))


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"num_negatives": 7},
        {"range_min": 4},
        {"range_min": 2, "range_max": 9, "num_negatives": 5},
        {"relative_margin": 0.05, "range_max": 90},
        {"absolute_margin": 0.1, "range_max": 90},
        {"relative_margin": 0.3, "range_min": 3, "range_max": 90},
        {"max_score": 0.6, "min_score": 0.2, "range_max": 90},
        {"max_score": 0.5, "relative_margin": 0.1, "range_max": 90, "output_format": "n-tuple"},
        {"query_prompt": "w5 w6 ", "corpus_prompt": "w7 "},
        {"query_prompt_name": "ask"},
        {"include_positives": True, "num_negatives": 6},
        {"include_positives": True, "absolute_margin": -0.05, "range_max": 90},
        {"anchor_column_name": "answer", "positive_column_name": "question"},
        {"use_faiss": True, "output_scores": True},
        {"output_format": "labeled-list", "max_score": 0.3, "range_max": 90},
    ],
    ids=str,
)
def test_every_argument(dataset, model, texts, keywords):
    for corpus in (None, texts):
        wanted = theirs(dataset, model, corpus=corpus, **keywords)
        same(ours(dataset, model, corpus=corpus, verbose=False, **keywords), wanted)


def test_old_names(dataset, model):
    for as_triplets in (True, False):
        keywords = {"as_triplets": as_triplets, "margin": 0.1, "range_max": 40}
        with pytest.warns(DeprecationWarning, match="as_triplets is deprecated; use output_format"):
            found = ours(dataset, model, verbose=False, **keywords)
        same(found, theirs(dataset, model, **keywords))


class Unwilling:
    """A model that must not be used."""

    similarity_fn_name = "cosine"


class Judge:
    """Scores pairs as a cross-encoder would: by the words in common; no two alike."""

    def predict(self, pairs, batch_size=32, convert_to_tensor=False, pool=None):
        scores = [
            len(set(a.split()) & set(b.split())) / 8 + zlib.crc32(f"{a} {b}".encode()) / 2**40
            for a, b in pairs
        ]
        return torch.tensor(scores) if convert_to_tensor else np.array(scores, dtype=np.float32)


def test_a_cross_encoder(dataset, model, texts):
    keywords = {"max_score": 0.5, "corpus": texts, "cross_encoder": Judge(), "output_scores": True}
    wanted = theirs(dataset, model, range_max=30, **keywords)
    same(ours(dataset, model, range_max=30, verbose=False, **keywords), wanted)


def test_random_ones_are_of_the_window_and_by_seed(dataset, model, texts):
    keywords = {"range_min": 2, "range_max": 9, "corpus": texts, "output_format": "n-tuple"}
    window = theirs(dataset, model, num_negatives=7, **keywords)
    inside = {
        row["question"]: {row[f"negative_{place}"] for place in range(1, 8)} for row in window
    }
    random.seed(0)
    shape = theirs(dataset, model, sampling_strategy="random", **keywords)
    drawn = [
        ours(dataset, model, sampling_strategy="random", seed=seed, verbose=False, **keywords)
        for seed in (0, 0, 1)
    ]
    for mined in drawn:
        assert mined.column_names == shape.column_names
        assert len(mined) == len(shape)
        for row in mined:
            chosen = {row[f"negative_{place}"] for place in range(1, 4)}
            assert len(chosen) == 3
            assert chosen <= inside[row["question"]]
    assert drawn[0].to_dict() == drawn[1].to_dict() != drawn[2].to_dict()


def test_the_search_goes_on_where_theirs_ends(dataset, model, texts):
    keywords = {"max_score": 0.0, "corpus": texts, "output_format": "n-tuple", "num_negatives": 2}
    short, full = (
        theirs(dataset, model, **keywords),
        ours(dataset, model, verbose=False, **keywords),
    )
    everything = theirs(dataset, model, range_max=90, **keywords)
    assert len(short) < len(full)
    same(full, everything)


def test_embeddings_are_kept_for_these_weights_and_texts(dataset, model, texts, tmp_path):
    first = ours(dataset, model, cache_folder=tmp_path / "kept", verbose=False)
    files = sorted((tmp_path / "kept").iterdir())
    assert len(files) == 2
    again = ours(dataset, model, cache_folder=tmp_path / "kept", verbose=False)
    assert again.to_dict() == first.to_dict()
    assert sorted((tmp_path / "kept").iterdir()) == files
    other = ours(dataset, model_of(1), cache_folder=tmp_path / "kept", verbose=False)
    assert other.to_dict() != first.to_dict()
    same(other, theirs(dataset, model_of(1)))
    assert len(list((tmp_path / "kept").iterdir())) == 4
    ours(dataset, model, cache_folder=tmp_path / "kept", query_prompt="w9 ", verbose=False)
    assert len(list((tmp_path / "kept").iterdir())) == 5
    ours(dataset, model_of(0).bfloat16(), cache_folder=tmp_path / "kept", verbose=False)
    assert len(list((tmp_path / "kept").iterdir())) == 7


def test_says_what_it_found(dataset, model, capsys):
    ours(dataset, model)
    assert "positive" in capsys.readouterr().out.lower()


def test_what_cannot_be_used_is_refused(dataset, model):
    from datasets import Dataset

    with pytest.raises(ValueError, match="dataset: is empty"):
        ours(Dataset.from_dict({"a": [], "b": []}), model)
    with pytest.raises(ValueError, match="dataset: expected two columns, got 1"):
        ours(dataset.select_columns(["answer"]), model)
    with pytest.raises(ValueError, match="dataset: has no column 'query', only question, answer"):
        ours(dataset, model, anchor_column_name="query")
    with pytest.raises(ValueError, match="num_negatives: must be at least 1"):
        ours(dataset, model, num_negatives=0)
    with pytest.raises(ValueError, match="output_format: expected one of"):
        ours(dataset, model, output_format="pairs")
    for window in ({"range_min": 5, "range_max": 5}, {"range_min": 5, "range_max": 7}):
        with pytest.raises(ValueError, match="range_m|rank window"):  # before anything is encoded
            ours(dataset, Unwilling(), **window)
    distant = model_of(0)
    distant.similarity_fn_name = "euclidean"
    with pytest.raises(ValueError, match="expected a similarity of cosine or dot, got 'euclidean'"):
        ours(dataset, distant)
