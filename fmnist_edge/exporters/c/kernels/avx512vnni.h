/* Sums and last stages with AVX-512 VNNI: VPDPBUSD adds 64 products of unsigned activations and signed weights. */
FE_INLINE void fe_tile(const int32_t pixels, const int32_t blocks, const fe_linear *op, const fe_act *const *in,
                       const int8_t *const *weights, int32_t step, int32_t *sums) {
  __m512i sum[FE_MOST_PIXELS][FE_MOST_BLOCKS];
  int32_t at = 0;
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) {
    FE_UNROLL
    for (int32_t b = 0; b < blocks; b++) sum[p][b] = _mm512_setzero_si512();
  }
  for (int32_t row = 0; row < op->run_rows; row++)
    for (int32_t column = 0; column < op->run_columns; column++) {
      const int32_t run = row * op->run_row_step + column * op->run_column_step;
      for (int32_t group = 0; group < op->groups; group++, at += step) {
        __m512i w[FE_MOST_BLOCKS];
        if (pixels == 1) { /* weights that are read once: fetch them early */
          FE_UNROLL
          for (int32_t b = 0; b < blocks; b++) _mm_prefetch((const char *)weights[b] + at + 1024, _MM_HINT_T0);
        }
        FE_UNROLL
        for (int32_t b = 0; b < blocks; b++) w[b] = _mm512_loadu_si512(weights[b] + at);
        FE_UNROLL
        for (int32_t p = 0; p < pixels; p++) {
          int32_t four;
          memcpy(&four, in[p] + run + 4 * group, 4);
          const __m512i x = _mm512_set1_epi32(four);
          FE_UNROLL
          for (int32_t b = 0; b < blocks; b++) sum[p][b] = _mm512_dpbusd_epi32(sum[p][b], x, w[b]);
        }
      }
    }
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) {
    FE_UNROLL
    for (int32_t b = 0; b < blocks; b++) _mm512_storeu_si512(sums + (p * blocks + b) * FE_BLOCK, sum[p][b]);
  }
}

/* The last stage of a block of channels for all pixels of a tile. A product of 32-bit lanes fills 64 bits, so even and odd
   lanes are scaled apart. The zero point is added before the shift. Where no result below the zero point is kept, as with
   ReLU, sums below zero are zero. Elsewhere a negative product takes 2^shift - add in place of add: the shift, which
   rounds down, then gives what fe_rescale gives. */
#define FE_FINISH_TILE 1
FE_INLINE void fe_finish_tile(int32_t pixels, const int32_t *sums, int32_t step, const fe_last *last,
                              const fe_linear *op, int32_t count, fe_act *const *to, int32_t channel) {
  const __m512i bias = _mm512_loadu_si512(last->bias), factor = _mm512_loadu_si512(last->factor);
  const __m512i odd_factor = _mm512_srli_epi64(factor, 32);
  const __m512i even_shift = _mm512_loadu_si512(last->even_shift), odd_shift = _mm512_loadu_si512(last->odd_shift);
  const __m512i zero_point = _mm512_set1_epi64(op->zero_point + FE_OFFSET), one = _mm512_set1_epi64(1);
  const __m512i even_zero = _mm512_sllv_epi64(zero_point, even_shift), even_half = _mm512_loadu_si512(last->even_add);
  const __m512i odd_zero = _mm512_sllv_epi64(zero_point, odd_shift), odd_half = _mm512_loadu_si512(last->odd_add);
  const __m512i even_add = _mm512_add_epi64(even_half, even_zero), odd_add = _mm512_add_epi64(odd_half, odd_zero);
  const __m512i even_below = _mm512_sub_epi64(_mm512_add_epi64(_mm512_sllv_epi64(one, even_shift), even_zero), even_half);
  const __m512i odd_below = _mm512_sub_epi64(_mm512_add_epi64(_mm512_sllv_epi64(one, odd_shift), odd_zero), odd_half);
  const __m512i low = _mm512_set1_epi32(op->low + FE_OFFSET), high = _mm512_set1_epi32(op->high + FE_OFFSET);
  const __m512i zero = _mm512_setzero_si512();
  const __mmask16 kept = (__mmask16)((1u << count) - 1);
  if (op->low == op->zero_point)
    for (int32_t p = 0; p < pixels; p++) {
      const __m512i sum = _mm512_add_epi32(_mm512_loadu_si512(sums + p * step), bias);
      const __m512i a = _mm512_max_epi32(sum, zero);
      __m512i even = _mm512_add_epi64(_mm512_mul_epu32(a, factor), even_add);
      __m512i odd = _mm512_add_epi64(_mm512_mul_epu32(_mm512_srli_epi64(a, 32), odd_factor), odd_add);
      even = _mm512_srlv_epi64(even, even_shift);
      odd = _mm512_srlv_epi64(odd, odd_shift);
      const __m512i scaled = _mm512_min_epi32(_mm512_mask_shuffle_epi32(even, 0xAAAA, odd, _MM_PERM_CCAA), high);
      _mm_mask_storeu_epi8(to[p] + channel, kept, _mm512_cvtepi32_epi8(scaled));
    }
  else
    for (int32_t p = 0; p < pixels; p++) {
      const __m512i a = _mm512_add_epi32(_mm512_loadu_si512(sums + p * step), bias);
      __m512i even = _mm512_mul_epi32(a, factor), odd = _mm512_mul_epi32(_mm512_srli_epi64(a, 32), odd_factor);
      even = _mm512_add_epi64(even, _mm512_mask_mov_epi64(even_add, _mm512_cmplt_epi64_mask(even, zero), even_below));
      odd = _mm512_add_epi64(odd, _mm512_mask_mov_epi64(odd_add, _mm512_cmplt_epi64_mask(odd, zero), odd_below));
      even = _mm512_srav_epi64(even, even_shift);
      odd = _mm512_srav_epi64(odd, odd_shift);
      __m512i scaled = _mm512_mask_shuffle_epi32(even, 0xAAAA, odd, _MM_PERM_CCAA);
      scaled = _mm512_min_epi32(_mm512_max_epi32(scaled, low), high);
      _mm_mask_storeu_epi8(to[p] + channel, kept, _mm512_cvtepi32_epi8(scaled));
    }
}

FE_INLINE void fe_finish(const int32_t *sums, const fe_last *last, const fe_linear *op, int32_t count, fe_act *out) {
  fe_finish_tile(1, sums, 0, last, op, count, &out, 0);
}
