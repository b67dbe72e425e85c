/* Written by `fmnist-edge export --format c`; export again rather than edit.

   One image in, @classes@ scores out. C99, no heap, no library, no globals that change: threads may share the code, each
   with an arena of its own. */
#ifndef @NAME@_H
#define @NAME@_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* SHA-256 of the .tflite file. */
#define @NAME@_SHA256 "@sha256@"

/* Bytes of memory that a call needs, with any alignment. Nothing in it must be kept between calls. */
#if @wide@
#define @NAME@_ARENA_BYTES (2 * (@arena@ + @wide_scratch@) + @slack@)
#elif @x86@
#define @NAME@_ARENA_BYTES (@arena@ + @scratch@ + @slack@)
#else
#define @NAME@_ARENA_BYTES (@arena@ + @slack@)
#endif

/* One image: @shape@, rows, columns, channels. */
#define @NAME@_HEIGHT @height@
#define @NAME@_WIDTH @width@
#define @NAME@_CHANNELS @channels@
#define @NAME@_INPUT_LENGTH @inputs@
#define @NAME@_CLASSES @classes@

/* Input: real = (int8 - zero point) * scale, where real = (pixel * PIXEL_SCALE - PIXEL_MEAN) / PIXEL_STD. */
#define @NAME@_INPUT_SCALE @input_scale@
#define @NAME@_INPUT_ZERO_POINT (@input_zero_point@)
#define @NAME@_PIXEL_SCALE @pixel_scale@
#define @NAME@_PIXEL_MEAN @pixel_mean@
#define @NAME@_PIXEL_STD @pixel_std@

/* Output: @output@, score = (int8 - zero point) * scale. @meaning@ */
#define @NAME@_OUTPUT_SCALE @output_scale@
#define @NAME@_OUTPUT_ZERO_POINT (@output_zero_point@)
#define @NAME@_OUTPUT_IS_LOGITS @is_logits@

/* The int8 input of each uint8 pixel, rounded half to even and saturated.@pixel_rows@ */
extern const int8_t @name@_pixel_to_input[@pixel_count@];

/* The names of the classes, UTF-8. */
extern const char *const @name@_labels[@labels@];

/* What the model expects and returns, as JSON. */
extern const char @name@_contract[];

/* int8 image -> int8 scores: the same bits as the .tflite file in TensorFlow Lite's reference kernels. */
void @name@_run(const int8_t *input, int8_t *output, void *arena);

/* uint8 pixels -> float scores. */
void @name@_classify(const uint8_t *pixels, float *scores, void *arena);

@image@/* The number of scores that differ from those at the export; 0 on a machine that computes right. In golden.c. */
int @name@_self_test(void *arena);

/* The instructions that the code was compiled for, such as "AVX2". */
const char *@name@_target(void);

#ifdef __cplusplus
}
#endif

#endif
