# SPDX-License-Identifier: Apache-2.0
"""The ``progress`` argument: nothing, a bar, or a function of the fraction done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Progress: TypeAlias = "bool | Callable[[float], object] | None"


@contextmanager
def reporting(progress: Progress) -> Iterator[Callable[[float], object] | None]:
    """Give the function to report the fraction done to, or None; reports 1.0 on success.

    Raises
    ------
    ImportError
        If a bar is asked for and tqdm is not installed.
    TypeError
        If ``progress`` is neither a switch nor callable.
    """
    if progress is None or progress is False:
        yield None
    elif progress is True:
        with bar() as report:
            yield report
    elif callable(progress):
        yield progress
        progress(1.0)  # small work may end before the core reports at all
    else:
        raise TypeError(f"progress: expected True, False or a function, got {progress!r}")


@contextmanager
def bar(*, keep: bool = True) -> Iterator[Callable[[float], object]]:
    """Show tqdm's bar, and at the end ``keep`` it or wipe it away; ImportError without tqdm."""
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError("progress=True needs tqdm: pip install 'nearmiss[demo]'") from error
    layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    with tqdm(total=1.0, desc="mining", bar_format=layout, leave=keep) as shown:
        yield lambda fraction: shown.update(fraction - shown.n)
        shown.update(1.0 - shown.n)
