/* Convolutions of 3 x 3 in tiles of 2 x 2 outputs, with 16 multiplications instead of 36 (Lavin and Gray, "Fast Algorithms
   for Convolutional Neural Networks", 2015, F(2 x 2, 3 x 3)), where an instruction multiplies 16 bits and adds the products
   in pairs. Weights are transformed to four times theirs, so everything is an integer: an input has 11 bits, a weight 12,
   and four times a sum fits 32 bits, see exporters/c/winograd.py. The bits are those of fe_convolve. `scratch` has the
   transformed inputs, the transformed weights of some channels, and their products. */
#if defined(FE_WASM)
typedef v128_t fe_wide;
#define FE_LANES 8           /* of 16 bits */
#define FE_TOGETHER FE_BLOCK /* output channels */
#define FE_MOST_TILES 6      /* whose sums the registers hold */
#define FE_TILE_STEP(groups) 4
#define FE_GROUP_STEP(tiles) (4 * (tiles))
#define FE_SHORT _Pragma("clang loop unroll(disable)") /* keeps the module small */
#define FE_APART FE_FUNCTION
#define fe_get wasm_v128_load
#define fe_put wasm_v128_store
#define fe_activations wasm_v128_load
#define fe_int8 wasm_i16x8_load8x8
#define fe_add16 wasm_i16x8_add
#define fe_sub16 wasm_i16x8_sub
#define fe_add32 wasm_i32x4_add
#define fe_sub32 wasm_i32x4_sub
#define fe_quarter(a) wasm_i32x4_shr((a), 2)

/* Groups of four channels, `step` numbers apart. */
FE_INLINE void fe_put_groups(int16_t *to, int32_t step, fe_wide a) {
  wasm_v128_store64_lane(to, a, 0);
  wasm_v128_store64_lane(to + step, a, 1);
}

/* Four output channels of `count` tiles at one position. */
FE_INLINE void fe_products(const int32_t count, int32_t groups, int32_t tiles, const int16_t *in, const int16_t *weights,
                           int32_t *out) {
  v128_t sum[FE_MOST_TILES][2];
  FE_UNROLL
  for (int32_t t = 0; t < count; t++) sum[t][0] = sum[t][1] = wasm_i32x4_const(0, 0, 0, 0);
  FE_SHORT
  for (int32_t group = 0; group < groups; group++, in += FE_GROUP_STEP(tiles), weights += 16) {
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

#elif defined(FE_AVX2)
typedef __m256i fe_wide;
#define FE_LANES 16
#define FE_TOGETHER (2 * FE_BLOCK)
#define FE_MOST_TILES 5
#define FE_AT_ONCE 64 /* tiles, so that what is computed of them stays in a cache */
#define FE_TILE_STEP(groups) (4 * (groups))
#define FE_GROUP_STEP(tiles) 4
#define FE_SHORT
#if defined(__GNUC__) && !defined(__clang__)
/* If GCC knows the number of groups, it unrolls the loop over them, and the sums do not fit the registers. */
#define FE_APART static __attribute__((noinline, noclone))
#else
#define FE_APART FE_FUNCTION
#endif
#define fe_get fe_load256
#define fe_put(to, a) _mm256_storeu_si256((__m256i *)(void *)(to), (a))
#define fe_put_groups(to, step, a) fe_put((to), (a))
#define fe_activations(from) _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(from)))
#define fe_int8(from) _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(from)))
#define fe_add16 _mm256_add_epi16
#define fe_sub16 _mm256_sub_epi16
#define fe_add32 _mm256_add_epi32
#define fe_sub32 _mm256_sub_epi32
#define fe_quarter(a) _mm256_srai_epi32((a), 2)

/* One pair of inputs of eight output channels, from four inputs of twice four. */
#define fe_pairs(a, b, chosen) \
  _mm256_permute4x64_epi64(    \
      _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), chosen)), 0xD8)

/* Sixteen output channels of `count` tiles at one position. Weights: (groups, 2 pairs, 16, 2). */
FE_INLINE void fe_products(const int32_t count, int32_t groups, int32_t tiles, const int16_t *in, const int16_t *weights,
                           int32_t *out) {
  __m256i sum[FE_MOST_TILES][2];
  (void)tiles;
  FE_UNROLL
  for (int32_t t = 0; t < count; t++) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
  for (int32_t pair = 0; pair < 2 * groups; pair++, in += 2, weights += 2 * FE_LANES) {
    const __m256i low = fe_get(weights), high = fe_get(weights + FE_LANES);
    FE_UNROLL
    for (int32_t t = 0; t < count; t++) {
      int32_t two;
      memcpy(&two, in + FE_TILE_STEP(groups) * t, 4);
      const __m256i x = _mm256_set1_epi32(two);
      sum[t][0] = _mm256_add_epi32(sum[t][0], _mm256_madd_epi16(x, low));
      sum[t][1] = _mm256_add_epi32(sum[t][1], _mm256_madd_epi16(x, high));
    }
  }
  FE_UNROLL
  for (int32_t t = 0; t < count; t++) {
    fe_put(out + FE_TOGETHER * t, sum[t][0]);
    fe_put(out + FE_TOGETHER * t + FE_BLOCK, sum[t][1]);
  }
}
#endif

#if defined(FE_LANES)
#define FE_POSITIONS 16 /* of a tile of 4 x 4 inputs */

/* (16, groups, tiles, 4), or (16, tiles, groups, 4). */
FE_FUNCTION void fe_transform_inputs(const fe_linear *op, int32_t tiles, const fe_act *in, int16_t *out) {
  const int32_t channels = op->in_column_step, across = (op->columns + 1) / 2;
  for (int32_t tile = 0; tile < tiles; tile++) {
    const fe_act *from = in + tile / across * 2 * op->in_row_step + tile % across * 2 * channels;
    int16_t *to = out + FE_TILE_STEP(channels / 4) * tile;
    for (int32_t c = 0; c < channels; c += FE_LANES, from += FE_LANES, to += FE_LANES / 4 * FE_GROUP_STEP(tiles)) {
      fe_wide rows[4][4];
      FE_UNROLL
      for (int32_t r = 0; r < 4; r++) {
        const fe_act *row = from + r * op->in_row_step;
        const fe_wide a = fe_activations(row), b = fe_activations(row + channels);
        const fe_wide d = fe_activations(row + 2 * channels), e = fe_activations(row + 3 * channels);
        rows[r][0] = fe_sub16(a, d);
        rows[r][1] = fe_add16(b, d);
        rows[r][2] = fe_sub16(d, b);
        rows[r][3] = fe_sub16(b, e);
      }
      FE_UNROLL
      for (int32_t i = 0; i < 4; i++) {
        const fe_wide all[4] = {fe_sub16(rows[0][i], rows[2][i]), fe_add16(rows[1][i], rows[2][i]),
                               fe_sub16(rows[2][i], rows[1][i]), fe_sub16(rows[1][i], rows[3][i])};
        FE_UNROLL
        for (int32_t r = 0; r < 4; r++)
          fe_put_groups(to + (4 * r + i) * channels * tiles, FE_GROUP_STEP(tiles), all[r]);
      }
    }
  }
}

FE_INLINE void fe_transform_three(fe_wide a, fe_wide b, fe_wide c, fe_wide *out) {
  const fe_wide sum = fe_add16(a, c);
  out[0] = fe_add16(a, a);
  out[1] = fe_add16(sum, b);
  out[2] = fe_sub16(sum, b);
  out[3] = fe_add16(c, c);
}

/* The weights of FE_LANES pairs of an input and an output channel; those of the next run are `step` bytes on. */
FE_INLINE void fe_transform_window(const int8_t *weights, int32_t step, fe_wide all[4][4]) {
  fe_wide rows[3][4];
  FE_UNROLL
  for (int32_t r = 0; r < 3; r++, weights += 3 * step)
    fe_transform_three(fe_int8(weights), fe_int8(weights + step), fe_int8(weights + 2 * step), rows[r]);
  FE_UNROLL
  for (int32_t i = 0; i < 4; i++) fe_transform_three(rows[0][i], rows[1][i], rows[2][i], all[i]);
}

/* (16, groups, output channels that are computed together, 4 input channels), in the order of fe_products. */
FE_FUNCTION void fe_transform_weights(const fe_linear *op, const int8_t *weights, int32_t step, int16_t *out) {
  const int32_t groups = op->in_column_step / 4, size = 4 * FE_TOGETHER;
  for (int32_t group = 0; group < groups; group++, weights += step, out += size) {
    FE_SHORT
    for (int32_t half = 0; half < 2; half++) {
      int16_t *to = out + half * FE_LANES;
      fe_wide one[4][4];
#if defined(FE_WASM)
      fe_transform_window(weights + FE_LANES * half, groups * step, one);
      FE_UNROLL
      for (int32_t i = 0; i < FE_POSITIONS; i++) fe_put(to + (i % 4 * 4 + i / 4) * groups * size, one[i / 4][i % 4]);
#else
      fe_wide two[4][4];
      fe_transform_window(weights + 2 * FE_LANES * half, groups * step, one);
      fe_transform_window(weights + 2 * FE_LANES * half + FE_LANES, groups * step, two);
      FE_UNROLL
      for (int32_t i = 0; i < FE_POSITIONS; i++) {
        int16_t *place = to + (i % 4 * 4 + i / 4) * groups * size;
        fe_put(place, fe_pairs(one[i / 4][i % 4], two[i / 4][i % 4], 0x88));
        fe_put(place + 2 * FE_LANES, fe_pairs(one[i / 4][i % 4], two[i / 4][i % 4], 0xDD));
      }
#endif
    }
  }
}

/* There are at least four tiles, see exporters/c/winograd.py. */
FE_APART void fe_all_products(int32_t groups, int32_t tiles, const int16_t *in, const int16_t *weights, int32_t *out) {
  /* How many together, for the least time. */
  const int32_t many = (tiles + FE_MOST_TILES - 1) / FE_MOST_TILES * (2 * FE_MOST_TILES + 3), few = (tiles + 3) / 4 * 11;
  const int32_t size = tiles >= FE_MOST_TILES && many < few ? FE_MOST_TILES : 4;
  FE_SHORT
  for (int32_t position = 0; position < FE_POSITIONS; position++) {
    FE_SHORT
    for (int32_t tile = 0; tile < tiles; tile += size) {
      if (tile + size > tiles) tile = tiles - size; /* overlaps the one before it */
      if (size == FE_MOST_TILES)
        fe_products(FE_MOST_TILES, groups, tiles, in + FE_TILE_STEP(groups) * tile, weights, out + FE_TOGETHER * tile);
      else
        fe_products(4, groups, tiles, in + FE_TILE_STEP(groups) * tile, weights, out + FE_TOGETHER * tile);
    }
    in += 4 * groups * tiles;
    weights += 4 * FE_TOGETHER * groups;
    out += FE_TOGETHER * tiles;
  }
}

/* The sums of 2 x 2 pixels from the products of a tile, which lie every `step` numbers. */
FE_INLINE void fe_sums_of_tile(const int32_t *products, int32_t step, int32_t *sums) {
  fe_wide rows[2][4];
  FE_UNROLL
  for (int32_t i = 0; i < 4; i++) {
    const fe_wide a = fe_get(products + i * step), b = fe_get(products + (4 + i) * step);
    const fe_wide c = fe_get(products + (8 + i) * step), d = fe_get(products + (12 + i) * step);
    rows[0][i] = fe_add32(fe_add32(a, b), c);
    rows[1][i] = fe_sub32(fe_sub32(b, c), d);
  }
  FE_UNROLL
  for (int32_t r = 0; r < 2; r++) {
    const fe_wide left = fe_add32(fe_add32(rows[r][0], rows[r][1]), rows[r][2]);
    const fe_wide right = fe_sub32(fe_sub32(rows[r][1], rows[r][2]), rows[r][3]);
    fe_put(sums + 2 * r * FE_BLOCK, fe_quarter(left)); /* exact: four times a sum */
    fe_put(sums + (2 * r + 1) * FE_BLOCK, fe_quarter(right));
  }
}

/* One block of channels of all tiles, from their products. */
FE_FUNCTION void fe_finish_tiles(const fe_linear *op, int32_t channel, const int32_t *products, fe_act *out) {
  const int32_t across = (op->columns + 1) / 2, tiles = (op->rows + 1) / 2 * across;
  const int32_t left = op->channels - channel, count = left < FE_BLOCK ? left : FE_BLOCK;
  fe_last last;
  fe_prepare(op, channel, &last);
  for (int32_t tile = 0; tile < tiles; tile++) {
    const int32_t row = tile / across * 2, column = tile % across * 2;
    const int32_t below = row + 1 < op->rows, right = column + 1 < op->columns;
    fe_act *corner = out + row * op->out_row_step + column * op->out_column_step + channel, *to[4];
    int32_t sums[4 * FE_BLOCK], pixels = 0;
    for (int32_t r = 0; r <= below; r++, corner += op->out_row_step)
      for (int32_t c = 0; c <= right; c++) to[pixels++] = corner + c * op->out_column_step;
    fe_sums_of_tile(products + FE_TOGETHER * tile, FE_TOGETHER * tiles, sums);
    fe_finish_tile(pixels, sums, right ? FE_BLOCK : 2 * FE_BLOCK, &last, op, count, to, 0);
  }
}

/* The tiles of some rows of outputs: at least four. */
FE_FUNCTION void fe_convolve_tiles(const fe_linear *op, const fe_act *in, fe_act *out, fe_act *scratch) {
  const int32_t groups = op->in_column_step / 4, panel = 9 * groups * 4 * FE_PANEL;
  const int32_t tiles = (op->rows + 1) / 2 * ((op->columns + 1) / 2);
  const int32_t full = op->channels / FE_PANEL * FE_PANEL, narrow = (op->channels - full + 3) / 4 * 4;
  int16_t *inputs = (int16_t *)(void *)scratch, *weights = inputs + FE_POSITIONS * 4 * groups * tiles;
  int32_t *products = (int32_t *)(void *)(weights + FE_POSITIONS * 4 * FE_TOGETHER * groups);
  fe_transform_inputs(op, tiles, in, inputs);
  for (int32_t channel = 0; channel < op->channels; channel += FE_TOGETHER) {
    fe_transform_weights(op, op->weights + channel / FE_PANEL * panel + channel % FE_PANEL * 4,
                         4 * (channel < full ? FE_PANEL : narrow), weights);
    fe_all_products(groups, tiles, inputs, weights, products);
    for (int32_t first = 0; first < FE_TOGETHER && channel + first < op->channels; first += FE_BLOCK)
      fe_finish_tiles(op, channel + first, products + first, out);
  }
}

#if defined(FE_WASM)
#define fe_convolve_3x3 fe_convolve_tiles
#else
/* Part by part, as exporters/c/winograd.py divides the rows of tiles. */
FE_FUNCTION void fe_convolve_3x3(const fe_linear *op, const fe_act *in, fe_act *out, fe_act *scratch) {
  const int32_t lines = (op->rows + 1) / 2, across = (op->columns + 1) / 2;
  const int32_t most = across < FE_AT_ONCE ? FE_AT_ONCE / across : 1, parts = (lines + most - 1) / most;
  if (op->order.blocks) {
    fe_convolve(op, in, out);
    return;
  }
  for (int32_t i = 0; i < parts; i++) {
    const int32_t first = 2 * (lines * i / parts), end = 2 * (lines * (i + 1) / parts);
    fe_linear part = *op;
    part.rows = (end < op->rows ? end : op->rows) - first;
    fe_convolve_tiles(&part, in + first * op->in_row_step, out + first * op->out_row_step, scratch);
  }
}
#endif
#else
#define fe_convolve_3x3(op, in, out, scratch) fe_convolve(op, in, out)
#endif

/* A convolution whose tiles are too many to be computed at once. */
#if defined(FE_AVX2)
#define fe_convolve_large fe_convolve_3x3
#else
#define fe_convolve_large(op, in, out, scratch) fe_convolve(op, in, out)
#endif
