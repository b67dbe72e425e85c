/* Written by `fmnist-edge confidence`; fit again rather than edit. No libm: every exponential that can occur is in a
   table. */
#include "@name@_confidence.h"

#include "@name@.h"

/* For int8 scores from -128 to 127, or for the distance from the highest score: e to the power of logit / temperature. */
static const float powers[256] = {
@powers@
};

/* Least sum of powers of an answer with each class, at the highest score that there is; 0 for no limit. */
static const float least_sums[@classes@] = {
@least_sums@
};

#define THRESHOLD @threshold@
#define LEAST_SPREAD UINT64_C(@least_spread@)

/* The square of (length * standard deviation) of the pixels. */
static uint64_t spread(const uint8_t *pixels) {
  uint64_t sum = 0, squares = 0;
  for (int32_t i = 0; i < @NAME@_INPUT_LENGTH; i++) {
    sum += pixels[i];
    squares += (uint64_t)pixels[i] * pixels[i];
  }
  return @NAME@_INPUT_LENGTH * squares - sum * sum;
}

/* The int8 value + 128 of a score. */
static int32_t step_of(float score) {
  const float steps = score / @NAME@_OUTPUT_SCALE + (float)(@NAME@_OUTPUT_ZERO_POINT + 128) + 0.5f;
  return steps < 0.0f ? 0 : steps >= 255.0f ? 255 : (int32_t)steps;
}

int @name@_answer(const float *scores, const uint8_t *pixels, float *probabilities, int *known) {
  int top = 0;
  float sum = 0.0f;
  for (int i = 1; i < @NAME@_CLASSES; i++)
    if (scores[i] > scores[top]) top = i;
  const int32_t highest = step_of(scores[top]);
  for (int i = 0; i < @NAME@_CLASSES; i++) {
    const int32_t step = step_of(scores[i]);
    probabilities[i] = powers[@NAME@_OUTPUT_IS_LOGITS ? highest - step : step];
    sum += probabilities[i];
  }
  for (int i = 0; i < @NAME@_CLASSES; i++) probabilities[i] /= sum;
  *known = probabilities[top] >= THRESHOLD && spread(pixels) >= LEAST_SPREAD &&
           (!@NAME@_OUTPUT_IS_LOGITS || sum * powers[255 - highest] >= least_sums[top]);
  return top;
}
