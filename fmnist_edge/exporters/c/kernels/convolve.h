/* Convolutions and dense layers: tiles of pixels, panel after panel, so that weights are read once from memory. */

/* The most blocks of channels whose sums fit the registers beside those of `pixels` pixels. */
FE_FUNCTION int32_t fe_blocks(int32_t pixels) {
#if defined(FE_AVX512VNNI) || defined(FE_AVXVNNI)
  return pixels == 1 ? 4 : 2;
#elif defined(FE_NEON) && defined(__ARM_FEATURE_DOTPROD)
  return pixels <= 4 ? 2 : 1;
#else
  (void)pixels;
  return 1;
#endif
}

/* How a tile finds its weights and inputs. */
#if defined(FE_AVX2)
typedef const int32_t *fe_places;
#define FE_TILE(pixels, blocks) fe_tile((pixels), places, in, weights[0], sums)
#elif defined(FE_NEON)
typedef const fe_outputs *fe_places;
#define FE_TILE(pixels, blocks) fe_tile((pixels), (blocks), places, in, weights, step, sums)
#else
typedef const fe_linear *fe_places;
#define FE_TILE(pixels, blocks) fe_tile((pixels), (blocks), places, in, weights, step, sums)
#endif
#define FE_CASE(pixels, blocks) \
  case (pixels) * 8 + (blocks): \
    FE_TILE(pixels, blocks);    \
    break

/* Where there are few cases, they are compiled with a layer's constants. */
#if defined(FE_NEON) && !defined(__ARM_FEATURE_DOTPROD)
#define FE_CASES FE_INLINE
#else
#define FE_CASES FE_FUNCTION
#endif
FE_CASES void fe_sums(int32_t pixels, int32_t blocks, fe_places places, const fe_act *const *in,
                    const int8_t *const *weights, int32_t step, int32_t *sums) {
  (void)step;
  switch (pixels * 8 + blocks) {
    FE_CASE(2, 1);
#if FE_MOST_PIXELS >= 4
    FE_CASE(3, 1);
    FE_CASE(4, 1);
#endif
#if FE_MOST_PIXELS >= 6
    FE_CASE(5, 1);
    FE_CASE(6, 1);
#endif
#if FE_MOST_PIXELS >= 8
    FE_CASE(7, 1);
    FE_CASE(8, 1);
#endif
#if defined(FE_AVX512VNNI) || defined(FE_AVXVNNI)
    FE_CASE(1, 4);
    FE_CASE(1, 2);
    FE_CASE(2, 2);
    FE_CASE(3, 2);
    FE_CASE(4, 2);
    FE_CASE(5, 2);
    FE_CASE(6, 2);
#elif defined(FE_NEON) && defined(__ARM_FEATURE_DOTPROD)
    FE_CASE(1, 2);
    FE_CASE(2, 2);
    FE_CASE(3, 2);
    FE_CASE(4, 2);
#endif
#if defined(FE_AVX512VNNI)
    FE_CASE(7, 2);
    FE_CASE(8, 2);
#endif
    default:
      FE_TILE(1, 1);
  }
}

/* All pixels of `blocks` blocks of output channels from `channel` on. `step`: from a group's weights to the next one's. */
FE_FUNCTION void fe_channels(const fe_linear *op, int32_t channel, int32_t blocks, int32_t step, const fe_act *in,
                             fe_act *out) {
  const int32_t pixels = op->rows * op->columns, left = op->channels - channel;
  const int8_t *weights[FE_MOST_BLOCKS] = {op->weights};
  fe_last last[FE_MOST_BLOCKS];
  const fe_act *from[FE_MOST_PIXELS] = {in};
  fe_act *to[FE_MOST_PIXELS];
  int32_t b = 0;
  do fe_prepare(op, channel + b * FE_BLOCK, &last[b]); /* at least one, as compilers see */
  while (++b < blocks);
#if defined(FE_AVX2)
  const fe_places places = op->order.blocks + channel / FE_BLOCK * op->order.stride;
  weights[0] += places[2];
#else
  const int32_t panel = op->run_rows * op->run_columns * op->groups * 4 * FE_PANEL;
  for (b = 0; b < blocks; b++) {
    const int32_t first = channel + b * FE_BLOCK;
    weights[b] = op->weights + first / FE_PANEL * panel + first % FE_PANEL * 4;
  }
#if defined(FE_NEON)
  const fe_outputs outputs = fe_outputs_of(op, last, to, blocks, left);
  const fe_places places = &outputs;
#else
  const fe_places places = op;
#endif
#endif
  const int32_t next_in = op->in_row_step - op->columns * op->in_column_step; /* from behind a row to the next one */
  const int32_t next_out = op->out_row_step - op->columns * op->out_column_step;
  const fe_act *x = in;
  fe_act *y = out + channel;
  int32_t column = 0;
  for (int32_t tile = 0; tile < pixels; tile += op->tile) {
    int32_t sums[FE_MOST_PIXELS * FE_MOST_BLOCKS * FE_BLOCK];
    if (tile + op->tile > pixels) { /* the last tile overlaps the one before it */
      const int32_t row = (pixels - op->tile) / op->columns;
      column = (pixels - op->tile) % op->columns;
      x = in + row * op->in_row_step + column * op->in_column_step;
      y = out + channel + row * op->out_row_step + column * op->out_column_step;
    }
    for (int32_t p = 0; p < op->tile; p++) {
      from[p] = x;
      to[p] = y;
      x += op->in_column_step;
      y += op->out_column_step;
      if (++column == op->columns) {
        column = 0;
        x += next_in;
        y += next_out;
      }
    }
    fe_sums(op->tile, blocks, places, from, weights, step, sums);
#if defined(FE_NEON)
    if (outputs.ends) continue;
#endif
    for (b = 0; b < blocks; b++) {
      const int32_t count = left - b * FE_BLOCK < FE_BLOCK ? left - b * FE_BLOCK : FE_BLOCK;
      fe_finish_tile(op->tile, sums + b * FE_BLOCK, blocks * FE_BLOCK, &last[b], op, count, to, b * FE_BLOCK);
    }
  }
}

FE_FUNCTION void fe_convolve(const fe_linear *op, const fe_act *in, fe_act *out) {
  const int32_t full = op->channels / FE_PANEL * FE_PANEL, most = fe_blocks(op->tile);
  const int32_t narrow = (op->channels - full + 3) / 4 * 4; /* width of the last panel */
  int32_t channel = 0;
#if defined(FE_AVX2)
  fe_copy_groups(op, in);
#endif
  while (channel < full) {
    int32_t blocks = most;
    while (channel + blocks * FE_BLOCK > full) blocks /= 2;
    fe_channels(op, channel, blocks, 4 * FE_PANEL, in, out);
    channel += blocks * FE_BLOCK;
  }
  for (; channel < op->channels; channel += FE_BLOCK) fe_channels(op, channel, 1, 4 * narrow, in, out);
}
