// A driver library without a GPU, for the calls that the worker makes: device memory is host memory, and everything
// happens at once. Compiled against the toolkit's cuda.h, so that names and types are those of the real one.
//
// A kernel is the function `add` of this file; or, where FAKE_CUDA_KERNELS names a folder, a function of its
// kernels.so, which emulates a GPU, with as many arguments as its counts.txt says: lines of a name and a number.
// FAKE_CUDA_FAILS: the function that always does; FAKE_CUDA_VERSION: what the driver says of itself;
// FAKE_CUDA_MAJORS: a digit of compute capability for each GPU.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cuda.h>

// The newer of the two, which later headers put in its place, is not in drivers of CUDA 12.
#undef cuEventElapsedTime
CUresult CUDAAPI cuEventElapsedTime(float* milliseconds, CUevent begin, CUevent end);

#define NODES 1024

static const char* trouble;
static CUresult error = CUDA_SUCCESS;
static int live_allocations, live_pins, live_modules, live_graphs, uploads, contexts;
static size_t shared_limit;

// What the next call of `name` returns.
void fake_fail(const char* name, int status) {
  trouble = name;
  error = (CUresult)status;
}
int fake_live(int which) {
  const int counts[] = {live_allocations, live_pins, live_modules, live_graphs, uploads, contexts};
  return counts[which];
}
size_t fake_shared_limit(void) { return shared_limit; }

static CUresult enter(const char* name) {
  const char* always = getenv("FAKE_CUDA_FAILS");
  if (always != NULL && strcmp(always, name) == 0) return CUDA_ERROR_DEVICE_UNAVAILABLE;
  if (trouble == NULL || strcmp(trouble, name) != 0) return CUDA_SUCCESS;
  trouble = NULL;
  return error;
}
static __thread CUcontext here;
#define ENTER do { CUresult status = enter(__func__); if (status != CUDA_SUCCESS) return status; } while (0)
// For calls that need the context to be current in the thread that makes them.
#define ENTER_HERE ENTER; do { if (!here) return CUDA_ERROR_INVALID_CONTEXT; } while (0)

struct CUevent_st { double time; };
struct CUstream_st { unsigned flags; int priority; };
#define ARGUMENTS 32
#define NAME_LENGTH 200
struct CUfunc_st {
  char name[NAME_LENGTH];
  int count;
  void (*kernel)(void);  // of kernels.so
  struct CUfunc_st* next;
};
struct node { CUDA_KERNEL_NODE_PARAMS params; void* arguments[ARGUMENTS]; unsigned long long values[ARGUMENTS]; };
struct CUgraph_st { int count; struct node nodes[NODES]; };
static double clock_ms;

// out[i] = in[i] + by[0] for every thread.
static void add(void** arguments, unsigned threads) {
  const float* in = *(const float**)arguments[0];
  const float* by = *(const float**)arguments[1];
  float* out = *(float**)arguments[2];
  for (unsigned i = 0; i < threads; ++i) out[i] = in[i] + by[0];
}
static struct CUfunc_st add_function = {"add", 3};

typedef void (*emulate_t)(void (*)(void), void**, const unsigned*, const unsigned*, int, int);
static void* emulated;
static emulate_t emulate;
static struct CUfunc_st* functions = &add_function;

// Reads counts.txt and opens kernels.so, once.
static void open_kernels(void) {
  const char* folder = getenv("FAKE_CUDA_KERNELS");
  char path[1024];
  struct CUfunc_st read;
  if (folder == NULL || emulated != NULL) return;
  snprintf(path, sizeof path, "%s/kernels.so", folder);
  emulated = dlopen(path, RTLD_NOW);
  if (emulated == NULL) { fprintf(stderr, "%s\n", dlerror()); abort(); }
  emulate = (emulate_t)dlsym(emulated, "emulate");
  snprintf(path, sizeof path, "%s/counts.txt", folder);
  FILE* file = fopen(path, "r");
  if (file == NULL) { perror(path); abort(); }
  while (fscanf(file, "%199s %d", read.name, &read.count) == 2) {
    struct CUfunc_st* function = malloc(sizeof read);
    *function = read;
    function->kernel = (void (*)(void))dlsym(emulated, read.name);
    function->next = functions;
    functions = function;
  }
  fclose(file);
}

static void run(const struct CUfunc_st* function, void** arguments, const unsigned* grid, const unsigned* block,
                unsigned shared) {
  void* addresses[ARGUMENTS] = {0};
  if (function->kernel == NULL) {
    add(arguments, grid[0] * grid[1] * grid[2] * block[0] * block[1] * block[2]);
    return;
  }
  for (int i = 0; i < function->count; ++i) addresses[i] = *(void**)arguments[i];
  emulate(function->kernel, addresses, grid, block, (int)shared, 0);
}

CUresult CUDAAPI cuInit(unsigned flags) { ENTER; return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }
CUresult CUDAAPI cuDriverGetVersion(int* version) {
  ENTER;
  const char* given = getenv("FAKE_CUDA_VERSION");
  *version = given ? atoi(given) : 13010;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuGetErrorString(CUresult status, const char** text) {
  *text = status == CUDA_ERROR_OUT_OF_MEMORY ? "out of memory" : "some error";
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuDeviceGetCount(int* count) { ENTER; *count = 2; return CUDA_SUCCESS; }
CUresult CUDAAPI cuDeviceGet(CUdevice* device, int ordinal) { ENTER; *device = 10 + ordinal; return CUDA_SUCCESS; }
CUresult CUDAAPI cuDeviceGetName(char* name, int length, CUdevice device) {
  ENTER;
  snprintf(name, length, "NVIDIA Fake");
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  ENTER;
  const char* majors = getenv("FAKE_CUDA_MAJORS");
  if (majors == NULL) majors = "99";
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 7; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = majors[device - 10] - '0'; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 227 << 10; return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}
CUresult CUDAAPI cuDeviceTotalMem(size_t* size, CUdevice device) { ENTER; *size = 1ull << 33; return CUDA_SUCCESS; }
CUresult CUDAAPI cuDeviceGetPCIBusId(char* bus, int length, CUdevice device) {
  ENTER;
  snprintf(bus, length, "0000:0%d:00.0", device - 10);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuDeviceGetUuid(CUuuid* uuid, CUdevice device) {
  ENTER;
  for (int i = 0; i < 16; ++i) uuid->bytes[i] = (char)(16 * i + i);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  ENTER;
  ++contexts;
  *context = (CUcontext)(size_t)device;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice device) { ENTER; --contexts; return CUDA_SUCCESS; }
CUresult CUDAAPI cuCtxSetCurrent(CUcontext context) { ENTER; here = context; return CUDA_SUCCESS; }
CUresult CUDAAPI cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  ENTER_HERE;
  *least = 0;
  *greatest = -1;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemGetInfo(size_t* available, size_t* total) {
  ENTER_HERE;
  *total = 1ull << 33;
  *available = *total - live_allocations;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemAlloc(CUdeviceptr* address, size_t size) {
  ENTER_HERE;
  *address = (CUdeviceptr)(size_t)aligned_alloc(256, (size + 255) / 256 * 256);
  ++live_allocations;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemFree(CUdeviceptr address) {
  ENTER_HERE;
  free((void*)(size_t)address);
  --live_allocations;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemHostRegister(void* address, size_t size, unsigned flags) {
  ENTER_HERE;
  ++live_pins;
  return flags == CU_MEMHOSTREGISTER_PORTABLE ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult CUDAAPI cuMemHostUnregister(void* address) { ENTER_HERE; --live_pins; return CUDA_SUCCESS; }
CUresult CUDAAPI cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int priority) {
  ENTER_HERE;
  *stream = malloc(sizeof(struct CUstream_st));
  (*stream)->flags = flags;
  (*stream)->priority = priority;
  return flags == CU_STREAM_NON_BLOCKING ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
int fake_priority(CUstream stream) { return stream->priority; }
CUresult CUDAAPI cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  ENTER_HERE;
  return stream && event && flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult CUDAAPI cuEventCreate(CUevent* event, unsigned flags) {
  ENTER_HERE;
  *event = calloc(1, sizeof(struct CUevent_st));
  return flags & CU_EVENT_DISABLE_TIMING ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
CUresult CUDAAPI cuEventRecord(CUevent event, CUstream stream) { ENTER_HERE; event->time = ++clock_ms; return CUDA_SUCCESS; }
CUresult CUDAAPI cuEventQuery(CUevent event) { ENTER_HERE; return CUDA_SUCCESS; }
CUresult CUDAAPI cuEventElapsedTime(float* milliseconds, CUevent begin, CUevent end) {
  ENTER_HERE;
  if (!begin->time || !end->time) return CUDA_ERROR_INVALID_HANDLE;
  *milliseconds = (float)(end->time - begin->time);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, size_t size, CUstream stream) {
  ENTER_HERE;
  memcpy((void*)(size_t)to, from, size);
  return stream ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult CUDAAPI cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t size, CUstream stream) {
  ENTER_HERE;
  memcpy(to, (void*)(size_t)from, size);
  return stream ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult CUDAAPI cuModuleLoadData(CUmodule* module, const void* image) {
  ENTER_HERE;
  if (memcmp(image, "\177ELF", 4)) return CUDA_ERROR_INVALID_IMAGE;
  ++live_modules;
  *module = (CUmodule)1;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuModuleUnload(CUmodule module) { ENTER_HERE; --live_modules; return CUDA_SUCCESS; }
CUresult CUDAAPI cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  ENTER_HERE;
  open_kernels();
  for (*function = functions; *function != NULL; *function = (*function)->next)
    if (strcmp((*function)->name, name) == 0) return CUDA_SUCCESS;
  return CUDA_ERROR_NOT_FOUND;
}
CUresult CUDAAPI cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  ENTER_HERE;
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_ERROR_INVALID_VALUE;
  shared_limit = value;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuFuncLoad(CUfunction function) { ENTER_HERE; return CUDA_SUCCESS; }
CUresult CUDAAPI cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                unsigned bz, unsigned shared, CUstream stream, void** arguments, void** extra) {
  ENTER_HERE;
  if (!stream || extra) return CUDA_ERROR_INVALID_VALUE;
  const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
  run(function, arguments, grid, block, shared);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuGraphCreate(CUgraph* graph, unsigned flags) {
  ENTER_HERE;
  *graph = calloc(1, sizeof(struct CUgraph_st));
  ++live_graphs;
  return CUDA_SUCCESS;
}
static void keep(struct node* node, const CUDA_KERNEL_NODE_PARAMS* params) {
  node->params = *params;
  for (int i = 0; i < params->func->count; ++i) {
    node->values[i] = *(unsigned long long*)params->kernelParams[i];
    node->arguments[i] = &node->values[i];
  }
}
CUresult CUDAAPI cuGraphAddKernelNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* before, size_t count,
                                      const CUDA_KERNEL_NODE_PARAMS* params) {
  ENTER_HERE;
  struct node* previous = graph->count ? &graph->nodes[graph->count - 1] : NULL;
  if (count != (previous != NULL) || (count && *before != (CUgraphNode)previous)) return CUDA_ERROR_INVALID_VALUE;
  if (params->kern || params->ctx || params->extra) return CUDA_ERROR_INVALID_VALUE;
  struct node* added = &graph->nodes[graph->count++];
  keep(added, params);
  *node = (CUgraphNode)added;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuGraphInstantiateWithFlags(CUgraphExec* executable, CUgraph graph, unsigned long long flags) {
  ENTER_HERE;
  *executable = (CUgraphExec)graph;
  return flags ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
CUresult CUDAAPI cuGraphUpload(CUgraphExec executable, CUstream stream) {
  ENTER_HERE;
  ++uploads;
  return stream ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult CUDAAPI cuGraphExecKernelNodeSetParams(CUgraphExec executable, CUgraphNode node,
                                                const CUDA_KERNEL_NODE_PARAMS* params) {
  ENTER_HERE;
  keep((struct node*)node, params);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuGraphLaunch(CUgraphExec executable, CUstream stream) {
  ENTER_HERE;
  CUgraph graph = (CUgraph)executable;
  for (int i = 0; i < graph->count; ++i) {
    const CUDA_KERNEL_NODE_PARAMS* p = &graph->nodes[i].params;
    const unsigned grid[3] = {p->gridDimX, p->gridDimY, p->gridDimZ};
    const unsigned block[3] = {p->blockDimX, p->blockDimY, p->blockDimZ};
    run(p->func, graph->nodes[i].arguments, grid, block, p->sharedMemBytes);
  }
  return stream ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec executable) { ENTER_HERE; return CUDA_SUCCESS; }
CUresult CUDAAPI cuGraphDestroy(CUgraph graph) {
  ENTER_HERE;
  free(graph);
  --live_graphs;
  return CUDA_SUCCESS;
}
