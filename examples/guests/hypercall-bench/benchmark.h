/* The operations that can be timed. */
#ifndef BENCHMARK_H
#define BENCHMARK_H

#include "xen.h"

struct benchmark {
  const char *name;
  unsigned struct_bytes; /* of the traditional struct, 0 for none */
  /* Issues `calls` (at least one) hypercalls and counts those that returned an error; one loop for each interface. */
  uint64_t (*loops[3])(void *buffer, uint64_t calls);
};

#define BENCHMARKS 4
extern const struct benchmark benchmarks[BENCHMARKS];

/* Binds what evtchn_send needs and writes its struct to `buffer`: an IPI port of our own, else the console's. */
void prepare_event_channel(struct evtchn_send *buffer);

#endif
