// Reductions over what the threads of a block hold.

struct Sum {
  INSIDE float start() { return 0.0f; }
  INSIDE float of(float a, float b) { return a + b; }
};
struct Product {
  INSIDE float start() { return 1.0f; }
  INSIDE float of(float a, float b) { return a * b; }
};
// A NaN wins, as in numpy.
struct Max {
  INSIDE float start() { return -INFINITY; }
  INSIDE float of(float a, float b) { return a > b || a != a ? a : b; }
};
struct Min {
  INSIDE float start() { return INFINITY; }
  INSIDE float of(float a, float b) { return a < b || a != a ? a : b; }
};

// Over the 32 threads of a warp; every thread gets the result.
template <class Op>
INSIDE float over_warp(float value) {
  EACH for (int distance = 16; distance > 0; distance /= 2)
    value = Op::of(value, __shfl_xor_sync(0xffffffffu, value, distance));
  return value;
}

// Over threads of the block that have the same threadIdx.x; `scratch` has a float for every thread.
template <class Op>
INSIDE float over_columns(float value, float* scratch) {
  __syncthreads();
  scratch[threadIdx.y * blockDim.x + threadIdx.x] = value;
  __syncthreads();
  float total = scratch[threadIdx.x];
  for (int y = 1; y < blockDim.y; ++y) total = Op::of(total, scratch[y * blockDim.x + threadIdx.x]);
  return total;
}

// Over all threads of a block of WARPS warps; `scratch` has a float for every warp.
template <class Op, int WARPS>
INSIDE float over_block(float value, float* scratch) {
  value = over_warp<Op>(value);
  if constexpr (WARPS == 1) return value;
  __syncthreads();
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  float total = scratch[0];
  EACH for (int warp = 1; warp < WARPS; ++warp) total = Op::of(total, scratch[warp]);
  return total;
}
