/* Softmax over the last axis, with the fixed-point arithmetic of TensorFlow Lite (gemmlowp): `powers` has exp(-distance)
   with 31 fractional bits for every distance from the largest value. */
FE_FUNCTION int32_t fe_high_mul(int32_t a, int32_t b) {
  const int64_t high = ((int64_t)a * b + ((int64_t)1 << 30)) >> 31;
  return high > 2147483647 ? 2147483647 : (int32_t)high;
}

FE_FUNCTION int32_t fe_shift_left(int32_t value, int32_t bits) {
  const int64_t shifted = (int64_t)value * ((int64_t)1 << bits);
  return shifted > 2147483647 ? 2147483647 : shifted < -2147483647 - 1 ? -2147483647 - 1 : (int32_t)shifted;
}

/* value / 2^bits, ties away from zero; value >= 0. */
FE_FUNCTION int32_t fe_divide(int32_t value, int32_t bits) {
  return (int32_t)(((int64_t)value + ((int64_t)1 << bits >> 1)) >> bits);
}

/* 1 / (1 + x) for 0 <= x <= 1: three Newton-Raphson steps. */
FE_FUNCTION int32_t fe_reciprocal(int32_t x) {
  const int32_t half = (int32_t)(((int64_t)x + 2147483648) >> 1);
  int32_t found = 1515870810 + fe_high_mul(half, -1010580540);
  for (int32_t step = 0; step < 3; step++) {
    const int32_t error = ((int32_t)1 << 29) - fe_high_mul(half, found);
    found += fe_shift_left(fe_high_mul(found, error), 2);
  }
  return fe_shift_left(found, 1);
}

FE_FUNCTION void fe_softmax(const fe_move *op, const int32_t *powers, const fe_act *in, fe_act *out) {
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++) {
      const fe_act *from = in + row * op->in_row_step + column * op->in_column_step;
      fe_act *to = out + row * op->out_row_step + column * op->out_column_step;
      fe_act largest = from[0];
      int32_t sum = 0, bits = 0;
      for (int32_t c = 1; c < op->channels; c++) largest = from[c] > largest ? from[c] : largest;
      for (int32_t c = 0; c < op->channels; c++) sum += fe_divide(powers[largest - from[c]], 12);
      while (sum >> bits) bits++;
      const int32_t scale = fe_reciprocal((int32_t)(((int64_t)sum << (32 - bits)) - 2147483648));
      for (int32_t c = 0; c < op->channels; c++) {
        const int32_t share = fe_divide(fe_high_mul(powers[largest - from[c]], scale), bits + 3);
        to[c] = fe_stored(fe_clamp(share - 128, -128, 127));
      }
    }
}
