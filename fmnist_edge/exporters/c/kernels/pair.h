/* Any function of two int8 values, as 256 tables of 256: for pairs of scales that no short formula fits. */
FE_FUNCTION void fe_pair(const fe_binary *op, const int8_t *table, const fe_act *a, const fe_act *b, fe_act *out) {
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++) {
      const fe_act *x = a + row * op->a_row_step + column * op->a_column_step;
      const fe_act *y = b + row * op->b_row_step + column * op->b_column_step;
      fe_act *to = out + row * op->out_row_step + column * op->out_column_step;
      for (int32_t c = 0; c < op->channels; c++) {
        const int32_t left = x[c * op->a_step] - FE_OFFSET + 128, right = y[c * op->b_step] - FE_OFFSET + 128;
        to[c] = fe_stored(table[left * 256 + right]);
      }
    }
}
