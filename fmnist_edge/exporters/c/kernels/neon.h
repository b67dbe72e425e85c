/* Sums and last stages with NEON on 64-bit Arm; SDOT where there is one. A block is half a panel. A vector of 16
   activations has four groups, and each is one lane. */

/* GCC would bring more sums into flight than there are registers. The order below is the one to run. A load that also
   moves its pointer waits for both. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-schedule-insns", "no-auto-inc-dec")
#endif

/* Compilers would address the pixels by one index, and load constants long before they need them. Loads from a pointer
   and an index are slower; the constants leave no registers to the sums. So the compiler must not know this pointer. */
#if defined(__GNUC__)
#define FE_UNKNOWN(pointer) __asm__("" : "+r"(pointer))
#else
#define FE_UNKNOWN(pointer) (void)0
#endif

#if defined(__ARM_FEATURE_DOTPROD)
/* A vector of 16 activations has four groups, and each is one lane. */
#define FE_VECTORS 2
#define FE_AT_ONCE 4
#define FE_FIRST(bias, i) (bias)[i]
#define FE_SUMS_OF(sum, half) sum[half]
/* The products of one group of all pixels. `load` comes before a pixel's first one. */
#define FE_GROUP(load, lane)                                                                               \
  do {                                                                                                     \
    FE_UNROLL                                                                                              \
    for (int32_t b = 0; b < blocks; b++) {                                                                 \
      FE_UNROLL                                                                                            \
      for (int32_t i = 0; i < 2; i++) {                                                                    \
        const int8x16_t these = vld1q_s8(w + b * 4 * FE_BLOCK + 16 * i);                                   \
        FE_UNROLL                                                                                          \
        for (int32_t p = 0; p < pixels; p++) {                                                             \
          if (b == 0 && i == 0) load;                                                                      \
          sum[p][b][i] = vdotq_laneq_s32(sum[p][b][i], these, x[p], lane);                                 \
        }                                                                                                  \
      }                                                                                                    \
    }                                                                                                      \
    w += step;                                                                                             \
    FE_UNKNOWN(w);                                                                                         \
  } while (0)
#define FE_GROUPS()                                                                                        \
  do {                                                                                                     \
    int8x16_t x[FE_MOST_PIXELS];                                                                           \
    FE_GROUP(x[p] = fe_sixteen(&from[p]), 0);                                                              \
    FE_GROUP((void)0, 1);                                                                                  \
    FE_GROUP((void)0, 2);                                                                                  \
    FE_GROUP((void)0, 3);                                                                                  \
  } while (0)
#define FE_LAST_GROUP()                                                                                    \
  do {                                                                                                     \
    int8x16_t x[FE_MOST_PIXELS];                                                                           \
    FE_GROUP(x[p] = fe_four(&from[p]), 0);                                                                 \
  } while (0)
#else
/* Products of two channels fill a vector of eight 16-bit numbers: SMULL, then SADALP adds them in pairs. */
#define FE_VECTORS 4
#define FE_FIRST(bias, i) fe_apart((bias)[(i) / 2], (i) % 2)
#define FE_SUMS_OF(sum, half) vpaddq_s32(sum[2 * (half)], sum[2 * (half) + 1])
/* One group, or two: products of both fit 16 bits if no weight is -128 (SMULL, SMLAL, then SADALP). Pixels go in pairs,
   so that four products are under way. */
#define FE_PRODUCTS(groups)                                                                                \
  do {                                                                                                     \
    int8x16_t x[FE_MOST_PIXELS][2];                                                                        \
    FE_UNROLL                                                                                              \
    for (int32_t half = 0; half < 2; half++) {                                                             \
      int8x16_t these[2];                                                                                  \
      FE_UNROLL                                                                                            \
      for (int32_t g = 0; g < (groups); g++) these[g] = vld1q_s8(w + g * step + 16 * half);                \
      FE_UNROLL                                                                                            \
      for (int32_t first = 0; first < pixels; first += 2) {                                                \
        const int32_t end = first + 1 < pixels ? first + 2 : first + 1;                                    \
        int16x8_t low[2], high[2];                                                                         \
        FE_UNROLL                                                                                          \
        for (int32_t p = first; p < end; p++) {                                                            \
          if (half == 0) x[p][0] = fe_four(&from[p]);                                                      \
          if (half == 0 && (groups) == 2) x[p][1] = fe_four(&from[p]);                                     \
          low[p - first] = vmull_s8(vget_low_s8(these[0]), vget_low_s8(x[p][0]));                          \
          high[p - first] = vmull_high_s8(these[0], x[p][0]);                                              \
        }                                                                                                  \
        FE_UNROLL                                                                                          \
        for (int32_t p = first; p < end; p++) {                                                            \
          if ((groups) == 1) continue;                                                                     \
          low[p - first] = vmlal_s8(low[p - first], vget_low_s8(these[1]), vget_low_s8(x[p][1]));          \
          high[p - first] = vmlal_high_s8(high[p - first], these[1], x[p][1]);                             \
        }                                                                                                  \
        FE_UNROLL                                                                                          \
        for (int32_t p = first; p < end; p++) {                                                            \
          sum[p][0][2 * half] = vpadalq_s16(sum[p][0][2 * half], low[p - first]);                          \
          sum[p][0][2 * half + 1] = vpadalq_s16(sum[p][0][2 * half + 1], high[p - first]);                 \
        }                                                                                                  \
      }                                                                                                    \
    }                                                                                                      \
    w += (groups) * step;                                                                                  \
  } while (0)
#if defined(FE_WIDE_WEIGHTS)
#define FE_AT_ONCE 1
#else
#define FE_AT_ONCE 2
#endif
#define FE_GROUPS() FE_PRODUCTS(FE_AT_ONCE)
#define FE_LAST_GROUP() FE_PRODUCTS(1)
#endif

/* The next four activations in all lanes. */
FE_INLINE int8x16_t fe_four(const fe_act **from) {
  int32_t four;
  memcpy(&four, *from, 4);
  *from += 4;
  FE_UNKNOWN(*from);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* The next sixteen. */
FE_INLINE int8x16_t fe_sixteen(const fe_act **from) {
  const int8x16_t found = vld1q_s8(*from);
  *from += 16;
  FE_UNKNOWN(*from);
  return found;
}

/* The last stage in 32 bits, where TensorFlow Lite rounds twice and shifts to the right by -right: SQRDMULH, then SRSHL.
   SRSHL rounds half up; TensorFlow Lite rounds half away from zero, so SSRA adds -1 to what is below zero and shifted.
   `shifted`: whether all are. */
FE_INLINE int32x4_t fe_scaled_twice(int32x4_t a, int32x4_t factor, int32x4_t right, const int32_t shifted) {
  const int32x4_t high = vqrdmulhq_s32(a, factor);
  return vrshlq_s32(vsraq_n_s32(high, shifted ? high : vandq_s32(high, right), 31), right);
}

/* An output's zero point and limits. */
typedef struct {
  int16x8_t zero_point;
  int8x8_t low, high;
} fe_limits;

FE_INLINE fe_limits fe_limits_of(const fe_linear *op) {
  const fe_limits limits = {vdupq_n_s16((int16_t)op->zero_point), vdup_n_s8((int8_t)op->low),
                            vdup_n_s8((int8_t)op->high)};
  return limits;
}

/* Numbers beyond 16 bits saturate, which changes nothing: the limits are 8-bit numbers. */
FE_INLINE int8x8_t fe_narrowed(int32x4_t a, int32x4_t b, fe_limits limits) {
  const int16x8_t both = vqmovn_high_s32(vqmovn_s32(a), b);
  const int8x8_t out = vqmovn_s16(vqaddq_s16(both, limits.zero_point));
  return vmin_s8(vmax_s8(out, limits.low), limits.high);
}

/* What a tile needs besides inputs and weights. */
typedef struct {
  const fe_linear *op;
  const fe_last *last; /* of each block */
  fe_act *const *to;   /* of each pixel */
  int32_t ends;        /* whether the tile computes its outputs; if not, it leaves its sums to fe_finish_tile */
} fe_outputs;

FE_FUNCTION fe_outputs fe_outputs_of(const fe_linear *op, const fe_last *last, fe_act *const *to, int32_t blocks,
                                     int32_t left) {
  fe_outputs found = {op, last, to, left >= blocks * FE_BLOCK};
  for (int32_t b = 0; b < blocks; b++) found.ends = found.ends && last[b].shifted;
  return found;
}

#if !defined(__ARM_FEATURE_DOTPROD)
/* Two of four numbers, each followed by a zero. */
FE_INLINE int32x4_t fe_apart(int32x4_t a, int32_t second) {
  const uint32x4_t numbers = vreinterpretq_u32_s32(a);
  return vreinterpretq_s32_u64(second ? vmovl_high_u32(numbers) : vmovl_u32(vget_low_u32(numbers)));
}
#endif

FE_INLINE void fe_tile(const int32_t pixels, const int32_t blocks, const fe_outputs *outputs, const fe_act *const *in,
                       const int8_t *const *weights, int32_t step, int32_t *sums) {
  int32x4_t sum[FE_MOST_PIXELS][FE_MOST_BLOCKS][FE_VECTORS];
  const fe_linear *op = outputs->op;
  const int8_t *w = weights[0]; /* two blocks are the halves of a panel */
  const fe_last *last = outputs->last;
  FE_UNKNOWN(last);
  FE_UNROLL
  for (int32_t b = 0; b < blocks; b++) {
    const int32x4_t bias[2] = {vld1q_s32(last[b].bias), vld1q_s32(last[b].bias + 4)};
    FE_UNROLL
    for (int32_t p = 0; p < pixels; p++) {
      FE_UNROLL
      for (int32_t i = 0; i < FE_VECTORS; i++) sum[p][b][i] = FE_FIRST(bias, i);
    }
  }
  const fe_act *from[FE_MOST_PIXELS];
  const int32_t groups = op->groups, next_column = op->run_column_step - 4 * groups;
  const int32_t next_row = op->run_row_step - op->run_columns * op->run_column_step + next_column;
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) from[p] = in[p];
  for (int32_t row = op->run_rows; row > 0; row--)
    for (int32_t column = op->run_columns; column > 0; column--) {
      const int32_t next = column > 1 ? next_column : next_row; /* from behind a run to the next one */
      int32_t group = 0;
      for (; group + FE_AT_ONCE <= groups; group += FE_AT_ONCE) FE_GROUPS();
      for (; group < groups; group++) FE_LAST_GROUP();
      FE_UNROLL
      for (int32_t p = 0; p < pixels; p++) from[p] += next;
    }
  FE_UNKNOWN(last);
  if (!outputs->ends) {
    FE_UNROLL
    for (int32_t b = 0; b < blocks; b++) {
      const int32_t *bias = last[b].bias;
      FE_UNROLL
      for (int32_t p = 0; p < pixels; p++) {
        vst1q_s32(sums + (p * blocks + b) * FE_BLOCK, vsubq_s32(FE_SUMS_OF(sum[p][b], 0), vld1q_s32(bias)));
        vst1q_s32(sums + (p * blocks + b) * FE_BLOCK + 4, vsubq_s32(FE_SUMS_OF(sum[p][b], 1), vld1q_s32(bias + 4)));
      }
    }
    return;
  }
  const fe_limits limits = fe_limits_of(op);
  fe_act *to[FE_MOST_PIXELS];
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) to[p] = outputs->to[p];
  FE_UNROLL
  for (int32_t b = 0; b < blocks; b++) {
    const int32x4_t factor = vld1q_s32(last[b].factor), next_factor = vld1q_s32(last[b].factor + 4);
    const int32x4_t right = vld1q_s32(last[b].right), next_right = vld1q_s32(last[b].right + 4);
    FE_UNROLL
    for (int32_t p = 0; p < pixels; p++) {
      const int32x4_t first = fe_scaled_twice(FE_SUMS_OF(sum[p][b], 0), factor, right, 1);
      const int32x4_t second = fe_scaled_twice(FE_SUMS_OF(sum[p][b], 1), next_factor, next_right, 1);
      vst1_s8(to[p] + b * FE_BLOCK, fe_narrowed(first, second, limits));
    }
  }
}

/* The last stage in 64 bits. A product of 32-bit lanes fills 64 bits, so even and odd lanes are scaled apart. */
FE_FUNCTION int32x4_t fe_scaled(int32x4_t a, const fe_last *last, int32_t i) {
  const int32x4_t magnitude = vabsq_s32(a), factor = vld1q_s32(last->factor + i), negative = vshrq_n_s32(a, 31);
  const uint32x4_t m = vreinterpretq_u32_s32(magnitude), f = vreinterpretq_u32_s32(factor);
  const uint32x4_t m_even = vuzp1q_u32(m, m), f_even = vuzp1q_u32(f, f);
  const uint32x4_t m_odd = vuzp2q_u32(m, m), f_odd = vuzp2q_u32(f, f);
  int64x2_t even = vreinterpretq_s64_u64(vmull_u32(vget_low_u32(m_even), vget_low_u32(f_even)));
  int64x2_t odd = vreinterpretq_s64_u64(vmull_u32(vget_low_u32(m_odd), vget_low_u32(f_odd)));
  even = vaddw_s32(vaddq_s64(even, vld1q_s64(last->even_add + i / 2)), vget_low_s32(vuzp1q_s32(negative, negative)));
  odd = vaddw_s32(vaddq_s64(odd, vld1q_s64(last->odd_add + i / 2)), vget_low_s32(vuzp2q_s32(negative, negative)));
  even = vshlq_s64(even, vnegq_s64(vld1q_s64(last->even_shift + i / 2)));
  odd = vshlq_s64(odd, vnegq_s64(vld1q_s64(last->odd_shift + i / 2)));
  const int32x4_t scaled = vtrn1q_s32(vreinterpretq_s32_s64(even), vreinterpretq_s32_s64(odd));
  return vsubq_s32(veorq_s32(scaled, negative), negative);
}

/* The first `count` of a block. */
FE_INLINE void fe_put(int8x8_t block, int32_t count, fe_act *out) {
  fe_act values[FE_BLOCK];
  const fe_act *from = values;
  vst1_s8(count < FE_BLOCK ? values : out, block);
  if (count == FE_BLOCK) return;
  if (count & 4) memcpy(out, from, 4), out += 4, from += 4;
  if (count & 2) memcpy(out, from, 2), out += 2, from += 2;
  if (count & 1) *out = *from;
}

#define FE_FINISH_TILE 1
FE_FUNCTION void fe_finish_tile(int32_t pixels, const int32_t *sums, int32_t step, const fe_last *last,
                                const fe_linear *op, int32_t count, fe_act *const *to, int32_t channel) {
  FE_UNKNOWN(last);
  const int32x4_t bias = vld1q_s32(last->bias), next_bias = vld1q_s32(last->bias + 4);
  const int32x4_t factor = vld1q_s32(last->factor), next_factor = vld1q_s32(last->factor + 4);
  const fe_limits limits = fe_limits_of(op);
  if (last->twice) {
    const int32x4_t right = vld1q_s32(last->right), next_right = vld1q_s32(last->right + 4);
    for (int32_t p = 0; p < pixels; p++) {
      const int32x4_t a = vaddq_s32(vld1q_s32(sums + p * step), bias);
      const int32x4_t b = vaddq_s32(vld1q_s32(sums + p * step + 4), next_bias);
      const int32x4_t low = fe_scaled_twice(a, factor, right, 0);
      const int32x4_t high = fe_scaled_twice(b, next_factor, next_right, 0);
      fe_put(fe_narrowed(low, high, limits), count, to[p] + channel);
    }
    return;
  }
  for (int32_t p = 0; p < pixels; p++) {
    const int32x4_t a = vaddq_s32(vld1q_s32(sums + p * step), bias);
    const int32x4_t b = vaddq_s32(vld1q_s32(sums + p * step + 4), next_bias);
    fe_put(fe_narrowed(fe_scaled(a, last, 0), fe_scaled(b, last, 4), limits), count, to[p] + channel);
  }
}

FE_FUNCTION void fe_finish(const int32_t *sums, const fe_last *last, const fe_linear *op, int32_t count, fe_act *out) {
  fe_finish_tile(1, sums, 0, last, op, count, &out, 0);
}
