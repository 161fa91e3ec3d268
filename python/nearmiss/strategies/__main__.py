# SPDX-License-Identifier: Apache-2.0
"""Prints the table of strategies that stands in the user guide."""

from nearmiss.strategies import available

print(available().to_markdown(), end="")
