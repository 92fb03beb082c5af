# One library a folder. Headers are included from the repository root: #include "base/status.h".

# allo_library(NAME SOURCES a.cc b.cc DEPS allo_base absl::status)
# DEPS are what the headers need too (PUBLIC); PRIVATE_DEPS stay inside the .cc files.
function(allo_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS} allo_flags)
endfunction()

# An executable in build/bin.
function(allo_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} allo_flags)
endfunction()

# The program alone, for whoever adds its tests by hand.
function(allo_test_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main allo_flags)
  target_compile_definitions(${name} PRIVATE
    ALLO_SOURCE_DIR="${PROJECT_SOURCE_DIR}" ALLO_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
endfunction()

# Seconds. A limit is for hangs: ten times the minute that no test may exceed on a quiet machine.
set(ALLO_TEST_LIMIT 600)

# allo_test(fitting_test LABEL unit SOURCES a_test.cc DEPS allo_fitting)
# SERIAL: no other test runs beside it. WHOLE: one entry for the program, whose tests share what is
# costly to set up; otherwise one for each test.
# Labels: unit (no LibTorch, seconds), torch, mpi, e2e, gpu.
function(allo_test name)
  cmake_parse_arguments(ARG "SERIAL;WHOLE" "LABEL" "SOURCES;DEPS" ${ARGN})
  allo_test_executable(${name} SOURCES ${ARG_SOURCES} DEPS ${ARG_DEPS})
  set(places 1)
  if(ARG_LABEL STREQUAL "mpi")
    set(places 2)  # of ctest -j: two ranks
  endif()
  set(environment "OMP_NUM_THREADS=1;MKL_NUM_THREADS=1")
  set(properties LABELS ${ARG_LABEL} TIMEOUT ${ALLO_TEST_LIMIT} RUN_SERIAL ${ARG_SERIAL} PROCESSORS ${places})
  if(ARG_WHOLE)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES ${properties} ENVIRONMENT "${environment}")
  else()
    include(GoogleTest)
    gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT ${ALLO_TEST_LIMIT}
      PROPERTIES ${properties} ENVIRONMENT "${environment}")
  endif()
endfunction()

# A Google Benchmark or a plain program in build/bench.
function(allo_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} allo_flags)
endfunction()
