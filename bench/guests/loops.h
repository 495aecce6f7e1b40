/* Three kinds of work, the same C for the simulated guest and for this machine. */
#ifndef LOOPS_H
#define LOOPS_H

#include <stdint.h>

/* Each returns a checksum of its results, which depends on `iterations` alone. */
uint64_t integer_loop(uint64_t iterations); /* hashing, data-dependent branches, multiplies */
uint64_t memory_loop(uint64_t iterations);  /* streaming sums and random look-ups in 4 MiB */
uint64_t calls_loop(uint64_t iterations);   /* recursion and calls through pointers */

#endif
