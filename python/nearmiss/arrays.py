# SPDX-License-Identifier: Apache-2.0
"""The arrays of the user, checked and brought into the form the core takes.

Nothing here looks at element values except where a conversion could lose one; NaN, infinite and
zero rows are found by the core while it reads the data anyway.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import operator
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nearmiss.rounding import to_float32, to_float64

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_ACCEPTED = "float64, float32, float16, bfloat16, int8 or uint8"
_NATIVE_TYPES = ("float32", "float16", "int8", "uint8")


class Matrix(NamedTuple):
    """A two-dimensional array as the core takes it.

    Attributes
    ----------
    rows : (n, d) array
        Rows contiguous and aligned, any row stride; ``bfloat16`` is held in ``uint16``.
    element_type : str
        ``"float32"``, ``"float16"``, ``"bfloat16"``, ``"int8"`` or ``"uint8"``.
    owned : bool
        Whether ``rows`` is a copy made here, which nobody else holds.
    """

    rows: npt.NDArray[Any]
    element_type: str
    owned: bool


def as_matrix(value: npt.ArrayLike, name: str) -> Matrix:
    """Bring embeddings into the form the core takes, without a copy where possible.

    Parameters
    ----------
    value : array-like of shape (n, d)
        numpy array or memory map, tensor of torch (copied if on another device than the CPU),
        anything with the array or DLPack interface, or a list of rows. float64 (and Python
        numbers) are rounded to float32.
    name : str
        The argument's name, for messages.

    Raises
    ------
    TypeError
        For a type or element type that is not accepted.
    ValueError
        For a wrong shape, a truncated memory map, or a float64 beyond the range of float32.
    """
    array, bfloat16 = _as_array(value, name)
    if array.ndim != 2:
        column = array.ndim == 1 and array.dtype.hasobject
        hint = "; numpy.stack makes one of a column of vectors" if column else ""
        raise ValueError(
            f"{name}: expected a 2-dimensional array (rows, dimensions), got shape {array.shape}"
            + hint
        )
    if array.shape[1] == 0:
        raise ValueError(f"{name}: rows have no dimensions, got shape {array.shape}")
    check_not_truncated(array, name)
    if isinstance(value, (list, tuple)) and array.dtype.kind == "i":
        array = array.astype(np.float64)  # whole Python numbers are meant as numbers
    if bfloat16:
        element_type = "bfloat16"
    elif array.dtype.name in ("float64", *_NATIVE_TYPES):
        element_type = array.dtype.name
    else:
        raise TypeError(f"{name}: expected {_ACCEPTED}, got {array.dtype.name}")
    owned = False
    if element_type == "float64":
        array, element_type, owned = _round_to_float32(array, name), "float32", True
    if len(array) == 0:
        # numpy gives empty arrays strides of 0; a slice of a row has true ones.
        return Matrix(np.empty((1, array.shape[1]), array.dtype)[:0], element_type, owned=True)
    if not _is_suitable(array):
        array, owned = np.array(array, dtype=array.dtype.newbyteorder("="), order="C"), True
    return Matrix(array, element_type, owned)


def _as_array(value: Any, name: str) -> tuple[npt.NDArray[Any], bool]:
    """Return the array and whether it is bfloat16 held in uint16."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{name}: expected an array, got a {type(value).__name__}")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: masked arrays are not accepted; fill the masked values first")
    if hasattr(value, "tocsr"):
        raise TypeError(f"{name}: expected a dense array, got a sparse one; use .toarray()")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _from_tensor(value, name, torch)
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        array = np.from_dlpack(value)
    else:
        array = _from_array_like(value, name)
    if array.dtype.name == "bfloat16":  # registered with numpy by ml_dtypes
        return array.view(np.uint16), True
    return array, False


def _from_tensor(tensor: Any, name: str, torch: Any) -> tuple[npt.NDArray[Any], bool]:
    if tensor.device.type == "meta":
        raise TypeError(f"{name}: expected a tensor with data, got one on the meta device")
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise TypeError(f"{name}: expected a dense tensor, got {tensor.layout}, {tensor.dtype}")
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.dtype is torch.bfloat16:
        array: npt.NDArray[Any] = tensor.view(torch.int16).numpy().view(np.uint16)
        return array, True
    return tensor.numpy(), False


def _from_array_like(value: Any, name: str) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: rows differ in length or type ({error})") from error
    if array.size == 0 and isinstance(value, (list, tuple)):
        return array.astype(np.int64)  # no elements, no element type: acceptable everywhere
    return array


def _round_to_float32(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    rounded = to_float32(array)
    for start in range(0, len(array), 4096):  # in blocks: no mask of the whole array
        block = slice(start, start + 4096)
        infinite = np.isinf(rounded[block])
        if not infinite.any():
            continue
        lost = (infinite & np.isfinite(array[block])).any(axis=1)
        if lost.any():
            row = start + int(lost.argmax())
            raise ValueError(f"{name}: row {row} holds a value beyond the range of float32")
    return rounded


def _is_suitable(array: npt.NDArray[Any]) -> bool:
    return array.strides[1] == array.itemsize and bool(array.flags.aligned) and array.dtype.isnative


def check_not_truncated(array: npt.NDArray[Any], name: str) -> None:
    """Raise ValueError if the array is mapped from a file that has become shorter.

    Reading such pages would end the process with a bus error.
    """
    offset = 0
    owner: Any = array
    while owner is not None and not isinstance(owner, mmap.mmap):
        if isinstance(owner, np.memmap):
            offset = owner.offset - owner.offset % mmap.ALLOCATIONGRANULARITY
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    if owner is None:
        return
    try:
        present = owner.size()
    except OSError:  # anonymous memory has no file to be shorter
        return
    if present < offset + len(owner):
        raise ValueError(
            f"{name}: the file behind this memory map is truncated: "
            f"{offset + len(owner)} bytes expected, {present} present"
        )


def as_integers(value: Any, name: str, length: int | None = None, what: str = "entry") -> Int64:
    """Return a 1-dimensional int64 array; ``length`` entries, one per ``what``, if given.

    Raises TypeError for anything but integers (booleans included), ValueError for a wrong shape
    or a value beyond int64.
    """
    array = as_plain_array(value, name)
    _check_vector(array, name, length, what)
    return integers_to_int64(array, name)


def as_row_matrix(value: Any, name: str) -> Int64:
    """Return a 2-dimensional int64 array of row numbers."""
    array = as_plain_array(value, name)
    if array.ndim != 2:
        raise ValueError(f"{name}: expected shape (queries, candidates), got {array.shape}")
    return integers_to_int64(array, name)


def as_plain_array(value: Any, name: str) -> npt.NDArray[Any]:
    """Return an array of any shape and element type as it is; bfloat16 and masks are refused."""
    array, bfloat16 = _as_array(value, name)
    if bfloat16:
        raise TypeError(f"{name}: expected integers, got bfloat16")
    return array


def integers_to_int64(array: npt.NDArray[Any], name: str) -> Int64:
    """Return an integer array of any shape as int64, refusing every other element type."""
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got {array.dtype.name}")
    check_not_truncated(array, name)
    if array.dtype.kind == "u" and array.itemsize == 8 and array.size:
        largest = array.max()
        if largest > np.iinfo(np.int64).max:
            raise ValueError(f"{name}: {largest} is beyond the range of int64")
    return np.ascontiguousarray(array, dtype=np.int64)


def as_float64_vector(
    value: Any, name: str, length: int | None = None, what: str = "query"
) -> Float64:
    """Return a 1-dimensional float64 array; ``length`` numbers, one per ``what``, if given."""
    array = _as_reals(value, name)
    _check_vector(array, name, length, what)
    return to_float64(array) if array.dtype == np.float32 else array


def check_exact_numbers(value: Any, name: str, what: str = "query") -> None:
    """Check numbers, one or one per ``what``, that are about to become float64.

    Raises ValueError for an integer beyond 2**53, where float64 skips some, and TypeError for
    times, whose numbers depend on their unit. Says nothing about what is no number at all.
    """
    if value is None or isinstance(value, (str, bytes)):
        return
    array, bfloat16 = _as_array(value, name)
    if array.dtype.kind in "mM":
        raise TypeError(
            f"{name}: expected real numbers, got {array.dtype.name}; times become numbers by "
            'times.astype("datetime64[s]").astype("int64"), in one unit on both sides'
        )
    whole = array.dtype.kind in "iu" and not bfloat16
    if not whole and not (array.ndim == 0 and isinstance(value, int)):  # one beyond 64 bits
        return
    beyond = np.atleast_1d((array > 2**53) | (array < -(2**53)))
    if beyond.any():
        place = int(beyond.argmax())
        where = f" for {what} {place}" if array.ndim else ""
        raise ValueError(
            f"{name}: integers beyond 2**53 cannot be told apart in float64, got "
            f"{array.flat[place]}{where}; use a coarser unit or a later origin"
        )


def as_float64_matrix(value: Any, name: str) -> Float64:
    """Return a 2-dimensional float64 array of real numbers."""
    array = _as_reals(value, name)
    if array.ndim != 2:
        raise ValueError(f"{name}: expected shape (rows, columns), got {array.shape}")
    return to_float64(array) if array.dtype == np.float32 else array


def as_float32_vector(value: Any, name: str, length: int, what: str = "query") -> Float32:
    """Return a 1-dimensional float32 array of ``length`` real numbers, one per ``what``.

    Values beyond the range of float32 become infinite.
    """
    array = _as_reals(value, name)
    _check_vector(array, name, length, what)
    return array if array.dtype == np.float32 else to_float32(array)


def as_score_matrix(value: Any, name: str) -> Float32:
    """Return a 2-dimensional float32 array of scores; values beyond its range become infinite."""
    array = _as_reals(value, name)
    if array.ndim != 2:
        raise ValueError(f"{name}: expected shape (queries, candidates), got {array.shape}")
    return array if array.dtype == np.float32 else to_float32(array)


def _as_reals(value: Any, name: str) -> npt.NDArray[Any]:
    """Return a real array of any shape as it is in float32, or else as float64."""
    array, bfloat16 = _as_array(value, name)
    check_not_truncated(array, name)
    if bfloat16:
        return widen_bfloat16(array)
    if array.dtype.kind not in "iuf" or array.itemsize > 8:
        raise TypeError(f"{name}: expected real numbers, got {array.dtype.name}")
    exact = array.dtype.kind == "f" and array.itemsize <= 4
    return np.asarray(array, dtype=np.float32 if exact else np.float64, order="C")


def widen_bfloat16(bits: npt.NDArray[np.uint16]) -> Float32:
    """Return bfloat16 held in uint16 as float32, exactly."""
    return (np.ascontiguousarray(bits).astype(np.uint32) << np.uint32(16)).view(np.float32)


def _check_vector(array: npt.NDArray[Any], name: str, length: int | None, what: str) -> None:
    if array.ndim != 1:
        raise ValueError(f"{name}: expected a 1-dimensional array, got shape {array.shape}")
    if length is not None and len(array) != length:
        raise ValueError(f"{name}: expected {length}, one per {what}, got {len(array)}")


def check_integer(value: Any, name: str, least: int, most: int | None = None) -> int:
    """Return ``value`` as int, between ``least`` and ``most``; booleans are no integers."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected an integer, got {value}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name}: must be at least {least}, got {number}")
    if most is not None and number > most:
        raise ValueError(f"{name}: must be at most {most}, got {number}")
    return number


def check_seed(value: Any, name: str) -> int:
    """Return ``value``, a seed or an epoch, as int of 64 bits."""
    return check_integer(value, name, 0, 2**64 - 1)


def check_number(
    value: Any,
    name: str,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    above: float = -math.inf,
) -> float:
    """Return ``value`` as a finite float in bounds; booleans and text are no numbers."""
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        # A float32 may be a denormal, which float() of a thread that flushes them gets wrong.
        single = isinstance(value, np.float32)
        number = float(to_float64(np.array([value]))[0]) if single else float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}: must be finite, got {number}")
    if number < minimum:
        raise ValueError(f"{name}: must be at least {minimum:g}, got {number}")
    if number > maximum:
        raise ValueError(f"{name}: must be at most {maximum:g}, got {number}")
    if number <= above:
        raise ValueError(f"{name}: must be above {above:g}, got {number}")
    return number


def check_flag(value: Any, name: str) -> bool:
    """Return ``value`` as bool; nothing but True and False is taken for a switch."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def check_choice(value: Any, name: str, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``choices``; otherwise name them all and the closest."""
    choices = tuple(choices)
    if isinstance(value, str) and value in choices:
        return value
    close = get_close_matches(value.lower(), choices, n=1) if isinstance(value, str) else []
    hint = f"; did you mean {close[0]!r}?" if close else ""
    accepted = ", ".join(repr(choice) for choice in choices)
    raise ValueError(f"{name}: expected one of {accepted}, got {value!r}{hint}")


def digest(*arrays: npt.NDArray[Any]) -> str:
    """Return a short fingerprint of numeric arrays, for provenance."""
    state = hashlib.blake2b(digest_size=8)
    for array in arrays:
        state.update(f"{array.dtype.name}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).data)
    return f"blake2b:{state.hexdigest()}"
