# CUDA sources, compiled for every kind of GPU that the project is for: A100, H100 and H200, B200, and
# as PTX for what comes after.
#
#   ALLO_NVCC   nvcc of the CUDA toolkit, or of the wheels that 'cmake/fetch_libtorch.sh --nvcc' gets
#   allo_cuda_objects(VARIABLE a.cu b.cu)   the object files of these; empty without nvcc
#
# Not enable_language(CUDA): CMake 3.25 knows no C++20 of CUDA 13, and its compiler check asks for an
# architecture that CUDA 13 has dropped.
set(ALLO_CUDA_ARCHITECTURES 80 90 100)
find_program(ALLO_NVCC nvcc NO_DEFAULT_PATH
  PATHS "${CUDAToolkit_BIN_DIR}" "${ALLOMETRY_LIBTORCH_DIR}/../nvidia/cu13/bin")
find_program(ALLO_NVCC nvcc)
if(NOT ALLO_NVCC)
  message(STATUS "No nvcc: CUDA sources are not compiled ('make test' fetches one)")
endif()

function(allo_cuda_objects variable)
  set(objects "")
  if(ALLO_NVCC)
    set(flags -std=c++20 -O3 --expt-relaxed-constexpr -Werror all-warnings -Xcompiler -Wall,-Wextra,-fPIC
      -I "${PROJECT_SOURCE_DIR}")
    foreach(architecture ${ALLO_CUDA_ARCHITECTURES})
      list(APPEND flags -gencode "arch=compute_${architecture},code=sm_${architecture}")
    endforeach()
    list(GET ALLO_CUDA_ARCHITECTURES -1 newest)
    list(APPEND flags -gencode "arch=compute_${newest},code=compute_${newest}")
    foreach(source ${ARGN})
      set(object "${CMAKE_CURRENT_BINARY_DIR}/${source}.o")
      add_custom_command(OUTPUT "${object}"
        COMMAND "${ALLO_NVCC}" ${flags} -MD -MF "${object}.d" -c "${CMAKE_CURRENT_SOURCE_DIR}/${source}" -o "${object}"
        MAIN_DEPENDENCY "${source}" DEPFILE "${object}.d" COMMENT "Building CUDA object ${source}.o" VERBATIM)
      list(APPEND objects "${object}")
    endforeach()
  endif()
  set(${variable} "${objects}" PARENT_SCOPE)
endfunction()
