/* Any function of one int8 value. The table begins with its value at -128. */
FE_FUNCTION void fe_table(const fe_move *op, const int8_t *table, const fe_act *in, fe_act *out) {
  const int8_t *zero = table + 128 - FE_OFFSET;
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++) {
      const fe_act *from = in + row * op->in_row_step + column * op->in_column_step;
      fe_act *to = out + row * op->out_row_step + column * op->out_column_step;
      for (int32_t c = 0; c < op->channels; c++) to[c] = fe_stored(zero[from[c]]);
    }
}
