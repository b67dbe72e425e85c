/* The self-test: cc -std=c99 -O3 *.c -o /tmp/test && /tmp/test */
#include <stdio.h>

#include "@name@.h"

static unsigned char arena[@NAME@_ARENA_BYTES];

int main(void) {
  const int wrong = @name@_self_test(arena);
  printf("%s: %d scores differ (compiled for %s, arena %d bytes)\n", wrong ? "FAILED" : "ok", wrong, @name@_target(),
         (int)sizeof arena);
  return wrong != 0;
}
