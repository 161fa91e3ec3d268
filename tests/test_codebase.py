# SPDX-License-Identifier: Apache-2.0
"""Rules of the code base that no tool checks: one version, layers that stay apart, README blocks
that run. (Style, types and the symbols of kernel objects are checked by .ci/run and CTest.)
"""

import re
from pathlib import Path

import nearmiss as nm
import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path
    for folder in ("cpp", "python", "tests", "bench")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".cpp", ".hpp", ".py", ".pyi", ".cmake"} or path.name == "CMakeLists.txt"
)
CPP_FILES = [path for path in SOURCES if path.suffix in {".cpp", ".hpp"}]
KERNELS = ROOT / "cpp" / "src" / "kernels"
GUIDES = [
    path
    for path in (ROOT / "README.md", ROOT / "python" / "README.md", ROOT / "tests" / "README.md")
    if path.exists()
]
#: What the code of a SIMD target may consist of.
OF_KERNELS = re.compile(r'"kernels/(kernels|always_inline|isa/\w+|generic/\w+)\.hpp"')
INTRINSIC = re.compile(
    r"immintrin\.h|arm_neon|arm_sve|\b__m(128|256|512)"
    # The control word of the floating-point unit is no SIMD.
    r"|\b_mm(256|512)?_(?![gs]etcsr)"
)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def includes(path):
    return re.findall(r"^\s*#\s*include\s+([<\"].+[>\"])", path.read_text("utf-8"), re.MULTILINE)


def python_blocks(path):
    """Return the fenced python blocks as (line, source)."""
    text = path.read_text("utf-8")
    return [
        (text.count("\n", 0, block.start(1)) + 1, block.group(1))
        for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


def test_one_version():
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    version = re.search(r'^version = "(.+?)"', pyproject, re.MULTILINE).group(1)
    assert nm.__version__ == version
    assert nm.build_info()["version"] == version


def test_every_source_states_its_licence():
    assert len(SOURCES) > 50
    without = [
        name_of(path)
        for path in SOURCES
        if "SPDX-License-Identifier: Apache-2.0" not in path.read_text("utf-8")[:200]
    ]
    assert not without


def test_only_bindings_know_python():
    knowing = {
        name_of(path)
        for path in CPP_FILES
        if any(re.match(r'["<](pybind11/|Python\.h)', include) for include in includes(path))
    }
    assert knowing
    assert all(name.startswith("cpp/bindings/") for name in knowing), knowing


def test_kernels_include_no_standard_library():
    """A function of it, compiled here with AVX2, could be linked into code that runs anywhere."""
    allowed = {"<cstddef>", "<cstdint>", "<immintrin.h>", "<arm_neon.h>"}
    headers = [KERNELS / "kernels.hpp", *KERNELS.glob("isa/*.hpp"), *KERNELS.glob("generic/*.hpp")]
    assert len(headers) > 3
    for header in headers:
        system = {include for include in includes(header) if include.startswith("<")}
        assert system <= allowed, name_of(header)
        ours = set(includes(header)) - system
        assert all(OF_KERNELS.fullmatch(include) for include in ours), name_of(header)


def test_every_simd_target_has_a_shim_and_every_shim_a_target():
    rows = (ROOT / "cpp" / "isa.cmake").read_text("utf-8")
    targets = re.findall(r"^nearmiss_simd_target\((\w+)\s+(proven|opt_in)\s", rows, re.MULTILINE)
    assert targets[-1] == ("scalar", "proven")
    shims = {name_of(path) for path in KERNELS.glob("isa/*.hpp")}
    wanted = {f"cpp/src/kernels/isa/{name}.hpp" for name, _ in targets}
    assert wanted <= shims
    # What else lies there is shared by several shims.
    used = [include for name in wanted for include in includes(ROOT / name)]
    for shared in shims - wanted:
        below = [include for name in shims - wanted for include in includes(ROOT / name)]
        assert (used + below).count(f'"{shared.removeprefix("cpp/src/")}"') > 1, shared


def test_intrinsics_stay_in_the_shims():
    outside = [
        name_of(path)
        for path in CPP_FILES
        if path.parent != KERNELS / "isa" and INTRINSIC.search(path.read_text("utf-8"))
    ]
    # The micro-benchmarks measure the machine itself, not our kernels.
    assert [name for name in outside if not name.startswith("bench/micro/")] == []


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_blocks_of_a_guide_run(guide, tmp_path, monkeypatch):
    """The python blocks of a page run one after the other, as a reader would run them."""
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks(guide)
    assert blocks or guide != ROOT / "README.md"
    names = {"__name__": "__main__"}
    for line, source in blocks:
        exec(compile("\n" * (line - 1) + source, guide, "exec"), names)


def test_the_readme_names_the_two_commands():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "pip install '.[demo]' && nearmiss demo" in readme
    assert "pip install -c constraints.txt '.[test]' && pytest" in readme
