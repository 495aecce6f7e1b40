/* The generated stubs, for an image that is mapped at VIRT_BASE + physical. */
#ifndef HYPERCALLS_H
#define HYPERCALLS_H

#include "page-tables.h"

#define hw_virt_to_phys(pointer) physical(pointer)
#include "xen-hypercalls.h"

#endif
