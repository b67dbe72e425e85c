/* A WebAssembly module without a C library. It exports the model's functions and their memory; module.mjs calls them.
   The model's header is included before it; FE_RUN and the like name its parts. */
#include <stddef.h>

#define FE_EXPORT(name) __attribute__((export_name(name)))

static unsigned char arena[FE_ARENA_BYTES];
static int8_t image[FE_INPUT_LENGTH], scores[FE_CLASSES];

void *memcpy(void *to, const void *from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);

void *memcpy(void *to, const void *from, size_t count) { return __builtin_memcpy(to, from, count); }
void *memmove(void *to, const void *from, size_t count) { return __builtin_memmove(to, from, count); }
void *memset(void *to, int value, size_t count) { return __builtin_memset(to, value, count); }

FE_EXPORT("image") int8_t *fe_image(void) { return image; }
FE_EXPORT("scores") int8_t *fe_scores(void) { return scores; }
FE_EXPORT("image_length") int fe_image_length(void) { return sizeof image; }
FE_EXPORT("classes") int fe_classes(void) { return sizeof scores; }
FE_EXPORT("target") const char *fe_target(void) { return FE_TARGET_NAME(); }
FE_EXPORT("run") void fe_run(void) { FE_RUN(image, scores, arena); }
