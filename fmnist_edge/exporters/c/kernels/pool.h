/* Pooling. Windows are cut off at the borders of the image. */
typedef struct {
  int32_t rows, columns, channels;       /* of the output */
  int32_t in_rows, in_columns;
  int32_t height, width, row_stride, column_stride, top, left;
  int32_t in_row_step, in_column_step, out_row_step, out_column_step;
  int32_t low, high;
} fe_pool;

typedef struct {
  int32_t first_row, end_row, first_column, end_column;
} fe_window;

FE_FUNCTION fe_window fe_window_of(const fe_pool *op, int32_t row, int32_t column) {
  fe_window found;
  found.first_row = row * op->row_stride - op->top;
  found.end_row = found.first_row + op->height;
  found.first_column = column * op->column_stride - op->left;
  found.end_column = found.first_column + op->width;
  if (found.first_row < 0) found.first_row = 0;
  if (found.first_column < 0) found.first_column = 0;
  if (found.end_row > op->in_rows) found.end_row = op->in_rows;
  if (found.end_column > op->in_columns) found.end_column = op->in_columns;
  return found;
}
