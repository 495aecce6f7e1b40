#include "console.h"

#include "command-line.h"
#include "page-tables.h"
#include "processor.h"
#include "xen.h"

#define DEBUG_PORT 0xe9
#define MAX_YIELDS 100000

/* struct xencons_interface; indices run freely. */
struct console_ring {
  char in[1024], out[2048];
  uint32_t in_cons, in_prod, out_cons, out_prod;
};

static volatile struct console_ring *ring;
static uint32_t port;
static int echo_to_port;

void console_init(void) {
  uint64_t frame, channel;
  echo_to_port = option_is("console", "e9");
  if (xen_get_param(XEN_PARAM_CONSOLE_PFN, &frame) || xen_get_param(XEN_PARAM_CONSOLE_EVTCHN, &channel)) return;
  if (!frame || frame >= 1 << 20) return; /* only the low 4 GiB are mapped one to one */
  port = (uint32_t)channel;
  ring = (volatile struct console_ring *)(frame << 12);
}

/* Yields until `used` bytes or fewer are left in the ring; false when the other end does not answer. */
static int drain(uint32_t used) {
  for (int i = 0; ring->out_prod - ring->out_cons > used; i++) {
    if (i == MAX_YIELDS) return 0;
    xen_notify(port);
    xen_yield();
  }
  return 1;
}

static void put(char c) {
  if (ring && drain(sizeof(ring->out) - 1)) {
    uint32_t at = ring->out_prod;
    ring->out[at % sizeof(ring->out)] = c;
    __asm__ volatile("" : : : "memory"); /* the byte before the index: x86 keeps stores in order */
    ring->out_prod = at + 1;
    if (!echo_to_port) return;
  }
  port_write(DEBUG_PORT, (uint8_t)c);
}

void console_flush(void) {
  if (!ring) return;
  xen_notify(port);
  drain(0);
}

void print(const char *text) {
  while (*text) {
    char c = *text++;
    put(c);
    if (c == '\n') console_flush();
  }
}

void print_decimal(uint64_t number) {
  char digits[21], *at = digits + 20;
  *at = 0;
  do *--at = (char)('0' + number % 10);
  while (number /= 10);
  print(at);
}

void print_hex(uint64_t number) {
  char digits[19], *at = digits + 18;
  *at = 0;
  do *--at = "0123456789abcdef"[number & 15];
  while (number >>= 4);
  *--at = 'x';
  *--at = '0';
  print(at);
}

void print_ratio(uint64_t numerator, uint64_t denominator) {
  uint64_t hundredths = numerator / denominator * 100 + numerator % denominator * 100 / denominator;
  char fraction[4] = {'.', (char)('0' + hundredths / 10 % 10), (char)('0' + hundredths % 10), 0};
  print_decimal(hundredths / 100);
  print(fraction);
}
