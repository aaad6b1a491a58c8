/* See faults.h. */
#define _GNU_SOURCE
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static long blocks, bytes, most_bytes, counted, first_failure;
static int planned = FAULT_NONE, only_once;
static size_t smallest;

long live_blocks(void) { return __atomic_load_n(&blocks, __ATOMIC_RELAXED); }

long live_bytes(void) { return __atomic_load_n(&bytes, __ATOMIC_RELAXED); }

long peak_bytes(void) { return __atomic_exchange_n(&most_bytes, live_bytes(), __ATOMIC_RELAXED); }

void fail_from(enum fault_kind kind, long first, int once, size_t least) {
  counted = 0;
  first_failure = first;
  only_once = once;
  smallest = least;
  __atomic_store_n(&planned, (int)kind, __ATOMIC_SEQ_CST);
}

long fail_no_more(void) {
  __atomic_store_n(&planned, FAULT_NONE, __ATOMIC_SEQ_CST);
  return counted;
}

const char *fault_name(enum fault_kind kind) {
  static const char *const names[FAULT_KINDS] = {"nothing", "malloc", "pthread_create", "open", "read", "write", "fsync"};
  return names[kind];
}

static int fails(int kind) {
  long number;
  if (__atomic_load_n(&planned, __ATOMIC_RELAXED) != kind) {
    return 0;
  }
  number = __atomic_fetch_add(&counted, 1, __ATOMIC_RELAXED);
  return only_once ? number == first_failure : number >= first_failure;
}

static int no_memory(size_t size) {
  if (size >= smallest && fails(FAULT_MEMORY)) {
    errno = ENOMEM;
    return 1;
  }
  return 0;
}

/* Counts a block in, or out with `sign` -1. */
static void count_block(void *block, int sign) {
  long now, most;
  if (block == NULL) {
    return;
  }
  __atomic_fetch_add(&blocks, sign, __ATOMIC_RELAXED);
  now = __atomic_add_fetch(&bytes, sign * (long)malloc_usable_size(block), __ATOMIC_RELAXED);
  most = __atomic_load_n(&most_bytes, __ATOMIC_RELAXED);
  while (now > most && !__atomic_compare_exchange_n(&most_bytes, &most, now, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

static void *counted_block(void *block) {
  count_block(block, 1);
  return block;
}

void *malloc(size_t size) { return no_memory(size) ? NULL : counted_block(__libc_malloc(size)); }

void *calloc(size_t count, size_t size) {
  return no_memory(count * size) ? NULL : counted_block(__libc_calloc(count, size));
}

void *realloc(void *old, size_t size) {
  void *block;
  if (no_memory(size)) {
    return NULL;
  }
  count_block(old, -1);
  block = __libc_realloc(old, size);
  count_block(block != NULL ? block : old, 1);
  return block;
}

void *aligned_alloc(size_t alignment, size_t size) {
  return no_memory(size) ? NULL : counted_block(__libc_memalign(alignment, size));
}

int posix_memalign(void **place, size_t alignment, size_t size) {
  void *block = aligned_alloc(alignment, size);
  if (block == NULL) {
    return ENOMEM;
  }
  *place = block;
  return 0;
}

void free(void *block) {
  count_block(block, -1);
  __libc_free(block);
}

/* The function behind this program's. ISO C has no cast from an object's pointer to a function's. */
#define NEXT(name, type)                                  \
  static type next;                                       \
  if (next == NULL) {                                     \
    void *const address = dlsym(RTLD_NEXT, name);         \
    memcpy(&next, &address, sizeof next);                 \
  }

#define OR_FAIL(kind, error, call) (fails(kind) ? (errno = (error), -1) : (call))

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
  typedef int (*type)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  NEXT("pthread_create", type)
  return fails(FAULT_THREAD) ? EAGAIN : next(thread, attributes, start, argument);
}

typedef int (*open_type)(const char *, int, mode_t);

int open(const char *path, int flags, ...) {
  va_list rest;
  mode_t mode;
  NEXT("open", open_type)
  va_start(rest, flags);
  mode = flags & (O_CREAT | O_DIRECTORY) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return OR_FAIL(FAULT_OPEN, EMFILE, next(path, flags, mode));
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  mode_t mode;
  NEXT("open64", open_type)
  va_start(rest, flags);
  mode = flags & (O_CREAT | O_DIRECTORY) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return OR_FAIL(FAULT_OPEN, EMFILE, next(path, flags, mode));
}

ssize_t read(int file, void *buffer, size_t size) {
  typedef ssize_t (*type)(int, void *, size_t);
  NEXT("read", type)
  return OR_FAIL(FAULT_READ, EIO, next(file, buffer, size));
}

ssize_t write(int file, const void *buffer, size_t size) {
  typedef ssize_t (*type)(int, const void *, size_t);
  NEXT("write", type)
  return OR_FAIL(FAULT_WRITE, ENOSPC, next(file, buffer, size));
}

ssize_t writev(int file, const struct iovec *parts, int count) {
  typedef ssize_t (*type)(int, const struct iovec *, int);
  NEXT("writev", type)
  return OR_FAIL(FAULT_WRITE, ENOSPC, next(file, parts, count));
}

int fsync(int file) {
  typedef int (*type)(int);
  NEXT("fsync", type)
  return OR_FAIL(FAULT_SYNC, EIO, next(file));
}
