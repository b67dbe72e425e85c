/* What the WebAssembly module exports. It imports nothing. Addresses are those of its memory.

   The weights are not in the module: whoever instantiates it copies `weights.bin` to weights(). */
#include "@name@.h"
#include "@name@_weights.h"

#include <stddef.h>
#include <string.h>

#define FE_EXPORT(name) __attribute__((export_name(#name)))

extern unsigned char __heap_base;

static unsigned char arena[@NAME@_ARENA_BYTES];
static int8_t input[@NAME@_INPUT_LENGTH], output[@NAME@_CLASSES];
static uint8_t pixels[@NAME@_INPUT_LENGTH];
static float scores[@NAME@_CLASSES];

FE_EXPORT(height) int32_t fe_height(void) { return @NAME@_HEIGHT; }
FE_EXPORT(width) int32_t fe_width(void) { return @NAME@_WIDTH; }
FE_EXPORT(channels) int32_t fe_channels(void) { return @NAME@_CHANNELS; }
FE_EXPORT(classes) int32_t fe_classes(void) { return @NAME@_CLASSES; }
FE_EXPORT(input_scale) float fe_input_scale(void) { return @NAME@_INPUT_SCALE; }
FE_EXPORT(input_zero_point) int32_t fe_input_zero_point(void) { return @NAME@_INPUT_ZERO_POINT; }
FE_EXPORT(output_scale) float fe_output_scale(void) { return @NAME@_OUTPUT_SCALE; }
FE_EXPORT(output_zero_point) int32_t fe_output_zero_point(void) { return @NAME@_OUTPUT_ZERO_POINT; }

FE_EXPORT(weights) uint32_t fe_weights_at(void) { return (uint32_t)(uintptr_t)fe_weights; }
FE_EXPORT(weights_bytes) uint32_t fe_weights_bytes(void) { return @weights_bytes@; }
FE_EXPORT(input) void *fe_input(void) { return input; }
FE_EXPORT(output) void *fe_output(void) { return output; }
FE_EXPORT(pixels) void *fe_pixels(void) { return pixels; }
FE_EXPORT(scores) void *fe_scores(void) { return scores; }
FE_EXPORT(heap) void *fe_heap(void) { return &__heap_base; } /* free memory begins here; grow it as needed */

/* int8 input -> int8 output */
FE_EXPORT(run) void fe_run(void) { @name@_run(input, output, arena); }

/* uint8 pixels -> float scores */
FE_EXPORT(classify) void fe_classify(void) { @name@_classify(pixels, scores, arena); }

#if @images@ /* of any size -> pixels; see @name@.h */
FE_EXPORT(image_bytes) int32_t fe_image_bytes(int32_t width, int32_t height) {
  return @name@_image_bytes(width, height);
}

FE_EXPORT(image_begin) int fe_image_begin(int32_t width, int32_t height, int32_t layout, int32_t ground,
                                          void *workspace) {
  return @name@_image_begin(width, height, layout, ground, pixels, workspace);
}

FE_EXPORT(image_rows) int fe_image_rows(const uint8_t *rows, int32_t count, int32_t length, void *workspace) {
  int failed = 0;
  for (int32_t i = 0; i < count && !failed; i++) failed = @name@_image_row(rows + i * length, workspace);
  return failed;
}

FE_EXPORT(looks_inverted) int fe_looks_inverted(void) { return @name@_looks_inverted(pixels); }
FE_EXPORT(invert) void fe_invert(void) { @name@_invert(pixels); }
#endif

/* The compiler may call these wherever bytes are copied or set. */
__attribute__((no_builtin)) void *memcpy(void *to, const void *from, size_t bytes) {
  unsigned char *out = (unsigned char *)to;
  const unsigned char *in = (const unsigned char *)from;
  while (bytes--) *out++ = *in++;
  return to;
}

__attribute__((no_builtin)) void *memmove(void *to, const void *from, size_t bytes) {
  unsigned char *out = (unsigned char *)to;
  const unsigned char *in = (const unsigned char *)from;
  if (out > in)
    while (bytes--) out[bytes] = in[bytes];
  else
    while (bytes--) *out++ = *in++;
  return to;
}

__attribute__((no_builtin)) void *memset(void *to, int value, size_t bytes) {
  unsigned char *out = (unsigned char *)to;
  while (bytes--) *out++ = (unsigned char)value;
  return to;
}
