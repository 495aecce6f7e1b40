#include "exceptions.h"

#include "console.h"
#include "processor.h"
#include "xen.h"

struct frame {
  uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
  uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct gate {
  uint16_t offset_low, selector;
  uint8_t stack, type;
  uint16_t offset_middle;
  uint32_t offset_high, reserved;
};

extern const char exception_stubs[32][16];
static struct gate gates[32];
static uint64_t expected_at, resume_at;
volatile int undefined_seen;

void expect_undefined(uint64_t from, uint64_t resume) {
  expected_at = from;
  resume_at = resume;
}

void handle_exception(struct frame *frame);

void handle_exception(struct frame *frame) {
  if (frame->vector == 6 && expected_at && frame->rip == expected_at) {
    frame->rip = resume_at;
    expected_at = 0;
    undefined_seen = 1;
    return;
  }
  print("exception vector=");
  print_decimal(frame->vector);
  print(" error=");
  print_hex(frame->error);
  print(" rip=");
  print_hex(frame->rip);
  print("\n");
  xen_shutdown(SHUTDOWN_CRASH);
}

void install_exception_handlers(void) {
  for (int i = 0; i < 32; i++) {
    uint64_t entry = (uint64_t)exception_stubs[i];
    gates[i] = (struct gate){.offset_low = (uint16_t)entry,
                             .selector = 8,
                             .type = 0x8e, /* present, interrupt gate */
                             .offset_middle = (uint16_t)(entry >> 16),
                             .offset_high = (uint32_t)(entry >> 32)};
  }
  struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } pointer = {sizeof(gates) - 1, (uint64_t)gates};
  __asm__ volatile("lidt %0" : : "m"(pointer));
}
