/*
 * Cycles per hypercall, through whichever interface this domain has. Options on the command line:
 *   iterations=N   timed calls (10000)
 *   op=            get_runstate_info (default), evtchn_send, get_time, version
 *   leaf=          4k (default) or 2m: page size that maps this image, hence the buffers
 *   buffer=        good (default), bad: an address that nothing backs, straddle: across two pages
 *   probe=wrong-vendor   first executes the other vendor's hypercall instruction, expecting #UD
 *   console=e9     copies the text to port 0xe9
 */
#include "benchmark.h"
#include "command-line.h"
#include "console.h"
#include "exceptions.h"
#include "guest.h"
#include "page-tables.h"
#include "processor.h"
#include "start-info.h"
#include "xen.h"

#define WARM_UP 64
#define UNMAPPED_LINEAR 0xffffffffc0000000 /* the last gigabyte has no page tables */
#define NO_RAM_PHYSICAL 0xff00000000       /* just below 1 TiB */

static char buffer_pages[2 * 4096] __attribute__((aligned(4096)));

static const struct benchmark *choose_benchmark(void) {
  for (int i = 1; i < BENCHMARKS; i++)
    if (option_is("op", benchmarks[i].name)) return &benchmarks[i];
  return &benchmarks[0];
}

static void *choose_buffer(const struct benchmark *benchmark) {
  if (option_is("buffer", "straddle")) return buffer_pages + 4096 - benchmark->struct_bytes / 2;
  return buffer_pages;
}

/* A FastABI call has no pointer that could be bad. */
static void *spoil(void *buffer) {
  if (xen_abi == HW_ABI_FASTABI || !option_is("buffer", "bad")) return buffer;
  return (void *)(xen_abi == HW_ABI_LINEAR ? UNMAPPED_LINEAR : VIRT_BASE + NO_RAM_PHYSICAL);
}

/* The instruction of the vendor that did not make this processor: as a version call, should something answer it. */
static void probe_wrong_vendor(void) {
  extern const char wrong_vendor_vmcall[], wrong_vendor_vmmcall[];
  int64_t number = HW_HYPERCALL_VERSION;
  uint64_t from = (uint64_t)(hw_use_vmmcall ? wrong_vendor_vmcall : wrong_vendor_vmmcall);
  undefined_seen = 0;
  expect_undefined(from, from + 3); /* both instructions have three bytes */
  if (hw_use_vmmcall)
    __asm__ volatile("wrong_vendor_vmcall: vmcall" : "+a"(number) : "D"(0) : "memory");
  else
    __asm__ volatile("wrong_vendor_vmmcall: vmmcall" : "+a"(number) : "D"(0) : "memory");
  expect_undefined(0, 0);
  print("hypercall-bench: probe=wrong-vendor instruction=");
  print(hw_use_vmmcall ? "vmcall" : "vmmcall");
  print(undefined_seen ? " vector=6\n" : " vector=none\n");
}

static void print_field(const char *name, uint64_t value) {
  print(name);
  print_decimal(value);
}

void guest_main(uint64_t start_info) {
  set_start_info(start_info);
  install_exception_handlers();
  if (option_is("leaf", "2m")) use_large_leaves();
  if (xen_find()) {
    print("hypercall-bench: no Xen here\n");
    halt_forever();
  }
  console_init();
  if (option_is("probe", "wrong-vendor")) probe_wrong_vendor();

  const struct benchmark *benchmark = choose_benchmark();
  uint64_t (*loop)(void *, uint64_t) = benchmark->loops[xen_abi];
  uint64_t iterations = option_number("iterations", 10000);
  void *buffer = choose_buffer(benchmark);
  if (!iterations) iterations = 1;
  prepare_event_channel(buffer);
  buffer = spoil(buffer);

  loop(buffer, WARM_UP);
  uint64_t start = read_timestamp();
  uint64_t errors = loop(buffer, iterations);
  uint64_t cycles = read_timestamp() - start;

  print("hypercall-bench: abi=");
  print(xen_abi_name());
  print(" op=");
  print(benchmark->name);
  print_field(" iterations=", iterations);
  print_field(" cycles=", cycles);
  print(" per-call=");
  print_ratio(cycles, iterations);
  if (errors || option_is("buffer", "bad")) print_field(" errors=", errors);
  print("\n");
  xen_shutdown(SHUTDOWN_POWEROFF);
}
