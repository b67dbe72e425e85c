/* What convolutions and dense layers share. A window is run_rows x run_columns runs of consecutive activations; a run
   is `groups` groups of four. Weights are packed in panels of FE_PANEL output channels, the last one narrower (a
   multiple of four): for each group of inputs four weights of the first channel, four of the second, and so on. */
#if defined(FE_AVX2)
/* How weights and inputs are read, see exporters/c/pairs.py. A block has the number of pairs of groups, of groups alone,
   where its weights begin, and where the inputs of each group are. */
typedef struct {
  const int32_t *blocks;
  int32_t stride;         /* of blocks */
  int32_t copies, length; /* of the activations, themselves included */
  int32_t scratch;        /* from the first activation that is read */
} fe_order_t;
#endif

typedef struct {
  const int8_t *weights;
  const int32_t *bias;    /* minus the zero point times the sum of the weights */
  const int32_t *sums;    /* of the weights, for stored activations with an offset */
  const int32_t *factors; /* one for each output channel */
  const int8_t *shifts;
  int32_t channels; /* outputs */
  int32_t groups, run_rows, run_columns, run_row_step, run_column_step;
  int32_t rows, columns; /* of the output */
  int32_t in_row_step, in_column_step, out_row_step, out_column_step;
  int32_t tile; /* pixels computed together */
  int32_t once; /* whether a sum is rounded once */
  int32_t zero_point, low, high;
#if defined(FE_AVX2)
  fe_order_t order;
#endif
} fe_linear;

/* The last stage of a block of channels, with 64-bit numbers of even and of odd channels; wasm.h has one of its own. */
#if !defined(FE_WASM)
typedef struct {
  int32_t bias[FE_BLOCK], factor[FE_BLOCK];
  int64_t even_add[FE_BLOCK / 2], odd_add[FE_BLOCK / 2], even_shift[FE_BLOCK / 2], odd_shift[FE_BLOCK / 2];
#if defined(FE_NEON)
  int32_t right[FE_BLOCK]; /* 31 - shift */
  int32_t twice;           /* whether all results are rounded twice, and none is shifted to the left */
#endif
} fe_last;

FE_FUNCTION void fe_prepare(const fe_linear *op, int32_t channel, fe_last *last) {
#if defined(FE_NEON)
  last->twice = !op->once;
#endif
  for (int32_t c = 0; c < FE_BLOCK; c++) {
    const int32_t at = channel + c < op->channels ? channel + c : op->channels - 1;
    last->bias[c] = op->bias[at];
#if FE_OFFSET
    last->bias[c] -= FE_OFFSET * op->sums[at];
#endif
    last->factor[c] = op->factors[at];
    (c % 2 ? last->odd_shift : last->even_shift)[c / 2] = op->shifts[at];
    (c % 2 ? last->odd_add : last->even_add)[c / 2] = fe_rounding(op->shifts[at], op->once);
#if defined(FE_NEON)
    last->right[c] = 31 - op->shifts[at];
    last->twice = last->twice && last->right[c] <= 0 && last->right[c] > -32;
#endif
  }
}
#endif
