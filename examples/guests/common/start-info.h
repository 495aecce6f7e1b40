/* What the domain builder hands to a PVH guest (Xen public header arch-x86/hvm/start_info.h). */
#ifndef START_INFO_H
#define START_INFO_H

#include <stdint.h>

#define START_INFO_MAGIC 0x336ec578u

struct hvm_start_info {
  uint32_t magic, version, flags, nr_modules;
  uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
  uint32_t memmap_entries, reserved;
};

void set_start_info(uint64_t physical);
/* Never null; empty when the builder gave none. */
const char *command_line(void);

#endif
