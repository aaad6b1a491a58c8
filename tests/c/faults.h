/* The C library's fallible functions as the whole process sees them, the library and its threads included: this program
 * counts what they hand out and makes them fail where a test wants it. For glibc on Linux. */
#ifndef FAULTS_H
#define FAULTS_H

#include <stddef.h>

/* Which functions a plan of failures concerns. */
enum fault_kind { FAULT_NONE, FAULT_MEMORY, FAULT_THREAD, FAULT_OPEN, FAULT_READ, FAULT_WRITE, FAULT_SYNC, FAULT_KINDS };

/* Blocks of memory that are not freed. */
long live_blocks(void);

/* The most bytes that were not freed at one time since this was last called; from now on counted from those now. */
long peak_bytes(void);

/* Bytes that are not freed. */
long live_bytes(void);

/* From now on calls of this kind are counted from 0 and fail from number `first` on: once, or every one from there.
 * `least` is the smallest block of FAULT_MEMORY that counts. */
void fail_from(enum fault_kind kind, long first, int once, size_t least);

/* Nothing fails any more. Returns how many calls of the planned kind have come. */
long fail_no_more(void);

/* "malloc", "pthread_create", ...: what the kind stands for. */
const char *fault_name(enum fault_kind kind);

#endif
