# SPDX-License-Identifier: Apache-2.0
"""What a search found, told in numbers."""

from nearmiss.report.statistics import Statistics

__all__ = ["Statistics"]
