# Which requests find_package(spinect VERSION) accepts: those of its own series, at most as new. Before 1.0.0, a new minor
# version may change spinect.hpp; the library itself has the version of its ABI in its soname.

set(PACKAGE_VERSION "0.1.0")
string(REGEX MATCH "^[0-9]+\\.[0-9]+" spinect_series "${PACKAGE_VERSION}")

if(PACKAGE_FIND_VERSION_RANGE)
  # find_package(spinect 0.1...<0.2)
  set(spinect_wanted_series "${PACKAGE_FIND_VERSION_MIN_MAJOR}.${PACKAGE_FIND_VERSION_MIN_MINOR}")
  set(spinect_wanted "${PACKAGE_FIND_VERSION_MIN}")
else()
  set(spinect_wanted_series "${PACKAGE_FIND_VERSION_MAJOR}.${PACKAGE_FIND_VERSION_MINOR}")
  set(spinect_wanted "${PACKAGE_FIND_VERSION}")
endif()

set(PACKAGE_VERSION_COMPATIBLE FALSE)
if(spinect_wanted VERSION_LESS_EQUAL PACKAGE_VERSION AND spinect_wanted_series VERSION_EQUAL spinect_series)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
if(PACKAGE_FIND_VERSION_RANGE AND
    (PACKAGE_VERSION VERSION_GREATER PACKAGE_FIND_VERSION_MAX OR
     (PACKAGE_FIND_VERSION_RANGE_MAX STREQUAL "EXCLUDE" AND PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION_MAX)))
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
endif()
if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
  set(PACKAGE_VERSION_EXACT TRUE)
endif()
# The libraries are 64-bit ones.
if(CMAKE_SIZEOF_VOID_P AND NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(PACKAGE_VERSION_UNSUITABLE TRUE)
endif()
