/* FE_CHUNK activations at a time where there are instructions for it. */
#if defined(FE_WASM)
#define FE_CHUNK 8
#else
#define FE_CHUNK 16
#endif
#if defined(FE_AVX512VNNI) || defined(FE_AVXVNNI) || defined(FE_AVX2)
typedef __m128i fe_vector;
#define FE_LOAD(from) _mm_loadu_si128((const __m128i *)(from))
#define FE_STORE(to, value) _mm_storeu_si128((__m128i *)(to), value)
#define FE_SPLAT(value) _mm_set1_epi8((char)(value))
#define FE_MAX(a, b) _mm_max_epu8(a, b)
#define FE_MIN(a, b) _mm_min_epu8(a, b)
#elif defined(FE_NEON)
typedef int8x16_t fe_vector;
#define FE_LOAD(from) vld1q_s8(from)
#define FE_STORE(to, value) vst1q_s8(to, value)
#define FE_SPLAT(value) vdupq_n_s8(value)
#define FE_MAX(a, b) vmaxq_s8(a, b)
#define FE_MIN(a, b) vminq_s8(a, b)
#elif defined(FE_WASM)
typedef v128_t fe_vector;
#define FE_LOAD(from) wasm_v128_load(from)
#define FE_STORE(to, value) wasm_v128_store(to, value)
#define FE_SPLAT(value) wasm_i16x8_splat(value)
#define FE_MAX(a, b) wasm_i16x8_max(a, b)
#define FE_MIN(a, b) wasm_i16x8_min(a, b)
#endif

FE_FUNCTION void fe_max_pool(const fe_pool *op, const fe_act *in, fe_act *out) {
  const fe_act low = fe_stored(op->low), high = fe_stored(op->high);
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++) {
      const fe_window window = fe_window_of(op, row, column);
      const fe_act *begin = in + window.first_row * op->in_row_step + window.first_column * op->in_column_step;
      const int32_t rows = window.end_row - window.first_row, columns = window.end_column - window.first_column;
      fe_act *to = out + row * op->out_row_step + column * op->out_column_step;
      int32_t c = 0;
#if defined(FE_LOAD)
      for (; c + FE_CHUNK <= op->channels; c += FE_CHUNK) {
        fe_vector largest = FE_SPLAT(low);
        for (int32_t y = 0; y < rows; y++)
          for (int32_t x = 0; x < columns; x++)
            largest = FE_MAX(largest, FE_LOAD(begin + y * op->in_row_step + x * op->in_column_step + c));
        FE_STORE(to + c, FE_MIN(largest, FE_SPLAT(high)));
      }
#endif
      for (; c < op->channels; c++) {
        fe_act largest = low;
        for (int32_t y = 0; y < rows; y++)
          for (int32_t x = 0; x < columns; x++) {
            const fe_act *from = begin + y * op->in_row_step + x * op->in_column_step;
            largest = from[c] > largest ? from[c] : largest;
          }
        to[c] = largest < high ? largest : high;
      }
    }
}
