# SPDX-License-Identifier: Apache-2.0
"""The training loop's side. Needs torch; importing `nearmiss` alone does not."""

from nearmiss.loaders.bank import MemoryBank
from nearmiss.loaders.collate import HardNegativeCollator

__all__ = ["HardNegativeCollator", "MemoryBank"]
