/* A program that reads images from images.bin, one after another, and writes their scores to scores.bin. The model's
   header is included before it; FE_RUN and the like name its parts.

   Five arguments, WARM_UP CALLS SECTIONS START STOP, let it call the model on the first image so often first: WARM_UP
   times, then CALLS times in each section. A section begins and ends with a mark: getpgid of the number START or STOP. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static unsigned char arena[FE_ARENA_BYTES];
static int8_t image[FE_INPUT_LENGTH], scores[FE_CLASSES];

static void call(long times) {
  for (long i = 0; i < times; i++) FE_RUN(image, scores, arena);
}

static void mark(long number) { (void)getpgid((pid_t)number); }

static void call_between_marks(const long *numbers) {
  call(numbers[0]);
  for (long section = 0; section < numbers[2]; section++) {
    mark(numbers[3]);
    call(numbers[1]);
    mark(numbers[4]);
  }
}

int main(int count, char **arguments) {
  FILE *images = fopen("images.bin", "rb"), *answers = fopen("scores.bin", "wb"), *target = fopen("target.txt", "wb");
  long numbers[5];
  if (!images || !answers || !target) return 2;
  fputs(FE_TARGET_NAME(), target);
  if (count == 6) {
    for (int i = 0; i < 5; i++) numbers[i] = strtol(arguments[i + 1], NULL, 10);
    if (fread(image, 1, sizeof image, images) != sizeof image) return 2;
    call_between_marks(numbers);
    rewind(images);
  }
  while (fread(image, 1, sizeof image, images) == sizeof image) {
    call(1);
    if (fwrite(scores, 1, sizeof scores, answers) != sizeof scores) return 3;
  }
  fclose(images);
  return fclose(answers) || fclose(target) ? 3 : 0;
}
