# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on numpy arrays and torch tensors alike, and the result of mixing."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Float64, Int64, check_flag

Bool: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Mixed:
    """Mixtures and what they were made of: arrays, or tensors if tensors were given.

    Attributes
    ----------
    vectors : (…, d)
        The mixtures, of the element type of their parents; zeros where ``mask`` is False.
    parents : (…, 2) int64
        Which vectors were mixed; the function says what the numbers count. -1 where there are none.
    shares : (…) float64
        The first parent's share; the second one has the rest. nan where there are none.
    mask : (…) bool
        False where there was too little to mix.
    """

    vectors: Any
    parents: Any
    shares: Any
    mask: Any


def interpolate(first: Any, second: Any, shares: Any, *, normalize: bool = True) -> Any:
    """Return ``shares·first + (1 - shares)·second``, by default scaled to unit length.

    Parameters
    ----------
    first, second : arrays or tensors of floats, of shape (…, d)
    shares : float, or array or tensor of shape (…)
        The first one's share.
    normalize : bool, default True
        Scale to unit length; vectors that cancel out exactly stay zero.

    Examples
    --------
    Of two negatives of score 0.8 the mixture can be the query itself:

    >>> import numpy as np, nearmiss as nm
    >>> first, second = np.array([0.8, 0.6]), np.array([0.8, -0.6])
    >>> nm.mixing.interpolate(first, second, 0.5)
    array([1., 0.])
    """
    first, second = as_floats(first, "first"), as_floats(second, "second")
    if tuple(first.shape) != tuple(second.shape):
        raise ValueError(
            f"second: expected the shape of first, {tuple(first.shape)}, got {tuple(second.shape)}"
        )
    check_same_library(second, first, "second")
    normalize = check_flag(normalize, "normalize")
    return combine(first, second, cast_like(shares, first), normalize)


def mix(
    first: Any,
    second: Any,
    parents: Int64,
    shares: Float64,
    made: Bool,
    normalize: bool,
    name: str,
) -> Mixed:
    """Mix and check; where ``made`` is False the parents may hold anything."""
    here = made[..., np.newaxis]
    nothing = np.zeros((), dtype=np.float32)
    kept = [where(here, vector, cast_like(nothing, vector)) for vector in (first, second)]
    vectors = combine(kept[0], kept[1], cast_like(shares, first), normalize)
    check_finite(vectors, name)
    return Mixed(
        vectors,
        like(np.where(here, parents, -1), first),
        like(np.where(made, shares, np.nan), first),
        like(np.array(made), first),
    )


def combine(first: Any, second: Any, shares: Any, normalize: bool) -> Any:
    """Return ``shares·first + (1 - shares)·second``; not finite if the parents are not."""
    shares = shares[..., np.newaxis]
    with np.errstate(over="ignore", invalid="ignore"):
        mixed = shares * first + (1 - shares) * second
        return _to_unit_length(mixed) if normalize else mixed


def _to_unit_length(vectors: Any) -> Any:
    if is_tensor(vectors):
        largest = vectors.detach().abs().amax(dim=-1, keepdim=True)
    else:
        largest = np.abs(vectors).max(axis=-1, keepdims=True)
    # Scaled first, so that squares neither overflow nor vanish. No zero is divided by; nor is its
    # root taken, which has no gradient.
    scaled = vectors / (largest + (largest == 0))
    squares = (scaled * scaled).sum(axis=-1, keepdims=True)
    return scaled / (squares + (squares == 0)) ** 0.5


def check_finite(vectors: Any, name: str) -> None:
    """Raise ValueError if something that was mixed is not finite; what is not read may be."""
    with np.errstate(invalid="ignore"):
        finite = to_numpy((vectors - vectors == 0).all(axis=-1))
    if not finite.all():
        row = int(np.argwhere(~finite)[0, 0])
        raise ValueError(
            f"{name}: row {row} has a vector that is not finite, or too large to be mixed in "
            f"{vectors.dtype}"
        )


# --- arrays and tensors ---------------------------------------------------------------------------


def as_floats(value: Any, name: str, ndim: int | None = None) -> Any:
    """Return an array or tensor of floats as it is, anything else as an array."""
    if not is_tensor(value):
        value = np.asarray(value)
        floating = value.dtype.kind == "f"
    else:
        floating = value.is_floating_point()
    if not floating:
        raise TypeError(f"{name}: expected floats, got {value.dtype}")
    if value.ndim == 0 or value.shape[-1] == 0:
        raise ValueError(f"{name}: vectors have no dimensions, got shape {tuple(value.shape)}")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} dimensions, got shape {tuple(value.shape)}")
    return value


def is_tensor(value: Any) -> bool:
    """Tell whether a value is a tensor; torch is not imported for that."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def check_some(vectors: Any, name: str) -> None:
    """Raise ValueError if there is no row."""
    if len(vectors) == 0:
        raise ValueError(f"{name}: empty, expected at least one row")


def check_same_library(value: Any, model: Any, name: str) -> None:
    """Raise TypeError for an array among tensors or a tensor among arrays."""
    if is_tensor(value) != is_tensor(model):
        kinds = ["a tensor" if is_tensor(one) else "an array" for one in (model, value)]
        raise TypeError(f"{name}: expected {kinds[0]} like the others, got {kinds[1]}")


def to_numpy(value: Any) -> npt.NDArray[Any]:
    """Return an array, or the elements of a tensor on any device as one."""
    array: npt.NDArray[Any] = (
        value.detach().cpu().numpy() if is_tensor(value) else np.asarray(value)
    )
    return array


def on_cpu(value: Any) -> Any:
    """Return what `nearmiss.mine` takes: a tensor without its gradient, on the CPU."""
    return value.detach().cpu() if is_tensor(value) else value


def like(array: npt.NDArray[Any], model: Any) -> Any:
    """Return an array as a tensor on the model's device, if the model is a tensor."""
    if not is_tensor(model):
        return array
    torch: Any = sys.modules["torch"]
    return torch.from_numpy(np.ascontiguousarray(array)).to(model.device)


def cast_like(value: Any, model: Any) -> Any:
    """Return numbers in the library, element type and device of the model."""
    if not is_tensor(model):
        return np.asarray(value, dtype=model.dtype)
    torch: Any = sys.modules["torch"]
    return torch.as_tensor(value, dtype=model.dtype, device=model.device)


def take(vectors: Any, *places: Int64) -> Any:
    """Return the vectors at these places of the first axes."""
    return vectors[tuple(like(place, vectors) for place in places)]


def where(condition: Bool, chosen: Any, otherwise: Any) -> Any:
    """Return elements of the one or the other."""
    library: Any = sys.modules["torch"] if is_tensor(chosen) else np
    return library.where(like(condition, chosen), chosen, otherwise)
