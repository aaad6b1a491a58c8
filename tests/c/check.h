/* What the C clients share: checks that end the program, and structures that are zero but for their size. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spinect.h"

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);    \
      exit(1);                                                                     \
    }                                                                              \
  } while (0)

/* The call returns this status, and a failure leaves a message that can help somebody. */
#define EXPECT(status, call) expect((status), (call), #call, __FILE__, __LINE__)

void expect(spinect_status wanted, spinect_status got, const char *call, const char *file, int line);

/* Sets a structure to zero but for its size. */
#define CLEAR(structure) (memset(&(structure), 0, sizeof(structure)), (structure).struct_size = (uint32_t)sizeof(structure))

/* A packed int16 volume of n * n * n voxels of 1 mm. */
spinect_volume cube(const int16_t *voxels, uint64_t n);

/* Voxels that look a little like a CT: the same ones every time. The caller frees them. */
int16_t *make_voxels(size_t count);

#endif
