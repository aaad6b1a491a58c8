/* The layout of ABI 1 in C99. */
#include "layout.h"
