/* Depthwise convolutions: `multiplier` output channels for each input channel. Weights: (taps, output channels). */
FE_FUNCTION void fe_depthwise(const fe_linear *op, int32_t multiplier, const fe_act *in, fe_act *out) {
  for (int32_t channel = 0; channel < op->channels; channel += FE_BLOCK) {
    const int32_t left = op->channels - channel, count = left < FE_BLOCK ? left : FE_BLOCK;
    fe_last last;
    fe_prepare(op, channel, &last);
    for (int32_t row = 0; row < op->rows; row++)
      for (int32_t column = 0; column < op->columns; column++) {
        const fe_act *from = in + row * op->in_row_step + column * op->in_column_step;
        const int8_t *w = op->weights + channel;
        int32_t sums[FE_BLOCK] = {0};
        for (int32_t y = 0; y < op->run_rows; y++)
          for (int32_t x = 0; x < op->run_columns; x++, w += op->channels) {
            const fe_act *tap = from + y * op->run_row_step + x * op->run_column_step;
            if (multiplier == 1 && count == FE_BLOCK)
              for (int32_t c = 0; c < FE_BLOCK; c++) sums[c] += w[c] * tap[channel + c];
            else
              for (int32_t c = 0; c < count; c++) sums[c] += w[c] * tap[(channel + c) / multiplier];
          }
        fe_finish(sums, &last, op, count, out + row * op->out_row_step + column * op->out_column_step + channel);
      }
  }
}
