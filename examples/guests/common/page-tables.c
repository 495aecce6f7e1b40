#include "page-tables.h"
#include "processor.h"

extern uint64_t page_tables_l4[512], page_tables_l2_high[512];

void use_large_leaves(void) {
  for (int i = IMAGE_FIRST_REGION; i < IMAGE_FIRST_REGION + IMAGE_REGIONS; i++)
    page_tables_l2_high[i] = (uint64_t)i << 21 | 0x83; /* present, writable, page size */
  write_cr3(physical(page_tables_l4));
}
