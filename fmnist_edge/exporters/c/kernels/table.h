/* Any function of one int8 value. The table begins with its value at -128. */
FE_FUNCTION void fe_table(const fe_move *op, const int8_t *table, const fe_act *in, fe_act *out) {
  const int8_t *zero = table + 128 - FE_OFFSET;
#if defined(FE_AVX512VNNI) && defined(__AVX512VBMI__)
  __m512i quarter[4];
  for (int32_t i = 0; i < 4; i++) quarter[i] = _mm512_loadu_si512(table + 64 * i);
#endif
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++) {
      const fe_act *from = in + row * op->in_row_step + column * op->in_column_step;
      fe_act *to = out + row * op->out_row_step + column * op->out_column_step;
      int32_t c = 0;
#if defined(FE_AVX512VNNI) && defined(__AVX512VBMI__)
      for (; c < op->channels; c += 64) {
        const int32_t left = op->channels - c;
        const __mmask64 these = left < 64 ? ((__mmask64)1 << left) - 1 : ~(__mmask64)0;
        const __m512i x = _mm512_maskz_loadu_epi8(these, from + c);
        const __m512i low = _mm512_permutex2var_epi8(quarter[0], x, quarter[1]);
        const __m512i high = _mm512_permutex2var_epi8(quarter[2], x, quarter[3]);
        const __m512i found = _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high);
        _mm512_mask_storeu_epi8(to + c, these, _mm512_xor_si512(found, _mm512_set1_epi8(-128)));
      }
#endif
      for (; c < op->channels; c++) to[c] = fe_stored(zero[from[c]]);
    }
}
