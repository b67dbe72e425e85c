/* The last stage in plain C99, for back ends without one of their own. */
#if defined(FE_PLAIN_FINISH)
FE_FUNCTION void fe_finish(const int32_t *sums, const fe_last *last, const fe_linear *op, int32_t count, fe_act *out) {
  for (int32_t c = 0; c < count; c++) {
    const int64_t add = (c % 2 ? last->odd_add : last->even_add)[c / 2];
    const int64_t shift = (c % 2 ? last->odd_shift : last->even_shift)[c / 2];
    const int32_t scaled = fe_rescale(sums[c] + last->bias[c], last->factor[c], add, (int32_t)shift);
    out[c] = fe_stored(fe_clamp(scaled + op->zero_point, op->low, op->high));
  }
}
#endif

/* A block of channels of all pixels of a tile. `sums` has the sums of a pixel every `step` numbers; the outputs of pixel
   p go to to[p] + channel. */
#if !defined(FE_FINISH_TILE)
FE_FUNCTION void fe_finish_tile(int32_t pixels, const int32_t *sums, int32_t step, const fe_last *last,
                                const fe_linear *op, int32_t count, fe_act *const *to, int32_t channel) {
  for (int32_t p = 0; p < pixels; p++) fe_finish(sums + p * step, last, op, count, to[p] + channel);
}
#endif
