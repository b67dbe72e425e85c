/* Fill what surrounds an image of rows x columns pixels with its zero point. */
typedef struct {
  int32_t top, bottom, left, right; /* pixels */
  int32_t rows, columns, channels;
  int32_t value;
} fe_border;

FE_FUNCTION void fe_fill(fe_act *to, int32_t count, int32_t value) {
  const fe_act stored = fe_stored(value);
  for (int32_t i = 0; i < count; i++) to[i] = stored;
}

/* `whole`: where the border begins, above and left of the image. */
FE_FUNCTION void fe_surround(const fe_border *op, fe_act *whole) {
  const int32_t width = (op->left + op->columns + op->right) * op->channels;
  fe_act *at = whole;
  fe_fill(at, op->top * width, op->value);
  at += op->top * width;
  for (int32_t row = 0; row < op->rows; row++, at += width) {
    fe_fill(at, op->left * op->channels, op->value);
    fe_fill(at + (op->left + op->columns) * op->channels, op->right * op->channels, op->value);
  }
  fe_fill(at, op->bottom * width, op->value);
}
