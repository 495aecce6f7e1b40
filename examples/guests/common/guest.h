/* What a guest provides and common/start.S calls, in 64-bit mode with low memory and the image mapped. */
#ifndef GUEST_H
#define GUEST_H

#include <stdint.h>

/* `start_info` is the physical address of hvm_start_info. Must not return without having shut the domain down. */
void guest_main(uint64_t start_info);

#endif
