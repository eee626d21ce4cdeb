// What templates ask of the processor beyond plain C++. Tests put an emulation in the place of this file.
#define EACH _Pragma("unroll")
#define INSIDE static __device__ __forceinline__
#define INSIDE_MEMBER __device__ __forceinline__
// KERNEL(threads of a block, blocks that share a multiprocessor): where the latter is told, the compiler gives what
// registers that leaves to loads ahead of their use, in place of more blocks.
#define KERNEL(...) extern "C" __global__ void __launch_bounds__(__VA_ARGS__)
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]

// An address in shared memory, in bytes.
using Shared = unsigned;
INSIDE Shared shared_address(void* pointer) { return static_cast<unsigned>(__cvta_generic_to_shared(pointer)); }

// Begins copying `WORDS` (1 or 4) aligned words to shared memory; zeros where there is nothing to copy, for which
// `global` may point anywhere.
template <int WORDS>
INSIDE void copy_async(Shared to, const void* global, bool there) {
  const int bytes = there ? 4 * WORDS : 0;
  if constexpr (WORDS == 4) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(global), "r"(bytes) : "memory");
  } else {
    static_assert(WORDS == 1);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(to), "l"(global), "r"(bytes) : "memory");
  }
}

// Closes a group of copies; `copies_arrived<N>` waits until all but this thread's last N groups are there.
INSIDE void copies_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
template <int N>
INSIDE void copies_arrived() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}

// A float as the nearest number that tensor cores take, ties away from zero.
INSIDE unsigned tf32_of(unsigned word) {
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(rounded) : "f"(__uint_as_float(word)));
  return rounded;
}

// Two floats as halves in one word, the first one in the lower bits. What is beyond the largest half becomes that
// half, infinities too; a NaN stays one.
INSIDE unsigned halves_of(unsigned low, unsigned high) {
  unsigned word;
  asm("cvt.rn.satfinite.f16x2.f32 %0, %1, %2;\n" : "=r"(word) : "f"(__uint_as_float(high)), "f"(__uint_as_float(low)));
  return word;
}

// A float as the nearest half; beyond the largest one that is infinity.
INSIDE unsigned short half_of(float value) {
  unsigned short half;
  asm("cvt.rn.f16.f32 %0, %1;\n" : "=h"(half) : "f"(value));
  return half;
}

// d += a b for a tile of 16 x 8 results that the 32 threads of a warp hold together.
INSIDE void multiply_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
INSIDE void multiply_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

INSIDE float float_of(unsigned word) { return __uint_as_float(word); }
