#include "benchmark.h"

/*
 * One loop for each interface, so that nothing but the stub is inside. `arg` is the struct; it need not be aligned,
 * x86 does not mind and the stubs only pass its address on.
 */
#define LOOP(operation, abi, type, ...)                                          \
  static uint64_t operation##_##abi##_loop(void *buffer, uint64_t calls) {       \
    type *arg = buffer;                                                          \
    uint64_t errors = 0;                                                         \
    (void)arg;                                                                   \
    do                                                                           \
      errors += (uint64_t)hw_##operation##_##abi(__VA_ARGS__) >> 63;             \
    while (--calls);                                                             \
    return errors;                                                               \
  }
#define LOOPS(operation, type, ...)         \
  LOOP(operation, linear, type, __VA_ARGS__) \
  LOOP(operation, physaddr, type, __VA_ARGS__) \
  LOOP(operation, fastabi, type, __VA_ARGS__)
#define NAMES(operation) {operation##_linear_loop, operation##_physaddr_loop, operation##_fastabi_loop}

LOOPS(vcpu_get_runstate_info, struct vcpu_runstate_info, 0, arg)
LOOPS(event_channel_send, struct evtchn_send, arg)
LOOPS(hvm_get_time, struct xen_hvm_get_time, arg)
LOOPS(version_version, void, )

const struct benchmark benchmarks[BENCHMARKS] = {
    {"get_runstate_info", sizeof(struct vcpu_runstate_info), NAMES(vcpu_get_runstate_info)},
    {"evtchn_send", sizeof(struct evtchn_send), NAMES(event_channel_send)},
    {"get_time", sizeof(struct xen_hvm_get_time), NAMES(hvm_get_time)},
    {"version", 0, NAMES(version_version)},
};

void prepare_event_channel(struct evtchn_send *buffer) {
  struct evtchn_bind_ipi argument = {.vcpu = 0};
  uint64_t console;
  if (!hw_event_channel_bind_ipi(xen_abi, &argument)) buffer->port = argument.port;
  else if (!xen_get_param(XEN_PARAM_CONSOLE_EVTCHN, &console)) buffer->port = (evtchn_port_t)console;
}
