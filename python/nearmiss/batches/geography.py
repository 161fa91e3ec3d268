# SPDX-License-Identifier: Apache-2.0
"""Places on the earth: distances, and the nearest places of each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nearmiss.arrays import Float64, Int64, as_float64_matrix, check_integer
from nearmiss.mining import mine

#: Mean radius of the earth, IUGG.
EARTH_RADIUS_KM = 6371.0088

# Taylor series at 0. What is left out is below 2**-60 for |x| <= pi / 4.
_SINE = [(-1) ** j / math.factorial(2 * j + 1) for j in range(9)]
_COSINE = [(-1) ** j / math.factorial(2 * j) for j in range(10)]


def great_circle_km(a: npt.ArrayLike, b: npt.ArrayLike) -> Float64:
    """Return distances along the sphere between places, by the haversine formula.

    Parameters
    ----------
    a, b : array-like of shape (n, 2)
        Latitude and longitude in degrees.

    Returns
    -------
    (n,) float64
        Kilometres.

    Raises
    ------
    ValueError
        For a place that does not exist, naming the row; or different numbers of places.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.batches.great_circle_km([[0.0, 179.5]], [[0.0, -179.5]]).round(4).tolist()
    [111.1951]
    """
    first, second = as_places(a, "a"), as_places(b, "b")
    if len(first) != len(second):
        raise ValueError(f"b: expected {len(first)} places, as in a, got {len(second)}")
    half = np.deg2rad((second - first) / 2)
    across = np.cos(np.deg2rad(first[:, 0])) * np.cos(np.deg2rad(second[:, 0]))
    haversine = np.sin(half[:, 0]) ** 2 + across * np.sin(half[:, 1]) ** 2
    distances: Float64 = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(haversine, 1)))
    return distances


def nearest_places(coordinates: npt.ArrayLike, k: int, *, num_threads: int | None = None) -> Int64:
    """Return the nearest other places of each place, the nearest first, ties to the lower row.

    An exact search for the shortest chord between points of the unit sphere, which orders places as
    the haversine distance does. Points are held in float32, so places whose distances differ by
    less than about a metre may come in either order.

    Parameters
    ----------
    coordinates : array-like of shape (n, 2)
        Latitude and longitude in degrees.
    k : int
        At least 1.
    num_threads : int, optional
        Threads of this call; results never depend on them.

    Returns
    -------
    (n, k) int64
        Rows, -1 where there are fewer than k others.

    Raises
    ------
    ValueError
        For a place that does not exist, naming the row.

    Examples
    --------
    >>> import nearmiss as nm
    >>> nm.batches.nearest_places([[0.0, 0.0], [0.0, 6.3], [0.0, 1.0]], 2).tolist()
    [[2, 1], [2, 0], [0, 1]]
    """
    places = as_places(coordinates, "coordinates")
    check_integer(k, "k", 1)
    if len(places) == 0:
        return np.empty((0, k), np.int64)
    points = _on_sphere(places)
    found = mine(
        points,
        points,
        num_negatives=k,
        exclude_self=True,
        exclude_duplicates=False,
        metric="l2",
        num_threads=num_threads,
    )
    return found.indices


def as_places(value: Any, name: str) -> Float64:
    """Return (n, 2) latitudes and longitudes in degrees."""
    places = as_float64_matrix(value, name)
    if places.shape[1] != 2:
        raise ValueError(
            f"{name}: expected latitude and longitude, shape (n, 2), got {places.shape}"
        )
    most = np.array([90.0, 360.0])
    wrong = ~(np.abs(places) <= most).all(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{name}: row {row} is {places[row].tolist()}; expected a latitude from -90 to 90 and "
            f"a longitude from -360 to 360, in degrees"
        )
    return places


def _on_sphere(places: Float64) -> Float64:
    sine_lat, cosine_lat = _sine_cosine(places[:, 0])
    sine_lon, cosine_lon = _sine_cosine(places[:, 1])
    return np.stack([cosine_lat * cosine_lon, cosine_lat * sine_lon, sine_lat], axis=1)


def _sine_cosine(degrees: Float64) -> tuple[Float64, Float64]:
    """Return sines and cosines made of sums and products alone: the same bits on every machine."""
    quarter = np.floor(degrees / 90 + 0.5)
    x = (degrees - 90 * quarter) * (np.pi / 180)  # the difference is exact
    square = x * x
    sine, cosine = np.zeros_like(x), np.zeros_like(x)
    for coefficient in reversed(_SINE):
        sine = sine * square + coefficient
    sine = sine * x
    for coefficient in reversed(_COSINE):
        cosine = cosine * square + coefficient
    turn = quarter.astype(np.int64) % 4
    return (
        np.choose(turn, [sine, cosine, -sine, -cosine]),
        np.choose(turn, [cosine, -sine, -cosine, sine]),
    )
