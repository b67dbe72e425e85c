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
  int32_t shifted;         /* whether all are shifted to the right too */
#endif
} fe_last;

#if defined(FE_NEON)
/* The same without the 64-bit numbers, for a whole block. Returns whether it ends without them. */
FE_FUNCTION int32_t fe_prepare_shifted(const fe_linear *op, int32_t channel, fe_last *last) {
  const int16x8_t right = vsubw_s8(vdupq_n_s16(31), vld1_s8(op->shifts + channel));
  vst1q_s32(last->bias, vld1q_s32(op->bias + channel));
  vst1q_s32(last->bias + 4, vld1q_s32(op->bias + channel + 4));
  vst1q_s32(last->factor, vld1q_s32(op->factors + channel));
  vst1q_s32(last->factor + 4, vld1q_s32(op->factors + channel + 4));
  vst1q_s32(last->right, vmovl_s16(vget_low_s16(right)));
  vst1q_s32(last->right + 4, vmovl_high_s16(right));
  last->shifted = last->twice = vmaxvq_s16(right) < 0 && vminvq_s16(right) > -32;
  return last->shifted;
}
#endif

FE_FUNCTION void fe_prepare(const fe_linear *op, int32_t channel, fe_last *last) {
#if defined(FE_NEON)
  if (!op->once && channel + FE_BLOCK <= op->channels && fe_prepare_shifted(op, channel, last)) return;
  last->twice = !op->once;
  last->shifted = 0;
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
