/* A CUDA driver without a GPU, as far as libspinect_cuda calls it: memory is the host's, and whatever is enqueued is done at
 * once. It also stands in for cuBLAS and cuRAND, of which nothing is used. FAKE_CUDA="memory N" is a GPU of N bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, OUT_OF_MEMORY = 2 };

static __thread void *current;
static uint64_t taken;

/* Before memory: how much of it there is, so that as much is given back. */
typedef struct {
  uint64_t bytes, unused;
} head;

static int take(void **memory, size_t bytes) {
  const char *asked = getenv("FAKE_CUDA");
  const uint64_t limit = asked && strncmp(asked, "memory ", 7) == 0 ? strtoull(asked + 7, NULL, 10) : UINT64_MAX;
  head *made = taken + bytes <= limit ? malloc(sizeof(head) + bytes) : NULL;
  if (!made) return OUT_OF_MEMORY;
  made->bytes = bytes;
  taken += bytes;
  /* What nobody has written yet is no number. */
  memset(made + 1, 0xff, bytes);
  *memory = made + 1;
  return OK;
}

static int give(void *memory) {
  head *made = (head *)memory - 1;
  if (!memory) return OK;
  taken -= made->bytes;
  free(made);
  return OK;
}

int cuInit(unsigned flags) { return (void)flags, OK; }
int cuDeviceGetCount(int *count) { return *count = 1, OK; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, OK; }
int cuDeviceGetName(char *name, int length, int device) { return (void)device, strncpy(name, "No GPU at all", (size_t)length), OK; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return (void)device, *bytes = (size_t)1 << 28, OK; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  /* The compute capability, 8.0, and memory pools. */
  *value = attribute == 75 ? 8 : attribute == 115;
  return OK;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { return (void)device, *context = &taken, OK; }
int cuDevicePrimaryCtxRelease_v2(int device) { return (void)device, OK; }
int cuCtxGetCurrent(void **context) { return *context = current, OK; }
int cuCtxSetCurrent(void *context) { return current = context, OK; }
int cuCtxSynchronize(void) { return OK; }
int cuCtxDestroy_v2(void *context) { return (void)context, OK; }
int cuEventCreate(void **event, unsigned flags) { return (void)flags, *event = &taken, OK; }
int cuEventDestroy_v2(void *event) { return (void)event, OK; }
int cuEventQuery(void *event) { return (void)event, OK; }
int cuEventRecord(void *event, void *stream) { return (void)event, (void)stream, OK; }
int cuEventSynchronize(void *event) { return (void)event, OK; }
int cuGetErrorName(int error, const char **name) { return *name = error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "?", OK; }
int cuGetErrorString(int error, const char **text) { return *text = error == OUT_OF_MEMORY ? "out of memory" : "?", OK; }
int cuMemAllocAsync(void **memory, size_t bytes, void *stream) { return (void)stream, take(memory, bytes); }
int cuMemAlloc_v2(void **memory, size_t bytes) { return take(memory, bytes); }
int cuMemFreeAsync(void *memory, void *stream) { return (void)stream, give(memory); }
int cuMemFree_v2(void *memory) { return give(memory); }
int cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) { return (void)flags, (*memory = malloc(bytes)) ? OK : OUT_OF_MEMORY; }
int cuMemFreeHost(void *memory) { return free(memory), OK; }
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream) { return (void)stream, memcpy(to, from, bytes), OK; }
int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t bytes, void *stream) { return (void)stream, memcpy(to, from, bytes), OK; }
int cuMemsetD8Async(void *memory, unsigned char value, size_t bytes, void *stream) { return (void)stream, memset(memory, value, bytes), OK; }
int cuModuleUnload(void *module) { return (void)module, OK; }
int cuStreamCreate(void **stream, unsigned flags) { return (void)flags, *stream = &taken, OK; }
int cuStreamDestroy_v2(void *stream) { return (void)stream, OK; }
int cuStreamSynchronize(void *stream) { return (void)stream, OK; }
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) { return (void)stream, (void)event, (void)flags, OK; }

int cublasCreate_v2(void **handle) { return *handle = &taken, OK; }
int cublasDestroy_v2(void *handle) { return (void)handle, OK; }
int cublasSetStream_v2(void *handle, void *stream) { return (void)handle, (void)stream, OK; }
int curandCreateGenerator(void **generator, int kind) { return (void)kind, *generator = &taken, OK; }
int curandDestroyGenerator(void *generator) { return (void)generator, OK; }
int curandSetPseudoRandomGeneratorSeed(void *generator, unsigned long long seed) { return (void)generator, (void)seed, OK; }
int curandSetStream(void *generator, void *stream) { return (void)generator, (void)stream, OK; }
