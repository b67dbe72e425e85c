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

/* A product of 32-bit lanes fills 64 bits, so even and odd lanes are scaled apart. */
FE_INLINE void fe_finish(const int32_t *sums, const fe_last *last, const fe_linear *op, int32_t count, fe_act *out) {
  const __m512i a = _mm512_add_epi32(_mm512_loadu_si512(sums), _mm512_loadu_si512(last->bias));
  const __m512i factor = _mm512_loadu_si512(last->factor);
  const __m512i magnitude = _mm512_abs_epi32(a), sign = _mm512_srli_epi32(a, 31);
  const __mmask16 negative = _mm512_cmplt_epi32_mask(a, _mm512_setzero_si512());
  __m512i even = _mm512_mul_epu32(magnitude, factor);
  __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(magnitude, 32), _mm512_srli_epi64(factor, 32));
  even = _mm512_add_epi64(even, _mm512_loadu_si512(last->even_add));
  odd = _mm512_add_epi64(odd, _mm512_loadu_si512(last->odd_add));
  even = _mm512_sub_epi64(even, _mm512_maskz_mov_epi32(0x5555, sign));
  odd = _mm512_sub_epi64(odd, _mm512_srli_epi64(sign, 32));
  even = _mm512_srlv_epi64(even, _mm512_loadu_si512(last->even_shift));
  odd = _mm512_srlv_epi64(odd, _mm512_loadu_si512(last->odd_shift));
  __m512i scaled = _mm512_mask_shuffle_epi32(even, 0xAAAA, odd, _MM_PERM_CCAA);
  scaled = _mm512_mask_sub_epi32(scaled, negative, _mm512_setzero_si512(), scaled);
  scaled = _mm512_add_epi32(scaled, _mm512_set1_epi32(op->zero_point + FE_OFFSET));
  scaled = _mm512_max_epi32(scaled, _mm512_set1_epi32(op->low + FE_OFFSET));
  scaled = _mm512_min_epi32(scaled, _mm512_set1_epi32(op->high + FE_OFFSET));
  _mm_mask_storeu_epi8(out, (__mmask16)((1u << count) - 1), _mm512_cvtepi32_epi8(scaled));
}
