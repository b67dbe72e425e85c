#include "@name@.h"

#define COUNT @count@

static const int8_t inputs[COUNT * @NAME@_INPUT_LENGTH] = {
@inputs@
};

static const int8_t outputs[COUNT * @NAME@_CLASSES] = {
@outputs@
};

int @name@_self_test(void *arena) {
  int wrong = 0;
  for (int i = 0; i < COUNT; i++) {
    int8_t found[@NAME@_CLASSES];
    @name@_run(inputs + i * @NAME@_INPUT_LENGTH, found, arena);
    for (int k = 0; k < @NAME@_CLASSES; k++) wrong += found[k] != outputs[i * @NAME@_CLASSES + k];
  }
  return wrong;
}
