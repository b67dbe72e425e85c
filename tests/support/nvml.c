/* What of NVIDIA's libnvidia-ml.so.1 the package calls, for machines without a GPU. Environment variables say what it
   does; every call is a line in the file NVML_LOG. Compiled with -DNO_OLD_NAMES or -DNO_NEW_NAMES it lacks the old or the
   new names of the functions that NVIDIA renamed. Error numbers and structures are those of nvml.h. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, GPU_IS_LOST = 15, UNKNOWN = 999 };

typedef struct { int index; } Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; int sensor; int celsius; } Temperature;

static Device devices[2] = {{0}, {1}};
static int initialised, sm_reads, reason_reads;

static int number(const char *name, int otherwise) {
  const char *text = getenv(name);
  return text ? atoi(text) : otherwise;
}

static void note(const char *call) {
  const char *path = getenv("NVML_LOG");
  FILE *file = path ? fopen(path, "a") : NULL;
  if (!file) return;
  fprintf(file, "%s\n", call);
  fclose(file);
}

/* GPU 0 is lost once its SM clock was read NVML_LOST_AFTER times. */
static int asked(const char *call, const Device *device) {
  note(call);
  if (!initialised) return UNINITIALIZED;
  return device && device->index == 0 && sm_reads >= number("NVML_LOST_AFTER", 1 << 30) ? GPU_IS_LOST : SUCCESS;
}

/* NVML_QUIET is the GPU that knows neither its power nor its temperature. */
static int asked_sensor(const char *call, const Device *device) {
  int error = asked(call, device);
  return error ? error : device->index == number("NVML_QUIET", 1) ? NOT_SUPPORTED : SUCCESS;
}

int nvmlInitWithFlags(unsigned flags) {
  int error = number("NVML_INIT", SUCCESS);
  (void)flags;
  note(error ? "refused" : "init");
  if (getenv("NVML_HANGS")) sleep(60);
  if (!error) initialised++;
  return error;
}

int nvmlShutdown(void) {
  int error = asked("shutdown", NULL);
  if (!error) initialised--;
  return error;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
  int error = asked("count", NULL);
  int found = number("NVML_COUNT", 2);
  *count = (unsigned)found;
  return found < 0 ? UNKNOWN : error;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
  if ((int)index >= number("NVML_COUNT", 2)) return INVALID_ARGUMENT;
  *device = &devices[index];
  return asked("handle", *device);
}

int nvmlSystemGetDriverVersion(char *text, unsigned length) {
  int error = asked("driver", NULL);
  snprintf(text, length, "580.159.04");
  return error;
}

int nvmlDeviceGetName(Device *device, char *text, unsigned length) {
  const char *name = getenv("NVML_NAME");
  int error = asked("name", device);
  snprintf(text, length, "%s", device->index ? "Tesla T4" : name ? name : "NVIDIA H100 80GB HBM3");
  return error;
}

int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
  int error = asked("memory", device);
  memset(memory, 0, sizeof *memory);
  memory->total = device->index ? 16106127360ULL : 85520809984ULL + 1; /* 15,360 and 81,559 MiB and a byte */
  return error;
}

int nvmlDeviceGetClockInfo(Device *device, int which, unsigned *mhz) {
  int error = asked(which == 1 ? "sm clock" : "clock", device);
  if (which != 1 && which != 2) return INVALID_ARGUMENT; /* NVML_CLOCK_SM, NVML_CLOCK_MEM */
  *mhz = which == 2 ? 2619 : device->index ? 585 : 1980 - 15 * (unsigned)sm_reads;
  if (which == 1 && device->index == 0 && !error) sm_reads++;
  return error;
}

int nvmlDeviceGetPowerUsage(Device *device, unsigned *milliwatts) {
  *milliwatts = 91207;
  return asked_sensor("power", device);
}

int nvmlDeviceGetPersistenceMode(Device *device, int *enabled) {
  *enabled = device->index == 0;
  return asked("persistence", device);
}

/* The next of NVML_REASONS, decimal numbers separated by spaces; the last one stays. */
static int reasons(Device *device, unsigned long long *bits) {
  const char *text = getenv("NVML_REASONS");
  int error = asked("reasons", device);
  char *rest = (char *)(text ? text : "4");
  for (int read = 0; read <= reason_reads && *rest; read++) *bits = strtoull(rest, &rest, 10);
  reason_reads++;
  return error;
}

#ifndef NO_OLD_NAMES
int nvmlDeviceGetTemperature(Device *device, int sensor, unsigned *celsius) {
  *celsius = 40;
  return sensor ? INVALID_ARGUMENT : asked_sensor("temperature", device);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(Device *device, unsigned long long *bits) { return reasons(device, bits); }
#endif

#ifndef NO_NEW_NAMES
int nvmlDeviceGetTemperatureV(Device *device, Temperature *temperature) {
  temperature->celsius = 40;
  return temperature->sensor ? INVALID_ARGUMENT : asked_sensor("temperature", device);
}

int nvmlDeviceGetCurrentClocksEventReasons(Device *device, unsigned long long *bits) { return reasons(device, bits); }
#endif
