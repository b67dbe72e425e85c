FE_FUNCTION void fe_max_pool(const fe_pool *op, const fe_act *in, fe_act *out) {
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++) {
      const fe_window window = fe_window_of(op, row, column);
      fe_act *to = out + row * op->out_row_step + column * op->out_column_step;
      fe_fill(to, op->channels, op->low);
      for (int32_t y = window.first_row; y < window.end_row; y++)
        for (int32_t x = window.first_column; x < window.end_column; x++) {
          const fe_act *from = in + y * op->in_row_step + x * op->in_column_step;
          for (int32_t c = 0; c < op->channels; c++) to[c] = from[c] > to[c] ? from[c] : to[c];
        }
      if (op->high < 127)
        for (int32_t c = 0; c < op->channels; c++)
          if (to[c] > fe_stored(op->high)) to[c] = fe_stored(op->high);
    }
}
