# SPDX-License-Identifier: Apache-2.0
"""Train a small linear encoder with mined hard negatives, which a DataLoader brings along."""

import tempfile
from pathlib import Path

import nearmiss as nm
import numpy as np
import torch
from torch.utils.data import DataLoader

# Documents are noisy views of 30 topics; a query's positive is another view of its topic.
rng = np.random.default_rng(0)
topic_of = np.repeat(np.arange(30), 20)
topics = rng.standard_normal((30, 32))
documents = (topics[topic_of] + 1.5 * rng.standard_normal((600, 32))).astype(np.float32)
queries = (topics[topic_of] + 1.5 * rng.standard_normal((600, 32))).astype(np.float32)
positives = np.arange(600)


def main() -> None:
    """Mine once, then train for three epochs on other negatives of the table each time."""
    table = nm.mine(
        queries,
        documents,
        positives,
        num_negatives=16,
        query_groups=topic_of,
        corpus_groups=topic_of,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "negatives.safetensors"
        table.save(path)
        losses = train(path)
    print("loss per epoch:", ", ".join(f"{loss:.3f}" for loss in losses))
    assert losses[-1] < losses[0]


def train(path: Path) -> list[float]:
    """Return the mean loss of each epoch."""
    torch.manual_seed(0)
    encoder = torch.nn.Linear(32, 16)
    optimiser = torch.optim.Adam(encoder.parameters(), lr=1e-2)
    collate = nm.loaders.HardNegativeCollator(path, num_negatives=4)
    samples = [{"idx": row, "query": queries[row]} for row in range(len(queries))]
    loader = DataLoader(samples, batch_size=64, shuffle=True, collate_fn=collate)
    corpus = torch.from_numpy(documents)
    losses = []
    for epoch in range(3):
        collate.set_epoch(epoch)
        total = 0.0
        for batch in loader:
            rows = torch.column_stack(
                [torch.from_numpy(positives)[batch["idx"]], batch["negative_indices"]]
            )
            query = torch.nn.functional.normalize(encoder(batch["query"]), dim=-1)
            candidates = torch.nn.functional.normalize(encoder(corpus[rows]), dim=-1)
            scores = torch.einsum("bd,bcd->bc", query, candidates) / 0.1
            target = torch.zeros(len(scores), dtype=torch.int64)  # the positive comes first
            loss = torch.nn.functional.cross_entropy(scores, target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item()
        losses.append(total / len(loader))
    return losses


if __name__ == "__main__":
    main()
