#include "loops.h"

#define TABLE_WORDS (4u << 20 >> 3) /* 4 MiB: larger than L2 of the profiled processors */
#define STREAM_WORDS 512

static uint64_t table[TABLE_WORDS];

uint64_t integer_loop(uint64_t iterations) {
  uint64_t hash = 0xcbf29ce484222325, state = 88172645463325252, taken = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    hash = (hash ^ (state & 0xff)) * 0x100000001b3;
    if (state & 1) taken += hash >> 60;
    else if (state & 2) taken ^= hash + i;
    else taken -= state >> 33;
  }
  return hash ^ taken;
}

/* One iteration: a 4 KiB stream through the table, then 64 dependent look-ups all over it. */
uint64_t memory_loop(uint64_t iterations) {
  for (uint32_t i = 0; i < TABLE_WORDS; i++) table[i] = i * 0x9e3779b97f4a7c15u;
  uint64_t sum = 0, at = 1;
  for (uint64_t i = 0; i < iterations; i++) {
    const uint64_t *stream = table + (i * STREAM_WORDS & (TABLE_WORDS - 1));
    for (uint32_t w = 0; w < STREAM_WORDS; w++) sum += stream[w];
    for (int w = 0; w < 64; w++) {
      at = table[at & (TABLE_WORDS - 1)] + at * 6364136223846793005u + 1442695040888963407u;
      at ^= at >> 29;
      sum ^= at;
    }
  }
  return sum;
}

static uint64_t __attribute__((noinline)) fib(uint64_t n) {
  if (n < 2) return n;
  uint64_t left = fib(n - 1);
  __asm__ volatile("" : "+r"(left)); /* keeps gcc from turning half the recursion into a loop */
  return left + fib(n - 2);
}

static uint64_t __attribute__((noinline)) add(uint64_t a, uint64_t b) { return a + b; }
static uint64_t __attribute__((noinline)) mix(uint64_t a, uint64_t b) { return a ^ b * 3; }
static uint64_t __attribute__((noinline)) turn(uint64_t a, uint64_t b) { return (a << 7 | a >> 57) - b; }

uint64_t calls_loop(uint64_t iterations) {
  static uint64_t (*const volatile operations[4])(uint64_t, uint64_t) = {add, mix, turn, mix};
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    sum += fib(10);
    for (int k = 0; k < 8; k++) sum = operations[(sum + (uint64_t)k) & 3](sum, i);
  }
  return sum;
}
