/* Chunks of a fixed length are a few vector instructions. */
#define FE_CHUNK 16

FE_INLINE void fe_max_of_window(const fe_pool *op, const fe_window *window, int32_t count, const fe_act *in,
                                fe_act *out) {
  const fe_act low = fe_stored(op->low), high = fe_stored(op->high);
  fe_act largest[FE_CHUNK];
  for (int32_t c = 0; c < count; c++) largest[c] = low;
  for (int32_t y = window->first_row; y < window->end_row; y++)
    for (int32_t x = window->first_column; x < window->end_column; x++) {
      const fe_act *from = in + y * op->in_row_step + x * op->in_column_step;
      for (int32_t c = 0; c < count; c++) largest[c] = from[c] > largest[c] ? from[c] : largest[c];
    }
  for (int32_t c = 0; c < count; c++) out[c] = largest[c] > high ? high : largest[c];
}

FE_FUNCTION void fe_max_pool(const fe_pool *op, const fe_act *in, fe_act *out) {
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++) {
      const fe_window window = fe_window_of(op, row, column);
      fe_act *to = out + row * op->out_row_step + column * op->out_column_step;
      int32_t c = 0;
      for (; c + FE_CHUNK <= op->channels; c += FE_CHUNK) fe_max_of_window(op, &window, FE_CHUNK, in + c, to + c);
      if (c < op->channels) fe_max_of_window(op, &window, op->channels - c, in + c, to + c);
    }
}
