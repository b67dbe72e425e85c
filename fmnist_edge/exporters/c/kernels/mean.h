/* Means over any axes: sizes and steps of the axes that stay, and of those that are reduced. */
typedef struct {
  int32_t kept[3], kept_step[3], reduced[3], reduced_step[3];
  int32_t out_step[3];
  int32_t in_zero_point; /* times the number of values */
  int32_t factor, shift, zero_point;
} fe_mean_t;

FE_FUNCTION void fe_mean(const fe_mean_t *op, const fe_act *in, fe_act *out) {
  const int32_t count = op->reduced[0] * op->reduced[1] * op->reduced[2];
  for (int32_t i = 0; i < op->kept[0]; i++)
    for (int32_t j = 0; j < op->kept[1]; j++)
      for (int32_t k = 0; k < op->kept[2]; k++) {
        const fe_act *from = in + i * op->kept_step[0] + j * op->kept_step[1] + k * op->kept_step[2];
        int32_t sum = -count * FE_OFFSET - op->in_zero_point;
        for (int32_t x = 0; x < op->reduced[0]; x++)
          for (int32_t y = 0; y < op->reduced[1]; y++)
            for (int32_t z = 0; z < op->reduced[2]; z++)
              sum += from[x * op->reduced_step[0] + y * op->reduced_step[1] + z * op->reduced_step[2]];
        sum = fe_rescale(sum, op->factor, fe_rounding(op->shift, 0), op->shift) + op->zero_point;
        out[i * op->out_step[0] + j * op->out_step[1] + k * op->out_step[2]] = fe_stored(fe_clamp(sum, -128, 127));
      }
}
