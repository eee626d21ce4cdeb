// Tiles of a matrix product, out of operands that need not lie in memory as matrices.
//
// A block computes ROWS x COLUMNS sums over the depths [begin, end) of its share. Each stage of a ring in shared
// memory holds DEPTH words of every row and column; cp.async fills the stages ahead of the warps that multiply.
// A word is a float, or (HALF_WEIGHTS, right operand only) two halves of neighbouring depths.
//
// The problem P says where elements are:
//   P::Row, P::row(m)       what is known of row m, and P::Tap, P::tap(k), what is known of depth k
//   P::left(row, tap)       the address of an element, or null where it is zero
//   P::right(k, n)          likewise; k counts words
// and takes each pair of neighbouring results by P::store(m, n, first, second). The constants are members too.

enum Arithmetic { FP32, TF32, FP16 };

template <class P>
struct Tile {
  static constexpr int THREADS = 32 * P::WARPS_M * P::WARPS_N;
  static constexpr bool HALVES = P::ARITHMETIC == FP16;
  // Words of padding that keep the 32 threads of a warp in 32 banks when they read a fragment.
  static constexpr int PAD_LEFT = HALVES ? 8 : 4;
  static constexpr int PAD_RIGHT = HALVES && !P::HALF_WEIGHTS ? 4 : 8;
  static constexpr int LEFT_ROW = P::DEPTH + PAD_LEFT;
  static constexpr int RIGHT_DEPTH = P::HALF_WEIGHTS ? P::DEPTH / 2 : P::DEPTH;
  static constexpr int RIGHT_ROW = P::RIGHT_BY_COLUMN ? P::DEPTH + PAD_LEFT : P::COLUMNS + PAD_RIGHT;
  static constexpr int RIGHT_ROWS = P::RIGHT_BY_COLUMN ? P::COLUMNS : RIGHT_DEPTH;
  static constexpr int LEFT_WORDS = P::ROWS * LEFT_ROW;
  static constexpr int STAGE_WORDS = LEFT_WORDS + RIGHT_ROWS * RIGHT_ROW;
  // Warps share the tile as WARPS_M x WARPS_N; each has fragments of 16 x 8 results.
  static constexpr int FRAGMENTS_M = P::ROWS / P::WARPS_M / 16;
  static constexpr int FRAGMENTS_N = P::COLUMNS / P::WARPS_N / 8;
  static constexpr int LEFT_ACROSS = P::DEPTH / P::LEFT_WIDTH;
  static constexpr int LEFT_COPIES = (P::ROWS * LEFT_ACROSS + THREADS - 1) / THREADS;
  static constexpr int RIGHT_ACROSS = (P::RIGHT_BY_COLUMN ? P::DEPTH : P::COLUMNS) / P::RIGHT_WIDTH;
  static constexpr int RIGHT_COPIES = (RIGHT_ROWS * RIGHT_ACROSS + THREADS - 1) / THREADS;
  static_assert(THREADS % LEFT_ACROSS == 0, "a thread copies one depth of several rows");
  static_assert(FRAGMENTS_M > 0 && FRAGMENTS_N > 0 && P::DEPTH % 16 == 0);
  static_assert(!(P::HALF_WEIGHTS && P::RIGHT_BY_COLUMN));
};

template <class P>
struct LeftCopies {
  using T = Tile<P>;
  typename P::Row rows[T::LEFT_COPIES];
  bool there[T::LEFT_COPIES];
  int depth;

  INSIDE_MEMBER LeftCopies(const P& problem, int first_row) {
    depth = threadIdx.x % T::LEFT_ACROSS * P::LEFT_WIDTH;
    EACH for (int i = 0; i < T::LEFT_COPIES; ++i) {
      const int row = (threadIdx.x + i * T::THREADS) / T::LEFT_ACROSS;
      there[i] = row < P::ROWS && first_row + row < P::M;
      rows[i] = problem.row(there[i] ? first_row + row : 0);
    }
  }
  INSIDE_MEMBER void begin(const P& problem, unsigned* stage, int k, int end) const {
    const bool within = k + depth < end;
    const typename P::Tap tap = problem.tap(within ? k + depth : 0);
    EACH for (int i = 0; i < T::LEFT_COPIES; ++i) {
      const int row = (threadIdx.x + i * T::THREADS) / T::LEFT_ACROSS;
      const float* found = there[i] && within ? problem.left(rows[i], tap) : nullptr;
      const void* source = found != nullptr ? found : problem.any();
      if (row < P::ROWS)
        copy_async<P::LEFT_WIDTH>(stage + row * T::LEFT_ROW + depth, source, found != nullptr);
    }
  }
};

template <class P>
INSIDE void begin_right(const P& problem, unsigned* stage, int first_column, int k, int end) {
  using T = Tile<P>;
  constexpr int SCALE = P::HALF_WEIGHTS ? 2 : 1;
  EACH for (int i = 0; i < T::RIGHT_COPIES; ++i) {
    const int copy = threadIdx.x + i * T::THREADS;
    const int row = copy / T::RIGHT_ACROSS, place = copy % T::RIGHT_ACROSS * P::RIGHT_WIDTH;
    if (row >= T::RIGHT_ROWS) break;
    const int depth = k / SCALE + (P::RIGHT_BY_COLUMN ? place : row);
    const int column = first_column + (P::RIGHT_BY_COLUMN ? row : place);
    const bool there = depth * SCALE < end && column < P::N;
    const void* source = there ? problem.right(depth, column) : problem.any();
    copy_async<P::RIGHT_WIDTH>(stage + row * T::RIGHT_ROW + place, source, there);
  }
}

template <class P>
INSIDE unsigned right_word(const unsigned* stage, int depth, int column) {
  using T = Tile<P>;
  return P::RIGHT_BY_COLUMN ? stage[column * T::RIGHT_ROW + depth] : stage[depth * T::RIGHT_ROW + column];
}

// Thread (group g of 8, member t of 4) holds of a fragment: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1).
template <class P>
struct Sums {
  using T = Tile<P>;
  float of[T::FRAGMENTS_M][T::FRAGMENTS_N][4];
  int row, column, group, member;

  INSIDE_MEMBER Sums() {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    group = lane / 4;
    member = lane % 4;
    row = warp / P::WARPS_N * (P::ROWS / P::WARPS_M);
    column = warp % P::WARPS_N * (P::COLUMNS / P::WARPS_N);
    EACH for (int i = 0; i < T::FRAGMENTS_M; ++i)
      EACH for (int j = 0; j < T::FRAGMENTS_N; ++j)
        EACH for (int e = 0; e < 4; ++e) of[i][j][e] = 0.0f;
  }

  INSIDE_MEMBER void add(const unsigned* left, const unsigned* right) {
    if constexpr (P::ARITHMETIC == FP32) exact(left, right);
    if constexpr (P::ARITHMETIC == TF32) tensor<8>(left, right);
    if constexpr (P::ARITHMETIC == FP16) tensor<16>(left, right);
  }

  INSIDE_MEMBER void exact(const unsigned* left, const unsigned* right) {
    EACH for (int k = 0; k < P::DEPTH; ++k) {
      float a[T::FRAGMENTS_M][2], b[T::FRAGMENTS_N][2];
      EACH for (int i = 0; i < T::FRAGMENTS_M; ++i)
        EACH for (int e = 0; e < 2; ++e)
          a[i][e] = float_of(left[(row + 16 * i + 8 * e + group) * T::LEFT_ROW + k]);
      EACH for (int j = 0; j < T::FRAGMENTS_N; ++j)
        EACH for (int e = 0; e < 2; ++e)
          b[j][e] = float_of(right_word<P>(right, k, column + 8 * j + 2 * member + e));
      EACH for (int i = 0; i < T::FRAGMENTS_M; ++i)
        EACH for (int j = 0; j < T::FRAGMENTS_N; ++j)
          EACH for (int e = 0; e < 4; ++e) of[i][j][e] = fmaf(a[i][e / 2], b[j][e % 2], of[i][j][e]);
    }
  }

  template <int STEP>
  INSIDE_MEMBER void tensor(const unsigned* left, const unsigned* right) {
    EACH for (int k = 0; k < P::DEPTH; k += STEP) {
      unsigned a[T::FRAGMENTS_M][4], b[T::FRAGMENTS_N][2];
      EACH for (int i = 0; i < T::FRAGMENTS_M; ++i)
        EACH for (int e = 0; e < 4; ++e) {
          // Registers 0 and 1 are rows g and g + 8 of the lower depths, 2 and 3 of the upper ones.
          const unsigned* at = left + (row + 16 * i + 8 * (e % 2) + group) * T::LEFT_ROW + k;
          if constexpr (STEP == 8) a[i][e] = tf32_of(at[member + e / 2 * 4]);
          else a[i][e] = halves_of(at[2 * member + e / 2 * 8], at[2 * member + e / 2 * 8 + 1]);
        }
      EACH for (int j = 0; j < T::FRAGMENTS_N; ++j)
        EACH for (int e = 0; e < 2; ++e) {
          const int n = column + 8 * j + group;
          if constexpr (STEP == 8) {
            const unsigned word = right_word<P>(right, k + member + 4 * e, n);
            b[j][e] = P::RIGHT_ROUNDED ? word : tf32_of(word);
          } else if constexpr (P::HALF_WEIGHTS) {
            b[j][e] = right_word<P>(right, k / 2 + member + 4 * e, n);
          } else {
            const int depth = k + 2 * member + 8 * e;
            b[j][e] = halves_of(right_word<P>(right, depth, n), right_word<P>(right, depth + 1, n));
          }
        }
      EACH for (int i = 0; i < T::FRAGMENTS_M; ++i)
        EACH for (int j = 0; j < T::FRAGMENTS_N; ++j) {
          if constexpr (STEP == 8) multiply_tf32(of[i][j], a[i], b[j]);
          else multiply_f16(of[i][j], a[i], b[j]);
        }
    }
  }

  INSIDE_MEMBER void store(const P& problem, int first_row, int first_column) const {
    EACH for (int i = 0; i < T::FRAGMENTS_M; ++i)
      EACH for (int e = 0; e < 2; ++e) {
        const int m = first_row + row + 16 * i + 8 * e + group;
        if (m >= P::M) continue;
        EACH for (int j = 0; j < T::FRAGMENTS_N; ++j) {
          const int n = first_column + column + 8 * j + 2 * member;
          if (n < P::N) problem.store(m, n, of[i][j][2 * e], of[i][j][2 * e + 1]);
        }
      }
  }
};

template <class P>
INSIDE void product(const P& problem, unsigned* shared, int first_row, int first_column, int begin, int end) {
  using T = Tile<P>;
  const LeftCopies<P> copies(problem, first_row);
  const int count = (end - begin + P::DEPTH - 1) / P::DEPTH;
  auto fetch = [&](int number) {
    if (number < count) {
      unsigned* stage = shared + number % P::STAGES * T::STAGE_WORDS;
      copies.begin(problem, stage, begin + number * P::DEPTH, end);
      begin_right(problem, stage + T::LEFT_WORDS, first_column, begin + number * P::DEPTH, end);
    }
    copies_commit();
  };
  Sums<P> sums;
  for (int number = 0; number < P::STAGES - 1; ++number) fetch(number);
  for (int number = 0; number < count; ++number) {
    copies_arrived<P::STAGES - 2>();
    __syncthreads();
    fetch(number + P::STAGES - 1);
    const unsigned* stage = shared + number % P::STAGES * T::STAGE_WORDS;
    sums.add(stage, stage + T::LEFT_WORDS);
  }
  sums.store(problem, first_row, first_column);
}
