# SPDX-License-Identifier: Apache-2.0
# THE list of SIMD targets: the last lines of this file, one row each, best first.
#
# A row takes
#   name        the shim is src/kernels/isa/<name>.hpp, the exported symbol kernel_table_<name>
#   processors  regular expression for the whole name of the processor built for
#   gnu_flags   compiler flags of GCC and Clang
#   msvc_flags  compiler flags of MSVC
#   condition   C++ expression over the detected CpuFeatures `cpu`: may it run here?
#
# For each row that the processor and the compiler can do, a three-line source is written and
# compiled with these flags (and only it: no other code may contain such instructions), and
# simd_targets.inc gets the line NEARMISS_SIMD_TARGET(name, condition), which dispatch.cpp expands.
include(CheckCXXCompilerFlag)

set(NEARMISS_GENERATED_DIR "${CMAKE_CURRENT_BINARY_DIR}/generated")
set(NEARMISS_KERNEL_OBJECTS "")
set(simd_lines "")

set(simd_processor "${CMAKE_SYSTEM_PROCESSOR}")
if(CMAKE_OSX_ARCHITECTURES)
  set(simd_processor "${CMAKE_OSX_ARCHITECTURES}")
endif()

function(nearmiss_simd_target name processors gnu_flags msvc_flags condition)
  if(NOT simd_processor MATCHES "^(${processors})$"
     OR (NEARMISS_SIMD_ONLY AND NOT name IN_LIST NEARMISS_SIMD_ONLY))
    return()
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
  target_link_libraries(nearmiss_kernels_${name} PRIVATE nearmiss_options)
  target_compile_options(nearmiss_kernels_${name} PRIVATE
                         ${flags} $<$<NOT:$<BOOL:${MSVC}>>:-fno-exceptions>)

  set(NEARMISS_KERNEL_OBJECTS
      ${NEARMISS_KERNEL_OBJECTS} $<TARGET_OBJECTS:nearmiss_kernels_${name}> PARENT_SCOPE)
  set(simd_lines "${simd_lines}NEARMISS_SIMD_TARGET(${name}, ${condition})\n" PARENT_SCOPE)
endfunction()

#                    name    processors      GCC and Clang          MSVC          may run if
nearmiss_simd_target(avx2    "x86_64|AMD64"  "-mavx2;-mfma;-mf16c"  "/arch:AVX2"  "cpu.avx2 && cpu.fma && cpu.f16c")
nearmiss_simd_target(scalar  ".*"            ""                     ""            "true")

file(CONFIGURE OUTPUT "${NEARMISS_GENERATED_DIR}/simd_targets.inc" CONTENT "${simd_lines}" @ONLY)
