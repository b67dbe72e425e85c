FE_FUNCTION void fe_copy(const fe_move *op, const fe_act *in, fe_act *out) {
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++)
      memcpy(out + row * op->out_row_step + column * op->out_column_step,
             in + row * op->in_row_step + column * op->in_column_step, (size_t)op->channels * sizeof(fe_act));
}

/* A constant of int8 values. */
FE_FUNCTION void fe_constant(const int8_t *in, int32_t count, fe_act *out) {
  for (int32_t i = 0; i < count; i++) out[i] = fe_stored(in[i]);
}
