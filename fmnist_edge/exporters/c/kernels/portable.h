/* Sums in plain C99. */
FE_INLINE void fe_tile(const int32_t pixels, const int32_t blocks, const fe_linear *op, const fe_act *const *in,
                       const int8_t *const *weights, int32_t step, int32_t *sums) {
  const int32_t lanes = step / 4;
  const int8_t *w = weights[0];
  (void)blocks; /* always 1 */
  for (int32_t i = 0; i < pixels * FE_BLOCK; i++) sums[i] = 0;
  for (int32_t row = 0; row < op->run_rows; row++)
    for (int32_t column = 0; column < op->run_columns; column++) {
      const int32_t run = row * op->run_row_step + column * op->run_column_step;
      for (int32_t group = 0; group < op->groups; group++, w += step)
        for (int32_t p = 0; p < pixels; p++) {
          const fe_act *x = in[p] + run + 4 * group;
          int32_t *sum = sums + p * FE_BLOCK;
          for (int32_t c = 0; c < lanes; c++)
            sum[c] += w[4 * c] * x[0] + w[4 * c + 1] * x[1] + w[4 * c + 2] * x[2] + w[4 * c + 3] * x[3];
        }
    }
}
