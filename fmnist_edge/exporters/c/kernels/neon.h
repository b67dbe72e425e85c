/* Sums and last stages with NEON on 64-bit Arm; SDOT where there is one. A block is half a panel. */
#if defined(__ARM_FEATURE_DOTPROD)
FE_INLINE void fe_tile(const int32_t pixels, const int32_t blocks, const fe_linear *op, const fe_act *const *in,
                       const int8_t *const *weights, int32_t step, int32_t *sums) {
  int32x4_t sum[FE_MOST_PIXELS][FE_MOST_BLOCKS][2];
  int32_t at = 0;
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) {
    FE_UNROLL
    for (int32_t b = 0; b < blocks; b++) sum[p][b][0] = sum[p][b][1] = vdupq_n_s32(0);
  }
  for (int32_t row = 0; row < op->run_rows; row++)
    for (int32_t column = 0; column < op->run_columns; column++) {
      const int32_t run = row * op->run_row_step + column * op->run_column_step;
      for (int32_t group = 0; group < op->groups; group++, at += step) {
        int8x16_t w[FE_MOST_BLOCKS][2];
        FE_UNROLL
        for (int32_t b = 0; b < blocks; b++) {
          w[b][0] = vld1q_s8(weights[b] + at);
          w[b][1] = vld1q_s8(weights[b] + at + 16);
        }
        FE_UNROLL
        for (int32_t p = 0; p < pixels; p++) {
          int32_t four;
          memcpy(&four, in[p] + run + 4 * group, 4);
          const int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(four));
          FE_UNROLL
          for (int32_t b = 0; b < blocks; b++) {
            sum[p][b][0] = vdotq_s32(sum[p][b][0], w[b][0], x);
            sum[p][b][1] = vdotq_s32(sum[p][b][1], w[b][1], x);
          }
        }
      }
    }
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) {
    FE_UNROLL
    for (int32_t b = 0; b < blocks; b++) {
      vst1q_s32(sums + (p * blocks + b) * FE_BLOCK, sum[p][b][0]);
      vst1q_s32(sums + (p * blocks + b) * FE_BLOCK + 4, sum[p][b][1]);
    }
  }
}
#else
/* Products of two channels fill a vector of eight 16-bit numbers: SMULL, then SADALP adds them in pairs. */
FE_INLINE void fe_tile(const int32_t pixels, const int32_t blocks, const fe_linear *op, const fe_act *const *in,
                       const int8_t *const *weights, int32_t step, int32_t *sums) {
  int32x4_t sum[FE_MOST_PIXELS][4];
  int32_t at = 0;
  (void)blocks; /* always 1 */
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) {
    FE_UNROLL
    for (int32_t i = 0; i < 4; i++) sum[p][i] = vdupq_n_s32(0);
  }
  for (int32_t row = 0; row < op->run_rows; row++)
    for (int32_t column = 0; column < op->run_columns; column++) {
      const int32_t run = row * op->run_row_step + column * op->run_column_step;
      for (int32_t group = 0; group < op->groups; group++, at += step) {
        const int8x16_t low = vld1q_s8(weights[0] + at), high = vld1q_s8(weights[0] + at + 16);
        FE_UNROLL
        for (int32_t p = 0; p < pixels; p++) {
          int32_t four;
          memcpy(&four, in[p] + run + 4 * group, 4);
          const int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(four));
          sum[p][0] = vpadalq_s16(sum[p][0], vmull_s8(vget_low_s8(low), vget_low_s8(x)));
          sum[p][1] = vpadalq_s16(sum[p][1], vmull_high_s8(low, x));
          sum[p][2] = vpadalq_s16(sum[p][2], vmull_s8(vget_low_s8(high), vget_low_s8(x)));
          sum[p][3] = vpadalq_s16(sum[p][3], vmull_high_s8(high, x));
        }
      }
    }
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) {
    vst1q_s32(sums + p * FE_BLOCK, vpaddq_s32(sum[p][0], sum[p][1]));
    vst1q_s32(sums + p * FE_BLOCK + 4, vpaddq_s32(sum[p][2], sum[p][3]));
  }
}
#endif

/* A product of 32-bit lanes fills 64 bits, so even and odd lanes are scaled apart. */
FE_FUNCTION void fe_finish(const int32_t *sums, const fe_last *last, const fe_linear *op, int32_t count, fe_act *out) {
  int32_t values[FE_BLOCK];
  for (int32_t i = 0; i < FE_BLOCK; i += 4) {
    const int32x4_t a = vaddq_s32(vld1q_s32(sums + i), vld1q_s32(last->bias + i));
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
    int32x4_t scaled = vtrn1q_s32(vreinterpretq_s32_s64(even), vreinterpretq_s32_s64(odd));
    scaled = vsubq_s32(veorq_s32(scaled, negative), negative);
    scaled = vaddq_s32(scaled, vdupq_n_s32(op->zero_point));
    scaled = vminq_s32(vmaxq_s32(scaled, vdupq_n_s32(op->low)), vdupq_n_s32(op->high));
    vst1q_s32(values + i, scaled);
  }
  for (int32_t c = 0; c < count; c++) out[c] = (fe_act)values[c];
}
