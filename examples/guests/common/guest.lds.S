/* Linked at VIRT_BASE + physical, loaded at physical; the ELF entry is physical too, as Xen's ELF loader wants it. */
#include "layout.h"

OUTPUT_FORMAT("elf64-x86-64")
ENTRY(start_physical)

PHDRS
{
  image PT_LOAD FLAGS(7);
  note PT_NOTE FLAGS(4);
}

SECTIONS
{
  . = VIRT_BASE + IMAGE_PHYS;
  .text : AT(ADDR(.text) - VIRT_BASE) { *(.text.start) *(.text .text.*) } :image
  .rodata : AT(ADDR(.rodata) - VIRT_BASE) { *(.rodata .rodata.*) } :image
  .note.Xen : AT(ADDR(.note.Xen) - VIRT_BASE) { *(.note.Xen) } :image :note
  . = ALIGN(4096); /* no written data in a page that holds code */
  .data : AT(ADDR(.data) - VIRT_BASE) { *(.data .data.*) } :image
  .bss : AT(ADDR(.bss) - VIRT_BASE) { *(.bss .bss.* COMMON) } :image
  image_end = .;
  start_physical = start32 - VIRT_BASE;
  ASSERT(image_end <= VIRT_BASE + IMAGE_PHYS + IMAGE_REGIONS * 0x200000, "the image is larger than its page tables cover")
  /DISCARD/ : { *(.comment) *(.eh_frame) *(.note.GNU-stack) *(.note.gnu.*) }
}
