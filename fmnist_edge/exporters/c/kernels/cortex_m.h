/* Sums and last stages with the DSP instructions of 32-bit Arm cores, such as Cortex-M4, M7, M33 and M55: SXTB16 widens
   bytes 0 and 2, or 1 and 3, of a word to 16 bits, and SMLAD adds two products. Two pixels and two channels at a time
   fill the registers. There is no 64-bit shift: a call of the compiler's library would be slower. */
FE_INLINE uint32_t fe_word(const void *from) {
  uint32_t word;
  memcpy(&word, from, 4);
  return word;
}

FE_INLINE uint32_t fe_even_bytes(uint32_t word) {
  uint32_t found;
  __asm__("sxtb16 %0, %1" : "=r"(found) : "r"(word));
  return found;
}

FE_INLINE uint32_t fe_odd_bytes(uint32_t word) {
  uint32_t found;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(found) : "r"(word));
  return found;
}

FE_INLINE int32_t fe_add_products(uint32_t x, uint32_t w, int32_t sum) {
  int32_t found;
  __asm__("smlad %0, %1, %2, %3" : "=r"(found) : "r"(x), "r"(w), "r"(sum));
  return found;
}

FE_INLINE void fe_tile(const int32_t pixels, const int32_t blocks, const fe_linear *op, const fe_act *const *in,
                       const int8_t *const *weights, int32_t step, int32_t *sums) {
  (void)blocks; /* always 1 */
  for (int32_t channel = 0; channel < FE_BLOCK; channel += 2) {
    const int8_t *w = weights[0] + 4 * channel;
    int32_t one = 0, two = 0, other_one = 0, other_two = 0; /* sums of two channels, and those of the other pixel */
    for (int32_t row = 0; row < op->run_rows; row++)
      for (int32_t column = 0; column < op->run_columns; column++) {
        const int32_t run = row * op->run_row_step + column * op->run_column_step;
        const fe_act *x = in[0] + run, *y = in[pixels - 1] + run;
        for (int32_t group = op->groups; group > 0; group--, x += 4, y += 4, w += step) {
          const uint32_t first = fe_word(w), second = fe_word(w + 4), four = fe_word(x);
          const uint32_t first_even = fe_even_bytes(first), first_odd = fe_odd_bytes(first);
          const uint32_t second_even = fe_even_bytes(second), second_odd = fe_odd_bytes(second);
          const uint32_t even = fe_even_bytes(four), odd = fe_odd_bytes(four);
          one = fe_add_products(odd, first_odd, fe_add_products(even, first_even, one));
          two = fe_add_products(odd, second_odd, fe_add_products(even, second_even, two));
          if (pixels == 2) {
            const uint32_t other = fe_word(y), other_even = fe_even_bytes(other), other_odd = fe_odd_bytes(other);
            other_one = fe_add_products(other_odd, first_odd, fe_add_products(other_even, first_even, other_one));
            other_two = fe_add_products(other_odd, second_odd, fe_add_products(other_even, second_even, other_two));
          }
        }
      }
    sums[channel] = one;
    sums[channel + 1] = two;
    if (pixels == 2) {
      sums[FE_BLOCK + channel] = other_one;
      sums[FE_BLOCK + channel + 1] = other_two;
    }
  }
}

FE_FUNCTION void fe_finish(const int32_t *sums, const fe_last *last, const fe_linear *op, int32_t count, fe_act *out) {
  for (int32_t c = 0; c < count; c++) {
    const int32_t sum = sums[c] + last->bias[c], shift = (int32_t)(c % 2 ? last->odd_shift : last->even_shift)[c / 2];
    const uint32_t magnitude = sum < 0 ? 0u - (uint32_t)sum : (uint32_t)sum;
    const uint64_t product = (uint64_t)magnitude * (uint32_t)last->factor[c] +
                             (uint64_t)(c % 2 ? last->odd_add : last->even_add)[c / 2] - (sum < 0);
    const uint32_t high = (uint32_t)(product >> 32), low = (uint32_t)product;
    const int32_t scaled = (int32_t)(shift >= 32 ? high >> (shift - 32) : (high << 1 << (31 - shift)) | low >> shift);
    out[c] = fe_stored(fe_clamp((sum < 0 ? -scaled : scaled) + op->zero_point, op->low, op->high));
  }
}
