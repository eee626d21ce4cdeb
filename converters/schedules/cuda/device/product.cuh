// Tiles of a matrix product, out of operands that need not lie in memory as matrices.
//
// A block computes ROWS x COLUMNS sums over the depths [begin, end) of its share: cp.async fills a ring of stages,
// as tile.cuh has them, ahead of the warps that multiply. The problem P takes each pair of neighbouring results by
// P::store(m, n, first, second).

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

  // WHOLE: all of the tile's rows and columns are there. Guards would keep loads of the program behind stores.
  template <bool WHOLE>
  INSIDE_MEMBER void store(const P& problem, int first_row, int first_column) const {
    EACH for (int i = 0; i < T::FRAGMENTS_M; ++i)
      EACH for (int e = 0; e < 2; ++e) {
        const int m = first_row + row + 16 * i + 8 * e + group;
        if (!WHOLE && m >= P::M) continue;
        EACH for (int j = 0; j < T::FRAGMENTS_N; ++j) {
          const int n = first_column + column + 8 * j + 2 * member;
          if (WHOLE || n < P::N) problem.store(m, n, of[i][j][2 * e], of[i][j][2 * e + 1]);
        }
      }
  }
};

template <class P>
INSIDE void product(const P& problem, unsigned* shared, int first_row, int first_column, int begin, int end) {
  using T = Tile<P>;
  const Shared stages = shared_address(shared);
  LeftCopies<P> left(problem, stages, first_row, begin);
  RightCopies<P> right(problem, stages + 4 * T::LEFT_WORDS, first_column, begin);
  const int count = (end - begin + P::DEPTH - 1) / P::DEPTH;
  // Stages that are filled before their turn: all where none is filled twice, else one is being read.
  constexpr int AHEAD = P::STEPS <= P::STAGES ? P::STAGES : P::STAGES - 1;
  // In words from the first stage on.
  int filled = 0, read = 0;
  auto next = [](int stage) { return stage == (P::STAGES - 1) * T::STAGE_WORDS ? 0 : stage + T::STAGE_WORDS; };
  auto fetch = [&](int number) {
    if (number < count) {
      left.begin(problem, 4 * filled, end - begin - number * P::DEPTH);
      right.begin(4 * filled, end - begin - number * P::DEPTH);
    }
    copies_commit();
    left.advance(problem);
    right.advance();
    filled = next(filled);
  };
  Sums<P> sums;
  EACH for (int number = 0; number < AHEAD; ++number) fetch(number);
  for (int number = 0; number < count; ++number) {
    copies_arrived<AHEAD - 1>();
    __syncthreads();
    if (P::STEPS > AHEAD) fetch(number + AHEAD);
    else copies_commit();
    sums.add(shared + read, shared + read + T::LEFT_WORDS);
    read = next(read);
  }
  constexpr bool ALL_WHOLE = P::M % P::ROWS == 0 && P::N % P::COLUMNS == 0;
  if (ALL_WHOLE || (first_row + P::ROWS <= P::M && first_column + P::COLUMNS <= P::N))
    sums.template store<true>(problem, first_row, first_column);
  else
    sums.template store<false>(problem, first_row, first_column);
}
