#if defined(FE_WASM)
/* i32x4.dot_i16x8_s computes a * first + b * second of four channels: no half of a factor of a sum exceeds 16 bits. */
#define FE_FACTORS(first, second) wasm_i32x4_splat((int32_t)((uint32_t)(second) << 16 | ((uint32_t)(first) & 0xFFFF)))

FE_INLINE v128_t fe_add_four(const fe_binary *op, v128_t both) {
  const v128_t low = wasm_i32x4_dot_i16x8(both, FE_FACTORS(op->first_low, op->second_low));
  const v128_t high = wasm_i32x4_dot_i16x8(both, FE_FACTORS(op->first_high, op->second_high));
  const v128_t carry = wasm_i32x4_shr(wasm_i32x4_add(low, wasm_i32x4_splat(op->add_low)), FE_LOW_BITS);
  return wasm_i32x4_shr(wasm_i32x4_add(wasm_i32x4_add(high, wasm_i32x4_splat(op->add_high)), carry),
                        (uint32_t)op->shift);
}

FE_INLINE int32_t fe_add_vectors(const fe_binary *op, const fe_act *a, const fe_act *b, fe_act *out) {
  const v128_t a_zero = wasm_i16x8_splat((int16_t)op->a_zero_point);
  const v128_t b_zero = wasm_i16x8_splat((int16_t)op->b_zero_point);
  const v128_t low = wasm_i16x8_splat((int16_t)op->low), high = wasm_i16x8_splat((int16_t)op->high);
  int32_t c = 0;
  for (; c + 8 <= op->channels; c += 8) {
    const v128_t x = wasm_i16x8_sub(wasm_v128_load(a + c), a_zero);
    const v128_t y = wasm_i16x8_sub(wasm_v128_load(b + c), b_zero);
    const v128_t first = fe_add_four(op, wasm_i16x8_shuffle(x, y, 0, 8, 1, 9, 2, 10, 3, 11));
    const v128_t second = fe_add_four(op, wasm_i16x8_shuffle(x, y, 4, 12, 5, 13, 6, 14, 7, 15));
    const v128_t sum = wasm_i16x8_narrow_i32x4(first, second);
    wasm_v128_store(out + c, wasm_i16x8_min(wasm_i16x8_max(sum, low), high));
  }
  return c;
}
#else
#define fe_add_vectors fe_no_vectors
#endif

FE_BINARY(fe_add, fe_sum_of, fe_add_vectors)
