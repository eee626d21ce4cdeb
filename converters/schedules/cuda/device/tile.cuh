// The tile of a block in shared memory, and the copies that fill it.
//
// Each stage of a ring holds DEPTH words of every row and column. A word is a float, or (HALF_WEIGHTS, right
// operand only) two halves of neighbouring depths.
//
// The problem P says where elements are; constants are members too, as K, which is all depths:
//   left operand   TAPS taps of CHANNELS depths. An element is at P::left() + row.at + tap.at + channel * LEFT_DEPTH
//                  for P::Row row = P::row(m) and P::Tap tap = P::tap(number), if P::inside(row, tap); else it is
//                  zero, as is all of the row P::nowhere()
//   right operand  words at P::right() + k * RIGHT_DEPTH + n * RIGHT_COLUMN; k counts words
// A block has nothing to multiply until its copies have begun, so what finding them takes is done before the first
// step, or behind the copies of the step before.

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
  static constexpr int RIGHT_ACROSS = (P::RIGHT_BY_COLUMN ? P::DEPTH : P::COLUMNS) / P::RIGHT_WIDTH;
  // Each thread copies from the same place of several rows, which are so many apart.
  static constexpr int LEFT_APART = THREADS / LEFT_ACROSS, LEFT_COPIES = P::ROWS / LEFT_APART;
  static constexpr int RIGHT_APART = THREADS / RIGHT_ACROSS, RIGHT_COPIES = RIGHT_ROWS / RIGHT_APART;
  static_assert(LEFT_APART * LEFT_ACROSS == THREADS && LEFT_COPIES * LEFT_APART == P::ROWS);
  static_assert(RIGHT_APART * RIGHT_ACROSS == THREADS && RIGHT_COPIES * RIGHT_APART == RIGHT_ROWS);
  static_assert(FRAGMENTS_M > 0 && FRAGMENTS_N > 0 && P::DEPTH % 16 == 0);
  static_assert(!(P::HALF_WEIGHTS && P::RIGHT_BY_COLUMN) && RIGHT_COPIES <= 32);
};

// A bit for each of KERNEL taps, APART from each other from `origin` on, that is outside of an axis of SIZE.
template <int KERNEL, int APART, int SIZE>
INSIDE unsigned taps_outside(int origin) {
  const int before = min(KERNEL, max(0, (APART - 1 - origin) / APART));
  const int until = min(KERNEL, max(0, (SIZE - origin + APART - 1) / APART));
  static_assert(KERNEL < 32);
  return ((1u << KERNEL) - 1) & ~(((1u << until) - 1) >> before << before);
}

template <class P>
struct LeftCopies {
  using T = Tile<P>;
  typename P::Row rows[T::LEFT_COPIES];
  typename P::Tap tap;
  int depth;
  unsigned number, channel;
  Shared to;

  INSIDE_MEMBER LeftCopies(const P& problem, Shared stages, int first_row, int begin) {
    const int row = threadIdx.x / T::LEFT_ACROSS;
    depth = threadIdx.x % T::LEFT_ACROSS * P::LEFT_WIDTH;
    to = stages + 4 * (row * T::LEFT_ROW + depth);
    EACH for (int i = 0; i < T::LEFT_COPIES; ++i) {
      const int m = first_row + row + i * T::LEFT_APART;
      rows[i] = P::M % P::ROWS == 0 || m < P::M ? problem.row(m) : P::nowhere();
    }
    number = 0;
    channel = begin + depth;
    find(problem);
  }

  // The tap and the channel of a depth, which `channel` counts from the tap `number` on.
  INSIDE_MEMBER void find(const P& problem) {
    if constexpr (P::TAPS > 1) {
      number += channel / P::CHANNELS;
      channel %= P::CHANNELS;
      if (P::K % P::DEPTH != 0) number = min(number, P::TAPS - 1u);
    }
    tap = problem.tap(number);
  }

  // `left`: the depths from this step's first on.
  INSIDE_MEMBER void begin(const P& problem, int stage, int left) const {
    const bool within = P::K % P::DEPTH == 0 || depth < left;
    const int at = tap.at + static_cast<int>(channel) * P::LEFT_DEPTH;
    EACH for (int i = 0; i < T::LEFT_COPIES; ++i)
      copy_async<P::LEFT_WIDTH>(to + stage + 4 * i * T::LEFT_APART * T::LEFT_ROW, problem.left() + (rows[i].at + at),
                                within && P::inside(rows[i], tap));
  }

  INSIDE_MEMBER void advance(const P& problem) {
    channel += P::DEPTH;
    find(problem);
  }
};

template <class P>
struct RightCopies {
  using T = Tile<P>;
  static constexpr int SCALE = P::HALF_WEIGHTS ? 2 : 1;
  static constexpr long long APART = T::RIGHT_APART * (P::RIGHT_BY_COLUMN ? P::RIGHT_COLUMN : P::RIGHT_DEPTH);
  const unsigned* at;
  unsigned there;
  int depth;
  Shared to;

  INSIDE_MEMBER RightCopies(const P& problem, Shared stages, int first_column, int begin) {
    const int row = threadIdx.x / T::RIGHT_ACROSS, place = threadIdx.x % T::RIGHT_ACROSS * P::RIGHT_WIDTH;
    const int column = first_column + (P::RIGHT_BY_COLUMN ? row : place);
    depth = P::RIGHT_BY_COLUMN ? place : row;
    to = stages + 4 * (row * T::RIGHT_ROW + place);
    at = problem.right() + (begin / SCALE + depth) * P::RIGHT_DEPTH + column * P::RIGHT_COLUMN;
    there = 0;
    EACH for (int i = 0; i < T::RIGHT_COPIES; ++i)
      if (P::N % P::COLUMNS == 0 || column + (P::RIGHT_BY_COLUMN ? i * T::RIGHT_APART : 0) < P::N) there |= 1u << i;
  }

  INSIDE_MEMBER void begin(int stage, int left) const {
    EACH for (int i = 0; i < T::RIGHT_COPIES; ++i) {
      const int at_depth = depth + (P::RIGHT_BY_COLUMN ? 0 : i * T::RIGHT_APART);
      const bool within = P::K % P::DEPTH == 0 || at_depth * SCALE < left;
      copy_async<P::RIGHT_WIDTH>(to + stage + 4 * i * T::RIGHT_APART * T::RIGHT_ROW, at + i * APART,
                                 within && there >> i & 1);
    }
  }

  INSIDE_MEMBER void advance() { at += P::DEPTH / SCALE * P::RIGHT_DEPTH; }
};
