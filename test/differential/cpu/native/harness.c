/*
 * Runs instruction sequences on this machine's own processor.
 *
 * stdin: cases, back to back, of struct test_case; stdout: a struct test_result each, and with the argument "dump" the
 * data window after it. A case starts with exactly the registers it names and ends with the first exception, which its
 * closing INT3 makes sure of. The first code page is read and execute only, the second may also be written, the two data
 * pages are read and write, and the pages around both are not mapped.
 *
 * Generated sequences may jump anywhere: a seccomp filter turns system calls from the code pages into an outcome, and a
 * timer ends sequences that loop.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define CODE_BASE 0x10000000UL
#define CODE_BYTES 0x2000UL
#define DATA_BASE 0x20000000UL
#define DATA_BYTES 0x2000UL
#define MAX_CODE 112
#define IMAGE_BYTES 416
#define USER_CS32 0x23
#define USER_DS 0x2b
#define USER_CS 0x33
#define HWCAP2_FSGSBASE_BIT 2

/* Outcomes that are not exceptions. */
#define TRAP_TIMEOUT 254
#define TRAP_SYSCALL 255

struct test_case {
    uint32_t mode; /* 64 or 32 */
    uint32_t code_offset;
    uint32_t code_length;
    uint32_t seed;
    uint64_t gpr[16]; /* in encoding order */
    uint64_t flags;
    uint64_t fs_base, gs_base;
    uint8_t code[MAX_CODE];
    uint8_t image[IMAGE_BYTES]; /* of FXRSTOR64, without its reserved end */
};

struct test_result {
    uint64_t gpr[16];
    uint64_t rip, flags, cr2, fs_base, gs_base;
    uint32_t trap, error, hash;
    uint16_t cs, ss, ds, es, fs, gs;
    uint8_t image[IMAGE_BYTES];
};

_Static_assert(sizeof(struct test_case) == 696, "layout known to native-harness.ts");
_Static_assert(sizeof(struct test_result) == 608, "layout known to native-harness.ts");

/* What the assembly below uses. */
struct entry_frame {
    uint64_t rip, cs, flags, rsp, ss;
};
struct entry_frame entry_frame;
uint64_t entry_gpr[16];
uint64_t entry_fs_base, entry_gs_base;
uint8_t entry_image[512] __attribute__((aligned(16)));
uint64_t saved_rsp, saved_fs_base;
void enter_case(void);
void leave_case(void);
void fault_entry(int sig, siginfo_t *info, void *context);
void on_fault(int sig, siginfo_t *info, void *context);

/*
 * enter_case loads everything and starts the case with IRETQ, which also serializes after the code was written.
 * fault_entry clears AC, which a signal handler inherits, before compiled code makes unaligned accesses.
 */
__asm__(".text\n"
        "enter_case:\n"
        "  push %rbx\n  push %rbp\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
        "  mov %rsp, saved_rsp(%rip)\n"
        "  fxrstor64 entry_image(%rip)\n"
        "  mov $0x2b, %eax\n  mov %eax, %ds\n  mov %eax, %es\n"
        "  xor %eax, %eax\n  mov %eax, %fs\n  mov %eax, %gs\n"
        "  mov entry_fs_base(%rip), %rax\n  wrfsbase %rax\n"
        "  mov entry_gs_base(%rip), %rax\n  wrgsbase %rax\n"
        "  mov 0+entry_gpr(%rip), %rax\n  mov 8+entry_gpr(%rip), %rcx\n"
        "  mov 16+entry_gpr(%rip), %rdx\n  mov 24+entry_gpr(%rip), %rbx\n"
        "  mov 40+entry_gpr(%rip), %rbp\n  mov 48+entry_gpr(%rip), %rsi\n"
        "  mov 56+entry_gpr(%rip), %rdi\n  mov 64+entry_gpr(%rip), %r8\n"
        "  mov 72+entry_gpr(%rip), %r9\n  mov 80+entry_gpr(%rip), %r10\n"
        "  mov 88+entry_gpr(%rip), %r11\n  mov 96+entry_gpr(%rip), %r12\n"
        "  mov 104+entry_gpr(%rip), %r13\n  mov 112+entry_gpr(%rip), %r14\n"
        "  mov 120+entry_gpr(%rip), %r15\n"
        "  lea entry_frame(%rip), %rsp\n"
        "  iretq\n"
        "leave_case:\n"
        "  push $0x202\n  popfq\n" /* sigreturn leaves NT and ID as they were */
        "  fninit\n  push $0x1f80\n  ldmxcsr (%rsp)\n  pop %rax\n"
        "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbp\n  pop %rbx\n"
        "  ret\n"
        "fault_entry:\n"
        "  pushfq\n  andl $0xfffbffff, (%rsp)\n  popfq\n"
        "  jmp on_fault\n");

static struct test_result result;
static uint8_t *code_alias; /* the code pages, writable */
static volatile sig_atomic_t in_case;
static volatile uint32_t case_number;

static const int GREG_OF[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static uint16_t selector(int which)
{
    uint16_t value = 0;
    if (which == 0)
        __asm__ volatile("mov %%ds, %0" : "=r"(value));
    else if (which == 1)
        __asm__ volatile("mov %%es, %0" : "=r"(value));
    else if (which == 2)
        __asm__ volatile("mov %%fs, %0" : "=r"(value));
    else
        __asm__ volatile("mov %%gs, %0" : "=r"(value));
    return value;
}

/* Runs with the case's FS base: nothing here or below may use thread-local storage before it is put back. */
void on_fault(int sig, siginfo_t *info, void *context)
{
    static uint32_t last_tick;
    ucontext_t *uc = context;
    greg_t *gregs = uc->uc_mcontext.gregs;
    (void)info;
    if (sig == SIGPROF) {
        const uint32_t number = case_number;
        const int stuck = in_case && number == last_tick;
        last_tick = number;
        if (!stuck)
            return;
    }
    if (!in_case) {
        __asm__ volatile("hlt"); /* the harness itself is broken */
    }
    for (int i = 0; i < 16; i++)
        result.gpr[i] = (uint64_t)gregs[GREG_OF[i]];
    result.rip = (uint64_t)gregs[REG_RIP];
    result.flags = (uint64_t)gregs[REG_EFL];
    result.trap = sig == SIGPROF  ? TRAP_TIMEOUT
                  : sig == SIGSYS ? TRAP_SYSCALL
                                  : (uint32_t)gregs[REG_TRAPNO];
    result.error = (uint32_t)gregs[REG_ERR];
    result.cr2 = result.trap == 14 ? (uint64_t)gregs[REG_CR2] : 0;
    memcpy(result.image, uc->uc_mcontext.fpregs, IMAGE_BYTES);
    memset(result.image + 28, 0, 4); /* MXCSR_MASK is no state */
    result.cs = (uint16_t)gregs[REG_CSGSFS];
    result.ss = (uint16_t)((uint64_t)gregs[REG_CSGSFS] >> 48);
    result.ds = selector(0);
    result.es = selector(1);
    result.fs = selector(2);
    result.gs = selector(3);
    __asm__ volatile("rdfsbase %0" : "=r"(result.fs_base));
    __asm__ volatile("rdgsbase %0" : "=r"(result.gs_base));
    __asm__ volatile("mov %0, %%fs" : : "r"(0));
    __asm__ volatile("wrfsbase %0" : : "r"(saved_fs_base));
    in_case = 0;
    gregs[REG_RIP] = (greg_t)(uintptr_t)leave_case;
    gregs[REG_RSP] = (greg_t)saved_rsp;
    gregs[REG_EFL] = 0x202;
    gregs[REG_CSGSFS] = (greg_t)(((uint64_t)USER_DS << 48) | USER_CS);
}

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return 1;
}

static int map_pages(void)
{
    const int fd = memfd_create("code", 0);
    if (fd < 0 || ftruncate(fd, CODE_BYTES) != 0)
        return fail("memfd");
    code_alias = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (code_alias == MAP_FAILED)
        return fail("code alias");
    if (mmap((void *)CODE_BASE, CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_POPULATE | MAP_FIXED_NOREPLACE, fd,
             0) != (void *)CODE_BASE)
        return fail("code pages");
    if (mprotect((void *)(CODE_BASE + CODE_BYTES / 2), CODE_BYTES / 2, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        return fail("writable code page");
    if (mmap((void *)DATA_BASE, DATA_BYTES, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_FIXED_NOREPLACE, -1, 0) != (void *)DATA_BASE)
        return fail("data pages");
    memset(code_alias, 0xcc, CODE_BYTES);
    return 0;
}

static int install_handlers(void)
{
    static const int SIGNALS[] = {SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGSYS, SIGPROF};
    static uint8_t stack[65536] __attribute__((aligned(64)));
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    if (sigaltstack(&alternate, NULL) != 0)
        return fail("sigaltstack");
    struct sigaction action = {.sa_sigaction = fault_entry, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(SIGNALS) / sizeof(SIGNALS[0]); i++)
        if (sigaction(SIGNALS[i], &action, NULL) != 0)
            return fail("sigaction");
    const struct itimerval every = {.it_interval = {0, 50000}, .it_value = {0, 50000}};
    return setitimer(ITIMER_PROF, &every, NULL) != 0 ? fail("setitimer") : 0;
}

/* System calls whose instruction lies in the code pages raise SIGSYS; the harness itself lives above 4 GiB. */
static int install_filter(void)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {.len = sizeof(program) / sizeof(program[0]), .filter = program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fail("no_new_privs");
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0 ? fail("seccomp") : 0;
}

/* The same sequence as fillWindow() in data-window.ts. */
static void fill_window(uint32_t seed)
{
    static const uint32_t EDGES[16] = {0,          0xffffffff, 0x80000000, 0x7fffffff, 1,          DATA_BASE + 0x1040,
                                       0xffff8000, 0x8080,     0x3f800000, 0x3ff00000, 0x7f800001, 0x7ff00000,
                                       0x00800000, 0xbf000000, 0x4f000000, 0x7fc00000};
    uint32_t *words = (uint32_t *)DATA_BASE;
    uint32_t x = seed | 1;
    for (size_t i = 0; i < DATA_BYTES / 4; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        words[i] = (x & 0x70) == 0 ? EDGES[x & 15] : x;
    }
}

/* The same as hashWindow() in data-window.ts. */
static uint32_t hash_window(void)
{
    const uint32_t *words = (const uint32_t *)DATA_BASE;
    uint32_t hash = 0x811c9dc5;
    for (size_t i = 0; i < DATA_BYTES / 4; i++)
        hash = (hash ^ words[i]) * 0x01000193;
    return hash;
}

static void run(const struct test_case *c)
{
    memset(&result, 0, sizeof(result));
    memcpy(code_alias + c->code_offset, c->code, c->code_length);
    fill_window(c->seed);
    memcpy(entry_gpr, c->gpr, sizeof(entry_gpr));
    memcpy(entry_image, c->image, IMAGE_BYTES);
    entry_fs_base = c->fs_base;
    entry_gs_base = c->gs_base;
    entry_frame.rip = CODE_BASE + c->code_offset;
    entry_frame.cs = c->mode == 32 ? USER_CS32 : USER_CS;
    entry_frame.flags = c->flags;
    entry_frame.rsp = c->gpr[4];
    entry_frame.ss = USER_DS;
    case_number++;
    in_case = 1;
    enter_case();
    memset(code_alias, 0xcc, CODE_BYTES);
    result.hash = hash_window();
}

int main(int argc, char **argv)
{
    const int dump = argc > 1 && strcmp(argv[1], "dump") == 0;
    struct test_case c;
    if ((getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT) == 0) {
        fprintf(stderr, "needs FSGSBASE\n");
        return 2;
    }
    __asm__ volatile("rdfsbase %0" : "=r"(saved_fs_base));
    if (map_pages() != 0 || install_handlers() != 0 || install_filter() != 0)
        return 1;
    while (fread(&c, sizeof(c), 1, stdin) == 1) {
        if (c.code_length > MAX_CODE || c.code_offset + c.code_length > CODE_BYTES) {
            fprintf(stderr, "a case's code does not fit\n");
            return 1;
        }
        run(&c);
        fwrite(&result, sizeof(result), 1, stdout);
        if (dump)
            fwrite((const void *)DATA_BASE, DATA_BYTES, 1, stdout);
    }
    return 0;
}
