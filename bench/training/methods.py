# SPDX-License-Identifier: Apache-2.0
"""The methods that are compared."""

from __future__ import annotations

from training.negatives import Method

IN_BATCH = "in-batch only"
RANDOM = "random"
PEER_DEFAULTS = "sentence-transformers, defaults"
PEER = "sentence-transformers, margin 0.05"

METHODS = (
    Method(IN_BATCH),
    Method(RANDOM, "uniform", mined="every epoch"),
    Method("naive top-k", "top"),
    Method("naive top-k, refreshed", "top", mined="refreshed"),
    Method(PEER_DEFAULTS, peer=True),
    Method(PEER, peer=True, relative_margin=0.05),
    Method("PercPos", "topk-perc-pos"),
    Method("PercPos, refreshed", "topk-perc-pos", mined="refreshed"),
    Method("PercPos in the first 100", "topk-perc-pos", window=100),
    Method("PercPos in the first 100, refreshed", "topk-perc-pos", window=100, mined="refreshed"),
    Method("SimANS", "simans", mined="every epoch"),
    # The published a = 0.5, were scores times 20 as in a loss of that scale.
    Method("SimANS, a = 200", "simans:a=200", mined="every epoch"),
    Method("ANCE (refreshed)", "ance", mined="refreshed"),
    Method("bands", "bands:bands=0..10:1;10..100:3;100..1000:3", mined="every epoch"),
    Method(
        "bands below PercPos",
        "bands:bands=0..10:1;10..100:3;100..1000:3",
        relative_margin=0.05,
        mined="every epoch",
    ),
    Method("batches: NGAME", batches="ngame"),
    Method("batches: TAS-Balanced", batches="tas-balanced"),
    Method("batches: neighbours", batches="neighbours"),
    Method("PercPos + NGAME", "topk-perc-pos", batches="ngame"),
    Method("PercPos + NGAME, refreshed", "topk-perc-pos", mined="refreshed", batches="ngame"),
)
