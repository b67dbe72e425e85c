/* Two operands, either with steps of 0 where it is broadcast. Two kinds of arithmetic, each exact for all 65,536 pairs,
   which the generator has checked: sums (a * first + b * second) and products (a * b * first), with factors of 29 bits
   in two parts. TensorFlow Lite rounds products below zero differently, which `negative` makes up for. Then come a shift and the limits. */
typedef struct {
  int32_t rows, columns, channels;
  int32_t a_row_step, a_column_step, a_step, b_row_step, b_column_step, b_step, out_row_step, out_column_step;
  int32_t a_zero_point, b_zero_point;
  int32_t first_high, first_low, second_high, second_low;
  int32_t add_high, add_low, negative, shift; /* `negative` is added to the high part of a product below zero */
  int32_t low, high;
} fe_binary;

#define FE_LOW_BITS 14

FE_FUNCTION int32_t fe_sum_of(const fe_binary *op, int32_t a, int32_t b) {
  const int32_t low = a * op->first_low + b * op->second_low + op->add_low;
  const int32_t high = a * op->first_high + b * op->second_high + op->add_high;
  return fe_clamp((high + (low >> FE_LOW_BITS)) >> op->shift, op->low, op->high);
}

FE_FUNCTION int32_t fe_product_of(const fe_binary *op, int32_t a, int32_t b) {
  const int32_t product = a * b, low = product * op->first_low + op->add_low;
  const int32_t high = product * op->first_high + op->add_high + ((product >> 31) & op->negative);
  return fe_clamp((high + (low >> FE_LOW_BITS)) >> op->shift, op->low, op->high);
}

FE_FUNCTION int32_t fe_no_vectors(const fe_binary *op, const fe_act *a, const fe_act *b, fe_act *out) {
  (void)op, (void)a, (void)b, (void)out;
  return 0;
}

/* `vectors` computes as many channels as its instructions can, and returns how many. */
#define FE_BINARY(name, function, vectors)                                                    \
  FE_FUNCTION void name(const fe_binary *op, const fe_act *a, const fe_act *b, fe_act *out) {      \
    const int32_t az = op->a_zero_point + FE_OFFSET, bz = op->b_zero_point + FE_OFFSET;       \
    const fe_binary p = *op;                                                                  \
    for (int32_t row = 0; row < p.rows; row++)                                                \
      for (int32_t column = 0; column < p.columns; column++) {                                \
        const fe_act *x = a + row * p.a_row_step + column * p.a_column_step;                  \
        const fe_act *y = b + row * p.b_row_step + column * p.b_column_step;                  \
        fe_act *to = out + row * p.out_row_step + column * p.out_column_step;                 \
        if (p.a_step == 1 && p.b_step == 1)                                                   \
          for (int32_t c = vectors(&p, x, y, to); c < p.channels; c++)                        \
            to[c] = fe_stored(function(&p, x[c] - az, y[c] - bz));                            \
        else                                                                                  \
          for (int32_t c = 0; c < p.channels; c++)                                            \
            to[c] = fe_stored(function(&p, x[c * p.a_step] - az, y[c * p.b_step] - bz));      \
      }                                                                                       \
  }
