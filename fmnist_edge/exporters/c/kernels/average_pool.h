FE_FUNCTION void fe_average_pool(const fe_pool *op, const fe_act *in, fe_act *out) {
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++) {
      const fe_window window = fe_window_of(op, row, column);
      const int32_t count = (window.end_row - window.first_row) * (window.end_column - window.first_column);
      fe_act *to = out + row * op->out_row_step + column * op->out_column_step;
      for (int32_t c = 0; c < op->channels; c++) {
        int32_t sum = 0;
        for (int32_t y = window.first_row; y < window.end_row; y++)
          for (int32_t x = window.first_column; x < window.end_column; x++) {
            const fe_act *from = in + y * op->in_row_step + x * op->in_column_step;
            sum += from[c] - FE_OFFSET;
          }
        const int32_t mean = sum < 0 ? -((-sum + count / 2) / count) : (sum + count / 2) / count;
        to[c] = fe_stored(fe_clamp(mean, op->low, op->high));
      }
    }
}
