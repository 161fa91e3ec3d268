# SPDX-License-Identifier: Apache-2.0
"""Fixtures and the Hypothesis profile of the suite."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "nearmiss",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=int(os.environ.get("NEARMISS_TEST_EXAMPLES", "60")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("nearmiss")


@pytest.fixture(params=(1, 2, 7), ids=lambda n: f"threads{n}")
def num_threads(request):
    return request.param


@pytest.fixture
def simd_target():
    """Return a function that forces a SIMD target; the one in use before comes back after."""
    from nearmiss import _core

    before = _core.simd_target()
    yield _core.set_simd_target
    _core.set_simd_target(before)


@pytest.fixture(scope="session")
def data_dir():
    """Return the folder of real data, which lives beside the project, or say it is not there."""
    folder = os.environ.get("NEARMISS_DATA")
    if not folder:
        pytest.skip("NEARMISS_DATA is unset: the real data are not here")
    return Path(folder)
