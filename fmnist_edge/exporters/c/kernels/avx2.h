/* Sums and last stages with AVX2, of unsigned activations and signed weights. With AVX-VNNI, VPDPBUSD adds 32 products.
   A block is half a panel. */
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
/* For VPSHUFB: which byte of a group of four comes first, second, third and fourth. */
#define FE_FOUR(a, b, c, d, at) (a) + (at), (b) + (at), (c) + (at), (d) + (at)
#define FE_HALF(a, b, c, d) FE_FOUR(a, b, c, d, 0), FE_FOUR(a, b, c, d, 4), FE_FOUR(a, b, c, d, 8), FE_FOUR(a, b, c, d, 12)
#define FE_BYTES(a, b, c, d) _mm256_setr_epi8(FE_HALF(a, b, c, d), FE_HALF(a, b, c, d))

/* Write the copies that the order of a layer refers to. `in`: what its first window reads first. */
FE_FUNCTION void fe_copy_groups(const fe_linear *op, const fe_act *in) {
  const __m256i chosen[] = {FE_BYTES(0, 1, 2, 3), FE_BYTES(0, 2, 1, 3), FE_BYTES(0, 3, 1, 2)};
  fe_act *to = (fe_act *)in + op->order.scratch;
  for (int32_t copy = 1; copy < op->order.copies; copy++)
    for (int32_t i = 0; i < op->order.length; i += 32, to += 32) {
      const __m256i groups = _mm256_loadu_si256((const __m256i *)(in + i));
      _mm256_storeu_si256((__m256i *)to, _mm256_shuffle_epi8(groups, chosen[copy]));
    }
}

FE_INLINE __m256i fe_four(const fe_act *from) {
  int32_t four;
  memcpy(&four, from, 4);
  return _mm256_set1_epi32(four);
}

/* VPMADDUBSW adds two products in 16 bits. No such sum exceeds them in this order, nor a sum of two groups that are added
   before they are widened: exporters/c/pairs.py proves it. `order`: of the block, as fe_order_t has it. */
FE_INLINE void fe_tile(const int32_t pixels, const int32_t *order, const fe_act *const *in, const int8_t *weights,
                       int32_t *sums) {
  const __m256i ones = _mm256_set1_epi16(1), *w = (const __m256i *)weights;
  const int32_t *place = order + 3;
  __m256i sum[FE_MOST_PIXELS];
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) sum[p] = _mm256_setzero_si256();
  for (int32_t i = 0; i < order[0]; i++, w += 2, place += 2) {
    const __m256i w0 = _mm256_loadu_si256(w), w1 = _mm256_loadu_si256(w + 1);
    FE_UNROLL
    for (int32_t p = 0; p < pixels; p++) {
      const __m256i one = _mm256_maddubs_epi16(fe_four(in[p] + place[0]), w0);
      const __m256i two = _mm256_maddubs_epi16(fe_four(in[p] + place[1]), w1);
      sum[p] = _mm256_add_epi32(sum[p], _mm256_madd_epi16(_mm256_add_epi16(one, two), ones));
    }
  }
  for (int32_t i = 0; i < order[1]; i++, w++, place++) {
    const __m256i w0 = _mm256_loadu_si256(w);
    FE_UNROLL
    for (int32_t p = 0; p < pixels; p++) {
      const __m256i one = _mm256_maddubs_epi16(fe_four(in[p] + place[0]), w0);
      sum[p] = _mm256_add_epi32(sum[p], _mm256_madd_epi16(one, ones));
    }
  }
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) _mm256_storeu_si256((__m256i *)(sums + p * FE_BLOCK), sum[p]);
}
#endif

FE_INLINE __m256i fe_load256(const void *from) { return _mm256_loadu_si256((const __m256i *)from); }

FE_INLINE void fe_store_bytes(__m256i values, int32_t count, fe_act *out) {
  const __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
  const __m128i bytes = _mm_packus_epi16(narrow, narrow);
  if (count == FE_BLOCK) {
    _mm_storel_epi64((__m128i *)out, bytes);
    return;
  }
  uint32_t rest = (uint32_t)_mm_cvtsi128_si32(bytes);
  if (count & 4) {
    memcpy(out, &rest, 4);
    rest = (uint32_t)_mm_cvtsi128_si32(_mm_srli_si128(bytes, 4));
  }
  if (count & 2) {
    memcpy(out + (count & 4), &rest, 2);
    rest >>= 16;
  }
  if (count & 1) out[count - 1] = (fe_act)rest;
}

/* The last stage of a block of channels for all pixels of a tile. A product of 32-bit lanes fills 64 bits, so even and odd
   lanes are scaled apart. Where no result below the zero point is kept, as with ReLU, sums below zero are zero, and the
   zero point is added before the shift. */
#define FE_FINISH_TILE 1
FE_INLINE void fe_finish_tile(int32_t pixels, const int32_t *sums, int32_t step, const fe_last *last,
                              const fe_linear *op, int32_t count, fe_act *const *to, int32_t channel) {
  const __m256i bias = fe_load256(last->bias), factor = fe_load256(last->factor);
  const __m256i odd_factor = _mm256_srli_epi64(factor, 32), zero = _mm256_setzero_si256();
  const __m256i even_shift = fe_load256(last->even_shift), odd_shift = fe_load256(last->odd_shift);
  const __m256i even_add = fe_load256(last->even_add), odd_add = fe_load256(last->odd_add);
  const __m256i low = _mm256_set1_epi32(op->low + FE_OFFSET), high = _mm256_set1_epi32(op->high + FE_OFFSET);
  if (op->low == op->zero_point) {
    const __m256i zero_point = _mm256_set1_epi64x(op->zero_point + FE_OFFSET);
    const __m256i even_both = _mm256_add_epi64(even_add, _mm256_sllv_epi64(zero_point, even_shift));
    const __m256i odd_both = _mm256_add_epi64(odd_add, _mm256_sllv_epi64(zero_point, odd_shift));
    for (int32_t p = 0; p < pixels; p++) {
      const __m256i a = _mm256_max_epi32(_mm256_add_epi32(fe_load256(sums + p * step), bias), zero);
      __m256i even = _mm256_add_epi64(_mm256_mul_epu32(a, factor), even_both);
      __m256i odd = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(a, 32), odd_factor), odd_both);
      even = _mm256_srlv_epi64(even, even_shift);
      odd = _mm256_srlv_epi64(odd, odd_shift);
      const __m256i scaled = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
      fe_store_bytes(_mm256_min_epi32(scaled, high), count, to[p] + channel);
    }
    return;
  }
  const __m256i zero_point = _mm256_set1_epi32(op->zero_point + FE_OFFSET);
  for (int32_t p = 0; p < pixels; p++) {
    const __m256i a = _mm256_add_epi32(fe_load256(sums + p * step), bias);
    const __m256i magnitude = _mm256_abs_epi32(a), negative = _mm256_srai_epi32(a, 31);
    const __m256i sign = _mm256_srli_epi32(a, 31);
    __m256i even = _mm256_add_epi64(_mm256_mul_epu32(magnitude, factor), even_add);
    __m256i odd = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(magnitude, 32), odd_factor), odd_add);
    even = _mm256_sub_epi64(even, _mm256_blend_epi32(zero, sign, 0x55));
    odd = _mm256_sub_epi64(odd, _mm256_srli_epi64(sign, 32));
    even = _mm256_srlv_epi64(even, even_shift);
    odd = _mm256_srlv_epi64(odd, odd_shift);
    __m256i scaled = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
    scaled = _mm256_add_epi32(_mm256_sub_epi32(_mm256_xor_si256(scaled, negative), negative), zero_point);
    fe_store_bytes(_mm256_min_epi32(_mm256_max_epi32(scaled, low), high), count, to[p] + channel);
  }
}

FE_INLINE void fe_finish(const int32_t *sums, const fe_last *last, const fe_linear *op, int32_t count, fe_act *out) {
  fe_finish_tile(1, sums, 0, last, op, count, &out, 0);
}
