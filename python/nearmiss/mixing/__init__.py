# SPDX-License-Identifier: Apache-2.0
"""New vectors from old ones: mixtures of hard negatives, of labels, and repulsion from a match.

Plain functions on numpy arrays and torch tensors; what is given as a tensor comes back as one, on
its device, and gradients pass through to the parents (``.detach()`` where a method has none). Who
is mixed with whom, and in what shares, is drawn from the core's counter-based streams: a function
of (seed, epoch, query id, number of the mixture), whatever the batch, library or device. Sums are
made in the element type of the input.
"""

from nearmiss.mixing.different_labels import mix_different_labels
from nearmiss.mixing.negatives import mix_pairs, mix_with_queries
from nearmiss.mixing.repulsion import repel
from nearmiss.mixing.same_label import mix_same_label
from nearmiss.mixing.vectors import Mixed, interpolate

__all__ = [
    "Mixed",
    "interpolate",
    "mix_different_labels",
    "mix_pairs",
    "mix_same_label",
    "mix_with_queries",
    "repel",
]
