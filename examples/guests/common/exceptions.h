#ifndef EXCEPTIONS_H
#define EXCEPTIONS_H

#include <stdint.h>

/* Loads an IDT whose handlers print what happened and shut the domain down with reason crash. */
void install_exception_handlers(void);

/*
 * Lets one #UD at `from` pass: execution goes on at `resume` and undefined_seen becomes 1.
 * The expectation ends with the exception or with expect_undefined(0, 0).
 */
void expect_undefined(uint64_t from, uint64_t resume);
extern volatile int undefined_seen;

#endif
