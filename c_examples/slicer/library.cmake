# The target spinect::spinect for the projects beside this file: an installed spinect (`cargo cinstall`; CMAKE_PREFIX_PATH says
# where), else the build tree in SPINECT_ROOT. SPINECT_SHARED_LIBRARY is the file to ship with what links it, under the name
# SPINECT_SHARED_NAME.
set(SPINECT_ROOT "${CMAKE_CURRENT_LIST_DIR}/../.." CACHE PATH "spinect's repository, or where it is installed")
find_package(spinect CONFIG QUIET)
if(NOT TARGET spinect::spinect)
  find_path(SPINECT_INCLUDE_DIR spinect.hpp HINTS "${SPINECT_ROOT}/include" NO_DEFAULT_PATH)
  find_library(SPINECT_LIBRARY spinect HINTS "${SPINECT_ROOT}/target/release" "${SPINECT_ROOT}/lib" NO_DEFAULT_PATH)
  if(NOT SPINECT_INCLUDE_DIR OR NOT SPINECT_LIBRARY)
    message(FATAL_ERROR "No spinect in ${SPINECT_ROOT}: run `cargo build --release` there, "
                        "or set SPINECT_ROOT, or SPINECT_INCLUDE_DIR and SPINECT_LIBRARY")
  endif()
  set(_library "${SPINECT_LIBRARY}")
  if(UNIX AND NOT APPLE)
    # Programs ask for the soname; cargo leaves the library without it, only installing makes it.
    set(_library "${CMAKE_BINARY_DIR}/libspinect.so.1")
    configure_file("${SPINECT_LIBRARY}" "${_library}" COPYONLY)
    list(APPEND CMAKE_BUILD_RPATH "${CMAKE_BINARY_DIR}")
  endif()
  add_library(spinect::spinect SHARED IMPORTED GLOBAL)
  set_target_properties(spinect::spinect PROPERTIES
    IMPORTED_LOCATION "${_library}"
    INTERFACE_INCLUDE_DIRECTORIES "${SPINECT_INCLUDE_DIR}")
endif()
get_target_property(_library spinect::spinect IMPORTED_LOCATION)
get_filename_component(SPINECT_SHARED_LIBRARY "${_library}" REALPATH)
get_filename_component(SPINECT_SHARED_NAME "${SPINECT_SHARED_LIBRARY}" NAME)
if(UNIX AND NOT APPLE)
  set(SPINECT_SHARED_NAME libspinect.so.1)
endif()
