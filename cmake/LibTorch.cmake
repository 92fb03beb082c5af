# Imported targets over the LibTorch of the PyTorch wheel (cmake/fetch_libtorch.sh).
#
#   libtorch::cpu    headers, libtorch_cpu, libc10
#   libtorch::cuda   the same and libtorch_cuda, NCCL, the CUDA runtime; where a CUDA toolkit is
#
# Not find_package(Torch): under CMake 3.25 with CUDA 13 it asks for a C++ dialect of nvcc that
# does not exist. ALLOMETRY_LIBTORCH_DIR or LIBTORCH name the folder that holds include/ and lib/.
set(default_libtorch "$ENV{LIBTORCH}")
if(NOT default_libtorch)
  if(DEFINED ENV{XDG_CACHE_HOME})
    set(default_libtorch "$ENV{XDG_CACHE_HOME}/allometry/libtorch-2.11.0/torch")
  else()
    set(default_libtorch "$ENV{HOME}/.cache/allometry/libtorch-2.11.0/torch")
  endif()
endif()
set(ALLOMETRY_LIBTORCH_DIR "${default_libtorch}" CACHE PATH "LibTorch 2.6 or newer: the folder with include/ and lib/")

if(NOT EXISTS "${ALLOMETRY_LIBTORCH_DIR}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "No LibTorch in '${ALLOMETRY_LIBTORCH_DIR}' (lib/libtorch_cpu.so is missing): "
                      "run 'make setup', or name one with LIBTORCH=")
endif()
set(ALLOMETRY_LIBTORCH ON)

add_library(libtorch_headers INTERFACE)
target_include_directories(libtorch_headers SYSTEM INTERFACE
  "${ALLOMETRY_LIBTORCH_DIR}/include"
  "${ALLOMETRY_LIBTORCH_DIR}/include/torch/csrc/api/include")

function(allo_import_shared target file)
  add_library(${target} SHARED IMPORTED)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${file}" IMPORTED_NO_SONAME OFF)
endfunction()

allo_import_shared(libtorch_c10 "${ALLOMETRY_LIBTORCH_DIR}/lib/libc10.so")
allo_import_shared(libtorch_cpu "${ALLOMETRY_LIBTORCH_DIR}/lib/libtorch_cpu.so")
add_library(libtorch_cpu_all INTERFACE)
# Executables find the wheel's own libraries beside each other; nvidia/ lies beside torch/.
file(GLOB nvidia_library_dirs "${ALLOMETRY_LIBTORCH_DIR}/../nvidia/*/lib")
set(rpath_link "")
foreach(dir ${nvidia_library_dirs})
  list(APPEND rpath_link "-Wl,-rpath-link,${dir}")
endforeach()
target_link_libraries(libtorch_cpu_all INTERFACE libtorch_headers libtorch_cpu libtorch_c10)
target_link_options(libtorch_cpu_all INTERFACE ${rpath_link})
add_library(libtorch::cpu ALIAS libtorch_cpu_all)

# The CUDA runtime's headers, for tests on a stand-in of it: of a toolkit, or of LibTorch's wheels.
find_path(ALLO_CUDA_RUNTIME_INCLUDE_DIR cuda_runtime_api.h NO_DEFAULT_PATH
  PATHS "${ALLOMETRY_LIBTORCH_DIR}/../nvidia/cu13/include" /usr/local/cuda/include)

# The CUDA half: only where a toolkit with cuBLAS, cuDNN and NCCL is.
set(ALLOMETRY_LIBTORCH_CUDA OFF)
find_package(CUDAToolkit QUIET)
find_library(NCCL_LIBRARY nccl HINTS "${ALLOMETRY_LIBTORCH_DIR}/../nvidia/nccl/lib" "${CUDAToolkit_LIBRARY_DIR}")
find_path(NCCL_INCLUDE_DIR nccl.h HINTS "${ALLOMETRY_LIBTORCH_DIR}/../nvidia/nccl/include" ${CUDAToolkit_INCLUDE_DIRS})
if(CUDAToolkit_FOUND AND NCCL_LIBRARY AND NCCL_INCLUDE_DIR AND EXISTS "${ALLOMETRY_LIBTORCH_DIR}/lib/libtorch_cuda.so")
  set(ALLOMETRY_LIBTORCH_CUDA ON)
  allo_import_shared(libtorch_cuda "${ALLOMETRY_LIBTORCH_DIR}/lib/libtorch_cuda.so")
  allo_import_shared(libtorch_c10_cuda "${ALLOMETRY_LIBTORCH_DIR}/lib/libc10_cuda.so")
  add_library(libtorch_cuda_all INTERFACE)
  target_include_directories(libtorch_cuda_all SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS} "${NCCL_INCLUDE_DIR}")
  # --no-as-needed: nothing refers to a symbol of libtorch_cuda, and without it CUDA never registers.
  target_link_libraries(libtorch_cuda_all INTERFACE libtorch_cpu_all
    "-Wl,--no-as-needed" libtorch_cuda libtorch_c10_cuda "-Wl,--as-needed"
    CUDA::cudart "${NCCL_LIBRARY}")
  target_link_options(libtorch_cuda_all INTERFACE "-Wl,-rpath-link,${CUDAToolkit_LIBRARY_DIR}")
  add_library(libtorch::cuda ALIAS libtorch_cuda_all)
  message(STATUS "LibTorch with CUDA ${CUDAToolkit_VERSION} and NCCL: ${ALLOMETRY_LIBTORCH_DIR}")
else()
  message(STATUS "LibTorch, CPU half only (no CUDA toolkit with NCCL found): ${ALLOMETRY_LIBTORCH_DIR}")
endif()
