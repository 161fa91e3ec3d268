# SPDX-License-Identifier: Apache-2.0
"""Does it teach? The same small head is trained on frozen embeddings; only the negatives differ.

The parts, in the order the data takes: `retrieval` (collections and how they are split), `methods`
and `negatives` (what is compared, and how it mines), `head` (what is trained, and its loss), `loop`
(one training run), `metrics` and `resampling` (how good it became, and how sure that is),
`experiment` (all runs of a case), `table` (what is printed). `tune` chose the `settings` that all
methods share.
"""
