/* Where the image lies. Shared by C, assembly and the linker script. */
#ifndef LAYOUT_H
#define LAYOUT_H

#define IMAGE_PHYS 0x200000
#define VIRT_BASE 0xffffffff80000000
#define PHYS(symbol) ((symbol) - VIRT_BASE)

/* 2 MiB regions that the image (code, data, stack, page tables) may take; the linker script checks it. */
#ifndef IMAGE_REGIONS
#define IMAGE_REGIONS 1
#endif
#define IMAGE_FIRST_REGION (IMAGE_PHYS / 0x200000)

#endif
