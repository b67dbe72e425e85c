/* An image of any size as the model takes it. Nothing else needs this file: leave it out if your images fit. */
#include "@name@.h"

#include <stddef.h>
#include <string.h>

/* From the contract. */
#define FE_RESIZE @resize@
#define FE_FIT @fit@
#define FE_FILL @fill@
#define FE_ROWS @NAME@_HEIGHT
#define FE_COLUMNS @NAME@_WIDTH
#define FE_CHANNELS @NAME@_CHANNELS

#if defined(__GNUC__)
#define FE_IMAGE_FUNCTION static __attribute__((unused))
#else
#define FE_IMAGE_FUNCTION static
#endif

@kernel@

static uint8_t *aligned(void *workspace) {
  const uintptr_t mask = FE_IMAGE_ALIGNMENT - 1;
  return (uint8_t *)(((uintptr_t)workspace + mask) & ~mask);
}

int32_t @name@_image_bytes(int32_t width, int32_t height) {
  fe_image image;
  if (fe_plan(&image, width, height)) return 0;
  const int64_t bytes = fe_place(&image, NULL);
  return bytes > INT32_MAX ? 0 : (int32_t)bytes;
}

int @name@_image_begin(int32_t width, int32_t height, int32_t layout, int32_t ground, uint8_t *pixels,
                       void *workspace) {
  uint8_t *at = aligned(workspace);
  fe_image *image = (fe_image *)(void *)at;
  const int known = layout == @NAME@_GREY || layout == @NAME@_RGB || layout == @NAME@_RGBA || layout == @NAME@_BGR ||
                    layout == @NAME@_BGRA;
  if (!known) return @NAME@_UNKNOWN_LAYOUT;
  if (!@name@_image_bytes(width, height)) return @NAME@_WRONG_SIZE;
  fe_plan(image, width, height);
  fe_begin(image, at, layout, ground, pixels);
  return 0;
}

int @name@_image_row(const uint8_t *row, void *workspace) {
  return fe_row((fe_image *)(void *)aligned(workspace), row) ? @NAME@_TRANSPARENT : 0;
}

int @name@_image(const uint8_t *image, int32_t width, int32_t height, int32_t layout, int32_t ground, uint8_t *pixels,
                 void *workspace) {
  const size_t length = (size_t)width * (size_t)(layout < 0 ? -layout : layout);
  int failed = @name@_image_begin(width, height, layout, ground, pixels, workspace);
  for (int32_t row = 0; row < height && !failed; row++)
    failed = @name@_image_row(image + (size_t)row * length, workspace);
  return failed;
}

int @name@_looks_inverted(const uint8_t *pixels) {
  const int32_t lightness = fe_border(pixels);
  return @polarity@ > 0 ? lightness > 0 : @polarity@ < 0 && lightness < 0;
}

void @name@_invert(uint8_t *pixels) {
  for (int32_t i = 0; i < FE_ROWS * FE_COLUMNS * FE_CHANNELS; i++) pixels[i] = (uint8_t)(255 - pixels[i]);
}
