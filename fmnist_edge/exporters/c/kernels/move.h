/* Values that change their place. Steps are in activations. */
typedef struct {
  int32_t rows, columns, channels;
  int32_t in_row_step, in_column_step, out_row_step, out_column_step;
} fe_move;

/* The model's input. `table` maps bytes to int8 values; NULL for int8 input. */
FE_FUNCTION void fe_load(const fe_move *op, const uint8_t *in, const int8_t *table, fe_act *out) {
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++) {
      const uint8_t *from = in + row * op->in_row_step + column * op->in_column_step;
      fe_act *to = out + row * op->out_row_step + column * op->out_column_step;
      for (int32_t c = 0; c < op->channels; c++)
        to[c] = fe_stored(table ? table[from[c]] : from[c] < 128 ? from[c] : from[c] - 256);
    }
}

FE_FUNCTION void fe_store(const fe_move *op, const fe_act *in, int8_t *out) {
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++) {
      const fe_act *from = in + row * op->in_row_step + column * op->in_column_step;
      int8_t *to = out + row * op->out_row_step + column * op->out_column_step;
      for (int32_t c = 0; c < op->channels; c++) to[c] = (int8_t)(from[c] - FE_OFFSET);
    }
}
