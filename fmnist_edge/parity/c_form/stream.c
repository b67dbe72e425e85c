/* A program that reads images from images.bin, one after another, and writes their scores to scores.bin. The model's
   header is included before it; FE_RUN and the like name its parts. */
#include <stdio.h>

static unsigned char arena[FE_ARENA_BYTES];

int main(void) {
  FILE *images = fopen("images.bin", "rb"), *answers = fopen("scores.bin", "wb"), *target = fopen("target.txt", "wb");
  int8_t image[FE_INPUT_LENGTH], scores[FE_CLASSES];
  if (!images || !answers || !target) return 2;
  fputs(FE_TARGET_NAME(), target);
  while (fread(image, 1, sizeof image, images) == sizeof image) {
    FE_RUN(image, scores, arena);
    if (fwrite(scores, 1, sizeof scores, answers) != sizeof scores) return 3;
  }
  fclose(images);
  return fclose(answers) || fclose(target) ? 3 : 0;
}
