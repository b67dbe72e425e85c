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

#if defined(FE_WASM)
FE_INLINE v128_t fe_limited(const fe_binary *op, v128_t first, v128_t second) {
  const v128_t found = wasm_i16x8_narrow_i32x4(first, second);
  return wasm_i16x8_min(wasm_i16x8_max(found, wasm_i16x8_splat((int16_t)op->low)), wasm_i16x8_splat((int16_t)op->high));
}

FE_INLINE v128_t fe_shifted(const fe_binary *op, v128_t low, v128_t high) {
  const v128_t carry = wasm_i32x4_shr(wasm_i32x4_add(low, wasm_i32x4_splat(op->add_low)), FE_LOW_BITS);
  return wasm_i32x4_shr(wasm_i32x4_add(wasm_i32x4_add(high, wasm_i32x4_splat(op->add_high)), carry),
                        (uint32_t)op->shift);
}

/* i32x4.dot_i16x8_s computes a * first + b * second of four places: half a factor of a sum fits 16 bits. */
#define FE_FACTORS(first, second) wasm_i32x4_splat((int32_t)((uint32_t)(second) << 16 | ((uint32_t)(first) & 0xFFFF)))

FE_INLINE v128_t fe_sum_of_four(const fe_binary *op, v128_t both) {
  return fe_shifted(op, wasm_i32x4_dot_i16x8(both, FE_FACTORS(op->first_low, op->second_low)),
                    wasm_i32x4_dot_i16x8(both, FE_FACTORS(op->first_high, op->second_high)));
}

FE_INLINE v128_t fe_sum_of_eight(const fe_binary *op, v128_t a, v128_t b) {
  return fe_limited(op, fe_sum_of_four(op, wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11)),
                    fe_sum_of_four(op, wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15)));
}

FE_INLINE v128_t fe_product_of_four(const fe_binary *op, v128_t product) {
  const v128_t below = wasm_v128_and(wasm_i32x4_shr(product, 31), wasm_i32x4_splat(op->negative));
  const v128_t high = wasm_i32x4_mul(product, wasm_i32x4_splat(op->first_high));
  return fe_shifted(op, wasm_i32x4_mul(product, wasm_i32x4_splat(op->first_low)), wasm_i32x4_add(high, below));
}

FE_INLINE v128_t fe_product_of_eight(const fe_binary *op, v128_t a, v128_t b) {
  return fe_limited(op, fe_product_of_four(op, wasm_i32x4_extmul_low_i16x8(a, b)),
                    fe_product_of_four(op, wasm_i32x4_extmul_high_i16x8(a, b)));
}

/* Eight places at a time, and few that are left. */
#define FE_MINUS(values, zero_point) wasm_i16x8_sub(values, wasm_i16x8_splat((int16_t)(zero_point)))
#define FE_EIGHTS(eight)               \
  for (; c + 8 <= p.channels; c += 8)  \
    wasm_v128_store(to + c, eight(&p, FE_MINUS(wasm_v128_load(x + c), az), FE_MINUS(wasm_v128_load(y + c), bz)));
#define FE_LEFT _Pragma("clang loop vectorize(disable) unroll(disable)")
#else
#define FE_EIGHTS(eight)
#define FE_LEFT
#endif

#define FE_BINARY(name, function, eight)                                                      \
  FE_FUNCTION void name(const fe_binary *op, const fe_act *a, const fe_act *b, fe_act *out) {      \
    const int32_t az = op->a_zero_point + FE_OFFSET, bz = op->b_zero_point + FE_OFFSET;       \
    const fe_binary p = *op;                                                                  \
    for (int32_t row = 0; row < p.rows; row++)                                                \
      for (int32_t column = 0; column < p.columns; column++) {                                \
        const fe_act *x = a + row * p.a_row_step + column * p.a_column_step;                  \
        const fe_act *y = b + row * p.b_row_step + column * p.b_column_step;                  \
        fe_act *to = out + row * p.out_row_step + column * p.out_column_step;                 \
        int32_t c = 0;                                                                        \
        if (p.a_step == 1 && p.b_step == 1) {                                                 \
          FE_EIGHTS(eight)                                                                    \
          FE_LEFT                                                                             \
          for (; c < p.channels; c++) to[c] = fe_stored(function(&p, x[c] - az, y[c] - bz));  \
        } else                                                                                \
          for (; c < p.channels; c++)                                                         \
            to[c] = fe_stored(function(&p, x[c * p.a_step] - az, y[c * p.b_step] - bz));      \
      }                                                                                       \
  }
