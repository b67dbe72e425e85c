/* QEMU plugin that counts how often each block of instructions runs between two marks.
 *
 * A mark is the system call getpgid(MARK_START) or getpgid(MARK_STOP). Any guest can make it, and none makes it by
 * chance. It fails, because no such process exists. At every stop mark a section is appended to the file named by
 * `out=`: a line "blocks", then for each block that ran "executions address instructions-in-hex", then a line "end".
 *
 * A block is the unit that QEMU translates: straight code that ends at a branch, at the end of a page or after 512
 * instructions. The translated code adds 1 to the block's counter, which is exact for a guest with one thread.
 *
 * Written for QEMU 7.2 (Debian 12) and version 1 of its plugin interface (qemu-plugin.h, docs/devel/tcg-plugins.rst).
 * Debian does not package the header, so its declarations are repeated here. Later QEMUs refuse this version with a
 * message.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*translated_t)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*syscall_t)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                          uint64_t, uint64_t, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated_t);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, syscall_t);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum qemu_plugin_op, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;

enum { GETPGID = 155, WIDTH = 4 }; /* number in the aarch64 system call table; bytes of an A64 instruction */
enum { MARK_START = 0x7edc0001, MARK_STOP = 0x7edc0002 };

struct block {
    uint64_t executions, before; /* in total; up to the last start mark */
    uint64_t address;
    size_t length; /* instructions */
    struct block *next;
    unsigned char code[];
};

static struct block *blocks;
static const char *out;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t length = qemu_plugin_tb_n_insns(tb);
    struct block *block = calloc(1, sizeof *block + length * WIDTH);
    if (!block)
        abort();
    block->address = qemu_plugin_tb_vaddr(tb);
    block->length = length;
    for (size_t i = 0; i < length; i++)
        memcpy(block->code + i * WIDTH, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), WIDTH);
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &block->executions, 1);
}

static void write_section(void)
{
    FILE *file = fopen(out, "a");
    if (!file) {
        perror(out);
        abort();
    }
    fputs("blocks\n", file);
    for (struct block *block = blocks; block; block = block->next) {
        if (block->executions == block->before)
            continue;
        fprintf(file, "%" PRIu64 " %" PRIx64 " ", block->executions - block->before, block->address);
        for (size_t i = 0; i < block->length * WIDTH; i++)
            fprintf(file, "%02x", block->code[i]);
        fputc('\n', file);
    }
    fputs("end\n", file);
    if (fclose(file)) {
        perror(out);
        abort();
    }
}

static void called(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t process, uint64_t b, uint64_t c,
                   uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    if (number != GETPGID)
        return;
    if (process == MARK_START)
        for (struct block *block = blocks; block; block = block->next)
            block->before = block->executions;
    else if (process == MARK_STOP)
        write_section();
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    if (argc != 1 || strncmp(argv[0], "out=", 4)) {
        fputs("blocks: expected the argument out=FILE\n", stderr);
        return 1;
    }
    out = strdup(argv[0] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
