// Runs CUDA C on a CPU, as slowly as it takes to be strict: takes the place of device/machine.cuh.
//
// The threads of a block are fibers that run in turns, from one rendezvous (barrier, shuffle, matrix product) to
// the next; blocks follow each other. Copies to shared memory happen when they are waited for and no sooner, so a
// missing wait shows. Fibers can run in either order, so a missing barrier shows. Misuse ends the process.
#pragma once
#include <csetjmp>
#include <cmath>
#include <math.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <type_traits>
#include <ucontext.h>
#include <vector>

#define EMULATED 1
#define EACH
#define INSIDE static inline
#define INSIDE_MEMBER inline
#define KERNEL(...) extern "C" void
#define DYNAMIC_SHARED(name) unsigned char* const name = emulation::shared.data()
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
// All of it lies together, to be spoilt before each block.
#define __shared__ static __attribute__((section("emulated_shared")))
#define __align__(n) alignas(n)
#define __ldg(address) (*(address))

struct uint3 { unsigned x, y, z; };
template <class T>
struct alignas(2 * sizeof(T)) Pair { T x, y; };
using int2 = Pair<int>;
using float2 = Pair<float>;
using double2 = Pair<double>;
using longlong2 = Pair<long long>;
static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline double2 make_double2(double x, double y) { return {x, y}; }
static inline longlong2 make_longlong2(long long x, long long y) { return {x, y}; }
static uint3 threadIdx, blockIdx, blockDim, gridDim;

extern "C" {
extern char __start_emulated_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_emulated_shared[] __attribute__((weak, visibility("hidden")));
}

namespace emulation {

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "emulated kernel, block (%u, %u, %u), thread (%u, %u, %u): %s\n", blockIdx.x, blockIdx.y,
               blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, what);
  std::abort();
}

constexpr size_t STACK = 128 << 10;
using Arguments = void* [32];

struct Copy { void* to; const void* from; int bytes; bool there; };
struct Fiber {
  ucontext_t context;
  jmp_buf at;
  std::unique_ptr<char[]> stack;
  bool begun = false, done = false;
  uint3 index;
  int number;
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> groups;
};
struct Meeting {
  int members = 0, arrived = 0;
  unsigned long generation = 0;
};
struct Warp {
  Meeting meeting;
  uint32_t words[32][8];
};

static std::vector<std::unique_ptr<Fiber>> fibers;
static std::vector<Warp> warps;
static Meeting everyone;
static std::vector<unsigned char> shared;
static Fiber* current;
static jmp_buf scheduler;
static unsigned long progress;
static void (*kernel)(...);
static void** arguments;

inline void release(Meeting& meeting) {
  meeting.arrived = 0;
  ++meeting.generation;
  ++progress;
}
inline void leave(Meeting& meeting) {
  --meeting.members;
  if (meeting.members && meeting.arrived == meeting.members) release(meeting);
}
inline void yield() {
  if (!_setjmp(current->at)) _longjmp(scheduler, 1);
}
inline void meet(Meeting& meeting) {
  const unsigned long mine = meeting.generation;
  if (++meeting.arrived == meeting.members) return release(meeting);
  while (meeting.generation == mine) yield();
}
inline Warp& warp() { return warps[current->number / 32]; }
inline int lane() { return current->number % 32; }

inline void body() {
  for (;;) {
    void** a = arguments;
    kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15],
           a[16], a[17], a[18], a[19], a[20], a[21], a[22], a[23], a[24], a[25], a[26], a[27], a[28], a[29],
           a[30], a[31]);
    for (auto& group : current->groups)
      if (!group.empty()) fail("ends with copies that nobody waited for");
    current->groups.clear();
    current->done = true;
    ++progress;
    leave(everyone);
    leave(warp().meeting);
    yield();
  }
}

inline void resume(Fiber& fiber) {
  current = &fiber;
  threadIdx = fiber.index;
  if (_setjmp(scheduler)) return;
  if (fiber.begun) _longjmp(fiber.at, 1);
  fiber.begun = true;
  setcontext(&fiber.context);
}

inline void prepare(int count) {
  while (static_cast<int>(fibers.size()) < count) {
    fibers.push_back(std::make_unique<Fiber>());
    Fiber& fiber = *fibers.back();
    fiber.stack.reset(new char[STACK]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, body, 0);
  }
}

inline void run_block(bool reversed) {
  const int count = blockDim.x * blockDim.y * blockDim.z;
  prepare(count);
  warps.assign((count + 31) / 32, Warp{});
  everyone = Meeting{count};
  std::memset(shared.data(), 0xff, shared.size());
  if (__start_emulated_shared) std::memset(__start_emulated_shared, 0xff, __stop_emulated_shared - __start_emulated_shared);
  for (int i = 0; i < count; ++i) {
    fibers[i]->done = false;
    fibers[i]->number = i;
    fibers[i]->index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
    ++warps[i / 32].meeting.members;
  }
  for (bool alive = true; alive;) {
    alive = false;
    const unsigned long before = progress;
    for (int i = 0; i < count; ++i) {
      Fiber& fiber = *fibers[reversed ? count - 1 - i : i];
      if (fiber.done) continue;
      resume(fiber);
      alive |= !fiber.done;
    }
    if (alive && progress == before) fail("waits for threads that never come");
  }
}

inline float as_float(uint32_t word) {
  float value;
  std::memcpy(&value, &word, 4);
  return value;
}
inline uint32_t as_word(float value) {
  uint32_t word;
  std::memcpy(&word, &value, 4);
  return word;
}

}  // namespace emulation

extern "C" void emulate(void (*kernel)(...), void** arguments, const unsigned* grid, const unsigned* block,
                        int shared_bytes, int reversed) {
  using namespace emulation;
  emulation::kernel = kernel;
  emulation::arguments = arguments;
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  if (block[0] * block[1] * block[2] > 1024 || block[2] > 64) fail("too many threads");
  if (grid[0] > 0x7fffffffu || grid[1] > 65535 || grid[2] > 65535) fail("too many blocks");
  // The most that any GPU has; converters know how much theirs has.
  if (shared_bytes > 227 << 10) fail("too much shared memory");
  shared.resize(shared_bytes + 16);
  for (unsigned z = 0; z < grid[2]; ++z)
    for (unsigned y = 0; y < grid[1]; ++y)
      for (unsigned x = 0; x < grid[0]; ++x) {
        blockIdx = {x, y, z};
        run_block(reversed);
      }
}

static inline void __syncthreads() { emulation::meet(emulation::everyone); }
static inline unsigned __activemask() { return 0xffffffffu; }
template <class A, class B>
static inline std::common_type_t<A, B> min(A a, B b) { return a < b ? a : b; }
template <class A, class B>
static inline std::common_type_t<A, B> max(A a, B b) { return a > b ? a : b; }
static inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

template <class T>
static inline T shuffled(T value, int from) {
  using namespace emulation;
  static_assert(sizeof(T) <= 8);
  Warp& here = warp();
  std::memcpy(here.words[lane()], &value, sizeof(T));
  meet(here.meeting);
  if (from >= 0 && from < 32) std::memcpy(&value, here.words[from], sizeof(T));
  meet(here.meeting);
  return value;
}
template <class T>
static inline T __shfl_xor_sync(unsigned, T value, int distance, int = 32) {
  return shuffled(value, emulation::lane() ^ distance);
}
template <class T>
static inline T __shfl_down_sync(unsigned, T value, unsigned distance, int width = 32) {
  const int lane = emulation::lane(), to = lane % width + distance;
  return shuffled(value, to < width ? lane + static_cast<int>(distance) : lane);
}
template <class T>
static inline T __shfl_sync(unsigned, T value, int from, int width = 32) {
  return shuffled(value, emulation::lane() / width * width + from % width);
}

using Shared = unsigned char*;
static inline Shared shared_address(void* pointer) { return static_cast<Shared>(pointer); }
template <int WORDS>
static inline void copy_async(Shared to, const void* from, bool there) {
  const uintptr_t size = 4 * WORDS;
  if (reinterpret_cast<uintptr_t>(to) % size || reinterpret_cast<uintptr_t>(from) % size)
    emulation::fail("copies from or to an address that is not aligned");
  std::memset(to, 0xff, size);
  emulation::current->open.push_back({to, from, static_cast<int>(size), there});
}
static inline void copies_commit() {
  emulation::current->groups.push_back(std::move(emulation::current->open));
  emulation::current->open.clear();
}
template <int N>
static inline void copies_arrived() {
  auto& groups = emulation::current->groups;
  while (static_cast<int>(groups.size()) > N) {
    for (const auto& copy : groups.front()) {
      if (copy.there) std::memcpy(copy.to, copy.from, copy.bytes);
      else std::memset(copy.to, 0, copy.bytes);
    }
    groups.pop_front();
  }
}

static inline unsigned tf32_of(unsigned word) {
  const bool finite = (word & 0x7f800000u) != 0x7f800000u;
  return finite ? (word + 0x1000u) & 0xffffe000u : word;
}
// As the PTX manual has .satfinite: a NaN stays one.
static inline _Float16 saturated_half(float x) {
  constexpr float most = 65504.0f;
  return static_cast<_Float16>(x > most ? most : x < -most ? -most : x);
}
static inline unsigned short half_of(float value) {
  const _Float16 half = static_cast<_Float16>(value);
  unsigned short bits;
  std::memcpy(&bits, &half, 2);
  return bits;
}
static inline unsigned halves_of(unsigned low, unsigned high) {
  const _Float16 pair[2] = {saturated_half(emulation::as_float(low)), saturated_half(emulation::as_float(high))};
  unsigned word;
  std::memcpy(&word, pair, 4);
  return word;
}
static inline float float_of(unsigned word) { return emulation::as_float(word); }

// The fragments are laid out as the PTX manual has them for mma.m16n8k8 (tf32) and mma.m16n8k16 (f16).
static inline void post(const unsigned (&a)[4], const unsigned (&b)[2]) {
  using namespace emulation;
  std::memcpy(warp().words[lane()], a, 16);
  std::memcpy(warp().words[lane()] + 4, b, 8);
  meet(warp().meeting);
}
static inline void multiply_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  using namespace emulation;
  for (int e = 0; e < 6; ++e)
    if ((e < 4 ? a[e] : b[e - 4]) & 0x1fffu) fail("multiplies what is not rounded to tf32");
  post(a, b);
  const int group = lane() / 4, member = lane() % 4;
  for (int e = 0; e < 4; ++e)
    for (int k = 0; k < 8; ++k) {
      const float left = as_float(warp().words[4 * group + k % 4][2 * (k / 4) + e / 2]);
      const float right = as_float(warp().words[4 * (2 * member + e % 2) + k % 4][4 + k / 4]);
      d[e] = std::fma(left, right, d[e]);
    }
  meet(warp().meeting);
}
static inline float half_at(const uint32_t* words, int number) {
  _Float16 value;
  std::memcpy(&value, reinterpret_cast<const char*>(words) + 2 * number, 2);
  return value;
}
static inline void multiply_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  using namespace emulation;
  post(a, b);
  const int group = lane() / 4, member = lane() % 4;
  for (int e = 0; e < 4; ++e)
    for (int k = 0; k < 16; ++k) {
      const int holder = k % 8 / 2;
      const float left = half_at(&warp().words[4 * group + holder][2 * (k / 8) + e / 2], k % 2);
      const float right = half_at(&warp().words[4 * (2 * member + e % 2) + holder][4 + k / 8], k % 2);
      d[e] = std::fma(left, right, d[e]);
    }
  meet(warp().meeting);
}
