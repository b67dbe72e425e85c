/* A function of the sum of neighbouring values, and where `product` is given, its product with the value itself: local
   response normalisation. A line is the channels of a pixel, or of all pixels of a row. Each place needs one value added
   to the sum and one taken off. The output may overwrite the input: a value is read before its place is written. */
typedef struct {
  int32_t rows, columns, channels; /* lines, and places in each */
  int32_t in_row_step, in_column_step, out_row_step, out_column_step;
  int32_t before, after; /* neighbours on either side */
  int32_t zero_point;    /* of `values` */
  int32_t least;         /* the sum whose result is the first */
} fe_window_sum;

#define FE_MOST_NEIGHBOURS 32
#define FE_PIECE 64

/* `values`: the values of -128 to 127 that are added. `results`: one for every sum. */
FE_FUNCTION void fe_window_sums(const fe_window_sum *op, const fe_binary *product, const int8_t *values,
                                const int8_t *results, const fe_act *in, fe_act *out) {
  const int8_t *value_of = values + 128 - FE_OFFSET, *result_of = results - op->least;
  const int32_t neighbours = op->before + op->after;
  int16_t addends[FE_MOST_NEIGHBOURS + FE_PIECE] = {0}; /* the first is `before` places left of the piece */
  for (int32_t row = 0; row < op->rows; row++)
    for (int32_t column = 0; column < op->columns; column++) {
      const fe_act *from = in + row * op->in_row_step + column * op->in_column_step;
      fe_act *to = out + row * op->out_row_step + column * op->out_column_step;
      int32_t sum = 0;
      if (op->channels > FE_PIECE) /* WebAssembly takes long to set or move a few bytes: not for a single piece */
        for (int32_t i = 0; i < op->before; i++) addends[i] = 0;
      for (int32_t i = 0; i < op->after && i < op->channels; i++) {
        addends[op->before + i] = (int16_t)(value_of[from[i]] - op->zero_point);
        sum += addends[op->before + i];
      }
      for (int32_t c = 0; c < op->channels; c += FE_PIECE) {
        const int32_t count = op->channels - c < FE_PIECE ? op->channels - c : FE_PIECE;
        const int32_t there = op->channels - c - op->after; /* values that are left to read */
        int8_t found[FE_PIECE];
        for (int32_t i = 0; i < count; i++)
          addends[neighbours + i] = i < there ? (int16_t)(value_of[from[c + op->after + i]] - op->zero_point) : 0;
        for (int32_t i = 0; i < count; i++) {
          sum += addends[neighbours + i];
          found[i] = result_of[sum];
          sum -= addends[i];
        }
        if (product) {
          const int32_t az = product->a_zero_point + FE_OFFSET, bz = product->b_zero_point;
          const fe_binary p = *product;
          int32_t i = 0;
#if defined(FE_WASM)
          for (; i + 8 <= count; i += 8)
            wasm_v128_store(to + c + i, fe_product_of_eight(&p, FE_MINUS(wasm_v128_load(from + c + i), az),
                                                            FE_MINUS(wasm_i16x8_load8x8(found + i), bz)));
#endif
          FE_LEFT
          for (; i < count; i++)
            to[c + i] = fe_stored(fe_product_of(&p, from[c + i] - az, found[i] - bz));
        } else
          for (int32_t i = 0; i < count; i++) to[c + i] = fe_stored(found[i]);
        if (c + FE_PIECE < op->channels)
          memmove(addends, addends + count, (size_t)neighbours * sizeof(int16_t));
      }
    }
}
