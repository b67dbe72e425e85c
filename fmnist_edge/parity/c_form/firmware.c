/* A firmware for an emulated Cortex-M: it reads images from images.bin on the host, one after another, and writes their
   scores to scores.bin, by semihosting. The model's header is included before it; FE_RUN and the like name its parts. */
#include <stdint.h>
#include <string.h>

enum { SYS_OPEN = 0x01, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT_EXTENDED = 0x20 };
enum { READ_BINARY = 1, WRITE_BINARY = 5, APPLICATION_EXIT = 0x20026 };

extern uint32_t fe_stack_top, fe_data_start, fe_data_end, fe_data_from, fe_bss_start, fe_bss_end;

static unsigned char arena[FE_ARENA_BYTES];
static int8_t image[FE_INPUT_LENGTH], scores[FE_CLASSES];

static intptr_t host(intptr_t call, const void *arguments) {
  register intptr_t r0 __asm__("r0") = call;
  register const void *r1 __asm__("r1") = arguments;
  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static void leave(uintptr_t code) {
  const uintptr_t arguments[2] = {APPLICATION_EXIT, code};
  host(SYS_EXIT_EXTENDED, arguments);
  for (;;) {
  }
}

static uintptr_t opened(const char *name, uintptr_t mode) {
  const uintptr_t arguments[3] = {(uintptr_t)name, mode, strlen(name)};
  const intptr_t file = host(SYS_OPEN, arguments);
  if (file < 0) leave(2);
  return (uintptr_t)file;
}

/* The number of bytes that are left to read or write. */
static intptr_t moved(intptr_t call, uintptr_t file, const void *bytes, uintptr_t count) {
  const uintptr_t arguments[3] = {file, (uintptr_t)bytes, count};
  return host(call, arguments);
}

void fe_reset(void) {
  memcpy(&fe_data_start, &fe_data_from, (size_t)((char *)&fe_data_end - (char *)&fe_data_start));
  memset(&fe_bss_start, 0, (size_t)((char *)&fe_bss_end - (char *)&fe_bss_start));
  const uintptr_t images = opened("images.bin", READ_BINARY), answers = opened("scores.bin", WRITE_BINARY);
  const uintptr_t target = opened("target.txt", WRITE_BINARY);
  if (moved(SYS_WRITE, target, FE_TARGET_NAME(), strlen(FE_TARGET_NAME()))) leave(3);
  while (moved(SYS_READ, images, image, sizeof image) == 0) {
    FE_RUN(image, scores, arena);
    if (moved(SYS_WRITE, answers, scores, sizeof scores)) leave(3);
  }
  leave(0);
}

static void fault(void) { leave(4); }

struct vectors {
  uint32_t *stack;
  void (*handlers[15])(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors vectors = {
    &fe_stack_top, {fe_reset, fault, fault, fault, fault, fault}};
