/* Brings an image of any size to FE_ROWS x FE_COLUMNS x FE_CHANNELS, the same bits as Pillow 13: its filters with 22
   bits of fraction, first along rows, then along columns; the other way round for a tall image. (Older Pillows begin
   with the rows of tall images too; their pixels may differ by 1.) Image rows come one after another, and only those
   that the next output row needs are kept.

   Coefficients are computed in double precision, step by step as Pillow's wheels for x86-64 do: each product and
   quotient is stored, so no compiler fuses it with a sum, whatever the options. */
#define FE_NEAREST 0
#define FE_BOX 1
#define FE_BILINEAR 2
#define FE_BICUBIC 3
#define FE_LANCZOS 4
#define FE_STRETCH 0
#define FE_CROP 1
#define FE_LETTERBOX 2

#define FE_FRACTION 22 /* bits */
#define FE_LONGEST_SIDE 65535
#define FE_MOST_IMAGE_PIXELS (1 << 25)
#define FE_IMAGE_ALIGNMENT 16

/* One axis of the image. `first` and `count` of each output: the inputs it is a sum of. */
typedef struct {
  int32_t size, outputs;
  int32_t longest; /* of the sums */
  float begin;
  double scale, stretch, support;
} fe_axis;

typedef struct {
  fe_axis across, down;
  int32_t layout, ground, row, output, first, count;
  int32_t left, top;         /* of the resized image between bars */
  int32_t tall, kept_length; /* whether columns come first; bytes of a kept row */
  int32_t *columns, *across_weights, *down_weights;
  uint8_t *line, *kept;      /* one row in the model's channels; the rows that are needed, a ring of down.longest */
  uint8_t *pixels;
} fe_image;

FE_IMAGE_FUNCTION double fe_stored_double(double value) {
  volatile double stored = value;
  return stored;
}

FE_IMAGE_FUNCTION double fe_product(double a, double b) { return fe_stored_double(fe_stored_double(a) * b); }

FE_IMAGE_FUNCTION double fe_quotient(double a, double b) {
  return fe_stored_double(fe_stored_double(a) / fe_stored_double(b));
}

FE_IMAGE_FUNCTION int32_t fe_at_least(double value) { /* the least integer that is not below a positive value */
  const int32_t whole = (int32_t)value;
  return (double)whole < value ? whole + 1 : whole;
}

FE_IMAGE_FUNCTION int32_t fe_to_even(double value) { /* a value of 0 or more, rounded half to even */
  const int32_t whole = (int32_t)value;
  const double rest = value - (double)whole;
  return rest > 0.5 || (rest == 0.5 && whole % 2) ? whole + 1 : whole;
}

#if FE_RESIZE == FE_LANCZOS
/* sin(pi x) for |x| <= 3: a Taylor series of the distance to the nearest integer, to 1e-16. */
FE_IMAGE_FUNCTION double fe_sine_of_pi(double x) {
  int32_t nearest = (int32_t)(x < 0 ? x - 0.5 : x + 0.5);
  const double angle = fe_product(x - (double)nearest, 3.14159265358979323846);
  const double square = fe_product(angle, angle);
  double sum = 0.0;
  for (int32_t k = 21; k > 1; k -= 2) sum = fe_quotient(fe_product(square, 1.0 - sum), (double)(k * (k - 1)));
  sum = fe_product(angle, 1.0 - sum);
  return nearest % 2 ? -sum : sum;
}

FE_IMAGE_FUNCTION double fe_sinc(double x) {
  return x == 0.0 ? 1.0 : fe_quotient(fe_sine_of_pi(x), fe_product(x, 3.14159265358979323846));
}
#endif

static const double fe_half_width[] = {0.0, 0.5, 1.0, 2.0, 3.0}; /* of each filter, in input pixels at scale 1 */

FE_IMAGE_FUNCTION double fe_filter(double x) {
#if FE_RESIZE == FE_BOX
  return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
#elif FE_RESIZE == FE_BICUBIC
  if (x < 0.0) x = -x;
  if (x < 1.0) return fe_product(fe_product(fe_product(1.5, x) - 2.5, x), x) + 1.0;
  if (x < 2.0) return fe_product(fe_product(fe_product(x - 5.0, x) + 8.0, x) - 4.0, -0.5);
  return 0.0;
#elif FE_RESIZE == FE_LANCZOS
  return x >= -3.0 && x < 3.0 ? fe_product(fe_sinc(x), fe_sinc(fe_quotient(x, 3.0))) : 0.0;
#else
  if (x < 0.0) x = -x;
  return x < 1.0 ? 1.0 - x : 0.0;
#endif
}

/* An axis of which begin..end becomes `outputs` pixels. */
FE_IMAGE_FUNCTION fe_axis fe_axis_of(int32_t size, double begin, double end, int32_t outputs) {
  fe_axis axis;
  const volatile float from = (float)begin, to = (float)end;
  const volatile float length = to - from;
  axis.size = size;
  axis.outputs = outputs;
  axis.begin = from;
  axis.scale = fe_quotient((double)length, (double)outputs);
  axis.stretch = axis.scale < 1.0 ? 1.0 : axis.scale;
  axis.support = fe_product(fe_half_width[FE_RESIZE], axis.stretch);
  axis.longest = fe_at_least(axis.support) * 2 + 1;
  return axis;
}

FE_IMAGE_FUNCTION double fe_center(const fe_axis *axis, int32_t output) {
  return fe_stored_double((double)axis->begin + fe_product((double)output + 0.5, axis->scale));
}

/* The inputs that an output is a sum of: how many, after `first`. */
FE_IMAGE_FUNCTION int32_t fe_inputs_of(const fe_axis *axis, int32_t output, int32_t *first) {
#if FE_RESIZE == FE_NEAREST
  double at = (double)axis->begin + fe_product(axis->scale, 0.5);
  for (int32_t i = 0; i < output; i++) at = fe_stored_double(at + axis->scale);
  *first = at < (double)axis->size ? (int32_t)at : axis->size - 1;
  return 1;
#else
  const double center = fe_center(axis, output);
  int32_t from = (int32_t)(fe_stored_double(center - axis->support) + 0.5);
  int32_t to = (int32_t)(fe_stored_double(center + axis->support) + 0.5);
  if (from < 0) from = 0;
  if (to > axis->size) to = axis->size;
  *first = from;
  return to - from;
#endif
}

/* The weights of `count` inputs, with FE_FRACTION bits of fraction. They are computed twice, to need no memory. */
FE_IMAGE_FUNCTION void fe_weights_of(const fe_axis *axis, int32_t output, int32_t first, int32_t count,
                                     int32_t *weights) {
  const double center = fe_center(axis, output), inverse = fe_quotient(1.0, axis->stretch);
  double sum = 0.0;
  for (int32_t i = 0; i < count; i++)
    sum = fe_stored_double(sum + fe_filter(fe_product((double)(i + first) - center + 0.5, inverse)));
  for (int32_t i = 0; i < count; i++) {
    double weight = fe_filter(fe_product((double)(i + first) - center + 0.5, inverse));
    if (sum != 0.0) weight = fe_quotient(weight, sum);
    weight = fe_product(weight, (double)((int32_t)1 << FE_FRACTION));
    weights[i] = (int32_t)(weight < 0.0 ? weight - 0.5 : weight + 0.5);
  }
}

FE_IMAGE_FUNCTION uint8_t fe_byte(int32_t sum) {
  const int32_t value = sum >> FE_FRACTION;
  return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Both axes, and where the resized image lies in the output. Nonzero for a size that is not taken. */
FE_IMAGE_FUNCTION int fe_plan(fe_image *image, int32_t width, int32_t height) {
  if (width < 1 || height < 1 || width > FE_LONGEST_SIDE || height > FE_LONGEST_SIDE) return 1;
  if (height > FE_MOST_IMAGE_PIXELS / width) return 1;
  int32_t columns = FE_COLUMNS, rows = FE_ROWS;
  double left = 0.0, top = 0.0, right = (double)width, bottom = (double)height;
#if FE_FIT == FE_CROP
  const double ratio = fe_quotient((double)width, (double)height), wanted = fe_quotient(FE_COLUMNS, FE_ROWS);
  if (ratio > wanted) {
    const double kept = fe_product(wanted, (double)height);
    left = fe_product((double)width - kept, 0.5);
    right = fe_stored_double(left + kept);
  } else if (ratio < wanted) {
    const double kept = fe_quotient((double)width, wanted);
    top = fe_product((double)height - kept, 0.5);
    bottom = fe_stored_double(top + kept);
  }
#elif FE_FIT == FE_LETTERBOX
  if ((int64_t)width * FE_ROWS > (int64_t)FE_COLUMNS * height)
    rows = fe_to_even(fe_product(fe_quotient((double)height, (double)width), FE_COLUMNS));
  else
    columns = fe_to_even(fe_product(fe_quotient((double)width, (double)height), FE_ROWS));
  if (rows < 1) rows = 1;
  if (columns < 1) columns = 1;
#endif
  image->across = fe_axis_of(width, left, right, columns);
  image->down = fe_axis_of(height, top, bottom, rows);
  image->left = fe_to_even((double)(FE_COLUMNS - columns) / 2.0);
  image->top = fe_to_even((double)(FE_ROWS - rows) / 2.0);
  image->tall = height > rows && height - rows > 2 * (width - columns);
  image->kept_length = (image->tall ? width : columns) * FE_CHANNELS;
  return 0;
}

/* The next part of the workspace; `at` is NULL where only its size is wanted. */
FE_IMAGE_FUNCTION uint8_t *fe_part(uint8_t *at, int64_t *used, int64_t bytes) {
  uint8_t *part = at ? at + *used : at;
  *used += (bytes + FE_IMAGE_ALIGNMENT - 1) / FE_IMAGE_ALIGNMENT * FE_IMAGE_ALIGNMENT;
  return part;
}

FE_IMAGE_FUNCTION int64_t fe_place(fe_image *image, uint8_t *at) {
  int64_t used = 0;
  const int64_t columns = image->across.outputs, word = (int64_t)sizeof(int32_t);
  fe_part(at, &used, (int64_t)sizeof(fe_image));
  image->columns = (int32_t *)(void *)fe_part(at, &used, 2 * columns * word);
  image->across_weights = (int32_t *)(void *)fe_part(at, &used, columns * image->across.longest * word);
  image->down_weights = (int32_t *)(void *)fe_part(at, &used, image->down.longest * word);
  image->line = fe_part(at, &used, (int64_t)image->across.size * FE_CHANNELS);
  image->kept = fe_part(at, &used, (int64_t)image->kept_length * image->down.longest);
  return used + FE_IMAGE_ALIGNMENT;
}

/* The rows that the next output row needs. */
FE_IMAGE_FUNCTION void fe_next_output(fe_image *image) {
  if (image->output >= image->down.outputs) return;
  image->count = fe_inputs_of(&image->down, image->output, &image->first);
#if FE_RESIZE != FE_NEAREST
  fe_weights_of(&image->down, image->output, image->first, image->count, image->down_weights);
#endif
}

/* `at`: aligned workspace that begins with the structure. */
FE_IMAGE_FUNCTION void fe_begin(fe_image *image, uint8_t *at, int32_t layout, int32_t ground, uint8_t *pixels) {
  static const uint8_t fill[] = {FE_FILL};
  fe_place(image, at);
  image->layout = layout;
  image->ground = ground;
  image->pixels = pixels;
  image->row = image->output = 0;
  for (int32_t i = 0; i < FE_ROWS * FE_COLUMNS * FE_CHANNELS; i++) pixels[i] = fill[i % FE_CHANNELS];
  for (int32_t i = 0; i < image->across.outputs; i++) {
    int32_t *found = image->columns + 2 * i;
    found[1] = fe_inputs_of(&image->across, i, found);
#if FE_RESIZE != FE_NEAREST
    fe_weights_of(&image->across, i, found[0], found[1], image->across_weights + i * image->across.longest);
#endif
  }
  fe_next_output(image);
}

/* A pixel's channel over the ground, by Pillow's alpha_composite. */
FE_IMAGE_FUNCTION int32_t fe_over(int32_t level, int32_t ground, int32_t alpha) {
  if (!alpha) return ground;
  const int32_t sum = level * alpha * 128 + ground * (255 * 128 - alpha * 128) + (128 << 7);
  return ((sum >> 8) + sum) >> 15;
}

/* One row of the image in the model's channels. Nonzero for a transparent pixel without a ground. */
FE_IMAGE_FUNCTION int fe_convert(const fe_image *image, const uint8_t *in, uint8_t *out) {
  const int32_t layout = image->layout < 0 ? -image->layout : image->layout; /* bytes of a pixel */
  const int32_t red = image->layout < 0 ? 2 : 0;
  for (int32_t x = 0; x < image->across.size; x++, in += layout, out += FE_CHANNELS) {
    int32_t r = in[layout == 1 ? 0 : red], g = in[layout == 1 ? 0 : 1], b = in[layout == 1 ? 0 : 2 - red];
    if (layout == 4 && in[3] != 255) {
      if (image->ground < 0) return 1;
      r = fe_over(r, image->ground >> 16 & 255, in[3]);
      g = fe_over(g, image->ground >> 8 & 255, in[3]);
      b = fe_over(b, image->ground & 255, in[3]);
    }
#if FE_CHANNELS == 1
    out[0] = (uint8_t)((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16);
#else
    out[0] = (uint8_t)r;
    out[1] = (uint8_t)g;
    out[2] = (uint8_t)b;
#endif
  }
  return 0;
}

/* `line` resized along the row. */
FE_IMAGE_FUNCTION void fe_along_row(const fe_image *image, uint8_t *out) {
  for (int32_t i = 0; i < image->across.outputs; i++, out += FE_CHANNELS) {
    const uint8_t *in = image->line + image->columns[2 * i] * FE_CHANNELS;
#if FE_RESIZE == FE_NEAREST
    memcpy(out, in, FE_CHANNELS);
#else
    const int32_t *weights = image->across_weights + i * image->across.longest, count = image->columns[2 * i + 1];
    int32_t sums[FE_CHANNELS];
    for (int32_t c = 0; c < FE_CHANNELS; c++) sums[c] = (int32_t)1 << (FE_FRACTION - 1);
    for (int32_t k = 0; k < count; k++)
      for (int32_t c = 0; c < FE_CHANNELS; c++) sums[c] += in[FE_CHANNELS * k + c] * weights[k];
    for (int32_t c = 0; c < FE_CHANNELS; c++) out[c] = fe_byte(sums[c]);
#endif
  }
}

/* The kept rows as one, resized along the columns. */
FE_IMAGE_FUNCTION void fe_down_columns(const fe_image *image, uint8_t *out) {
  const int32_t length = image->kept_length;
#if FE_RESIZE == FE_NEAREST
  memcpy(out, image->kept + image->first % image->down.longest * length, (size_t)length);
#else
  for (int32_t i = 0; i < length; i++) {
    int32_t sum = (int32_t)1 << (FE_FRACTION - 1), at = image->first % image->down.longest;
    for (int32_t k = 0; k < image->count; k++) {
      sum += image->kept[at * length + i] * image->down_weights[k];
      if (++at == image->down.longest) at = 0;
    }
    out[i] = fe_byte(sum);
  }
#endif
}

/* The next row of the image. Nonzero for a transparent pixel without a ground. */
FE_IMAGE_FUNCTION int fe_row(fe_image *image, const uint8_t *row) {
  const int32_t at = image->row++;
  if (at >= image->down.size) return 0;
  if (fe_convert(image, row, image->line)) return 1;
  if (image->output >= image->down.outputs || at < image->first) return 0;
  uint8_t *kept = image->kept + at % image->down.longest * image->kept_length;
  if (image->tall)
    memcpy(kept, image->line, (size_t)image->kept_length);
  else
    fe_along_row(image, kept);
  while (image->output < image->down.outputs && image->first + image->count <= image->row) {
    const int32_t to = (image->top + image->output) * FE_COLUMNS + image->left;
    uint8_t *out = image->pixels + to * FE_CHANNELS;
    if (image->tall) {
      fe_down_columns(image, image->line);
      fe_along_row(image, out);
    } else {
      fe_down_columns(image, out);
    }
    image->output++;
    fe_next_output(image);
  }
  return 0;
}

/* Twice the sum of the outermost pixels, less what it would be if they were of medium lightness. */
FE_IMAGE_FUNCTION int32_t fe_border(const uint8_t *pixels) {
  int32_t sum = 0, count = 0;
  for (int32_t row = 0; row < FE_ROWS; row++)
    for (int32_t column = 0; column < FE_COLUMNS; column++) {
      if (row && row < FE_ROWS - 1 && column && column < FE_COLUMNS - 1) continue;
      for (int32_t c = 0; c < FE_CHANNELS; c++) sum += pixels[(row * FE_COLUMNS + column) * FE_CHANNELS + c];
      count += FE_CHANNELS;
    }
  return 2 * sum - 255 * count;
}
