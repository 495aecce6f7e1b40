/* The guest's options: space-separated key=value words in hvm_start_info. */
#ifndef COMMAND_LINE_H
#define COMMAND_LINE_H

#include <stdint.h>

/* Is `key=value` there? */
int option_is(const char *key, const char *value);
/* Decimal value of `key=`; `otherwise` when it is absent or not a number. */
uint64_t option_number(const char *key, uint64_t otherwise);
/* Where the value of `key=` starts and, in `length`, how long it is; null when absent. */
const char *option_text(const char *key, unsigned *length);

#endif
