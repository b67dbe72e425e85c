/* Written by `fmnist-edge confidence`; fit again rather than edit. It was fitted on @images@ images. */
#ifndef @NAME@_CONFIDENCE_H
#define @NAME@_CONFIDENCE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The likeliest class of an image.

   scores: as @name@_classify writes them.
   pixels: those that were classified.
   probabilities: room for @classes@ calibrated probabilities.
   known: becomes 0 where the answer should be "unknown". */
int @name@_answer(const float *scores, const uint8_t *pixels, float *probabilities, int *known);

#ifdef __cplusplus
}
#endif

#endif
