# SPDX-License-Identifier: Apache-2.0
# The rules of a kernel object, checked on what the compiler made (cmake -D NM= -D OBJECTS= -P):
# it defines one external symbol, the function table, and no weak one (the linker could pick the
# copy compiled for another SIMD target), it calls no C++ code compiled elsewhere, and nothing of
# it runs before main().
set(failures 0)
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND "${NM}" "${object}" OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "\n" ";" symbols "${symbols}")

  set(external ${symbols})
  list(FILTER external INCLUDE REGEX " [ABCDGRSTiu] ")
  set(weak ${symbols})
  list(FILTER weak INCLUDE REGEX " [VWvw] ")
  set(foreign ${symbols})
  list(FILTER foreign INCLUDE REGEX " U _?_Z")
  set(constructors ${symbols})
  list(FILTER constructors INCLUDE REGEX "_GLOBAL__(sub_)?I_|__cxx_global_var_init|__cxa_")

  list(LENGTH external num_external)
  if(NOT num_external EQUAL 1 OR NOT external MATCHES "kernel_table_")
    message("${object}: one external symbol kernel_table_* wanted, found: ${external}")
    math(EXPR failures "${failures} + 1")
  endif()
  foreach(kind weak foreign constructors)
    if(${kind})
      message("${object}: ${kind} symbols: ${${kind}}")
      math(EXPR failures "${failures} + 1")
    endif()
  endforeach()
endforeach()
if(NOT OBJECTS OR failures)
  message(FATAL_ERROR "kernel objects: ${failures} rules broken in '${OBJECTS}'")
endif()
