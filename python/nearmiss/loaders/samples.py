# SPDX-License-Identifier: Apache-2.0
"""What collate functions read from samples, and how they add to what a batch is made of."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import torch

from nearmiss.arrays import Int64, check_choice, check_integer

_LARGEST_ID = 2**63 - 1


def read_field(samples: Sequence[Any], key: str | int, argument: str) -> list[Any]:
    """Return what each sample holds under a key, at a position, or as an attribute of that name.

    Raises
    ------
    KeyError, TypeError
        Naming the argument that says ``key``, and the first sample that has no such thing.
    """
    try:
        return [sample[key] for sample in samples]
    except (KeyError, IndexError, TypeError):
        return [_field(sample, key, f"{argument}: sample {i}") for i, sample in enumerate(samples)]


def _field(sample: Any, key: str | int, where: str) -> Any:
    if isinstance(key, str) and not isinstance(sample, Mapping) and hasattr(sample, key):
        return getattr(sample, key)
    try:
        return sample[key]
    except (KeyError, IndexError):
        raise KeyError(f"{where} has no {key!r}") from None
    except TypeError:
        raise TypeError(
            f"{where} is of type {type(sample).__name__}, which {key!r} does not fit; give a key "
            "for dicts, a position for tuples, a name for dataclasses and named tuples"
        ) from None


def read_ids(samples: Sequence[Any], key: str | int) -> Int64:
    """Return the query id of each sample, (b,), from 0 on.

    Raises
    ------
    KeyError, TypeError, ValueError
        Naming the first sample without an id, or with one that is none.
    """
    values = read_field(samples, key, "id_key")
    if set(map(type, values)) == {int}:  # nearly always: no need to look at one after the other
        try:
            ids = np.array(values, dtype=np.int64)
        except OverflowError:
            pass
        else:
            if ids.min() >= 0:
                return ids
    checked = [
        check_integer(value, f"{key!r} of sample {position}", 0, _LARGEST_ID)
        for position, value in enumerate(values)
    ]
    return np.array(checked, dtype=np.int64)


def collated_ids(batch: Any, key: str | int, count: int) -> Int64 | None:
    """Return the ids as torch's `default_collate` has put them together, which is quicker.

    None if that is not what they are.
    """
    try:
        ids = batch[key]
    except (KeyError, IndexError, TypeError):
        return None
    if not isinstance(ids, torch.Tensor) or ids.dtype != torch.int64 or ids.shape != (count,):
        return None
    found: Int64 = ids.numpy()
    return found if count == 0 or found.min() >= 0 else None


def check_add(add: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """Return the names of what is to be added to batches, each known and given once."""
    if isinstance(add, str):
        raise TypeError(f"add: expected a sequence of names, got {add!r}")
    names = tuple(check_choice(name, "add", known) for name in add)
    if len(set(names)) < len(names):
        raise ValueError(f"add: a name is given twice in {names}")
    return names


def with_added(batch: Any, added: Mapping[str, Any]) -> Any:
    """Return the batch with what was added to it.

    Mappings stay what they are and get keys; dataclasses and named tuples that have fields of
    these names get them set; anything else becomes the first entry of a tuple.
    """
    if isinstance(batch, MutableMapping):
        extended = copy.copy(batch)
        extended.update(added)
        return extended
    if isinstance(batch, Mapping):
        return {**batch, **added}
    fields = _field_names(batch)
    missing = [name for name in added if name not in fields]
    if len(missing) == len(added):
        return (batch, *added.values())
    if missing:
        raise TypeError(
            f"base_collate: made a {type(batch).__name__}, which has fields for some of what is "
            f"added, but none named {missing[0]!r}"
        )
    if dataclasses.is_dataclass(batch):
        return dataclasses.replace(batch, **added)  # type: ignore[type-var]
    return batch._replace(**added)


def _field_names(batch: Any) -> tuple[str, ...]:
    if isinstance(batch, type):
        return ()
    if dataclasses.is_dataclass(batch):
        return tuple(field.name for field in dataclasses.fields(batch))
    return getattr(batch, "_fields", ()) if isinstance(batch, tuple) else ()
