# SPDX-License-Identifier: Apache-2.0
"""What clusters, label trees and graphs say about pairs, as exclusions, masks, weights and draws.

Rows that lie in one cluster, a label and its ancestors, two nodes a step apart: such pairs are
probably no negatives, or negatives of less weight. These functions bring relations into the forms
that the rest takes: lists for ``mine(exclude=…)``, groups for ``query_groups``, arrays for losses.
They take labels, not estimators: any clustering will do. None makes a table of all pairs unless
all pairs are asked for.
"""

from nearmiss.relations.centroids import (
    neighbor_cluster_negatives,
    prototype_temperatures,
    second_nearest_centroids,
)
from nearmiss.relations.clusters import (
    best_per_cluster,
    co_cluster_weights,
    joint_clusters,
    same_cluster_mask,
)
from nearmiss.relations.denominators import log_meta_node_sums, meta_nodes
from nearmiss.relations.graphs import ancestors, within_hops
from nearmiss.relations.streaming import StreamedBatch, StreamingCentroids
from nearmiss.relations.triples import (
    PseudoTyped,
    head_corruption_probabilities,
    known_completions,
    pseudo_typed,
)

__all__ = [
    "PseudoTyped",
    "StreamedBatch",
    "StreamingCentroids",
    "ancestors",
    "best_per_cluster",
    "co_cluster_weights",
    "head_corruption_probabilities",
    "joint_clusters",
    "known_completions",
    "log_meta_node_sums",
    "meta_nodes",
    "neighbor_cluster_negatives",
    "prototype_temperatures",
    "pseudo_typed",
    "same_cluster_mask",
    "second_nearest_centroids",
    "within_hops",
]
