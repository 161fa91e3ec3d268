# SPDX-License-Identifier: Apache-2.0
"""Readers and writers of files: one module each. Formats for results are registered by name."""

from nearmiss.formats import jsonl, table, trec
from nearmiss.formats.base import Format, available, for_path, get

__all__ = ["Format", "available", "for_path", "get", "jsonl", "table", "trec"]
