/* The layout of ABI 1 in C++17. */
#include "layout.h"
