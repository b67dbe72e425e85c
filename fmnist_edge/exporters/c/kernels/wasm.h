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

/* The last stage. A product is shifted by `shift`, which differs between channels, but an instruction shifts all lanes by
   one count. So a sum is multiplied by 2^(FE_SHIFT - shift) before, and its product is shifted by FE_SHIFT: the same bits.
   A sum that has too many bits for that is made smaller, to one whose result is beyond `low` or `high` too. */
#define FE_SHIFT 53
#define FE_LEAST_SHIFT 30
#define FE_ABOVE 1024 /* makes results positive: they are between -512 and 512 */

typedef struct {
  int32_t bias[FE_BLOCK], factor[FE_BLOCK];
  int32_t least[FE_BLOCK], most[FE_BLOCK], scale[FE_BLOCK]; /* scale: 2^(FE_SHIFT - shift) */
  uint64_t add[FE_BLOCK], negative[FE_BLOCK];               /* negative: what is subtracted below zero */
  int32_t shift[FE_BLOCK];
  int32_t signs; /* whether negative sums are kept, and rounded otherwise than positive ones */
  int32_t plain; /* whether a shift or a factor is too small or too large for this */
} fe_last;

FE_FUNCTION void fe_prepare(const fe_linear *op, int32_t channel, fe_last *last) {
  last->plain = 0;
  last->signs = !op->once && op->low < op->zero_point;
  for (int32_t c = 0; c < FE_BLOCK; c++) {
    const int32_t at = channel + c < op->channels ? channel + c : op->channels - 1;
    const int32_t shift = op->shifts[at], twice = !op->once && shift > 31;
    const int32_t left = shift < FE_LEAST_SHIFT || shift > FE_SHIFT ? 0 : FE_SHIFT - shift;
    last->plain |= shift < FE_LEAST_SHIFT || shift > FE_SHIFT || (op->factors[at] && op->factors[at] < 1 << 30);
    last->bias[c] = op->bias[at];
    last->factor[c] = op->factors[at];
    last->shift[c] = shift;
    last->scale[c] = (int32_t)1 << left;
    last->most[c] = (int32_t)(((uint32_t)1 << (31 - left)) - 1);
    last->least[c] = op->low < op->zero_point ? -1 - last->most[c] : 0;
    last->add[c] = ((uint64_t)FE_ABOVE << FE_SHIFT) + ((uint64_t)(fe_rounding(shift, op->once)) << left);
    last->negative[c] = twice ? (uint64_t)1 << (31 + left) : 0;
  }
}

FE_FUNCTION void fe_finish_plainly(const int32_t *sums, const fe_last *last, const fe_linear *op, int32_t count,
                                   fe_act *out) {
  for (int32_t c = 0; c < count; c++) {
    const int64_t add = fe_rounding(last->shift[c], op->once);
    const int32_t scaled = fe_rescale(sums[c] + last->bias[c], last->factor[c], add, last->shift[c]);
    out[c] = fe_stored(fe_clamp(scaled + op->zero_point, op->low, op->high));
  }
}

/* sign(a) * ((|a| * factor + add - (a < 0)) >> shift), as fe_rescale computes it, is (a * factor + add) >> shift for a
   sum a that is not negative, and (a * factor + 2^shift - add) >> shift for one that is: 2^31 less if it is rounded twice,
   the same if it is rounded once. */
#define FE_FINISH_TILE 1
FE_FUNCTION void fe_finish_tile(int32_t pixels, const int32_t *sums, int32_t step, const fe_last *last,
                                const fe_linear *op, int32_t count, fe_act *const *to, int32_t channel) {
  const v128_t bias = wasm_v128_load(last->bias), factor = wasm_v128_load(last->factor);
  const v128_t least = wasm_v128_load(last->least), most = wasm_v128_load(last->most);
  const v128_t scale = wasm_v128_load(last->scale);
  const v128_t add_low = wasm_v128_load(last->add), add_high = wasm_v128_load(last->add + 2);
  const v128_t negative_low = wasm_v128_load(last->negative), negative_high = wasm_v128_load(last->negative + 2);
  const v128_t above = wasm_i16x8_splat((int16_t)(op->zero_point - FE_ABOVE));
  const v128_t lowest = wasm_i16x8_splat((int16_t)op->low), highest = wasm_i16x8_splat((int16_t)op->high);
  for (int32_t p = 0; p < pixels; p++, sums += step) {
    fe_act *out = to[p] + channel;
    if (last->plain) {
      fe_finish_plainly(sums, last, op, count, out);
      continue;
    }
    v128_t a = wasm_i32x4_add(wasm_v128_load(sums), bias);
    a = wasm_i32x4_mul(wasm_i32x4_min(wasm_i32x4_max(a, least), most), scale);
    v128_t low = wasm_i64x2_add(wasm_i64x2_extmul_low_i32x4(a, factor), add_low);
    v128_t high = wasm_i64x2_add(wasm_i64x2_extmul_high_i32x4(a, factor), add_high);
    if (last->signs) {
      const v128_t sign = wasm_i32x4_shr(a, 31);
      low = wasm_i64x2_sub(low, wasm_v128_and(wasm_i64x2_extend_low_i32x4(sign), negative_low));
      high = wasm_i64x2_sub(high, wasm_v128_and(wasm_i64x2_extend_high_i32x4(sign), negative_high));
    }
    low = wasm_u64x2_shr(low, FE_SHIFT);
    high = wasm_u64x2_shr(high, FE_SHIFT);
    v128_t found = wasm_i32x4_shuffle(low, high, 0, 2, 4, 6);
    found = wasm_i16x8_add(wasm_i16x8_narrow_i32x4(found, found), above);
    found = wasm_i16x8_min(wasm_i16x8_max(found, lowest), highest);
    if (count == FE_BLOCK) {
      wasm_v128_store64_lane(out, found, 0);
    } else {
      fe_act few[2 * FE_BLOCK];
      wasm_v128_store(few, found);
      for (int32_t c = 0; c < count; c++) out[c] = few[c];
    }
  }
}

FE_FUNCTION void fe_finish(const int32_t *sums, const fe_last *last, const fe_linear *op, int32_t count, fe_act *out) {
  fe_finish_tile(1, sums, 0, last, op, count, &out, 0);
}
