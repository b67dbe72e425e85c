/* Fill all pixels with one value; a copy then writes the image into the middle. */
FE_FUNCTION void fe_flood(const fe_move *op, int32_t value, fe_act *out) {
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++)
      fe_fill(out + row * op->out_row_step + column * op->out_column_step, op->channels, value);
}
