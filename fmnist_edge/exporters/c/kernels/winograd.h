/* Convolutions of 3 x 3 with WebAssembly, in tiles of 2 x 2 outputs with 16 multiplications instead of 36 (Lavin and Gray,
   "Fast Algorithms for Convolutional Neural Networks", 2015, F(2 x 2, 3 x 3)). Weights are transformed to four times
   theirs, so everything is an integer: an input has 10 bits, a weight 12, and four times a sum fits 32 bits, see
   exporters/c/winograd.py. The bits are those of fe_convolve. `scratch` has the transformed inputs, the transformed
   weights of a block of channels, and their products. */
#if defined(FE_WASM)
#define FE_POSITIONS 16 /* of a tile of 4 x 4 inputs */
#define FE_SHORT _Pragma("clang loop unroll(disable)") /* keeps the module small */

/* (16, groups, tiles, 4): four channels of all tiles follow one another. */
FE_FUNCTION void fe_transform_inputs(const fe_linear *op, int32_t tiles, const fe_act *in, fe_act *out) {
  const int32_t channels = op->in_column_step, across = (op->columns + 1) / 2;
  for (int32_t tile = 0; tile < tiles; tile++) {
    const fe_act *from = in + tile / across * 2 * op->in_row_step + tile % across * 2 * channels;
    fe_act *to = out + 4 * tile;
    for (int32_t c = 0; c < channels; c += 8, from += 8, to += 8 * tiles) {
      v128_t rows[4][4];
      FE_UNROLL
      for (int32_t r = 0; r < 4; r++) {
        const fe_act *row = from + r * op->in_row_step;
        const v128_t a = wasm_v128_load(row), b = wasm_v128_load(row + channels);
        const v128_t d = wasm_v128_load(row + 2 * channels), e = wasm_v128_load(row + 3 * channels);
        rows[r][0] = wasm_i16x8_sub(a, d);
        rows[r][1] = wasm_i16x8_add(b, d);
        rows[r][2] = wasm_i16x8_sub(d, b);
        rows[r][3] = wasm_i16x8_sub(b, e);
      }
      FE_UNROLL
      for (int32_t i = 0; i < 4; i++) {
        const v128_t all[4] = {wasm_i16x8_sub(rows[0][i], rows[2][i]), wasm_i16x8_add(rows[1][i], rows[2][i]),
                               wasm_i16x8_sub(rows[2][i], rows[1][i]), wasm_i16x8_sub(rows[1][i], rows[3][i])};
        FE_UNROLL
        for (int32_t r = 0; r < 4; r++) {
          fe_act *place = to + (4 * r + i) * channels * tiles;
          wasm_v128_store64_lane(place, all[r], 0);
          wasm_v128_store64_lane(place + 4 * tiles, all[r], 1);
        }
      }
    }
  }
}

FE_INLINE void fe_transform_three(v128_t a, v128_t b, v128_t c, v128_t *out) {
  const v128_t sum = wasm_i16x8_add(a, c);
  out[0] = wasm_i16x8_add(a, a);
  out[1] = wasm_i16x8_add(sum, b);
  out[2] = wasm_i16x8_sub(sum, b);
  out[3] = wasm_i16x8_add(c, c);
}

/* (16, groups, 4 output channels, 4 input channels) */
FE_FUNCTION void fe_transform_weights(const fe_linear *op, const int8_t *weights, int32_t step, int16_t *out) {
  const int32_t groups = op->in_column_step / 4;
  for (int32_t group = 0; group < groups; group++, weights += step) {
    FE_SHORT
    for (int32_t half = 0; half < 2; half++, out += 8) {
      v128_t rows[3][4], all[4];
      FE_UNROLL
      for (int32_t r = 0; r < 3; r++) {
        const int8_t *row = weights + 3 * r * groups * step + 8 * half;
        fe_transform_three(wasm_i16x8_load8x8(row), wasm_i16x8_load8x8(row + groups * step),
                           wasm_i16x8_load8x8(row + 2 * groups * step), rows[r]);
      }
      FE_UNROLL
      for (int32_t i = 0; i < 4; i++) {
        fe_transform_three(rows[0][i], rows[1][i], rows[2][i], all);
        FE_UNROLL
        for (int32_t r = 0; r < 4; r++) wasm_v128_store(out + (4 * r + i) * groups * 16, all[r]);
      }
    }
  }
}

/* Four output channels of `count` tiles at one position. */
FE_INLINE void fe_products(const int32_t count, int32_t groups, int32_t tiles, const fe_act *in, const int16_t *weights,
                           int32_t *out) {
  v128_t sum[FE_MOST_PIXELS][2];
  FE_UNROLL
  for (int32_t t = 0; t < count; t++) sum[t][0] = sum[t][1] = wasm_i32x4_const(0, 0, 0, 0);
  FE_SHORT
  for (int32_t group = 0; group < groups; group++, in += 4 * tiles, weights += 16) {
    const v128_t low = wasm_v128_load(weights), high = wasm_v128_load(weights + 8);
    FE_UNROLL
    for (int32_t t = 0; t < count; t++) {
      const v128_t x = wasm_v128_load64_splat(in + 4 * t);
      sum[t][0] = wasm_i32x4_add(sum[t][0], wasm_i32x4_dot_i16x8(x, low));
      sum[t][1] = wasm_i32x4_add(sum[t][1], wasm_i32x4_dot_i16x8(x, high));
    }
  }
  FE_UNROLL
  for (int32_t t = 0; t < count; t++)
    wasm_v128_store(out + 4 * t, wasm_i32x4_add(wasm_i32x4_shuffle(sum[t][0], sum[t][1], 0, 2, 4, 6),
                                                wasm_i32x4_shuffle(sum[t][0], sum[t][1], 1, 3, 5, 7)));
}

/* There are at least four tiles, see exporters/c/winograd.py. */
FE_FUNCTION void fe_all_products(int32_t groups, int32_t tiles, const fe_act *in, const int16_t *weights, int32_t *out) {
  /* How many together, for the least time. */
  const int32_t size = tiles >= 6 && (tiles + 5) / 6 * 15 < (tiles + 3) / 4 * 11 ? 6 : 4;
  FE_SHORT
  for (int32_t position = 0; position < FE_POSITIONS; position++) {
    FE_SHORT
    for (int32_t tile = 0; tile < tiles; tile += size) {
      if (tile + size > tiles) tile = tiles - size; /* overlaps the one before it */
      if (size == 6)
        fe_products(6, groups, tiles, in + 4 * tile, weights, out + 4 * tile);
      else
        fe_products(4, groups, tiles, in + 4 * tile, weights, out + 4 * tile);
    }
    in += 4 * groups * tiles;
    weights += 16 * groups;
    out += 4 * tiles;
  }
}

/* The sums of 2 x 2 pixels from the products of a tile, which lie every `step` numbers. */
FE_INLINE void fe_sums_of_tile(const int32_t *products, int32_t step, int32_t *sums) {
  v128_t rows[2][4];
  FE_UNROLL
  for (int32_t i = 0; i < 4; i++) {
    const v128_t a = wasm_v128_load(products + i * step), b = wasm_v128_load(products + (4 + i) * step);
    const v128_t c = wasm_v128_load(products + (8 + i) * step), d = wasm_v128_load(products + (12 + i) * step);
    rows[0][i] = wasm_i32x4_add(wasm_i32x4_add(a, b), c);
    rows[1][i] = wasm_i32x4_sub(wasm_i32x4_sub(b, c), d);
  }
  FE_UNROLL
  for (int32_t r = 0; r < 2; r++) {
    const v128_t left = wasm_i32x4_add(wasm_i32x4_add(rows[r][0], rows[r][1]), rows[r][2]);
    const v128_t right = wasm_i32x4_sub(wasm_i32x4_sub(rows[r][1], rows[r][2]), rows[r][3]);
    wasm_v128_store(sums + 2 * r * FE_BLOCK, wasm_i32x4_shr(left, 2)); /* exact: four times a sum */
    wasm_v128_store(sums + (2 * r + 1) * FE_BLOCK, wasm_i32x4_shr(right, 2));
  }
}

FE_FUNCTION void fe_convolve_3x3(const fe_linear *op, const fe_act *in, fe_act *out, fe_act *scratch) {
  const int32_t groups = op->in_column_step / 4, across = (op->columns + 1) / 2;
  const int32_t tiles = (op->rows + 1) / 2 * across, panel = 9 * groups * 4 * FE_PANEL;
  const int32_t full = op->channels / FE_PANEL * FE_PANEL, narrow = (op->channels - full + 3) / 4 * 4;
  int16_t *weights = scratch + FE_POSITIONS * 4 * groups * tiles;
  int32_t *products = (int32_t *)(void *)(weights + FE_POSITIONS * 16 * groups);
  fe_transform_inputs(op, tiles, in, scratch);
  for (int32_t channel = 0; channel < op->channels; channel += FE_BLOCK) {
    const int32_t left = op->channels - channel, count = left < FE_BLOCK ? left : FE_BLOCK;
    fe_last last;
    fe_prepare(op, channel, &last);
    fe_transform_weights(op, op->weights + channel / FE_PANEL * panel + channel % FE_PANEL * 4,
                         4 * (channel < full ? FE_PANEL : narrow), weights);
    fe_all_products(groups, tiles, scratch, weights, products);
    for (int32_t tile = 0; tile < tiles; tile++) {
      const int32_t row = tile / across * 2, column = tile % across * 2;
      const int32_t below = row + 1 < op->rows, right = column + 1 < op->columns;
      int32_t sums[4 * FE_BLOCK];
      fe_act *to[2] = {out + row * op->out_row_step + column * op->out_column_step + channel, NULL};
      fe_sums_of_tile(products + 4 * tile, 4 * tiles, sums);
      FE_SHORT
      for (int32_t r = 0; r <= below; r++, to[0] += op->out_row_step) {
        to[1] = to[0] + op->out_column_step;
        fe_finish_tile(1 + right, sums + 2 * r * FE_BLOCK, FE_BLOCK, &last, op, count, to, 0);
      }
    }
  }
}
#else
#define fe_convolve_3x3(op, in, out, scratch) fe_convolve(op, in, out)
#endif
