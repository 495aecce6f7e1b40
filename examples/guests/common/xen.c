#include "xen.h"

#include "processor.h"

#define INTERFACE_BIT 0x80 /* EAX of the HVM leaf, base + 4 */

enum hw_abi xen_abi;
unsigned int hw_use_vmmcall;
static int found;

static uint32_t find_leaves(void) {
  for (uint32_t base = 0x40000000; base < 0x40010000; base += 0x100) {
    struct cpuid id = cpuid(base);
    if (id.ebx == 0x566e6558 && id.ecx == 0x65584d4d && id.edx == 0x4d4d566e && id.eax >= base + 2) return base;
  }
  return 0;
}

int xen_find(void) {
  uint32_t vendor = cpuid(0).ebx;
  hw_use_vmmcall = vendor == 0x68747541 || vendor == 0x6f677948; /* AuthenticAMD, HygonGenuine */

  uint32_t base = find_leaves();
  if (!base) return -1;
  write_msr(cpuid(base + 2).ebx, physical(hypercall_page));
  found = 1;

  if (cpuid(base).eax >= base + 4 && cpuid(base + 4).eax & INTERFACE_BIT)
    xen_abi = hw_version_version_fastabi() == -XEN_ENOSYS ? HW_ABI_PHYSADDR : HW_ABI_FASTABI;
  return 0;
}

const char *xen_abi_name(void) {
  static const char *const names[] = {"linear", "physaddr", "fastabi"};
  return names[xen_abi];
}

int64_t xen_get_param(uint32_t index, uint64_t *value) {
  struct xen_hvm_param argument = {.domid = DOMID_SELF, .index = index};
  int64_t result = hw_hvm_get_param(xen_abi, &argument);
  *value = argument.value;
  return result;
}

void xen_notify(evtchn_port_t port) {
  struct evtchn_send argument = {.port = port};
  hw_event_channel_send(xen_abi, &argument);
}

void xen_yield(void) { hw_sched_yield(xen_abi); }

void xen_shutdown(uint32_t reason) {
  struct sched_shutdown argument = {.reason = reason};
  if (found) hw_sched_shutdown(xen_abi, &argument);
  halt_forever();
}
