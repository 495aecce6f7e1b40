/*
 * Guest for host-speed measurements: `loop=integer|memory|calls iterations=N`. Prints one line,
 *   loops: loop=<name> iterations=<n> checksum=<hex> cycles=<simulated time-stamp difference>
 */
#include "command-line.h"
#include "console.h"
#include "exceptions.h"
#include "guest.h"
#include "loops.h"
#include "processor.h"
#include "start-info.h"
#include "xen.h"

static const struct {
  const char *name;
  uint64_t (*run)(uint64_t);
} loops[] = {{"integer", integer_loop}, {"memory", memory_loop}, {"calls", calls_loop}};

void guest_main(uint64_t start_info) {
  set_start_info(start_info);
  install_exception_handlers();
  if (option_is("leaf", "2m")) use_large_leaves();
  if (!xen_find()) console_init();

  int chosen = option_is("loop", "memory") ? 1 : option_is("loop", "calls") ? 2 : 0;
  uint64_t iterations = option_number("iterations", 1000);
  uint64_t start = read_timestamp();
  uint64_t checksum = loops[chosen].run(iterations);
  uint64_t cycles = read_timestamp() - start;

  print("loops: loop=");
  print(loops[chosen].name);
  print(" iterations=");
  print_decimal(iterations);
  print(" checksum=");
  print_hex(checksum);
  print(" cycles=");
  print_decimal(cycles);
  print("\n");
  xen_shutdown(SHUTDOWN_POWEROFF);
}
