/* Text for people: the PV console ring, or port 0xe9 while there is none. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdint.h>

/* Looks for the ring (HVM_PARAM_CONSOLE_PFN) and from then on prints to it. */
void console_init(void);
/* Notifies the other end and waits until it has taken everything, for a bounded number of yields. */
void console_flush(void);

void print(const char *text);
void print_decimal(uint64_t number);
void print_hex(uint64_t number);
/* numerator / denominator with two decimals, rounded down. */
void print_ratio(uint64_t numerator, uint64_t denominator);

#endif
