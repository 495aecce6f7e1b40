/*
 * The same loops on this machine: cc -O2 native.c loops.c -o loops-native; ./loops-native <integer|memory|calls> <n>
 * Prints the checksum, to compare with the guest's, and nanoseconds of processor time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "loops.h"

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "usage: %s integer|memory|calls <iterations>\n", argv[0]), 2;
  uint64_t (*run)(uint64_t) = !strcmp(argv[1], "memory")  ? memory_loop
                              : !strcmp(argv[1], "calls") ? calls_loop
                                                          : integer_loop;
  uint64_t iterations = strtoull(argv[2], 0, 10), start = now(), checksum = run(iterations), ns = now() - start;
  printf("loops: loop=%s iterations=%llu checksum=0x%llx ns=%llu\n", argv[1], (unsigned long long)iterations,
         (unsigned long long)checksum, (unsigned long long)ns);
  return 0;
}
