/* Sums and last stages with AVX2. With AVX-VNNI, activations are unsigned bytes and VPDPBUSD adds 32 products; without,
   they have 16 bits and VPMADDWD adds 16. A block is half a panel. */
#if defined(FE_AVXVNNI)
FE_INLINE void fe_tile(const int32_t pixels, const int32_t blocks, const fe_linear *op, const fe_act *const *in,
                       const int8_t *const *weights, int32_t step, int32_t *sums) {
  __m256i sum[FE_MOST_PIXELS][FE_MOST_BLOCKS];
  int32_t at = 0;
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) {
    FE_UNROLL
    for (int32_t b = 0; b < blocks; b++) sum[p][b] = _mm256_setzero_si256();
  }
  for (int32_t row = 0; row < op->run_rows; row++)
    for (int32_t column = 0; column < op->run_columns; column++) {
      const int32_t run = row * op->run_row_step + column * op->run_column_step;
      for (int32_t group = 0; group < op->groups; group++, at += step) {
        __m256i w[FE_MOST_BLOCKS];
        FE_UNROLL
        for (int32_t b = 0; b < blocks; b++) w[b] = _mm256_loadu_si256((const __m256i *)(weights[b] + at));
        FE_UNROLL
        for (int32_t p = 0; p < pixels; p++) {
          int32_t four;
          memcpy(&four, in[p] + run + 4 * group, 4);
          const __m256i x = _mm256_set1_epi32(four);
          FE_UNROLL
          for (int32_t b = 0; b < blocks; b++) sum[p][b] = _mm256_dpbusd_avx_epi32(sum[p][b], x, w[b]);
        }
      }
    }
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) {
    FE_UNROLL
    for (int32_t b = 0; b < blocks; b++)
      _mm256_storeu_si256((__m256i *)(sums + (p * blocks + b) * FE_BLOCK), sum[p][b]);
  }
}
#else
/* Each channel has two sums, of the even and the odd pairs of a group, which are added at the end. */
FE_INLINE void fe_tile(const int32_t pixels, const int32_t blocks, const fe_linear *op, const fe_act *const *in,
                       const int8_t *const *weights, int32_t step, int32_t *sums) {
  __m256i sum[FE_MOST_PIXELS][FE_MOST_BLOCKS][2];
  int32_t at = 0;
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) {
    FE_UNROLL
    for (int32_t b = 0; b < blocks; b++) sum[p][b][0] = sum[p][b][1] = _mm256_setzero_si256();
  }
  for (int32_t row = 0; row < op->run_rows; row++)
    for (int32_t column = 0; column < op->run_columns; column++) {
      const int32_t run = row * op->run_row_step + column * op->run_column_step;
      for (int32_t group = 0; group < op->groups; group++, at += step) {
        __m256i w[FE_MOST_BLOCKS][2];
        FE_UNROLL
        for (int32_t b = 0; b < blocks; b++) {
          const __m128i *from = (const __m128i *)(weights[b] + at);
          w[b][0] = _mm256_cvtepi8_epi16(_mm_loadu_si128(from));
          w[b][1] = _mm256_cvtepi8_epi16(_mm_loadu_si128(from + 1));
        }
        FE_UNROLL
        for (int32_t p = 0; p < pixels; p++) {
          int64_t four;
          memcpy(&four, in[p] + run + 4 * group, 8);
          const __m256i x = _mm256_set1_epi64x(four);
          FE_UNROLL
          for (int32_t b = 0; b < blocks; b++) {
            sum[p][b][0] = _mm256_add_epi32(sum[p][b][0], _mm256_madd_epi16(x, w[b][0]));
            sum[p][b][1] = _mm256_add_epi32(sum[p][b][1], _mm256_madd_epi16(x, w[b][1]));
          }
        }
      }
    }
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) {
    FE_UNROLL
    for (int32_t b = 0; b < blocks; b++) {
      const __m256i added = _mm256_hadd_epi32(sum[p][b][0], sum[p][b][1]); /* channels 0 1 4 5, 2 3 6 7 */
      _mm256_storeu_si256((__m256i *)(sums + (p * blocks + b) * FE_BLOCK),
                          _mm256_permute4x64_epi64(added, _MM_SHUFFLE(3, 1, 2, 0)));
    }
  }
}
#endif

/* A product of 32-bit lanes fills 64 bits, so even and odd lanes are scaled apart. */
FE_INLINE void fe_finish(const int32_t *sums, const fe_last *last, const fe_linear *op, int32_t count, fe_act *out) {
  const __m256i a = _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)sums),
                                     _mm256_loadu_si256((const __m256i *)last->bias));
  const __m256i factor = _mm256_loadu_si256((const __m256i *)last->factor);
  const __m256i magnitude = _mm256_abs_epi32(a), negative = _mm256_srai_epi32(a, 31);
  const __m256i sign = _mm256_srli_epi32(a, 31);
  __m256i even = _mm256_mul_epu32(magnitude, factor);
  __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(magnitude, 32), _mm256_srli_epi64(factor, 32));
  even = _mm256_add_epi64(even, _mm256_loadu_si256((const __m256i *)last->even_add));
  odd = _mm256_add_epi64(odd, _mm256_loadu_si256((const __m256i *)last->odd_add));
  even = _mm256_sub_epi64(even, _mm256_blend_epi32(_mm256_setzero_si256(), sign, 0x55));
  odd = _mm256_sub_epi64(odd, _mm256_srli_epi64(sign, 32));
  even = _mm256_srlv_epi64(even, _mm256_loadu_si256((const __m256i *)last->even_shift));
  odd = _mm256_srlv_epi64(odd, _mm256_loadu_si256((const __m256i *)last->odd_shift));
  __m256i scaled = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
  scaled = _mm256_sub_epi32(_mm256_xor_si256(scaled, negative), negative);
  scaled = _mm256_add_epi32(scaled, _mm256_set1_epi32(op->zero_point + FE_OFFSET));
  scaled = _mm256_max_epi32(scaled, _mm256_set1_epi32(op->low + FE_OFFSET));
  scaled = _mm256_min_epi32(scaled, _mm256_set1_epi32(op->high + FE_OFFSET));
  const __m128i narrow =
      _mm_packs_epi32(_mm256_castsi256_si128(scaled), _mm256_extracti128_si256(scaled, 1));
  fe_act values[FE_BLOCK];
#if defined(FE_AVXVNNI)
  _mm_storel_epi64((__m128i *)values, _mm_packus_epi16(narrow, narrow));
#else
  _mm_storeu_si128((__m128i *)values, narrow);
#endif
  if (count == FE_BLOCK)
    memcpy(out, values, sizeof values);
  else
    memcpy(out, values, (size_t)count * sizeof(fe_act));
}
