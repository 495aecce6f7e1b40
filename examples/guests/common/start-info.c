#include "start-info.h"

static const char *line = "";

void set_start_info(uint64_t physical) {
  const struct hvm_start_info *info = (const struct hvm_start_info *)physical; /* low memory is mapped one to one */
  if (info->magic == START_INFO_MAGIC && info->cmdline_paddr) line = (const char *)info->cmdline_paddr;
}

const char *command_line(void) { return line; }
