// Writes what an emulated Cortex-M reads in a c-array to dump.bin on the host, by semihosting. Needs the array's
// header included before it, MODEL, its namespace, and OPS, such as OP(Conv2D) OP(Reshape).
#include <cstdio>

extern "C" void _start();

namespace {

// Where the core starts: its stack, the end of the board's RAM, and newlib's entry.
struct Vectors {
  std::uintptr_t stack;
  void (*reset)();
};
__attribute__((section(".vectors"), used)) const Vectors kVectors = {0x20400000, _start};

// Counts what AddOps asks for, and refuses one op when told to.
struct Resolver {
  unsigned int calls = 0;
  unsigned int refused = ~0u;
  int add() { return calls++ == refused; }
#define OP(name) \
  int Add##name() { return add(); }
  OPS
#undef OP
};

}  // namespace

int main() {
  namespace model = MODEL;
  Resolver resolver, refusing;
  refusing.refused = model::kOpCount - 1;
  if (!model::AddOps(resolver) || resolver.calls != model::kOpCount || model::AddOps(refusing)) return 2;
  if (reinterpret_cast<std::uintptr_t>(model::kModel) % 16) return 3;
  std::FILE* file = std::fopen("dump.bin", "wb");
  if (!file) return 4;
  std::fwrite(model::kModel, 1, model::kModelLength, file);
  std::fwrite(model::kPixelToInput, 1, sizeof(model::kPixelToInput), file);
  std::fwrite(model::kGoldenInput, 1, model::kInputLength, file);
  std::fwrite(model::kGoldenOutput, 1, model::kClassCount, file);
  for (const std::int8_t output : model::kGoldenOutput) {
    const float score = model::Score(output);
    std::fwrite(&score, sizeof(score), 1, file);
  }
  for (const char* label : model::kLabels) std::fprintf(file, "%s\n", label);
  return std::fclose(file) ? 5 : 0;
}
