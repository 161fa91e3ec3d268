# SPDX-License-Identifier: Apache-2.0
"""A probe that needs an interpreter of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def run_script(path: str, *numbers: int) -> dict[str, Any]:
    """Run a script with these arguments in a new interpreter; return the JSON it printed."""
    answer = subprocess.run(
        [sys.executable, path, *map(str, numbers)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    record: dict[str, Any] = json.loads(answer.stdout)
    return record
