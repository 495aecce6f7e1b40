/* Runs hypercall stubs in user mode: see xen-hypercalls.test.ts, which appends main(). */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <ucontext.h>

#define PHYSICAL_OFFSET 0x100000000ull
#define hw_virt_to_phys(pointer) ((uint64_t)(uintptr_t)(pointer) + PHYSICAL_OFFSET)
/*
 * An undefined instruction of the same length stands for either vendor's: in a virtual machine the real ones may reach
 * a hypervisor even from user mode.
 */
__asm__(".macro vmcall\nud2\nnop\n.endm\n.macro vmmcall\nud2\nnop\n.endm\n");
#include "xen-hypercalls.h"

unsigned int hw_use_vmmcall;

/* Xen's stubs: mov $n, %eax; the instruction; ret. */
__asm__(".text\n.balign 4096\n.globl hypercall_page\nhypercall_page:\n"
        ".set number, 0\n.rept 64\nmovl $number, %eax\nvmcall\nret\n.balign 32, 0xcc\n"
        ".set number, number + 1\n.endr\n");

static const int order[] = {REG_RAX, REG_RDI, REG_RSI, REG_RDX, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12};
static const char *const names[] = {"rax", "rdi", "rsi", "rdx", "r8", "r9", "r10", "r11", "r12"};
static uint64_t seen[9];
static int calls;
static unsigned char found[256];
static size_t bytes;
static uint64_t offset;
static evtchn_port_t handle[4] = {0x11223344};

static void on_sigill(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)number;
    (void)info;
    for (int i = 0; i < 9; i++)
        seen[i] = (uint64_t)registers[order[i]];
    calls++;
    if (seen[0] & HW_FASTABI_MASK) {
        static const int fast[] = {REG_RAX, REG_RDI, REG_RSI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12};
        /* reg1 is the sub-operation and no output of any operation: stubs expect it to stay. */
        for (int i = 2; i < 8; i++)
            registers[fast[i]] = (greg_t)(0x8182838485868700ull + i);
    } else if (bytes != 0) {
        /* A struct's address is far above the values of other arguments. */
        uint64_t at = (seen[1] > 0x10000 ? seen[1] : seen[2] > 0x10000 ? seen[2] : seen[3]) - offset;

        memcpy(found, (void *)(uintptr_t)at, bytes);
    }
    registers[REG_RAX] = 0x2a;
    registers[REG_RIP] += 3;
}

static void prepare(void)
{
    static unsigned char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = on_sigill, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigaltstack(&alternate, 0);
    sigaction(SIGILL, &action, 0);
}

static void fill(void *struct_, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)struct_)[i] = (unsigned char)(i * 37 + 0x81);
}

__attribute__((unused)) static void put_handle(void *struct_, size_t at)
{
    void *pointer = handle;

    memcpy((unsigned char *)struct_ + at, &pointer, sizeof(pointer));
}

static void begin(int physical, size_t size)
{
    calls = 0;
    bytes = size;
    offset = physical ? PHYSICAL_OFFSET : 0;
    memset(found, 0, sizeof(found));
}

static void finish(const char *name, int64_t result, const void *struct_, size_t size)
{
    if (calls != 1) {
        fprintf(stderr, "%s made %d calls\n", name, calls);
        exit(1);
    }
    printf("%s", name);
    for (int i = 0; i < 9; i++)
        printf(" %s=%llx", names[i], (unsigned long long)seen[i]);
    printf(" result=%llx arg=%llx handle=%llx found=", (unsigned long long)result,
           (unsigned long long)(uintptr_t)struct_, (unsigned long long)(uintptr_t)handle);
    for (size_t i = 0; i < size; i++)
        printf("%02x", found[i]);
    printf(" after=");
    for (size_t i = 0; i < size; i++)
        printf("%02x", ((const unsigned char *)struct_)[i]);
    printf("\n");
}
