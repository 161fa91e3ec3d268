# SPDX-License-Identifier: Apache-2.0
"""Mine with ids and relevance judgements, and write a file that other tools read."""

import json
import tempfile
from pathlib import Path

import nearmiss as nm
import numpy as np

rng = np.random.default_rng(0)
corpus_ids = [f"doc{row}" for row in range(100)]
query_ids = [f"q{row}" for row in range(10)]
embeddings = rng.standard_normal((100, 16), dtype=np.float32)
queries = embeddings[:10] + 0.3 * rng.standard_normal((10, 16), dtype=np.float32)
# Graded judgements as in BEIR and TREC: 2 is relevant, 0 is judged and not relevant.
qrels = {f"q{row}": {f"doc{row}": 2, f"doc{row + 10}": 1, "doc99": 0} for row in range(10)}

corpus = nm.Corpus(embeddings, ids=corpus_ids)
positives = nm.Positives.from_qrels(qrels, query_ids=query_ids, corpus_ids=corpus_ids)
negatives = nm.mine(queries, corpus, positives, num_negatives=4, margin_reference="max")

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "negatives.jsonl"
    nm.formats.get("jsonl").write(path, negatives, query_ids=query_ids)
    first = json.loads(path.read_text().splitlines()[0])
print(json.dumps(first, indent=2))
assert first["positive_ids"] == ["doc0", "doc10"]
assert not set(first["positive_ids"]) & set(first["negative_ids"])
