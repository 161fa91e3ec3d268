# SPDX-License-Identifier: Apache-2.0
"""Mine hard negatives for queries with one known positive each, and look at the result."""

import nearmiss as nm
import numpy as np

# 2,000 passages about 50 topics, and 300 queries that each have one right passage.
rng = np.random.default_rng(0)
topics = rng.standard_normal((50, 64), dtype=np.float32)
topic_of = rng.integers(50, size=2_000)
corpus = topics[topic_of] + 0.5 * rng.standard_normal((2_000, 64), dtype=np.float32)
positives = rng.integers(2_000, size=300)
queries = corpus[positives] + rng.standard_normal((300, 64), dtype=np.float32)

negatives = nm.mine(queries, corpus, positives, num_negatives=5, relative_margin=0.05)
print(negatives.stats)

for query in range(3):
    found = ", ".join(
        f"{row} ({score:.3f})"
        for row, score in zip(negatives.indices[query], negatives.scores[query], strict=True)
    )
    print(
        f"query {query}: positive {positives[query]} ({negatives.positive_scores[query]:.3f}), "
        f"near misses {found}"
    )
