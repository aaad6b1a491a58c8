# find_package(spinect): the target spinect::spinect, of the library that was installed together with this file.
# `cargo cinstall` puts this file into share/spinect/cmake of the place where it puts lib and include.

get_filename_component(spinect_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
find_path(spinect_INCLUDE_DIR spinect.h PATHS "${spinect_prefix}/include" NO_DEFAULT_PATH)
find_library(spinect_LIBRARY spinect
  PATHS "${spinect_prefix}/lib" "${spinect_prefix}/lib/${CMAKE_LIBRARY_ARCHITECTURE}" "${spinect_prefix}/lib64" NO_DEFAULT_PATH)
mark_as_advanced(spinect_INCLUDE_DIR spinect_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(spinect REQUIRED_VARS spinect_LIBRARY spinect_INCLUDE_DIR)

if(spinect_FOUND AND NOT TARGET spinect::spinect)
  add_library(spinect::spinect UNKNOWN IMPORTED)
  set_target_properties(spinect::spinect PROPERTIES
    IMPORTED_LOCATION "${spinect_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${spinect_INCLUDE_DIR}")
  if(spinect_LIBRARY MATCHES "\\.a$")
    # What the Rust standard library needs (rustc --print native-static-libs).
    include(CMakeFindDependencyMacro)
    find_dependency(Threads)
    set_target_properties(spinect::spinect PROPERTIES INTERFACE_LINK_LIBRARIES "gcc_s;Threads::Threads;${CMAKE_DL_LIBS};m")
  endif()
endif()
