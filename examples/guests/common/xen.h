/* Finding Xen, telling its interfaces apart, and the few calls that every guest needs. */
#ifndef XEN_H
#define XEN_H

#include "hypercalls.h"

#define XEN_PARAM_CONSOLE_PFN 17
#define XEN_PARAM_CONSOLE_EVTCHN 18
#define XEN_ENOSYS 38

/* The interface of this domain; valid after xen_find(). */
extern enum hw_abi xen_abi;

/*
 * Looks for Xen's CPUID leaves, installs the hypercall page and recognises the interface. HVM leaf EAX bit 7 clear
 * means linear; two proposals claim the bit, and only FastABI answers a version call that carries bit 30.
 * Returns 0, or -1 when this is no Xen.
 */
int xen_find(void);
/* linear, physaddr or fastabi */
const char *xen_abi_name(void);

/* 0 or a negative errno, as all calls; *value is what HVMOP_get_param found. */
int64_t xen_get_param(uint32_t index, uint64_t *value);
void xen_notify(evtchn_port_t port);
void xen_yield(void);
/* Also the end when Xen is not there to listen. */
void xen_shutdown(uint32_t reason) __attribute__((noreturn));

#endif
