/* Hide AVX-512, AMX and the VNNI instructions from a program on a CPU that has them, so that its libraries choose the
   kernels for a CPU with AVX2. `without_vnni.py` compiles and preloads this.

   The instructions still work. A program learns of them by the instruction CPUID. On Intel CPUs, Linux can make CPUID a
   fault ("CPUID faulting", arch_prctl(2)): exec resets it, and LD_PRELOAD sets it again; threads and forks inherit it. On
   other CPUs, the CPUIDs of the libraries that PLACES lists are replaced by a trap when they are loaded. The handlers
   below answer in place of the CPU, with the bits of these features cleared.

   Not covered: statically linked programs, and the dynamic loader, which has read CPUID before. Without CPUID faulting:
   libraries that are not listed, and those that read CPUID while they are loaded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012
#define LABEL "FMNIST_EDGE_HIDDEN_CPU_FEATURES"
#define PLACES "FMNIST_EDGE_CPUID_PLACES" /* a file with "BASENAME ADDRESS" of each CPUID of a library, as in its ELF */
#define FAILED 125
#define BIT(n) ((uint32_t)1 << (n))
#define PUBLIC __attribute__((visibility("default")))

typedef int (*sigaction_function)(int, const struct sigaction *, struct sigaction *);
typedef int (*mask_function)(int, const sigset_t *, sigset_t *);

static struct sigaction program_action; /* what the program wants to happen at SIGSEGV */
static int has_faulting;
static const char *places; /* the value of PLACES */

/* The state of CPUID faulting is the calling thread's. */
static long allow_cpuid(long allowed) {
  return has_faulting ? syscall(SYS_arch_prctl, ARCH_SET_CPUID, allowed) : 0;
}

static void hide(uint32_t leaf, uint32_t subleaf, uint32_t *eax, uint32_t *ebx, uint32_t *ecx, uint32_t *edx) {
  if (leaf == 7 && subleaf == 0) {
    /* avx512f, dq, ifma, pf, er, cd, bw, vl; vbmi, vbmi2, vnni, bitalg, vpopcntdq */
    *ebx &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31));
    *ecx &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));
    /* avx512_4vnniw, 4fmaps, vp2intersect; amx_bf16; avx512_fp16; amx_tile, amx_int8 */
    *edx &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25));
  } else if (leaf == 7 && subleaf == 1) {
    *eax &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23)); /* avx_vnni, avx512_bf16, amx_fp16, avx_ifma */
    *edx &= ~(BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(19)); /* avx_vnni_int8, ne_convert, amx_complex, int16, avx10 */
  } else if (leaf == 0x1d || leaf == 0x1e || leaf == 0x24) { /* tiles, their unit, avx10 */
    *eax = *ebx = *ecx = *edx = 0;
  }
}

static void emulate(greg_t *registers) {
  const uint32_t leaf = (uint32_t)registers[REG_RAX], subleaf = (uint32_t)registers[REG_RCX];
  uint32_t eax, ebx, ecx, edx;
  allow_cpuid(1);
  __asm__ volatile("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "a"(leaf), "c"(subleaf));
  allow_cpuid(0);
  hide(leaf, subleaf, &eax, &ebx, &ecx, &edx);
  registers[REG_RAX] = eax;
  registers[REG_RBX] = ebx;
  registers[REG_RCX] = ecx;
  registers[REG_RDX] = edx;
  registers[REG_RIP] += 2;
}

static int real_sigaction(int number, const struct sigaction *wanted, struct sigaction *before) {
  static sigaction_function function;
  if (!function) function = (sigaction_function)dlsym(RTLD_NEXT, "sigaction");
  return function(number, wanted, before);
}

static const unsigned char cpuid[] = {0x0f, 0xa2}, trap[] = {0xcc, 0x90}; /* INT3, NOP */

static void at_segv(int number, siginfo_t *info, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  /* SI_KERNEL: a general protection fault, at an instruction that was read already. */
  if (info->si_code == SI_KERNEL && !memcmp((const void *)registers[REG_RIP], cpuid, sizeof cpuid)) {
    emulate(registers);
  } else if (program_action.sa_flags & SA_SIGINFO) {
    program_action.sa_sigaction(number, info, context);
  } else if (program_action.sa_handler != SIG_DFL && program_action.sa_handler != SIG_IGN) {
    program_action.sa_handler(number);
  } else if (program_action.sa_handler == SIG_DFL || info->si_code > 0) { /* ends the program, as without this */
    struct sigaction nothing = {.sa_handler = SIG_DFL};
    real_sigaction(SIGSEGV, &nothing, NULL);
    if (info->si_code <= 0) raise(SIGSEGV); /* sent by a program: it does not come again by itself */
  }
}

static void at_trap(int number, siginfo_t *info, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  (void)number, (void)info;
  registers[REG_RIP]--; /* from the NOP to the INT3 */
  emulate(registers);
}

/* Replace the CPUIDs of a library by traps. */
static int replace(struct dl_phdr_info *library, size_t size, void *unused) {
  const char *slash = strrchr(library->dlpi_name, '/');
  char name[256];
  unsigned long address;
  FILE *file = slash ? fopen(places, "r") : NULL;
  (void)size, (void)unused;
  while (file && fscanf(file, "%255s %lx", name, &address) == 2) {
    unsigned char *at = (unsigned char *)(library->dlpi_addr + address);
    void *page = (void *)((uintptr_t)at & ~(uintptr_t)4095);
    const size_t length = (size_t)(at + sizeof trap - (unsigned char *)page);
    if (strcmp(name, slash + 1) || memcmp(at, cpuid, sizeof cpuid)) continue;
    mprotect(page, length, PROT_READ | PROT_WRITE | PROT_EXEC);
    memcpy(at, trap, sizeof trap);
    mprotect(page, length, PROT_READ | PROT_EXEC);
  }
  if (file) fclose(file);
  return 0;
}

PUBLIC void *dlopen(const char *path, int flags) {
  static void *(*function)(const char *, int);
  if (!function) function = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
  void *library = function(path, flags);
  if (library && !has_faulting) dl_iterate_phdr(replace, NULL);
  return library;
}

/* With CPUID faulting, the program's own handler, such as Python's faulthandler, runs for whatever is no CPUID. */
PUBLIC int sigaction(int number, const struct sigaction *wanted, struct sigaction *before) {
  if (number != SIGSEGV || !has_faulting) return real_sigaction(number, wanted, before);
  const struct sigaction old = program_action;
  if (wanted) program_action = *wanted;
  if (before) *before = old;
  return 0;
}

PUBLIC sighandler_t signal(int number, sighandler_t handler) {
  struct sigaction wanted = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;
  return sigaction(number, &wanted, &before) ? SIG_ERR : before.sa_handler;
}

/* A fault whose signal is blocked kills the program: SIGSEGV and SIGTRAP stay unblocked. */
static int mask(const char *name, int how, const sigset_t *wanted, sigset_t *before) {
  sigset_t open;
  if (wanted && how != SIG_UNBLOCK) {
    open = *wanted;
    sigdelset(&open, SIGSEGV);
    sigdelset(&open, SIGTRAP);
    wanted = &open;
  }
  return ((mask_function)dlsym(RTLD_NEXT, name))(how, wanted, before);
}

PUBLIC int sigprocmask(int how, const sigset_t *wanted, sigset_t *before) {
  return mask("sigprocmask", how, wanted, before);
}

PUBLIC int pthread_sigmask(int how, const sigset_t *wanted, sigset_t *before) {
  return mask("pthread_sigmask", how, wanted, before);
}

/* Before libc has one of its own: getenv finds nothing yet. */
static const char *value_of(char **environment, const char *name) {
  const size_t length = strlen(name);
  for (; *environment; environment++)
    if (!strncmp(*environment, name, length) && (*environment)[length] == '=') return *environment + length + 1;
  return NULL;
}

static void fail(const char *reason) {
  const ssize_t written = write(2, reason, strlen(reason));
  _exit(written < 0 ? FAILED + 1 : FAILED);
}

__attribute__((constructor)) static void start(int count, char **arguments, char **environment) {
  /* No SA_ONSTACK: programs have alternative stacks that are too small for the registers that this CPU saves. */
  struct sigaction action = {.sa_sigaction = at_segv, .sa_flags = SA_SIGINFO};
  (void)count, (void)arguments;
  sigfillset(&action.sa_mask); /* another handler must not meet the real CPUID */
  /* Results name the hidden features by this variable, so there is no run without it. */
  if (!value_of(environment, LABEL)) fail("hide_cpu_features: " LABEL " is not set; run without_vnni.py\n");
  has_faulting = !syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0L);
  if (!has_faulting) {
    action.sa_sigaction = at_trap;
    places = value_of(environment, PLACES);
    if (!places || real_sigaction(SIGTRAP, &action, NULL))
      fail("hide_cpu_features: this CPU or kernel has no CPUID faulting, and " PLACES " is not set\n");
  } else if (real_sigaction(SIGSEGV, &action, &program_action)) {
    fail("hide_cpu_features: no handler for SIGSEGV\n");
  }
}
