# What `make install PREFIX=DIR` puts where. The tree may be moved as a whole: programs find LibTorch
# by $ORIGIN, and each other beside themselves.
#
#   bin/                      the programs
#   lib/allometry/            LibTorch's libraries that they load; all others are Debian's
#   lib/systemd/system/       units for a coordinator and a worker, with this prefix in them
#   lib/sysusers.d/           the user allometry, for `systemd-sysusers`
#   share/allometry/          Slurm's scripts, Kubernetes' manifests, a container's recipe, sweeps
#
# Component cuda: allo-trainer-cuda with CUDA's libraries, some GB; not installed unless named.
set(programs allo allo-coordinator allo-supervisor allo-trainer allo-worker)
set(rpath "$ORIGIN/../lib/allometry")
# HDF5's and Open MPI's folders are Debian's own and outside of the loader's path.
foreach(folder ${HDF5_LIBRARY_DIRS} /usr/lib/x86_64-linux-gnu/hdf5/serial
        /usr/lib/x86_64-linux-gnu/openmpi/lib)
  list(APPEND rpath "${folder}")
endforeach()
list(REMOVE_DUPLICATES rpath)
set_target_properties(${programs} PROPERTIES INSTALL_RPATH "${rpath}")

set(system_libraries ^/lib ^/usr/lib)
install(TARGETS ${programs} RUNTIME_DEPENDENCY_SET loaded RUNTIME DESTINATION bin)
install(RUNTIME_DEPENDENCY_SET loaded
  POST_EXCLUDE_REGEXES ${system_libraries} DESTINATION lib/allometry)
if(TARGET allo-trainer-cuda)
  set_target_properties(allo-trainer-cuda PROPERTIES INSTALL_RPATH "${rpath}")
  install(TARGETS allo-trainer-cuda RUNTIME DESTINATION bin COMPONENT cuda EXCLUDE_FROM_ALL)
  # The toolkit and the wheel may have a library each: the first counts. What LibTorch and cuDNN load
  # by name goes with them; the driver's library comes with the driver.
  install(CODE "
    set(by_name)
    foreach(name libtorch_cuda_linalg.so libcaffe2_nvrtc.so)
      if(EXISTS \"${ALLOMETRY_LIBTORCH_DIR}/lib/\${name}\")
        list(APPEND by_name \"${ALLOMETRY_LIBTORCH_DIR}/lib/\${name}\")
      endif()
    endforeach()
    file(GET_RUNTIME_DEPENDENCIES EXECUTABLES \"$<TARGET_FILE:allo-trainer-cuda>\" LIBRARIES \${by_name}
      RESOLVED_DEPENDENCIES_VAR found CONFLICTING_DEPENDENCIES_PREFIX several
      PRE_EXCLUDE_REGEXES \"^libcuda\\\\.so\" POST_EXCLUDE_REGEXES ${system_libraries})
    foreach(name IN LISTS several_FILENAMES)
      list(GET several_\${name} 0 first)
      list(APPEND found \"\${first}\")
    endforeach()
    foreach(path IN LISTS found)
      if(path MATCHES \"/libcudnn.so\")
        get_filename_component(folder \"\${path}\" DIRECTORY)
        file(GLOB parts \"\${folder}/libcudnn_*.so.[0-9]\")
        list(APPEND found \${parts})
      endif()
    endforeach()
    file(INSTALL DESTINATION \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/allometry\" TYPE SHARED_LIBRARY
      FOLLOW_SYMLINK_CHAIN FILES \${found} \${by_name})" COMPONENT cuda EXCLUDE_FROM_ALL)
endif()

install(DIRECTORY deploy/slurm deploy/kubernetes deploy/container sweeps
  DESTINATION share/allometry USE_SOURCE_PERMISSIONS PATTERN "*.md" EXCLUDE)
install(FILES deploy/systemd/allometry.conf DESTINATION lib/sysusers.d)
install(CODE "
  foreach(unit allo-coordinator allo-worker)
    file(READ \"${PROJECT_SOURCE_DIR}/deploy/systemd/\${unit}.service\" text)
    string(REPLACE /usr/local/ \"\${CMAKE_INSTALL_PREFIX}/\" text \"\${text}\")
    set(folder \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/systemd/system\")
    file(MAKE_DIRECTORY \"\${folder}\")
    file(WRITE \"\${folder}/\${unit}.service\" \"\${text}\")
    message(STATUS \"Installing: \${folder}/\${unit}.service\")
  endforeach()")

# (cd build && cpack): a Debian package of the same tree under /usr, without the
# CUDA trainer.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "the Allometry project <allometry@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Sweeps for scaling laws: coordinator, worker, trainer, fits")
set(CPACK_SET_DESTDIR ON)  # the units have the prefix in them
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS "${ALLOMETRY_LIBTORCH_DIR}/lib"
  "${ALLOMETRY_LIBTORCH_DIR}/../nvidia/cu13/lib")
set(CPACK_DEBIAN_PACKAGE_DEPENDS "openmpi-bin, openssh-client")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${PROJECT_SOURCE_DIR}/deploy/debian/postinst")
include(CPack)
