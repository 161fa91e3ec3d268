# SPDX-License-Identifier: Apache-2.0
# THE list of SIMD targets: the last lines of this file, one row each, best first.
#
# A row takes
#   name        the shim is src/kernels/isa/<name>.hpp, the exported symbol kernel_table_<name>
#   standing    proven: chosen without being asked for. opt_in: only for those who name it, because
#               nobody has seen it run; once all tests have passed with it, it is proven
#   processors  regular expression for the whole name of the processor built for
#   gnu_flags   compiler flags of GCC and Clang
#   msvc_flags  compiler flags of MSVC
#   condition   C++ expression over the detected CpuFeatures `cpu`: may it run here?
#
# For each row that the processor and the compiler can do, a three-line source is written and
# compiled with these flags (and only it: no other code may contain such instructions), and
# simd_targets.inc gets the line NEARMISS_SIMD_TARGET(name, proven, condition), which dispatch.cpp
# expands. scalar is always built: the other targets are checked against it.
include(CheckCXXCompilerFlag)

set(NEARMISS_GENERATED_DIR "${CMAKE_CURRENT_BINARY_DIR}/generated")
set(NEARMISS_KERNEL_OBJECTS "")
set(simd_lines "")

set(simd_processor "${CMAKE_SYSTEM_PROCESSOR}")
if(CMAKE_OSX_ARCHITECTURES)
  set(simd_processor "${CMAKE_OSX_ARCHITECTURES}")
endif()

function(nearmiss_simd_target name standing processors gnu_flags msvc_flags condition)
  if(NOT simd_processor MATCHES "^(${processors})$"
     OR (NEARMISS_SIMD_ONLY AND NOT name IN_LIST NEARMISS_SIMD_ONLY AND NOT name STREQUAL "scalar"))
    return()
  endif()
  if(standing STREQUAL "proven")
    set(proven true)
  elseif(standing STREQUAL "opt_in")
    set(proven false)
  else()
    message(FATAL_ERROR "SIMD target ${name}: proven or opt_in, not '${standing}'")
  endif()
  set(flags ${gnu_flags})
  if(MSVC)
    set(flags ${msvc_flags})
  endif()
  list(JOIN flags " " flags_text)
  if(flags)
    check_cxx_compiler_flag("${flags_text}" NEARMISS_COMPILER_HAS_${name})
  endif()
  if(flags AND NOT NEARMISS_COMPILER_HAS_${name})
    message(STATUS "SIMD target ${name}: the compiler does not take ${flags_text}; left out")
    return()
  endif()

  set(source "${NEARMISS_GENERATED_DIR}/kernel_table_${name}.cpp")
  file(CONFIGURE OUTPUT "${source}" CONTENT
"#define NEARMISS_TARGET ${name}
#include \"kernels/isa/${name}.hpp\"
#include \"kernels/generic/table.hpp\"
")
  add_library(nearmiss_kernels_${name} OBJECT "${source}")
  target_include_directories(nearmiss_kernels_${name} PRIVATE include src)
  if(NEARMISS_SANITIZE MATCHES "address" AND NOT name STREQUAL "scalar")
    # Tiles are unrolled into thousands of scopes without a call; to mark them all takes GCC many
    # minutes. scalar, made of the same sources, keeps the check.
    target_compile_options(nearmiss_kernels_${name} PRIVATE -fno-sanitize-address-use-after-scope)
  endif()
  target_link_libraries(nearmiss_kernels_${name} PRIVATE nearmiss_options)
  target_compile_options(nearmiss_kernels_${name} PRIVATE
                         ${flags} $<$<NOT:$<BOOL:${MSVC}>>:-fno-exceptions>)

  set(NEARMISS_KERNEL_OBJECTS
      ${NEARMISS_KERNEL_OBJECTS} $<TARGET_OBJECTS:nearmiss_kernels_${name}> PARENT_SCOPE)
  set(simd_lines "${simd_lines}NEARMISS_SIMD_TARGET(${name}, ${proven}, ${condition})\n" PARENT_SCOPE)
endfunction()

set(x86 "x86_64|AMD64")
set(arm "aarch64|arm64|ARM64")
set(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Reordered before registers are allocated, the tiles of NEON need more than there are.
  set(neon -fno-schedule-insns)
endif()

#                    name          standing  for       GCC and Clang                       MSVC             may run if
nearmiss_simd_target(avx512_vnni   proven    "${x86}"  "${avx512};-mavx512vnni"            "/arch:AVX512"   "cpu.avx512 && cpu.avx512_vnni")
nearmiss_simd_target(avx512        proven    "${x86}"  "${avx512}"                         "/arch:AVX512"   "cpu.avx512")
nearmiss_simd_target(avx2          proven    "${x86}"  "-mavx2;-mfma;-mf16c"               "/arch:AVX2"     "cpu.avx2 && cpu.fma && cpu.f16c")
nearmiss_simd_target(neon_i8mm     opt_in    "${arm}"  "${neon};-march=armv8.2-a+i8mm"     "/arch:armv8.2"  "cpu.i8mm")
nearmiss_simd_target(neon_dotprod  proven    "${arm}"  "${neon};-march=armv8.2-a+dotprod"  "/arch:armv8.2"  "cpu.dotprod")
nearmiss_simd_target(neon          proven    "${arm}"  "${neon}"                           ""               "true")
nearmiss_simd_target(scalar        proven    ".*"      ""                                  ""               "true")

file(CONFIGURE OUTPUT "${NEARMISS_GENERATED_DIR}/simd_targets.inc" CONTENT "${simd_lines}" @ONLY)
