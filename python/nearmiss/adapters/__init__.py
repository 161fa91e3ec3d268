# SPDX-License-Identifier: Apache-2.0
"""What other libraries plug in. Each module is for one of them, and is imported when it is used."""

from importlib import import_module
from types import ModuleType

__all__ = ["lightning", "sentence_transformers", "transformers"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"nearmiss.adapters.{name}")
    raise AttributeError(f"module 'nearmiss.adapters' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
