/* Sums with WebAssembly's 128-bit instructions: i32x4.dot_i16x8_s multiplies eight activations of 16 bits, and adds the
   products in pairs. A vector has the sums of two channels, those of the even and of the odd pairs of a group; they are
   added at the end. */
FE_INLINE void fe_tile(const int32_t pixels, const int32_t blocks, const fe_linear *op, const fe_act *const *in,
                       const int8_t *const *weights, int32_t step, int32_t *sums) {
  v128_t sum[FE_MOST_PIXELS][2];
  const int8_t *w = weights[0];
  (void)blocks; /* always 1 */
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++) sum[p][0] = sum[p][1] = wasm_i32x4_const(0, 0, 0, 0);
  for (int32_t row = 0; row < op->run_rows; row++)
    for (int32_t column = 0; column < op->run_columns; column++) {
      const int32_t run = row * op->run_row_step + column * op->run_column_step;
      for (int32_t group = 0; group < op->groups; group++, w += step) {
        const v128_t low = wasm_i16x8_load8x8(w), high = wasm_i16x8_load8x8(w + 8);
        FE_UNROLL
        for (int32_t p = 0; p < pixels; p++) {
          const v128_t x = wasm_v128_load64_splat(in[p] + run + 4 * group);
          sum[p][0] = wasm_i32x4_add(sum[p][0], wasm_i32x4_dot_i16x8(x, low));
          sum[p][1] = wasm_i32x4_add(sum[p][1], wasm_i32x4_dot_i16x8(x, high));
        }
      }
    }
  FE_UNROLL
  for (int32_t p = 0; p < pixels; p++)
    wasm_v128_store(sums + p * FE_BLOCK, wasm_i32x4_add(wasm_i32x4_shuffle(sum[p][0], sum[p][1], 0, 2, 4, 6),
                                                        wasm_i32x4_shuffle(sum[p][0], sum[p][1], 1, 3, 5, 7)));
}
