#include "@name@.h"

#include <stddef.h>
#include <string.h>

#include "@name@_weights.h"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

@kernels@

/* Only activations with an offset need the sums of weights. */
#if FE_OFFSET
#define FE_SUMS(name) name
#else
#define FE_SUMS(name) NULL
#endif

#if defined(FE_AVX2)
#define FE_ORDER(blocks, stride, copies, length, scratch) {blocks, stride, copies, length, scratch}
#define FE_WEIGHTS(packed, ordered) ordered
#else
#define FE_ORDER(blocks, stride, copies, length, scratch)
#define FE_WEIGHTS(packed, ordered) packed
#endif

@steps@

static void graph(fe_act *at) {
  @calls@
}

static fe_act *aligned(void *arena) { return (fe_act *)(((uintptr_t)arena + 63) & ~(uintptr_t)63); }

void @name@_run(const int8_t *input, int8_t *output, void *arena) {
  fe_act *at = aligned(arena);
  fe_load(&load, (const uint8_t *)input, NULL, @input@);
  graph(at);
  fe_store(&store, @output@, output);
}

void @name@_classify(const uint8_t *pixels, float *scores, void *arena) {
  fe_act *at = aligned(arena);
  int8_t output[@NAME@_CLASSES];
  @load_pixels@(&load, pixels, @name@_pixel_to_input,@is_reversed@ @input@);
  graph(at);
  fe_store(&store, @output@, output);
  for (int i = 0; i < @NAME@_CLASSES; i++)
    scores[i] = (float)(output[i] - @NAME@_OUTPUT_ZERO_POINT) * @NAME@_OUTPUT_SCALE;
}

const char *@name@_target(void) { return FE_TARGET; }

const int8_t @name@_pixel_to_input[@pixel_count@] = {
@pixels@
};

const char *const @name@_labels[@label_count@] = {
    @labels@};

const char @name@_contract[] = @contract@;
