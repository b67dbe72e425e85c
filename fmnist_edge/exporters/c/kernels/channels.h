/* The model's input from RGB pixels: a table of 256 values for each of its channels. `reversed` for BGR. */
FE_FUNCTION void fe_load_channels(const fe_move *op, const uint8_t *in, const int8_t *tables, int reversed,
                                  fe_act *out) {
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++) {
      const uint8_t *from = in + row * op->in_row_step + column * op->in_column_step;
      fe_act *to = out + row * op->out_row_step + column * op->out_column_step;
      for (int32_t c = 0; c < op->channels; c++)
        to[c] = fe_stored(tables[256 * c + from[reversed ? op->channels - 1 - c : c]]);
    }
}
