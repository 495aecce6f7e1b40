#ifndef PAGE_TABLES_H
#define PAGE_TABLES_H

#include <stdint.h>

#include "layout.h"

/* Physical address of an object of this image. */
static inline uint64_t physical(const volatile void *object) { return (uint64_t)object - VIRT_BASE; }

/* Maps the image (code, stack, buffers) with 2 MiB leaves instead of 4 KiB ones. */
void use_large_leaves(void);

#endif
