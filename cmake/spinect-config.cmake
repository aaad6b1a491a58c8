# find_package(spinect CONFIG): the libraries that were installed together with this file.
#
#   spinect::spinect   the shared library; the static one where only that is installed
#   spinect::static    the static library, where it is installed: find_package(spinect CONFIG COMPONENTS static) insists
#
# This file lies in share/spinect/cmake of the place where include and lib are, wherever that was moved to.

get_filename_component(spinect_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(spinect_INCLUDE_DIR "")
if(EXISTS "${spinect_prefix}/include/spinect.h")
  set(spinect_INCLUDE_DIR "${spinect_prefix}/include")
endif()

foreach(spinect_kind SHARED STATIC)
  set(spinect_${spinect_kind}_LIBRARY "")
  foreach(spinect_folder "lib/${CMAKE_LIBRARY_ARCHITECTURE}" lib lib64)
    set(spinect_file "${CMAKE_${spinect_kind}_LIBRARY_PREFIX}spinect${CMAKE_${spinect_kind}_LIBRARY_SUFFIX}")
    set(spinect_file "${spinect_prefix}/${spinect_folder}/${spinect_file}")
    if(NOT spinect_${spinect_kind}_LIBRARY AND EXISTS "${spinect_file}")
      set(spinect_${spinect_kind}_LIBRARY "${spinect_file}")
    endif()
  endforeach()
endforeach()

macro(spinect_add_target target kind)
  if(spinect_INCLUDE_DIR AND spinect_${kind}_LIBRARY AND NOT TARGET ${target})
    add_library(${target} ${kind} IMPORTED)
    set_target_properties(${target} PROPERTIES
      IMPORTED_LOCATION "${spinect_${kind}_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${spinect_INCLUDE_DIR}")
    if("${kind}" STREQUAL "STATIC")
      # What the Rust standard library needs (rustc --print native-static-libs).
      set_target_properties(${target} PROPERTIES INTERFACE_LINK_LIBRARIES "gcc_s;util;rt;pthread;m;dl;c")
    endif()
  endif()
endmacro()
spinect_add_target(spinect::spinect SHARED)
spinect_add_target(spinect::spinect STATIC)
spinect_add_target(spinect::static STATIC)

if(TARGET spinect::static)
  set(spinect_static_FOUND TRUE)
endif()
set(spinect_LIBRARY "${spinect_SHARED_LIBRARY}")
if(NOT spinect_LIBRARY)
  set(spinect_LIBRARY "${spinect_STATIC_LIBRARY}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(spinect REQUIRED_VARS spinect_LIBRARY spinect_INCLUDE_DIR HANDLE_COMPONENTS)
