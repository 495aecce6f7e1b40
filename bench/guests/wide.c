/*
 * Guest for host speed on wide code, as kernels have it: `steps=N` system calls from user mode, each of which runs a few
 * of 256 handlers, called through a table, over 8 MiB of objects. Handlers copy and fill with string instructions, take
 * locks, change page tables, fault pages in and raise interrupts. Prints one line,
 *   wide: steps=<n> checksum=<hex> cycles=<simulated time-stamp difference>
 */
#include "command-line.h"
#include "console.h"
#include "exceptions.h"
#include "guest.h"
#include "layout.h"
#include "page-tables.h"
#include "processor.h"
#include "start-info.h"
#include "xen.h"

#define HANDLERS 256
#define OBJECTS 32768
#define WINDOW_PAGES 64
#define TICK_VECTOR 0x30
#define PAGE_FAULT_VECTOR 14
#define GATES 64
#define USER 4 /* page-table entry: user mode may use it */

struct object {
  uint64_t key, state, count, links[4];
  uint32_t lock, pad;
  uint64_t body[24];
};

typedef uint64_t handler(uint64_t a, uint64_t b, uint32_t depth);
extern handler *const handlers[HANDLERS];

static struct object objects[OBJECTS];
static uint8_t window[WINDOW_PAGES][4096] __attribute__((aligned(4096)));
static uint64_t faults, ticks, steps, started;
extern uint64_t page_tables_l4[512], page_tables_l2_high[512], page_tables_l1[];

/* Seven of eight in the first 256 KiB: kernels have favourites too. */
static inline struct object *object_at(uint64_t hash) {
  return &objects[hash >> 20 & ((hash & 7) ? 1023 : OBJECTS - 1)];
}

static inline void copy(void *to, const void *from, uint64_t bytes) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static inline void fill(void *to, uint64_t value, uint64_t words) {
  __asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(value) : "memory");
}

static inline void lock(uint32_t *word) {
  uint32_t taken = 1;
  do __asm__ volatile("xchgl %0, %1" : "+r"(taken), "+m"(*word) : : "memory");
  while (taken);
}

static inline void unlock(uint32_t *word) { *(volatile uint32_t *)word = 0; }

static inline uint64_t *leaf_of(const void *page) {
  return &page_tables_l1[((uint64_t)page - VIRT_BASE - IMAGE_PHYS) >> 12];
}

/* Gives a page of the window another frame, or none, and uses it. */
static uint64_t __attribute__((noinline)) remap(uint64_t hash) {
  uint8_t *page = window[hash % WINDOW_PAGES];
  *leaf_of(page) = hash & 0x300 ? physical(window[hash >> 16 & (WINDOW_PAGES - 1)]) | 3 : 0;
  __asm__ volatile("invlpg (%0)" : : "r"(page) : "memory");
  return ++*(volatile uint64_t *)(page + (hash >> 24 & 0xff8));
}

#define HANDLER(n)                                                                                  \
  static uint64_t handler_##n(uint64_t a, uint64_t b, uint32_t depth) {                             \
    struct object *object = object_at(a * (2 * n + 0x9e3779b97f4a7c15) + b);                        \
    uint64_t r = object->key ^ (a >> n % 23);                                                         \
    if (object->state & (1 << n % 6)) r += object->count * (n | 1);                                   \
    else r ^= object->links[n & 3] >> 3;                                                            \
    if (n % 3 == 0) {                                                                               \
      lock(&object->lock);                                                                          \
      object->count += r & 15;                                                                      \
      unlock(&object->lock);                                                                        \
    }                                                                                               \
    if (n % 9 == 1) copy(object->body, object_at(r)->body, 16 + n % 7 * 16);                        \
    if (n % 10 == 2) fill(object->body + n % 8, r, 4 + n % 12);                                     \
    if (n % 4 == 3)                                                                                 \
      for (uint64_t i = 0; i < (r >> 5 & 7); i++) r = r * 5 + object->body[i + n % 16];             \
    if (n % 29 == 4) r += remap(r);                                                                 \
    if (n % 31 == 5) __asm__ volatile("int %0" : : "i"(TICK_VECTOR) : "memory");                    \
    if ((b ^ r) & (1 << n % 8)) object->state ^= r;                                                   \
    else object->state += n;                                                                        \
    switch (((r >> 9) + n) & 3) {                                                                     \
      case 0: object->links[n >> 2 & 3] += b; break;                                                \
      case 1: r -= object->links[n >> 3 & 3]; break;                                                \
      case 2: if (r & 64) object->key += 0x1b3; break;                                              \
      default: r = ((r << 7) | (r >> 57)) ^ n;                                                          \
    }                                                                                               \
    if (!depth) return r;                                                                           \
    r ^= handlers[((r >> 11) ^ n) & (HANDLERS - 1)](r, a + n, depth - 1);                                        \
    if (r & (1 << n % 5)) r += handlers[r >> 21 & (HANDLERS - 1)](b, r, depth - 1);                              \
    return r;                                                                                       \
  }

/* Base-4 digits behind a zero: distinct octal numbers. */
#define FOUR(m, n) m(n##0) m(n##1) m(n##2) m(n##3)
#define SIXTEEN(m, n) FOUR(m, n##0) FOUR(m, n##1) FOUR(m, n##2) FOUR(m, n##3)
#define SIXTY_FOUR(m, n) SIXTEEN(m, n##0) SIXTEEN(m, n##1) SIXTEEN(m, n##2) SIXTEEN(m, n##3)
#define ALL(m) SIXTY_FOUR(m, 010) SIXTY_FOUR(m, 011) SIXTY_FOUR(m, 012) SIXTY_FOUR(m, 013)
#define NAME(n) handler_##n,

ALL(HANDLER)
handler *const handlers[HANDLERS] = {ALL(NAME)};

uint64_t system_call(uint64_t hash, uint64_t sum, uint64_t last);
void page_fault(uint64_t address);
void tick(void);
void enter_user(uint64_t steps) __attribute__((noreturn));
extern const char syscall_entry[], page_fault_entry[], tick_entry[], user_code[];

/* Entered from `syscall_entry`; with `last` set, user mode is done and `sum` its checksum. */
uint64_t system_call(uint64_t hash, uint64_t sum, uint64_t last) {
  if (!last) return handlers[hash >> 32 & (HANDLERS - 1)](hash, sum, 2);
  uint64_t cycles = read_timestamp() - started;
  print("wide: steps=");
  print_decimal(steps);
  print(" checksum=");
  print_hex(sum + faults + (ticks << 32));
  print(" cycles=");
  print_decimal(cycles);
  print("\n");
  xen_shutdown(SHUTDOWN_POWEROFF);
  return 0;
}

void page_fault(uint64_t address) {
  const uint8_t *page = (const uint8_t *)(address & ~0xfffull);
  if (page < window[0] || page > window[WINDOW_PAGES - 1]) {
    print("unexpected page fault at ");
    print_hex(address);
    print("\n");
    xen_shutdown(SHUTDOWN_CRASH);
  }
  *leaf_of(page) = physical(page) | 3;
  faults++;
}

void tick(void) { ticks++; }

__asm__(
    ".macro SAVED_CALL target\n"
    "pushq %rax; pushq %rcx; pushq %rdx; pushq %rsi; pushq %rdi; pushq %r8; pushq %r9; pushq %r10; pushq %r11\n"
    "cld; call \\target\n"
    "popq %r11; popq %r10; popq %r9; popq %r8; popq %rdi; popq %rsi; popq %rdx; popq %rcx; popq %rax\n"
    ".endm\n"
    "page_fault_entry:\n"
    "pushq %rdi; movq %cr2, %rdi\n"
    "SAVED_CALL page_fault\n"
    "popq %rdi; addq $8, %rsp; iretq\n"
    "tick_entry:\n"
    "SAVED_CALL tick\n"
    "iretq\n"
    /* Kernel's stack pointer of the only processor is where enter_user left it. */
    "syscall_entry:\n"
    "swapgs; movq %rsp, user_rsp; movq kernel_rsp, %rsp; pushq %rcx; pushq %r11\n"
    "call system_call\n"
    "popq %r11; popq %rcx; movq user_rsp, %rsp; swapgs; sysretq\n"
    "enter_user:\n"
    "movq %rsp, kernel_rsp; movq %rdi, %r12; movq $user_code, %rcx; movl $2, %r11d; sysretq\n"
    ".local user_rsp; .comm user_rsp, 8, 8; .local kernel_rsp; .comm kernel_rsp, 8, 8\n"
    /* User mode: r12 = calls left, r13 = xorshift state, r14 = checksum. */
    ".balign 4096\n"
    "user_code:\n"
    "movabsq $88172645463325252, %r13; xorl %r14d, %r14d; testq %r12, %r12; jz 2f\n"
    "1: movq %r13, %rax; shlq $13, %rax; xorq %rax, %r13; movq %r13, %rax; shrq $7, %rax; xorq %rax, %r13\n"
    "movq %r13, %rax; shlq $17, %rax; xorq %rax, %r13\n"
    "movq %r13, %rdi; movq %r14, %rsi; xorl %edx, %edx; syscall; xorq %rax, %r14; decq %r12; jnz 1b\n"
    "2: movq %r14, %rsi; movl $1, %edx; syscall; ud2\n"
    ".balign 4096\n");

static struct {
  uint16_t offset_low, selector;
  uint8_t stack, type;
  uint16_t offset_middle;
  uint32_t offset_high, reserved;
} gates[GATES];

struct __attribute__((packed)) table_pointer {
  uint16_t limit;
  uint64_t base;
};

static void set_gate(int vector, const char *entry) {
  uint64_t at = (uint64_t)entry;
  gates[vector].offset_low = (uint16_t)at;
  gates[vector].selector = 8;
  gates[vector].type = 0x8e; /* present, interrupt gate */
  gates[vector].offset_middle = (uint16_t)(at >> 16);
  gates[vector].offset_high = (uint32_t)(at >> 32);
}

/* The usual exception handlers, and ours for page faults and ticks. */
static void extend_interrupt_table(void) {
  struct table_pointer pointer;
  __asm__ volatile("sidt %0" : "=m"(pointer));
  copy(gates, (const void *)pointer.base, pointer.limit + 1u);
  set_gate(PAGE_FAULT_VECTOR, page_fault_entry);
  set_gate(TICK_VECTOR, tick_entry);
  pointer = (struct table_pointer){sizeof(gates) - 1, (uint64_t)gates};
  __asm__ volatile("lidt %0" : : "m"(pointer));
}

static void allow_user_mode(void) {
  /* Null, kernel code and data where start.S has them, then what SYSRET wants: user data, user code. */
  static const uint64_t segments[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff,
                                      0x00affb000000ffff};
  struct table_pointer pointer = {sizeof(segments) - 1, (uint64_t)segments};
  __asm__ volatile("lgdt %0" : : "m"(pointer));

  page_tables_l4[511] |= USER;
  ((uint64_t *)(page_tables_l4[511] & ~0xfffull))[510] |= USER; /* low memory is mapped one to one */
  page_tables_l2_high[((uint64_t)user_code - VIRT_BASE) >> 21] |= USER;
  *leaf_of(user_code) |= USER;
  write_cr3(physical(page_tables_l4));

  uint32_t lo, hi;
  __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(0xc0000080)); /* EFER */
  write_msr(0xc0000080, (uint64_t)hi << 32 | lo | 1);                /* SCE */
  write_msr(0xc0000081, 0x0010000800000000);                         /* STAR */
  write_msr(0xc0000082, (uint64_t)syscall_entry);                    /* LSTAR */
  write_msr(0xc0000084, 0x600);                                      /* SFMASK: IF, DF */
}

void guest_main(uint64_t start_info) {
  set_start_info(start_info);
  install_exception_handlers();
  extend_interrupt_table();
  if (!xen_find()) console_init();
  allow_user_mode();

  uint64_t hash = 1;
  for (int i = 0; i < OBJECTS; i++) {
    hash = hash * 6364136223846793005u + 1442695040888963407u;
    objects[i].key = hash;
    objects[i].state = hash >> 17;
    objects[i].links[i & 3] = hash << 21;
  }
  steps = option_number("steps", 1000);
  started = read_timestamp();
  enter_user(steps);
}
