/* Generated from the descriptions in packages/xen/abi; do not edit. Regenerate with: npm run generate */
#ifndef XEN_HYPERCALLS_H
#define XEN_HYPERCALLS_H

/*
 * Hypercall stubs for 64-bit HVM and PVH guests, for each interface. All pointers are the guest's own (linear)
 * pointers. The guest provides, before it includes this file,
 *
 *   #define hw_virt_to_phys(pointer) ...   physical address of any object it passes, also of those on the stack,
 *                                          that lies within one page or in physically contiguous ones
 *
 * and, somewhere,
 *
 *   unsigned char hypercall_page[4096];    the page whose address it wrote to Xen's hypercall-page MSR
 *   unsigned int hw_use_vmmcall;           non-zero on AMD, where the FastABI instruction is VMMCALL, zero on Intel
 *
 * Compile with -mno-red-zone: a stub calls into the hypercall page.
 */

#include <stddef.h>
#include <stdint.h>

#ifndef hw_virt_to_phys
#error "define hw_virt_to_phys(pointer) before including xen-hypercalls.h"
#endif

_Static_assert(sizeof(void *) == 8, "these layouts are those of 64-bit guests");

enum hw_abi {
    HW_ABI_LINEAR,   /* pointers are guest-linear addresses */
    HW_ABI_PHYSADDR, /* pointers are guest-physical addresses */
    HW_ABI_FASTABI,  /* values in registers */
};

#define HW_FASTABI_MASK 0x40000000u
#define DOMID_SELF 0x7ff0

typedef uint16_t domid_t;
typedef uint32_t evtchn_port_t;

extern unsigned char hypercall_page[];
extern unsigned int hw_use_vmmcall;

/* Debug builds of Xen overwrite argument registers, so each is also an output. */
#define HW_CALL1(nr, a1) __extension__ ({ \
    uint64_t hw_a1 = (uint64_t)(a1); \
    int64_t hw_result; \
    __asm__ volatile("call hypercall_page+%c[stub]" \
                     : "=a"(hw_result), "+D"(hw_a1) : [stub] "i"(32 * (nr)) : "memory"); \
    hw_result; })
#define HW_CALL2(nr, a1, a2) __extension__ ({ \
    uint64_t hw_a1 = (uint64_t)(a1), hw_a2 = (uint64_t)(a2); \
    int64_t hw_result; \
    __asm__ volatile("call hypercall_page+%c[stub]" \
                     : "=a"(hw_result), "+D"(hw_a1), "+S"(hw_a2) : [stub] "i"(32 * (nr)) : "memory"); \
    hw_result; })
#define HW_CALL3(nr, a1, a2, a3) __extension__ ({ \
    uint64_t hw_a1 = (uint64_t)(a1), hw_a2 = (uint64_t)(a2), hw_a3 = (uint64_t)(a3); \
    int64_t hw_result; \
    __asm__ volatile("call hypercall_page+%c[stub]" \
                     : "=a"(hw_result), "+D"(hw_a1), "+S"(hw_a2), "+d"(hw_a3) \
                     : [stub] "i"(32 * (nr)) : "memory"); \
    hw_result; })

/* The vendor's instruction with the operands that follow it. */
#define HW_VENDOR_CALL(...) do { \
    if (hw_use_vmmcall) \
        __asm__ volatile("vmmcall" __VA_ARGS__); \
    else \
        __asm__ volatile("vmcall" __VA_ARGS__); \
} while (0)

/* ---- console_io: Xen's own console; a release build refuses it to every domain but the hardware domain. */

#define HW_HYPERCALL_CONSOLE_IO 18
#define HW_CONSOLE_IO_WRITE 0
#define HW_CONSOLE_IO_READ 1

/* Writes text; returns 0. */
static inline int64_t hw_console_io_write_linear(uint32_t count, void *buffer)
{
    return HW_CALL3(HW_HYPERCALL_CONSOLE_IO, HW_CONSOLE_IO_WRITE, count, (uintptr_t)buffer);
}

static inline int64_t hw_console_io_write_physaddr(uint32_t count, void *buffer)
{
    return HW_CALL3(HW_HYPERCALL_CONSOLE_IO, HW_CONSOLE_IO_WRITE, count, hw_virt_to_phys(buffer));
}

static inline int64_t hw_console_io_write(enum hw_abi abi, uint32_t count, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_console_io_write_physaddr(count, buffer);
    default:
        return hw_console_io_write_linear(count, buffer);
    }
}

/* Reads text; returns the number of bytes. */
static inline int64_t hw_console_io_read_linear(uint32_t count, void *buffer)
{
    return HW_CALL3(HW_HYPERCALL_CONSOLE_IO, HW_CONSOLE_IO_READ, count, (uintptr_t)buffer);
}

static inline int64_t hw_console_io_read_physaddr(uint32_t count, void *buffer)
{
    return HW_CALL3(HW_HYPERCALL_CONSOLE_IO, HW_CONSOLE_IO_READ, count, hw_virt_to_phys(buffer));
}

static inline int64_t hw_console_io_read(enum hw_abi abi, uint32_t count, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_console_io_read_physaddr(count, buffer);
    default:
        return hw_console_io_read_linear(count, buffer);
    }
}

/* ---- domctl: Other domains, which only the control domain may change or look at. */

#define HW_HYPERCALL_DOMCTL 36
#define HW_DOMCTL_CALL 0

#define XEN_DOMCTL_INTERFACE_VERSION 24
#define XEN_DOMCTL_GET_DOMAIN_STATE 90

struct xen_domctl {
    uint32_t cmd;
    uint32_t interface_version;
    uint8_t _pad0[136];
};
_Static_assert(sizeof(struct xen_domctl) == 144, "layout of xen_domctl");
_Static_assert(offsetof(struct xen_domctl, cmd) == 0, "layout of xen_domctl");
_Static_assert(offsetof(struct xen_domctl, interface_version) == 4, "layout of xen_domctl");

/* Refused, like every one of its commands. */
static inline int64_t hw_domctl_call_linear(struct xen_domctl *arg)
{
    return HW_CALL1(HW_HYPERCALL_DOMCTL, (uintptr_t)arg);
}

static inline int64_t hw_domctl_call_physaddr(struct xen_domctl *arg)
{
    return HW_CALL1(HW_HYPERCALL_DOMCTL, hw_virt_to_phys(arg));
}

static inline int64_t hw_domctl_call(enum hw_abi abi, struct xen_domctl *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_domctl_call_physaddr(arg);
    default:
        return hw_domctl_call_linear(arg);
    }
}

/* ---- event_channel: Event channels, the paravirtual interrupt lines between domains. */

#define HW_HYPERCALL_EVENT_CHANNEL 32
#define HW_EVENT_CHANNEL_BIND_INTERDOMAIN 0
#define HW_EVENT_CHANNEL_BIND_VIRQ 1
#define HW_EVENT_CHANNEL_BIND_PIRQ 2
#define HW_EVENT_CHANNEL_CLOSE 3
#define HW_EVENT_CHANNEL_SEND 4
#define HW_EVENT_CHANNEL_STATUS 5
#define HW_EVENT_CHANNEL_ALLOC_UNBOUND 6
#define HW_EVENT_CHANNEL_BIND_IPI 7
#define HW_EVENT_CHANNEL_BIND_VCPU 8
#define HW_EVENT_CHANNEL_UNMASK 9
#define HW_EVENT_CHANNEL_RESET 10
#define HW_EVENT_CHANNEL_INIT_CONTROL 11
#define HW_EVENT_CHANNEL_EXPAND_ARRAY 12
#define HW_EVENT_CHANNEL_SET_PRIORITY 13

#define EVTCHNSTAT_CLOSED 0
#define EVTCHNSTAT_UNBOUND 1
#define EVTCHNSTAT_INTERDOMAIN 2
#define EVTCHNSTAT_PIRQ 3
#define EVTCHNSTAT_VIRQ 4
#define EVTCHNSTAT_IPI 5
#define EVTCHN_FIFO_PRIORITY_MAX 0
#define EVTCHN_FIFO_PRIORITY_DEFAULT 7
#define EVTCHN_FIFO_PRIORITY_MIN 15
#define EVTCHN_FIFO_PENDING 31
#define EVTCHN_FIFO_MASKED 30
#define EVTCHN_FIFO_LINKED 29
#define EVTCHN_FIFO_BUSY 28
#define EVTCHN_FIFO_LINK_BITS 17

struct evtchn_bind_interdomain {
    domid_t remote_dom;
    uint8_t _pad0[2];
    evtchn_port_t remote_port;
    evtchn_port_t local_port;
};
_Static_assert(sizeof(struct evtchn_bind_interdomain) == 12, "layout of evtchn_bind_interdomain");
_Static_assert(offsetof(struct evtchn_bind_interdomain, remote_dom) == 0, "layout of evtchn_bind_interdomain");
_Static_assert(offsetof(struct evtchn_bind_interdomain, remote_port) == 4, "layout of evtchn_bind_interdomain");
_Static_assert(offsetof(struct evtchn_bind_interdomain, local_port) == 8, "layout of evtchn_bind_interdomain");

struct evtchn_bind_virq {
    uint32_t virq;
    uint32_t vcpu;
    evtchn_port_t port;
};
_Static_assert(sizeof(struct evtchn_bind_virq) == 12, "layout of evtchn_bind_virq");
_Static_assert(offsetof(struct evtchn_bind_virq, virq) == 0, "layout of evtchn_bind_virq");
_Static_assert(offsetof(struct evtchn_bind_virq, vcpu) == 4, "layout of evtchn_bind_virq");
_Static_assert(offsetof(struct evtchn_bind_virq, port) == 8, "layout of evtchn_bind_virq");

struct evtchn_bind_pirq {
    uint32_t pirq;
    uint32_t flags;
    evtchn_port_t port;
};
_Static_assert(sizeof(struct evtchn_bind_pirq) == 12, "layout of evtchn_bind_pirq");
_Static_assert(offsetof(struct evtchn_bind_pirq, pirq) == 0, "layout of evtchn_bind_pirq");
_Static_assert(offsetof(struct evtchn_bind_pirq, flags) == 4, "layout of evtchn_bind_pirq");
_Static_assert(offsetof(struct evtchn_bind_pirq, port) == 8, "layout of evtchn_bind_pirq");

struct evtchn_close {
    evtchn_port_t port;
};
_Static_assert(sizeof(struct evtchn_close) == 4, "layout of evtchn_close");
_Static_assert(offsetof(struct evtchn_close, port) == 0, "layout of evtchn_close");

struct evtchn_send {
    evtchn_port_t port;
};
_Static_assert(sizeof(struct evtchn_send) == 4, "layout of evtchn_send");
_Static_assert(offsetof(struct evtchn_send, port) == 0, "layout of evtchn_send");

struct evtchn_status {
    domid_t dom;
    uint8_t _pad0[2];
    evtchn_port_t port;
    uint32_t status;
    uint32_t vcpu;
    union {
        union {
            domid_t dom;
        } unbound;
        struct {
            domid_t dom;
            uint8_t _pad0[2];
            evtchn_port_t port;
        } interdomain;
        uint32_t pirq;
        uint32_t virq;
        struct {
            uint32_t first;
            uint32_t second;
        } word;
    } u;
};
_Static_assert(sizeof(struct evtchn_status) == 24, "layout of evtchn_status");
_Static_assert(offsetof(struct evtchn_status, dom) == 0, "layout of evtchn_status");
_Static_assert(offsetof(struct evtchn_status, port) == 4, "layout of evtchn_status");
_Static_assert(offsetof(struct evtchn_status, status) == 8, "layout of evtchn_status");
_Static_assert(offsetof(struct evtchn_status, vcpu) == 12, "layout of evtchn_status");
_Static_assert(offsetof(struct evtchn_status, u.unbound.dom) == 16, "layout of evtchn_status");
_Static_assert(offsetof(struct evtchn_status, u.interdomain.dom) == 16, "layout of evtchn_status");
_Static_assert(offsetof(struct evtchn_status, u.interdomain.port) == 20, "layout of evtchn_status");
_Static_assert(offsetof(struct evtchn_status, u.pirq) == 16, "layout of evtchn_status");
_Static_assert(offsetof(struct evtchn_status, u.virq) == 16, "layout of evtchn_status");
_Static_assert(offsetof(struct evtchn_status, u.word.first) == 16, "layout of evtchn_status");
_Static_assert(offsetof(struct evtchn_status, u.word.second) == 20, "layout of evtchn_status");

struct evtchn_alloc_unbound {
    domid_t dom;
    domid_t remote_dom;
    evtchn_port_t port;
};
_Static_assert(sizeof(struct evtchn_alloc_unbound) == 8, "layout of evtchn_alloc_unbound");
_Static_assert(offsetof(struct evtchn_alloc_unbound, dom) == 0, "layout of evtchn_alloc_unbound");
_Static_assert(offsetof(struct evtchn_alloc_unbound, remote_dom) == 2, "layout of evtchn_alloc_unbound");
_Static_assert(offsetof(struct evtchn_alloc_unbound, port) == 4, "layout of evtchn_alloc_unbound");

struct evtchn_bind_ipi {
    uint32_t vcpu;
    evtchn_port_t port;
};
_Static_assert(sizeof(struct evtchn_bind_ipi) == 8, "layout of evtchn_bind_ipi");
_Static_assert(offsetof(struct evtchn_bind_ipi, vcpu) == 0, "layout of evtchn_bind_ipi");
_Static_assert(offsetof(struct evtchn_bind_ipi, port) == 4, "layout of evtchn_bind_ipi");

struct evtchn_bind_vcpu {
    evtchn_port_t port;
    uint32_t vcpu;
};
_Static_assert(sizeof(struct evtchn_bind_vcpu) == 8, "layout of evtchn_bind_vcpu");
_Static_assert(offsetof(struct evtchn_bind_vcpu, port) == 0, "layout of evtchn_bind_vcpu");
_Static_assert(offsetof(struct evtchn_bind_vcpu, vcpu) == 4, "layout of evtchn_bind_vcpu");

struct evtchn_unmask {
    evtchn_port_t port;
};
_Static_assert(sizeof(struct evtchn_unmask) == 4, "layout of evtchn_unmask");
_Static_assert(offsetof(struct evtchn_unmask, port) == 0, "layout of evtchn_unmask");

struct evtchn_reset {
    domid_t dom;
};
_Static_assert(sizeof(struct evtchn_reset) == 2, "layout of evtchn_reset");
_Static_assert(offsetof(struct evtchn_reset, dom) == 0, "layout of evtchn_reset");

struct evtchn_init_control {
    uint64_t control_gfn;
    uint32_t offset;
    uint32_t vcpu;
    uint8_t link_bits;
    uint8_t _pad0[7];
};
_Static_assert(sizeof(struct evtchn_init_control) == 24, "layout of evtchn_init_control");
_Static_assert(offsetof(struct evtchn_init_control, control_gfn) == 0, "layout of evtchn_init_control");
_Static_assert(offsetof(struct evtchn_init_control, offset) == 8, "layout of evtchn_init_control");
_Static_assert(offsetof(struct evtchn_init_control, vcpu) == 12, "layout of evtchn_init_control");
_Static_assert(offsetof(struct evtchn_init_control, link_bits) == 16, "layout of evtchn_init_control");

struct evtchn_expand_array {
    uint64_t array_gfn;
};
_Static_assert(sizeof(struct evtchn_expand_array) == 8, "layout of evtchn_expand_array");
_Static_assert(offsetof(struct evtchn_expand_array, array_gfn) == 0, "layout of evtchn_expand_array");

struct evtchn_set_priority {
    evtchn_port_t port;
    uint32_t priority;
};
_Static_assert(sizeof(struct evtchn_set_priority) == 8, "layout of evtchn_set_priority");
_Static_assert(offsetof(struct evtchn_set_priority, port) == 0, "layout of evtchn_set_priority");
_Static_assert(offsetof(struct evtchn_set_priority, priority) == 4, "layout of evtchn_set_priority");

/* Connects a new local port to a port that the remote domain left unbound for us. */
static inline int64_t hw_event_channel_bind_interdomain_linear(struct evtchn_bind_interdomain *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_BIND_INTERDOMAIN, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_bind_interdomain_physaddr(struct evtchn_bind_interdomain *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_BIND_INTERDOMAIN, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_bind_interdomain_fastabi(struct evtchn_bind_interdomain *arg)
{
    const uint64_t in2 = (uint64_t)arg->remote_dom;
    const uint64_t in3 = (uint64_t)arg->remote_port;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_BIND_INTERDOMAIN;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r9 __asm__("r9");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(r9) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    if ((int64_t)rax >= 0) {
        arg->local_port = (evtchn_port_t)r9;
    }
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_bind_interdomain(enum hw_abi abi, struct evtchn_bind_interdomain *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_bind_interdomain_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_bind_interdomain_fastabi(arg);
    default:
        return hw_event_channel_bind_interdomain_linear(arg);
    }
}

/* Binds a virtual interrupt source to a new port. */
static inline int64_t hw_event_channel_bind_virq_linear(struct evtchn_bind_virq *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_BIND_VIRQ, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_bind_virq_physaddr(struct evtchn_bind_virq *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_BIND_VIRQ, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_bind_virq_fastabi(struct evtchn_bind_virq *arg)
{
    const uint64_t in2 = (uint64_t)arg->virq;
    const uint64_t in3 = (uint64_t)arg->vcpu;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_BIND_VIRQ;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r9 __asm__("r9");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(r9) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    if ((int64_t)rax >= 0) {
        arg->port = (evtchn_port_t)r9;
    }
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_bind_virq(enum hw_abi abi, struct evtchn_bind_virq *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_bind_virq_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_bind_virq_fastabi(arg);
    default:
        return hw_event_channel_bind_virq_linear(arg);
    }
}

/* Binds a physical interrupt to a new port. An HVM or PVH domain may do so for any number that exists. */
static inline int64_t hw_event_channel_bind_pirq_linear(struct evtchn_bind_pirq *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_BIND_PIRQ, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_bind_pirq_physaddr(struct evtchn_bind_pirq *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_BIND_PIRQ, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_bind_pirq_fastabi(struct evtchn_bind_pirq *arg)
{
    const uint64_t in2 = (uint64_t)arg->pirq;
    const uint64_t in3 = (uint64_t)arg->flags;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_BIND_PIRQ;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r9 __asm__("r9");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(r9) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    if ((int64_t)rax >= 0) {
        arg->port = (evtchn_port_t)r9;
    }
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_bind_pirq(enum hw_abi abi, struct evtchn_bind_pirq *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_bind_pirq_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_bind_pirq_fastabi(arg);
    default:
        return hw_event_channel_bind_pirq_linear(arg);
    }
}

/* Frees a port. */
static inline int64_t hw_event_channel_close_linear(struct evtchn_close *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_CLOSE, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_close_physaddr(struct evtchn_close *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_CLOSE, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_close_fastabi(struct evtchn_close *arg)
{
    const uint64_t in2 = (uint64_t)arg->port;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_CLOSE;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_close(enum hw_abi abi, struct evtchn_close *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_close_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_close_fastabi(arg);
    default:
        return hw_event_channel_close_linear(arg);
    }
}

/* Notifies the other end of a port; on an unbound port nothing happens. */
static inline int64_t hw_event_channel_send_linear(struct evtchn_send *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_SEND, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_send_physaddr(struct evtchn_send *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_SEND, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_send_fastabi(struct evtchn_send *arg)
{
    const uint64_t in2 = (uint64_t)arg->port;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_SEND;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_send(enum hw_abi abi, struct evtchn_send *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_send_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_send_fastabi(arg);
    default:
        return hw_event_channel_send_linear(arg);
    }
}

/* State of a port; the last two words depend on it. */
static inline int64_t hw_event_channel_status_linear(struct evtchn_status *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_STATUS, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_status_physaddr(struct evtchn_status *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_STATUS, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_status_fastabi(struct evtchn_status *arg)
{
    const uint64_t in2 = (uint64_t)arg->dom;
    const uint64_t in3 = (uint64_t)arg->port;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_STATUS;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r9 __asm__("r9");
    register uint64_t r10 __asm__("r10");
    register uint64_t r11 __asm__("r11");
    register uint64_t r12 __asm__("r12");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(r9), "=r"(r10), "=r"(r11), "=r"(r12) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    if ((int64_t)rax >= 0) {
        arg->status = (uint32_t)r9;
        arg->vcpu = (uint32_t)r10;
        arg->u.word.first = (uint32_t)r11;
        arg->u.word.second = (uint32_t)r12;
    }
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_status(enum hw_abi abi, struct evtchn_status *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_status_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_status_fastabi(arg);
    default:
        return hw_event_channel_status_linear(arg);
    }
}

/* Makes a new port that waits for the remote domain to bind it. */
static inline int64_t hw_event_channel_alloc_unbound_linear(struct evtchn_alloc_unbound *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_ALLOC_UNBOUND, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_alloc_unbound_physaddr(struct evtchn_alloc_unbound *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_ALLOC_UNBOUND, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_alloc_unbound_fastabi(struct evtchn_alloc_unbound *arg)
{
    const uint64_t in2 = (uint64_t)arg->dom;
    const uint64_t in3 = (uint64_t)arg->remote_dom;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_ALLOC_UNBOUND;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r9 __asm__("r9");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(r9) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    if ((int64_t)rax >= 0) {
        arg->port = (evtchn_port_t)r9;
    }
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_alloc_unbound(enum hw_abi abi, struct evtchn_alloc_unbound *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_alloc_unbound_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_alloc_unbound_fastabi(arg);
    default:
        return hw_event_channel_alloc_unbound_linear(arg);
    }
}

/* Makes a port that the domain's own vCPUs send to one of them. */
static inline int64_t hw_event_channel_bind_ipi_linear(struct evtchn_bind_ipi *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_BIND_IPI, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_bind_ipi_physaddr(struct evtchn_bind_ipi *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_BIND_IPI, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_bind_ipi_fastabi(struct evtchn_bind_ipi *arg)
{
    const uint64_t in2 = (uint64_t)arg->vcpu;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_BIND_IPI;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r9 __asm__("r9");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(r9) : "r"(rdi), "r"(rsi) : "memory");
    if ((int64_t)rax >= 0) {
        arg->port = (evtchn_port_t)r9;
    }
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_bind_ipi(enum hw_abi abi, struct evtchn_bind_ipi *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_bind_ipi_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_bind_ipi_fastabi(arg);
    default:
        return hw_event_channel_bind_ipi_linear(arg);
    }
}

/* Moves a port's notifications to another vCPU. The registers are in the reverse order of the struct. */
static inline int64_t hw_event_channel_bind_vcpu_linear(struct evtchn_bind_vcpu *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_BIND_VCPU, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_bind_vcpu_physaddr(struct evtchn_bind_vcpu *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_BIND_VCPU, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_bind_vcpu_fastabi(struct evtchn_bind_vcpu *arg)
{
    const uint64_t in2 = (uint64_t)arg->vcpu;
    const uint64_t in3 = (uint64_t)arg->port;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_BIND_VCPU;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_bind_vcpu(enum hw_abi abi, struct evtchn_bind_vcpu *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_bind_vcpu_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_bind_vcpu_fastabi(arg);
    default:
        return hw_event_channel_bind_vcpu_linear(arg);
    }
}

/* Clears a port's mask bit and delivers the event if it is pending. */
static inline int64_t hw_event_channel_unmask_linear(struct evtchn_unmask *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_UNMASK, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_unmask_physaddr(struct evtchn_unmask *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_UNMASK, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_unmask_fastabi(struct evtchn_unmask *arg)
{
    const uint64_t in2 = (uint64_t)arg->port;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_UNMASK;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_unmask(enum hw_abi abi, struct evtchn_unmask *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_unmask_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_unmask_fastabi(arg);
    default:
        return hw_event_channel_unmask_linear(arg);
    }
}

/* Closes all ports and goes back to 2-level event channels; Xen may restart the call every 64 ports. */
static inline int64_t hw_event_channel_reset_linear(struct evtchn_reset *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_RESET, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_reset_physaddr(struct evtchn_reset *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_RESET, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_reset_fastabi(struct evtchn_reset *arg)
{
    const uint64_t in2 = (uint64_t)arg->dom;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_RESET;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_reset(enum hw_abi abi, struct evtchn_reset *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_reset_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_reset_fastabi(arg);
    default:
        return hw_event_channel_reset_linear(arg);
    }
}

/* Gives a vCPU its control block; the first one switches the domain to FIFO event channels. */
static inline int64_t hw_event_channel_init_control_linear(struct evtchn_init_control *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_INIT_CONTROL, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_init_control_physaddr(struct evtchn_init_control *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_INIT_CONTROL, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_init_control_fastabi(struct evtchn_init_control *arg)
{
    const uint64_t in2 = (uint64_t)arg->control_gfn;
    const uint64_t in3 = (uint64_t)arg->offset;
    const uint64_t in4 = (uint64_t)arg->vcpu;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_INIT_CONTROL;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r9 __asm__("r9") = in4;
    register uint64_t r10 __asm__("r10");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(r10) : "r"(rdi), "r"(rsi), "r"(r8), "r"(r9) : "memory");
    if ((int64_t)rax >= 0) {
        arg->link_bits = (uint8_t)r10;
    }
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_init_control(enum hw_abi abi, struct evtchn_init_control *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_init_control_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_init_control_fastabi(arg);
    default:
        return hw_event_channel_init_control_linear(arg);
    }
}

/* Adds a page of 1024 event words to the FIFO array. */
static inline int64_t hw_event_channel_expand_array_linear(struct evtchn_expand_array *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_EXPAND_ARRAY, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_expand_array_physaddr(struct evtchn_expand_array *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_EXPAND_ARRAY, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_expand_array_fastabi(struct evtchn_expand_array *arg)
{
    const uint64_t in2 = (uint64_t)arg->array_gfn;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_EXPAND_ARRAY;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_expand_array(enum hw_abi abi, struct evtchn_expand_array *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_expand_array_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_expand_array_fastabi(arg);
    default:
        return hw_event_channel_expand_array_linear(arg);
    }
}

/* Chooses the FIFO queue of a port's later events, 0 (highest) to 15; ENOSYS on the 2-level ABI. */
static inline int64_t hw_event_channel_set_priority_linear(struct evtchn_set_priority *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_SET_PRIORITY, (uintptr_t)arg);
}

static inline int64_t hw_event_channel_set_priority_physaddr(struct evtchn_set_priority *arg)
{
    return HW_CALL2(HW_HYPERCALL_EVENT_CHANNEL, HW_EVENT_CHANNEL_SET_PRIORITY, hw_virt_to_phys(arg));
}

static inline int64_t hw_event_channel_set_priority_fastabi(struct evtchn_set_priority *arg)
{
    const uint64_t in2 = (uint64_t)arg->port;
    const uint64_t in3 = (uint64_t)arg->priority;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_EVENT_CHANNEL;
    register uint64_t rdi __asm__("rdi") = HW_EVENT_CHANNEL_SET_PRIORITY;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_event_channel_set_priority(enum hw_abi abi, struct evtchn_set_priority *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_event_channel_set_priority_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_event_channel_set_priority_fastabi(arg);
    default:
        return hw_event_channel_set_priority_linear(arg);
    }
}

/* ---- grant_table: Grant tables, memory that domains share page by page. */

#define HW_HYPERCALL_GRANT_TABLE 20
#define HW_GRANT_TABLE_MAP_GRANT_REF 0
#define HW_GRANT_TABLE_UNMAP_GRANT_REF 1
#define HW_GRANT_TABLE_SETUP_TABLE 2
#define HW_GRANT_TABLE_COPY 5
#define HW_GRANT_TABLE_QUERY_SIZE 6
#define HW_GRANT_TABLE_SET_VERSION 8
#define HW_GRANT_TABLE_GET_VERSION 10
#define HW_GRANT_TABLE_SWAP_GRANT_REF 11

#define GNTMAP_DEVICE_MAP 1
#define GNTMAP_HOST_MAP 2
#define GNTMAP_READONLY 4
#define GNTMAP_APPLICATION_MAP 8
#define GNTMAP_CONTAINS_PTE 16
#define GNTCOPY_SOURCE_GREF 1
#define GNTCOPY_DEST_GREF 2
#define GTF_INVALID 0
#define GTF_PERMIT_ACCESS 1
#define GTF_ACCEPT_TRANSFER 2
#define GTF_TRANSITIVE 3
#define GTF_TYPE_MASK 3
#define GTF_READONLY 4
#define GTF_READING 8
#define GTF_WRITING 16
#define GTF_SUB_PAGE 256
#define GNTST_OKAY 0
#define GNTST_GENERAL_ERROR (-1)
#define GNTST_BAD_DOMAIN (-2)
#define GNTST_BAD_GNTREF (-3)
#define GNTST_BAD_HANDLE (-4)
#define GNTST_BAD_VIRT_ADDR (-5)
#define GNTST_BAD_DEV_ADDR (-6)
#define GNTST_NO_DEVICE_SPACE (-7)
#define GNTST_PERMISSION_DENIED (-8)
#define GNTST_BAD_PAGE (-9)
#define GNTST_BAD_COPY_ARG (-10)
#define GNTST_ADDRESS_TOO_BIG (-11)
#define GNTST_EAGAIN (-12)
#define GNTST_NO_SPACE (-13)

struct gnttab_map_grant_ref {
    uint64_t host_addr;
    uint32_t flags;
    uint32_t ref;
    domid_t dom;
    int16_t status;
    uint32_t handle;
    uint64_t dev_bus_addr;
};
_Static_assert(sizeof(struct gnttab_map_grant_ref) == 32, "layout of gnttab_map_grant_ref");
_Static_assert(offsetof(struct gnttab_map_grant_ref, host_addr) == 0, "layout of gnttab_map_grant_ref");
_Static_assert(offsetof(struct gnttab_map_grant_ref, flags) == 8, "layout of gnttab_map_grant_ref");
_Static_assert(offsetof(struct gnttab_map_grant_ref, ref) == 12, "layout of gnttab_map_grant_ref");
_Static_assert(offsetof(struct gnttab_map_grant_ref, dom) == 16, "layout of gnttab_map_grant_ref");
_Static_assert(offsetof(struct gnttab_map_grant_ref, status) == 18, "layout of gnttab_map_grant_ref");
_Static_assert(offsetof(struct gnttab_map_grant_ref, handle) == 20, "layout of gnttab_map_grant_ref");
_Static_assert(offsetof(struct gnttab_map_grant_ref, dev_bus_addr) == 24, "layout of gnttab_map_grant_ref");

struct gnttab_unmap_grant_ref {
    uint64_t host_addr;
    uint64_t dev_bus_addr;
    uint32_t handle;
    int16_t status;
    uint8_t _pad0[2];
};
_Static_assert(sizeof(struct gnttab_unmap_grant_ref) == 24, "layout of gnttab_unmap_grant_ref");
_Static_assert(offsetof(struct gnttab_unmap_grant_ref, host_addr) == 0, "layout of gnttab_unmap_grant_ref");
_Static_assert(offsetof(struct gnttab_unmap_grant_ref, dev_bus_addr) == 8, "layout of gnttab_unmap_grant_ref");
_Static_assert(offsetof(struct gnttab_unmap_grant_ref, handle) == 16, "layout of gnttab_unmap_grant_ref");
_Static_assert(offsetof(struct gnttab_unmap_grant_ref, status) == 20, "layout of gnttab_unmap_grant_ref");

struct gnttab_setup_table {
    domid_t dom;
    uint8_t _pad0[2];
    uint32_t nr_frames;
    int16_t status;
    uint8_t _pad1[6];
    void *frame_list;
};
_Static_assert(sizeof(struct gnttab_setup_table) == 24, "layout of gnttab_setup_table");
_Static_assert(offsetof(struct gnttab_setup_table, dom) == 0, "layout of gnttab_setup_table");
_Static_assert(offsetof(struct gnttab_setup_table, nr_frames) == 4, "layout of gnttab_setup_table");
_Static_assert(offsetof(struct gnttab_setup_table, status) == 8, "layout of gnttab_setup_table");
_Static_assert(offsetof(struct gnttab_setup_table, frame_list) == 16, "layout of gnttab_setup_table");

struct gnttab_copy {
    uint64_t source;
    domid_t source_domid;
    uint16_t source_offset;
    uint8_t _pad0[4];
    uint64_t dest;
    domid_t dest_domid;
    uint16_t dest_offset;
    uint8_t _pad1[4];
    uint16_t len;
    uint16_t flags;
    int16_t status;
    uint8_t _pad2[2];
};
_Static_assert(sizeof(struct gnttab_copy) == 40, "layout of gnttab_copy");
_Static_assert(offsetof(struct gnttab_copy, source) == 0, "layout of gnttab_copy");
_Static_assert(offsetof(struct gnttab_copy, source_domid) == 8, "layout of gnttab_copy");
_Static_assert(offsetof(struct gnttab_copy, source_offset) == 10, "layout of gnttab_copy");
_Static_assert(offsetof(struct gnttab_copy, dest) == 16, "layout of gnttab_copy");
_Static_assert(offsetof(struct gnttab_copy, dest_domid) == 24, "layout of gnttab_copy");
_Static_assert(offsetof(struct gnttab_copy, dest_offset) == 26, "layout of gnttab_copy");
_Static_assert(offsetof(struct gnttab_copy, len) == 32, "layout of gnttab_copy");
_Static_assert(offsetof(struct gnttab_copy, flags) == 34, "layout of gnttab_copy");
_Static_assert(offsetof(struct gnttab_copy, status) == 36, "layout of gnttab_copy");

struct gnttab_swap_grant_ref {
    uint32_t ref_a;
    uint32_t ref_b;
    int16_t status;
    uint8_t _pad0[2];
};
_Static_assert(sizeof(struct gnttab_swap_grant_ref) == 12, "layout of gnttab_swap_grant_ref");
_Static_assert(offsetof(struct gnttab_swap_grant_ref, ref_a) == 0, "layout of gnttab_swap_grant_ref");
_Static_assert(offsetof(struct gnttab_swap_grant_ref, ref_b) == 4, "layout of gnttab_swap_grant_ref");
_Static_assert(offsetof(struct gnttab_swap_grant_ref, status) == 8, "layout of gnttab_swap_grant_ref");

struct gnttab_query_size {
    domid_t dom;
    uint8_t _pad0[2];
    uint32_t nr_frames;
    uint32_t max_nr_frames;
    int16_t status;
    uint8_t _pad1[2];
};
_Static_assert(sizeof(struct gnttab_query_size) == 16, "layout of gnttab_query_size");
_Static_assert(offsetof(struct gnttab_query_size, dom) == 0, "layout of gnttab_query_size");
_Static_assert(offsetof(struct gnttab_query_size, nr_frames) == 4, "layout of gnttab_query_size");
_Static_assert(offsetof(struct gnttab_query_size, max_nr_frames) == 8, "layout of gnttab_query_size");
_Static_assert(offsetof(struct gnttab_query_size, status) == 12, "layout of gnttab_query_size");

struct gnttab_set_version {
    uint32_t version;
};
_Static_assert(sizeof(struct gnttab_set_version) == 4, "layout of gnttab_set_version");
_Static_assert(offsetof(struct gnttab_set_version, version) == 0, "layout of gnttab_set_version");

struct gnttab_get_version {
    domid_t dom;
    uint8_t _pad0[2];
    uint32_t version;
};
_Static_assert(sizeof(struct gnttab_get_version) == 8, "layout of gnttab_get_version");
_Static_assert(offsetof(struct gnttab_get_version, dom) == 0, "layout of gnttab_get_version");
_Static_assert(offsetof(struct gnttab_get_version, version) == 4, "layout of gnttab_get_version");

/* Maps a granted frame at a guest-physical address; the result is a per-entry status. */
static inline int64_t hw_grant_table_map_grant_ref_linear(struct gnttab_map_grant_ref *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_MAP_GRANT_REF, (uintptr_t)arg, 1);
}

static inline int64_t hw_grant_table_map_grant_ref_physaddr(struct gnttab_map_grant_ref *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_MAP_GRANT_REF, hw_virt_to_phys(arg), 1);
}

static inline int64_t hw_grant_table_map_grant_ref_fastabi(struct gnttab_map_grant_ref *arg)
{
    const uint64_t in2 = (uint64_t)arg->dom;
    const uint64_t in3 = (uint64_t)arg->host_addr;
    const uint64_t in4 = (uint64_t)arg->flags;
    const uint64_t in5 = (uint64_t)arg->ref;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_GRANT_TABLE;
    register uint64_t rdi __asm__("rdi") = HW_GRANT_TABLE_MAP_GRANT_REF;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r9 __asm__("r9") = in4;
    register uint64_t r10 __asm__("r10") = in5;
    register uint64_t r11 __asm__("r11");
    register uint64_t r12 __asm__("r12");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(r11), "=r"(r12) : "r"(rdi), "r"(rsi), "r"(r8), "r"(r9), "r"(r10) : "memory");
    if ((int64_t)rax >= 0) {
        arg->handle = (uint32_t)r11;
        arg->status = (int16_t)r12;
    }
    return (int64_t)rax;
}

static inline int64_t hw_grant_table_map_grant_ref(enum hw_abi abi, struct gnttab_map_grant_ref *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_grant_table_map_grant_ref_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_grant_table_map_grant_ref_fastabi(arg);
    default:
        return hw_grant_table_map_grant_ref_linear(arg);
    }
}

/* Unmaps a granted frame. The RFC returns nothing; the status is ours. */
static inline int64_t hw_grant_table_unmap_grant_ref_linear(struct gnttab_unmap_grant_ref *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_UNMAP_GRANT_REF, (uintptr_t)arg, 1);
}

static inline int64_t hw_grant_table_unmap_grant_ref_physaddr(struct gnttab_unmap_grant_ref *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_UNMAP_GRANT_REF, hw_virt_to_phys(arg), 1);
}

static inline int64_t hw_grant_table_unmap_grant_ref_fastabi(struct gnttab_unmap_grant_ref *arg)
{
    const uint64_t in3 = (uint64_t)arg->host_addr;
    const uint64_t in6 = (uint64_t)arg->handle;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_GRANT_TABLE;
    register uint64_t rdi __asm__("rdi") = HW_GRANT_TABLE_UNMAP_GRANT_REF;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r11 __asm__("r11") = in6;
    register uint64_t r12 __asm__("r12");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(r12) : "r"(rdi), "r"(r8), "r"(r11) : "memory");
    if ((int64_t)rax >= 0) {
        arg->status = (int16_t)r12;
    }
    return (int64_t)rax;
}

static inline int64_t hw_grant_table_unmap_grant_ref(enum hw_abi abi, struct gnttab_unmap_grant_ref *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_grant_table_unmap_grant_ref_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_grant_table_unmap_grant_ref_fastabi(arg);
    default:
        return hw_grant_table_unmap_grant_ref_linear(arg);
    }
}

/* Grows the table and writes the guest frames at which its frames are mapped. HVM guests map them themselves. */
static inline int64_t hw_grant_table_setup_table_linear(struct gnttab_setup_table *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_SETUP_TABLE, (uintptr_t)arg, 1);
}

static inline int64_t hw_grant_table_setup_table_physaddr(struct gnttab_setup_table *arg)
{
    struct gnttab_setup_table copy = *arg;
    int64_t result;

    copy.frame_list = (void *)(uintptr_t)hw_virt_to_phys(arg->frame_list);
    result = HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_SETUP_TABLE, hw_virt_to_phys(&copy), 1);
    copy.frame_list = arg->frame_list;
    *arg = copy;
    return result;
}

static inline int64_t hw_grant_table_setup_table(enum hw_abi abi, struct gnttab_setup_table *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_grant_table_setup_table_physaddr(arg);
    default:
        return hw_grant_table_setup_table_linear(arg);
    }
}

/* Copies between two frames, each granted or the caller's own; the result is a per-entry status. */
static inline int64_t hw_grant_table_copy_linear(struct gnttab_copy *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_COPY, (uintptr_t)arg, 1);
}

static inline int64_t hw_grant_table_copy_physaddr(struct gnttab_copy *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_COPY, hw_virt_to_phys(arg), 1);
}

static inline int64_t hw_grant_table_copy(enum hw_abi abi, struct gnttab_copy *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_grant_table_copy_physaddr(arg);
    default:
        return hw_grant_table_copy_linear(arg);
    }
}

/* Present and largest number of grant frames. */
static inline int64_t hw_grant_table_query_size_linear(struct gnttab_query_size *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_QUERY_SIZE, (uintptr_t)arg, 1);
}

static inline int64_t hw_grant_table_query_size_physaddr(struct gnttab_query_size *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_QUERY_SIZE, hw_virt_to_phys(arg), 1);
}

static inline int64_t hw_grant_table_query_size_fastabi(struct gnttab_query_size *arg)
{
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_GRANT_TABLE;
    register uint64_t rdi __asm__("rdi") = HW_GRANT_TABLE_QUERY_SIZE;
    register uint64_t rsi __asm__("rsi");
    register uint64_t r8 __asm__("r8");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(rsi), "=r"(r8) : "r"(rdi) : "memory");
    if ((int64_t)rax >= 0) {
        arg->nr_frames = (uint32_t)rsi;
        arg->max_nr_frames = (uint32_t)r8;
    }
    return (int64_t)rax;
}

static inline int64_t hw_grant_table_query_size(enum hw_abi abi, struct gnttab_query_size *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_grant_table_query_size_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_grant_table_query_size_fastabi(arg);
    default:
        return hw_grant_table_query_size_linear(arg);
    }
}

/* Chooses grant entries of version 1 or 2. */
static inline int64_t hw_grant_table_set_version_linear(struct gnttab_set_version *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_SET_VERSION, (uintptr_t)arg, 1);
}

static inline int64_t hw_grant_table_set_version_physaddr(struct gnttab_set_version *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_SET_VERSION, hw_virt_to_phys(arg), 1);
}

static inline int64_t hw_grant_table_set_version_fastabi(struct gnttab_set_version *arg)
{
    const uint64_t in2 = (uint64_t)arg->version;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_GRANT_TABLE;
    register uint64_t rdi __asm__("rdi") = HW_GRANT_TABLE_SET_VERSION;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_grant_table_set_version(enum hw_abi abi, struct gnttab_set_version *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_grant_table_set_version_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_grant_table_set_version_fastabi(arg);
    default:
        return hw_grant_table_set_version_linear(arg);
    }
}

/* Version of the grant entries in force. */
static inline int64_t hw_grant_table_get_version_linear(struct gnttab_get_version *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_GET_VERSION, (uintptr_t)arg, 1);
}

static inline int64_t hw_grant_table_get_version_physaddr(struct gnttab_get_version *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_GET_VERSION, hw_virt_to_phys(arg), 1);
}

static inline int64_t hw_grant_table_get_version_fastabi(struct gnttab_get_version *arg)
{
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_GRANT_TABLE;
    register uint64_t rdi __asm__("rdi") = HW_GRANT_TABLE_GET_VERSION;
    register uint64_t rsi __asm__("rsi");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(rsi) : "r"(rdi) : "memory");
    if ((int64_t)rax >= 0) {
        arg->version = (uint32_t)rsi;
    }
    return (int64_t)rax;
}

static inline int64_t hw_grant_table_get_version(enum hw_abi abi, struct gnttab_get_version *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_grant_table_get_version_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_grant_table_get_version_fastabi(arg);
    default:
        return hw_grant_table_get_version_linear(arg);
    }
}

/* Exchanges two entries of the caller's that nobody uses; the result is a per-entry status. */
static inline int64_t hw_grant_table_swap_grant_ref_linear(struct gnttab_swap_grant_ref *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_SWAP_GRANT_REF, (uintptr_t)arg, 1);
}

static inline int64_t hw_grant_table_swap_grant_ref_physaddr(struct gnttab_swap_grant_ref *arg)
{
    return HW_CALL3(HW_HYPERCALL_GRANT_TABLE, HW_GRANT_TABLE_SWAP_GRANT_REF, hw_virt_to_phys(arg), 1);
}

static inline int64_t hw_grant_table_swap_grant_ref(enum hw_abi abi, struct gnttab_swap_grant_ref *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_grant_table_swap_grant_ref_physaddr(arg);
    default:
        return hw_grant_table_swap_grant_ref_linear(arg);
    }
}

/* ---- hvm: Parameters and services of hardware-assisted domains. */

#define HW_HYPERCALL_HVM 34
#define HW_HVM_SET_PARAM 0
#define HW_HVM_GET_PARAM 1
#define HW_HVM_FLUSH_TLBS 5
#define HW_HVM_GET_TIME 10
#define HW_HVM_GET_MEM_TYPE 15
#define HW_HVM_SET_EVTCHN_UPCALL_VECTOR 23

#define HVM_PARAM_CALLBACK_IRQ 0
#define HVM_PARAM_STORE_PFN 1
#define HVM_PARAM_STORE_EVTCHN 2
#define HVM_PARAM_IOREQ_PFN 5
#define HVM_PARAM_BUFIOREQ_PFN 6
#define HVM_PARAM_VIRIDIAN 9
#define HVM_PARAM_TIMER_MODE 10
#define HVM_PARAM_HPET_ENABLED 11
#define HVM_PARAM_IDENT_PT 12
#define HVM_PARAM_ACPI_S_STATE 14
#define HVM_PARAM_VM86_TSS 15
#define HVM_PARAM_VPT_ALIGN 16
#define HVM_PARAM_CONSOLE_PFN 17
#define HVM_PARAM_CONSOLE_EVTCHN 18
#define HVM_PARAM_ACPI_IOPORTS_LOCATION 19
#define HVM_PARAM_BUFIOREQ_EVTCHN 26
#define HVM_PARAM_PAGING_RING_PFN 27
#define HVM_PARAM_MONITOR_RING_PFN 28
#define HVM_PARAM_SHARING_RING_PFN 29
#define HVM_PARAM_TRIPLE_FAULT_REASON 31
#define HVM_PARAM_IOREQ_SERVER_PFN 32
#define HVM_PARAM_NR_IOREQ_SERVER_PAGES 33
#define HVM_PARAM_VM_GENERATION_ID_ADDR 34
#define HVM_PARAM_ALTP2M 35
#define HVM_PARAM_X87_FIP_WIDTH 36
#define HVM_PARAM_VM86_TSS_SIZED 37
#define HVM_PARAM_MCA_CAP 38
#define HVM_NR_PARAMS 39
#define HVMMEM_RAM_RW 0
#define HVMMEM_RAM_RO 1
#define HVMMEM_MMIO_DM 2

struct xen_hvm_param {
    domid_t domid;
    uint8_t _pad0[2];
    uint32_t index;
    uint64_t value;
};
_Static_assert(sizeof(struct xen_hvm_param) == 16, "layout of xen_hvm_param");
_Static_assert(offsetof(struct xen_hvm_param, domid) == 0, "layout of xen_hvm_param");
_Static_assert(offsetof(struct xen_hvm_param, index) == 4, "layout of xen_hvm_param");
_Static_assert(offsetof(struct xen_hvm_param, value) == 8, "layout of xen_hvm_param");

struct xen_hvm_get_time {
    uint64_t now;
};
_Static_assert(sizeof(struct xen_hvm_get_time) == 8, "layout of xen_hvm_get_time");
_Static_assert(offsetof(struct xen_hvm_get_time, now) == 0, "layout of xen_hvm_get_time");

struct xen_hvm_get_mem_type {
    domid_t domid;
    uint16_t mem_type;
    uint8_t _pad0[4];
    uint64_t pfn;
};
_Static_assert(sizeof(struct xen_hvm_get_mem_type) == 16, "layout of xen_hvm_get_mem_type");
_Static_assert(offsetof(struct xen_hvm_get_mem_type, domid) == 0, "layout of xen_hvm_get_mem_type");
_Static_assert(offsetof(struct xen_hvm_get_mem_type, mem_type) == 2, "layout of xen_hvm_get_mem_type");
_Static_assert(offsetof(struct xen_hvm_get_mem_type, pfn) == 8, "layout of xen_hvm_get_mem_type");

struct xen_hvm_evtchn_upcall_vector {
    uint32_t vcpu;
    uint8_t vector;
    uint8_t _pad0[3];
};
_Static_assert(sizeof(struct xen_hvm_evtchn_upcall_vector) == 8, "layout of xen_hvm_evtchn_upcall_vector");
_Static_assert(offsetof(struct xen_hvm_evtchn_upcall_vector, vcpu) == 0, "layout of xen_hvm_evtchn_upcall_vector");
_Static_assert(offsetof(struct xen_hvm_evtchn_upcall_vector, vector) == 4, "layout of xen_hvm_evtchn_upcall_vector");

/* Sets one of the parameters that a guest may set on itself. */
static inline int64_t hw_hvm_set_param_linear(struct xen_hvm_param *arg)
{
    return HW_CALL2(HW_HYPERCALL_HVM, HW_HVM_SET_PARAM, (uintptr_t)arg);
}

static inline int64_t hw_hvm_set_param_physaddr(struct xen_hvm_param *arg)
{
    return HW_CALL2(HW_HYPERCALL_HVM, HW_HVM_SET_PARAM, hw_virt_to_phys(arg));
}

static inline int64_t hw_hvm_set_param_fastabi(struct xen_hvm_param *arg)
{
    const uint64_t in2 = (uint64_t)arg->domid;
    const uint64_t in3 = (uint64_t)arg->index;
    const uint64_t in4 = (uint64_t)arg->value;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_HVM;
    register uint64_t rdi __asm__("rdi") = HW_HVM_SET_PARAM;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r9 __asm__("r9") = in4;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi), "r"(r8), "r"(r9) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_hvm_set_param(enum hw_abi abi, struct xen_hvm_param *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_hvm_set_param_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_hvm_set_param_fastabi(arg);
    default:
        return hw_hvm_set_param_linear(arg);
    }
}

/* Reads a parameter, for example where the console ring is. */
static inline int64_t hw_hvm_get_param_linear(struct xen_hvm_param *arg)
{
    return HW_CALL2(HW_HYPERCALL_HVM, HW_HVM_GET_PARAM, (uintptr_t)arg);
}

static inline int64_t hw_hvm_get_param_physaddr(struct xen_hvm_param *arg)
{
    return HW_CALL2(HW_HYPERCALL_HVM, HW_HVM_GET_PARAM, hw_virt_to_phys(arg));
}

static inline int64_t hw_hvm_get_param_fastabi(struct xen_hvm_param *arg)
{
    const uint64_t in2 = (uint64_t)arg->domid;
    const uint64_t in3 = (uint64_t)arg->index;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_HVM;
    register uint64_t rdi __asm__("rdi") = HW_HVM_GET_PARAM;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r9 __asm__("r9");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(r9) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    if ((int64_t)rax >= 0) {
        arg->value = (uint64_t)r9;
    }
    return (int64_t)rax;
}

static inline int64_t hw_hvm_get_param(enum hw_abi abi, struct xen_hvm_param *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_hvm_get_param_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_hvm_get_param_fastabi(arg);
    default:
        return hw_hvm_get_param_linear(arg);
    }
}

/* Flushes the TLBs of all the domain's vCPUs. The traditional pointer must be null. */
static inline int64_t hw_hvm_flush_tlbs_linear(void)
{
    return HW_CALL2(HW_HYPERCALL_HVM, HW_HVM_FLUSH_TLBS, 0);
}

static inline int64_t hw_hvm_flush_tlbs_physaddr(void)
{
    return HW_CALL2(HW_HYPERCALL_HVM, HW_HVM_FLUSH_TLBS, 0);
}

static inline int64_t hw_hvm_flush_tlbs_fastabi(void)
{
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_HVM;
    register uint64_t rdi __asm__("rdi") = HW_HVM_FLUSH_TLBS;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_hvm_flush_tlbs(enum hw_abi abi)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_hvm_flush_tlbs_physaddr();
    case HW_ABI_FASTABI:
        return hw_hvm_flush_tlbs_fastabi();
    default:
        return hw_hvm_flush_tlbs_linear();
    }
}

/* Guest system time in nanoseconds. */
static inline int64_t hw_hvm_get_time_linear(struct xen_hvm_get_time *arg)
{
    return HW_CALL2(HW_HYPERCALL_HVM, HW_HVM_GET_TIME, (uintptr_t)arg);
}

static inline int64_t hw_hvm_get_time_physaddr(struct xen_hvm_get_time *arg)
{
    return HW_CALL2(HW_HYPERCALL_HVM, HW_HVM_GET_TIME, hw_virt_to_phys(arg));
}

static inline int64_t hw_hvm_get_time_fastabi(struct xen_hvm_get_time *arg)
{
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_HVM;
    register uint64_t rdi __asm__("rdi") = HW_HVM_GET_TIME;
    register uint64_t rsi __asm__("rsi");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(rsi) : "r"(rdi) : "memory");
    if ((int64_t)rax >= 0) {
        arg->now = (uint64_t)rsi;
    }
    return (int64_t)rax;
}

static inline int64_t hw_hvm_get_time(enum hw_abi abi, struct xen_hvm_get_time *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_hvm_get_time_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_hvm_get_time_fastabi(arg);
    default:
        return hw_hvm_get_time_linear(arg);
    }
}

/* Type of a guest frame: 0 read-write RAM, 1 read-only RAM, 2 emulated MMIO. */
static inline int64_t hw_hvm_get_mem_type_linear(struct xen_hvm_get_mem_type *arg)
{
    return HW_CALL2(HW_HYPERCALL_HVM, HW_HVM_GET_MEM_TYPE, (uintptr_t)arg);
}

static inline int64_t hw_hvm_get_mem_type_physaddr(struct xen_hvm_get_mem_type *arg)
{
    return HW_CALL2(HW_HYPERCALL_HVM, HW_HVM_GET_MEM_TYPE, hw_virt_to_phys(arg));
}

static inline int64_t hw_hvm_get_mem_type_fastabi(struct xen_hvm_get_mem_type *arg)
{
    const uint64_t in2 = (uint64_t)arg->domid;
    const uint64_t in3 = (uint64_t)arg->pfn;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_HVM;
    register uint64_t rdi __asm__("rdi") = HW_HVM_GET_MEM_TYPE;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r9 __asm__("r9");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(r9) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    if ((int64_t)rax >= 0) {
        arg->mem_type = (uint16_t)r9;
    }
    return (int64_t)rax;
}

static inline int64_t hw_hvm_get_mem_type(enum hw_abi abi, struct xen_hvm_get_mem_type *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_hvm_get_mem_type_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_hvm_get_mem_type_fastabi(arg);
    default:
        return hw_hvm_get_mem_type_linear(arg);
    }
}

/* Local-APIC vector that a vCPU's event channels raise. */
static inline int64_t hw_hvm_set_evtchn_upcall_vector_linear(struct xen_hvm_evtchn_upcall_vector *arg)
{
    return HW_CALL2(HW_HYPERCALL_HVM, HW_HVM_SET_EVTCHN_UPCALL_VECTOR, (uintptr_t)arg);
}

static inline int64_t hw_hvm_set_evtchn_upcall_vector_physaddr(struct xen_hvm_evtchn_upcall_vector *arg)
{
    return HW_CALL2(HW_HYPERCALL_HVM, HW_HVM_SET_EVTCHN_UPCALL_VECTOR, hw_virt_to_phys(arg));
}

static inline int64_t hw_hvm_set_evtchn_upcall_vector_fastabi(struct xen_hvm_evtchn_upcall_vector *arg)
{
    const uint64_t in2 = (uint64_t)arg->vcpu;
    const uint64_t in3 = (uint64_t)arg->vector;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_HVM;
    register uint64_t rdi __asm__("rdi") = HW_HVM_SET_EVTCHN_UPCALL_VECTOR;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_hvm_set_evtchn_upcall_vector(enum hw_abi abi, struct xen_hvm_evtchn_upcall_vector *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_hvm_set_evtchn_upcall_vector_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_hvm_set_evtchn_upcall_vector_fastabi(arg);
    default:
        return hw_hvm_set_evtchn_upcall_vector_linear(arg);
    }
}

/* ---- memory: The guest-physical memory map. */

#define HW_HYPERCALL_MEMORY 12
#define HW_MEMORY_INCREASE_RESERVATION 0
#define HW_MEMORY_DECREASE_RESERVATION 1
#define HW_MEMORY_POPULATE_PHYSMAP 6
#define HW_MEMORY_ADD_TO_PHYSMAP 7
#define HW_MEMORY_MEMORY_MAP 9
#define HW_MEMORY_REMOVE_FROM_PHYSMAP 15
#define HW_MEMORY_ADD_TO_PHYSMAP_BATCH 23
#define HW_MEMORY_ACQUIRE_RESOURCE 28

#define XENMAPSPACE_SHARED_INFO 0
#define XENMAPSPACE_GRANT_TABLE 1
#define XENMAPSPACE_GMFN 2
#define XENMAPSPACE_GMFN_RANGE 3
#define XENMAPSPACE_GMFN_FOREIGN 4
#define XENMAPSPACE_DEV_MMIO 5
#define XENMEM_RESOURCE_IOREQ_SERVER 0
#define XENMEM_RESOURCE_GRANT_TABLE 1
#define XENMEM_RESOURCE_GRANT_TABLE_ID_SHARED 0
#define XENMEM_RESOURCE_GRANT_TABLE_ID_STATUS 1

struct xen_memory_reservation {
    void *extent_start;
    uint64_t nr_extents;
    uint32_t extent_order;
    uint32_t mem_flags;
    domid_t domid;
    uint8_t _pad0[6];
};
_Static_assert(sizeof(struct xen_memory_reservation) == 32, "layout of xen_memory_reservation");
_Static_assert(offsetof(struct xen_memory_reservation, extent_start) == 0, "layout of xen_memory_reservation");
_Static_assert(offsetof(struct xen_memory_reservation, nr_extents) == 8, "layout of xen_memory_reservation");
_Static_assert(offsetof(struct xen_memory_reservation, extent_order) == 16, "layout of xen_memory_reservation");
_Static_assert(offsetof(struct xen_memory_reservation, mem_flags) == 20, "layout of xen_memory_reservation");
_Static_assert(offsetof(struct xen_memory_reservation, domid) == 24, "layout of xen_memory_reservation");

struct xen_add_to_physmap {
    domid_t domid;
    uint16_t size;
    uint32_t space;
    uint64_t idx;
    uint64_t gpfn;
};
_Static_assert(sizeof(struct xen_add_to_physmap) == 24, "layout of xen_add_to_physmap");
_Static_assert(offsetof(struct xen_add_to_physmap, domid) == 0, "layout of xen_add_to_physmap");
_Static_assert(offsetof(struct xen_add_to_physmap, size) == 2, "layout of xen_add_to_physmap");
_Static_assert(offsetof(struct xen_add_to_physmap, space) == 4, "layout of xen_add_to_physmap");
_Static_assert(offsetof(struct xen_add_to_physmap, idx) == 8, "layout of xen_add_to_physmap");
_Static_assert(offsetof(struct xen_add_to_physmap, gpfn) == 16, "layout of xen_add_to_physmap");

struct xen_add_to_physmap_batch {
    domid_t domid;
    uint16_t space;
    uint16_t size;
    domid_t foreign_domid;
    void *idxs;
    void *gpfns;
    void *errs;
};
_Static_assert(sizeof(struct xen_add_to_physmap_batch) == 32, "layout of xen_add_to_physmap_batch");
_Static_assert(offsetof(struct xen_add_to_physmap_batch, domid) == 0, "layout of xen_add_to_physmap_batch");
_Static_assert(offsetof(struct xen_add_to_physmap_batch, space) == 2, "layout of xen_add_to_physmap_batch");
_Static_assert(offsetof(struct xen_add_to_physmap_batch, size) == 4, "layout of xen_add_to_physmap_batch");
_Static_assert(offsetof(struct xen_add_to_physmap_batch, foreign_domid) == 6, "layout of xen_add_to_physmap_batch");
_Static_assert(offsetof(struct xen_add_to_physmap_batch, idxs) == 8, "layout of xen_add_to_physmap_batch");
_Static_assert(offsetof(struct xen_add_to_physmap_batch, gpfns) == 16, "layout of xen_add_to_physmap_batch");
_Static_assert(offsetof(struct xen_add_to_physmap_batch, errs) == 24, "layout of xen_add_to_physmap_batch");

struct xen_mem_acquire_resource {
    domid_t domid;
    uint16_t type;
    uint32_t id;
    uint32_t nr_frames;
    uint32_t pad;
    uint64_t frame;
    void *frame_list;
};
_Static_assert(sizeof(struct xen_mem_acquire_resource) == 32, "layout of xen_mem_acquire_resource");
_Static_assert(offsetof(struct xen_mem_acquire_resource, domid) == 0, "layout of xen_mem_acquire_resource");
_Static_assert(offsetof(struct xen_mem_acquire_resource, type) == 2, "layout of xen_mem_acquire_resource");
_Static_assert(offsetof(struct xen_mem_acquire_resource, id) == 4, "layout of xen_mem_acquire_resource");
_Static_assert(offsetof(struct xen_mem_acquire_resource, nr_frames) == 8, "layout of xen_mem_acquire_resource");
_Static_assert(offsetof(struct xen_mem_acquire_resource, pad) == 12, "layout of xen_mem_acquire_resource");
_Static_assert(offsetof(struct xen_mem_acquire_resource, frame) == 16, "layout of xen_mem_acquire_resource");
_Static_assert(offsetof(struct xen_mem_acquire_resource, frame_list) == 24, "layout of xen_mem_acquire_resource");

struct xen_memory_map {
    uint32_t nr_entries;
    uint8_t _pad0[4];
    void *buffer;
};
_Static_assert(sizeof(struct xen_memory_map) == 16, "layout of xen_memory_map");
_Static_assert(offsetof(struct xen_memory_map, nr_entries) == 0, "layout of xen_memory_map");
_Static_assert(offsetof(struct xen_memory_map, buffer) == 8, "layout of xen_memory_map");

struct xen_remove_from_physmap {
    domid_t domid;
    uint8_t _pad0[6];
    uint64_t gpfn;
};
_Static_assert(sizeof(struct xen_remove_from_physmap) == 16, "layout of xen_remove_from_physmap");
_Static_assert(offsetof(struct xen_remove_from_physmap, domid) == 0, "layout of xen_remove_from_physmap");
_Static_assert(offsetof(struct xen_remove_from_physmap, gpfn) == 8, "layout of xen_remove_from_physmap");

/* Takes memory that is at no guest frame; returns the number of extents done. */
static inline int64_t hw_memory_increase_reservation_linear(struct xen_memory_reservation *arg)
{
    return HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_INCREASE_RESERVATION, (uintptr_t)arg);
}

static inline int64_t hw_memory_increase_reservation_physaddr(struct xen_memory_reservation *arg)
{
    struct xen_memory_reservation copy = *arg;
    int64_t result;

    copy.extent_start = (void *)(uintptr_t)hw_virt_to_phys(arg->extent_start);
    result = HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_INCREASE_RESERVATION, hw_virt_to_phys(&copy));
    copy.extent_start = arg->extent_start;
    *arg = copy;
    return result;
}

static inline int64_t hw_memory_increase_reservation(enum hw_abi abi, struct xen_memory_reservation *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_memory_increase_reservation_physaddr(arg);
    default:
        return hw_memory_increase_reservation_linear(arg);
    }
}

/* Gives guest frames back; returns the number of extents done. */
static inline int64_t hw_memory_decrease_reservation_linear(struct xen_memory_reservation *arg)
{
    return HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_DECREASE_RESERVATION, (uintptr_t)arg);
}

static inline int64_t hw_memory_decrease_reservation_physaddr(struct xen_memory_reservation *arg)
{
    struct xen_memory_reservation copy = *arg;
    int64_t result;

    copy.extent_start = (void *)(uintptr_t)hw_virt_to_phys(arg->extent_start);
    result = HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_DECREASE_RESERVATION, hw_virt_to_phys(&copy));
    copy.extent_start = arg->extent_start;
    *arg = copy;
    return result;
}

static inline int64_t hw_memory_decrease_reservation(enum hw_abi abi, struct xen_memory_reservation *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_memory_decrease_reservation_physaddr(arg);
    default:
        return hw_memory_decrease_reservation_linear(arg);
    }
}

/* Puts memory at guest frames; returns the number of extents done. */
static inline int64_t hw_memory_populate_physmap_linear(struct xen_memory_reservation *arg)
{
    return HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_POPULATE_PHYSMAP, (uintptr_t)arg);
}

static inline int64_t hw_memory_populate_physmap_physaddr(struct xen_memory_reservation *arg)
{
    struct xen_memory_reservation copy = *arg;
    int64_t result;

    copy.extent_start = (void *)(uintptr_t)hw_virt_to_phys(arg->extent_start);
    result = HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_POPULATE_PHYSMAP, hw_virt_to_phys(&copy));
    copy.extent_start = arg->extent_start;
    *arg = copy;
    return result;
}

static inline int64_t hw_memory_populate_physmap(enum hw_abi abi, struct xen_memory_reservation *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_memory_populate_physmap_physaddr(arg);
    default:
        return hw_memory_populate_physmap_linear(arg);
    }
}

/* Places a special frame (shared_info, a grant frame) at a guest frame. */
static inline int64_t hw_memory_add_to_physmap_linear(struct xen_add_to_physmap *arg)
{
    return HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_ADD_TO_PHYSMAP, (uintptr_t)arg);
}

static inline int64_t hw_memory_add_to_physmap_physaddr(struct xen_add_to_physmap *arg)
{
    return HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_ADD_TO_PHYSMAP, hw_virt_to_phys(arg));
}

static inline int64_t hw_memory_add_to_physmap_fastabi(struct xen_add_to_physmap *arg)
{
    const uint64_t in2 = (uint64_t)arg->size;
    const uint64_t in3 = (uint64_t)arg->space;
    const uint64_t in4 = (uint64_t)arg->idx;
    const uint64_t in5 = (uint64_t)arg->gpfn;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_MEMORY;
    register uint64_t rdi __asm__("rdi") = HW_MEMORY_ADD_TO_PHYSMAP;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r9 __asm__("r9") = in4;
    register uint64_t r10 __asm__("r10") = in5;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi), "r"(r8), "r"(r9), "r"(r10) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_memory_add_to_physmap(enum hw_abi abi, struct xen_add_to_physmap *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_memory_add_to_physmap_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_memory_add_to_physmap_fastabi(arg);
    default:
        return hw_memory_add_to_physmap_linear(arg);
    }
}

/* Writes the memory map as 20-byte entries {addr u64, size u64, type u32} to the buffer. */
static inline int64_t hw_memory_memory_map_linear(struct xen_memory_map *arg)
{
    return HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_MEMORY_MAP, (uintptr_t)arg);
}

static inline int64_t hw_memory_memory_map_physaddr(struct xen_memory_map *arg)
{
    struct xen_memory_map copy = *arg;
    int64_t result;

    copy.buffer = (void *)(uintptr_t)hw_virt_to_phys(arg->buffer);
    result = HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_MEMORY_MAP, hw_virt_to_phys(&copy));
    copy.buffer = arg->buffer;
    *arg = copy;
    return result;
}

static inline int64_t hw_memory_memory_map_fastabi(struct xen_memory_map *arg)
{
    const uint64_t in2 = (uint64_t)arg->nr_entries;
    const uint64_t in3 = (uint64_t)hw_virt_to_phys(arg->buffer);
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_MEMORY;
    register uint64_t rdi __asm__("rdi") = HW_MEMORY_MEMORY_MAP;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;

    HW_VENDOR_CALL(: "+r"(rax), "+r"(rsi) : "r"(rdi), "r"(r8) : "memory");
    if ((int64_t)rax >= 0) {
        arg->nr_entries = (uint32_t)rsi;
    }
    return (int64_t)rax;
}

static inline int64_t hw_memory_memory_map(enum hw_abi abi, struct xen_memory_map *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_memory_memory_map_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_memory_memory_map_fastabi(arg);
    default:
        return hw_memory_memory_map_linear(arg);
    }
}

/* Removes a guest frame from the map. */
static inline int64_t hw_memory_remove_from_physmap_linear(struct xen_remove_from_physmap *arg)
{
    return HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_REMOVE_FROM_PHYSMAP, (uintptr_t)arg);
}

static inline int64_t hw_memory_remove_from_physmap_physaddr(struct xen_remove_from_physmap *arg)
{
    return HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_REMOVE_FROM_PHYSMAP, hw_virt_to_phys(arg));
}

static inline int64_t hw_memory_remove_from_physmap_fastabi(struct xen_remove_from_physmap *arg)
{
    const uint64_t in5 = (uint64_t)arg->gpfn;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_MEMORY;
    register uint64_t rdi __asm__("rdi") = HW_MEMORY_REMOVE_FROM_PHYSMAP;
    register uint64_t r10 __asm__("r10") = in5;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(r10) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_memory_remove_from_physmap(enum hw_abi abi, struct xen_remove_from_physmap *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_memory_remove_from_physmap_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_memory_remove_from_physmap_fastabi(arg);
    default:
        return hw_memory_remove_from_physmap_linear(arg);
    }
}

/* Places a list of frames, also other domains', each with an error of its own. */
static inline int64_t hw_memory_add_to_physmap_batch_linear(struct xen_add_to_physmap_batch *arg)
{
    return HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_ADD_TO_PHYSMAP_BATCH, (uintptr_t)arg);
}

static inline int64_t hw_memory_add_to_physmap_batch_physaddr(struct xen_add_to_physmap_batch *arg)
{
    struct xen_add_to_physmap_batch copy = *arg;
    int64_t result;

    copy.idxs = (void *)(uintptr_t)hw_virt_to_phys(arg->idxs);
    copy.gpfns = (void *)(uintptr_t)hw_virt_to_phys(arg->gpfns);
    copy.errs = (void *)(uintptr_t)hw_virt_to_phys(arg->errs);
    result = HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_ADD_TO_PHYSMAP_BATCH, hw_virt_to_phys(&copy));
    copy.idxs = arg->idxs;
    copy.gpfns = arg->gpfns;
    copy.errs = arg->errs;
    *arg = copy;
    return result;
}

static inline int64_t hw_memory_add_to_physmap_batch(enum hw_abi abi, struct xen_add_to_physmap_batch *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_memory_add_to_physmap_batch_physaddr(arg);
    default:
        return hw_memory_add_to_physmap_batch_linear(arg);
    }
}

/* Places another domain's grant frames; without a list it returns how many there may be. */
static inline int64_t hw_memory_acquire_resource_linear(struct xen_mem_acquire_resource *arg)
{
    return HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_ACQUIRE_RESOURCE, (uintptr_t)arg);
}

static inline int64_t hw_memory_acquire_resource_physaddr(struct xen_mem_acquire_resource *arg)
{
    struct xen_mem_acquire_resource copy = *arg;
    int64_t result;

    copy.frame_list = (void *)(uintptr_t)hw_virt_to_phys(arg->frame_list);
    result = HW_CALL2(HW_HYPERCALL_MEMORY, HW_MEMORY_ACQUIRE_RESOURCE, hw_virt_to_phys(&copy));
    copy.frame_list = arg->frame_list;
    *arg = copy;
    return result;
}

static inline int64_t hw_memory_acquire_resource(enum hw_abi abi, struct xen_mem_acquire_resource *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_memory_acquire_resource_physaddr(arg);
    default:
        return hw_memory_acquire_resource_linear(arg);
    }
}

/* ---- multicall: Several hypercalls in one. */

#define HW_HYPERCALL_MULTICALL 13
#define HW_MULTICALL_CALL 0

struct multicall_entry {
    uint64_t op;
    uint64_t result;
    uint64_t args[6];
};
_Static_assert(sizeof(struct multicall_entry) == 64, "layout of multicall_entry");
_Static_assert(offsetof(struct multicall_entry, op) == 0, "layout of multicall_entry");
_Static_assert(offsetof(struct multicall_entry, result) == 8, "layout of multicall_entry");
_Static_assert(offsetof(struct multicall_entry, args) == 16, "layout of multicall_entry");

/* Makes the calls of a list in order; each entry gets its own result. Not from within one. */
static inline int64_t hw_multicall_call_linear(void *call_list, uint64_t nr_calls)
{
    return HW_CALL2(HW_HYPERCALL_MULTICALL, (uintptr_t)call_list, nr_calls);
}

static inline int64_t hw_multicall_call_physaddr(void *call_list, uint64_t nr_calls)
{
    return HW_CALL2(HW_HYPERCALL_MULTICALL, hw_virt_to_phys(call_list), nr_calls);
}

static inline int64_t hw_multicall_call(enum hw_abi abi, void *call_list, uint64_t nr_calls)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_multicall_call_physaddr(call_list, nr_calls);
    default:
        return hw_multicall_call_linear(call_list, nr_calls);
    }
}

/* ---- physdev: Interrupts of physical devices, which PVH domains do not get as event channels. */

#define HW_HYPERCALL_PHYSDEV 33
#define HW_PHYSDEV_MAP_PIRQ 13
#define HW_PHYSDEV_UNMAP_PIRQ 14

#define MAP_PIRQ_TYPE_MULTI_MSI 4

struct physdev_map_pirq {
    domid_t domid;
    uint8_t _pad0[2];
    int32_t type;
    int32_t index;
    int32_t pirq;
    int32_t bus;
    int32_t devfn;
    int32_t entry_nr;
    uint8_t _pad1[4];
    uint64_t table_base;
};
_Static_assert(sizeof(struct physdev_map_pirq) == 40, "layout of physdev_map_pirq");
_Static_assert(offsetof(struct physdev_map_pirq, domid) == 0, "layout of physdev_map_pirq");
_Static_assert(offsetof(struct physdev_map_pirq, type) == 4, "layout of physdev_map_pirq");
_Static_assert(offsetof(struct physdev_map_pirq, index) == 8, "layout of physdev_map_pirq");
_Static_assert(offsetof(struct physdev_map_pirq, pirq) == 12, "layout of physdev_map_pirq");
_Static_assert(offsetof(struct physdev_map_pirq, bus) == 16, "layout of physdev_map_pirq");
_Static_assert(offsetof(struct physdev_map_pirq, devfn) == 20, "layout of physdev_map_pirq");
_Static_assert(offsetof(struct physdev_map_pirq, entry_nr) == 24, "layout of physdev_map_pirq");
_Static_assert(offsetof(struct physdev_map_pirq, table_base) == 32, "layout of physdev_map_pirq");

struct physdev_unmap_pirq {
    domid_t domid;
    uint8_t _pad0[2];
    int32_t pirq;
};
_Static_assert(sizeof(struct physdev_unmap_pirq) == 8, "layout of physdev_unmap_pirq");
_Static_assert(offsetof(struct physdev_unmap_pirq, domid) == 0, "layout of physdev_unmap_pirq");
_Static_assert(offsetof(struct physdev_unmap_pirq, pirq) == 4, "layout of physdev_unmap_pirq");

/* Makes a physical interrupt one that can be bound to an event channel. Only a device model or the control domain may. */
static inline int64_t hw_physdev_map_pirq_linear(struct physdev_map_pirq *arg)
{
    return HW_CALL2(HW_HYPERCALL_PHYSDEV, HW_PHYSDEV_MAP_PIRQ, (uintptr_t)arg);
}

static inline int64_t hw_physdev_map_pirq_physaddr(struct physdev_map_pirq *arg)
{
    return HW_CALL2(HW_HYPERCALL_PHYSDEV, HW_PHYSDEV_MAP_PIRQ, hw_virt_to_phys(arg));
}

static inline int64_t hw_physdev_map_pirq(enum hw_abi abi, struct physdev_map_pirq *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_physdev_map_pirq_physaddr(arg);
    default:
        return hw_physdev_map_pirq_linear(arg);
    }
}

/* Undoes that. */
static inline int64_t hw_physdev_unmap_pirq_linear(struct physdev_unmap_pirq *arg)
{
    return HW_CALL2(HW_HYPERCALL_PHYSDEV, HW_PHYSDEV_UNMAP_PIRQ, (uintptr_t)arg);
}

static inline int64_t hw_physdev_unmap_pirq_physaddr(struct physdev_unmap_pirq *arg)
{
    return HW_CALL2(HW_HYPERCALL_PHYSDEV, HW_PHYSDEV_UNMAP_PIRQ, hw_virt_to_phys(arg));
}

static inline int64_t hw_physdev_unmap_pirq(enum hw_abi abi, struct physdev_unmap_pirq *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_physdev_unmap_pirq_physaddr(arg);
    default:
        return hw_physdev_unmap_pirq_linear(arg);
    }
}

/* ---- platform_op: The machine itself, which only the control domain may change or look at. */

#define HW_HYPERCALL_PLATFORM_OP 7
#define HW_PLATFORM_OP_CALL 0

#define XENPF_INTERFACE_VERSION 50331649

struct xen_platform_op {
    uint32_t cmd;
    uint32_t interface_version;
    uint8_t _pad0[128];
};
_Static_assert(sizeof(struct xen_platform_op) == 136, "layout of xen_platform_op");
_Static_assert(offsetof(struct xen_platform_op, cmd) == 0, "layout of xen_platform_op");
_Static_assert(offsetof(struct xen_platform_op, interface_version) == 4, "layout of xen_platform_op");

/* Refused, like every one of its commands. */
static inline int64_t hw_platform_op_call_linear(struct xen_platform_op *arg)
{
    return HW_CALL1(HW_HYPERCALL_PLATFORM_OP, (uintptr_t)arg);
}

static inline int64_t hw_platform_op_call_physaddr(struct xen_platform_op *arg)
{
    return HW_CALL1(HW_HYPERCALL_PLATFORM_OP, hw_virt_to_phys(arg));
}

static inline int64_t hw_platform_op_call(enum hw_abi abi, struct xen_platform_op *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_platform_op_call_physaddr(arg);
    default:
        return hw_platform_op_call_linear(arg);
    }
}

/* ---- sched: Yield, block, poll and shut down. */

#define HW_HYPERCALL_SCHED 29
#define HW_SCHED_YIELD 0
#define HW_SCHED_BLOCK 1
#define HW_SCHED_SHUTDOWN 2
#define HW_SCHED_POLL 3
#define HW_SCHED_SHUTDOWN_CODE 5
#define HW_SCHED_WATCHDOG 6
#define HW_SCHED_PIN_OVERRIDE 7

#define SHUTDOWN_POWEROFF 0
#define SHUTDOWN_REBOOT 1
#define SHUTDOWN_SUSPEND 2
#define SHUTDOWN_CRASH 3
#define SHUTDOWN_WATCHDOG 4
#define SHUTDOWN_SOFT_RESET 5

struct sched_shutdown {
    uint32_t reason;
};
_Static_assert(sizeof(struct sched_shutdown) == 4, "layout of sched_shutdown");
_Static_assert(offsetof(struct sched_shutdown, reason) == 0, "layout of sched_shutdown");

struct sched_poll {
    evtchn_port_t *ports;
    uint32_t nr_ports;
    uint8_t _pad0[4];
    uint64_t timeout;
};
_Static_assert(sizeof(struct sched_poll) == 24, "layout of sched_poll");
_Static_assert(offsetof(struct sched_poll, ports) == 0, "layout of sched_poll");
_Static_assert(offsetof(struct sched_poll, nr_ports) == 8, "layout of sched_poll");
_Static_assert(offsetof(struct sched_poll, timeout) == 16, "layout of sched_poll");

struct sched_watchdog {
    uint32_t id;
    uint32_t timeout;
};
_Static_assert(sizeof(struct sched_watchdog) == 8, "layout of sched_watchdog");
_Static_assert(offsetof(struct sched_watchdog, id) == 0, "layout of sched_watchdog");
_Static_assert(offsetof(struct sched_watchdog, timeout) == 4, "layout of sched_watchdog");

struct sched_pin_override {
    int32_t pcpu;
};
_Static_assert(sizeof(struct sched_pin_override) == 4, "layout of sched_pin_override");
_Static_assert(offsetof(struct sched_pin_override, pcpu) == 0, "layout of sched_pin_override");

/* Lets another vCPU run. */
static inline int64_t hw_sched_yield_linear(void)
{
    return HW_CALL1(HW_HYPERCALL_SCHED, HW_SCHED_YIELD);
}

static inline int64_t hw_sched_yield_physaddr(void)
{
    return HW_CALL1(HW_HYPERCALL_SCHED, HW_SCHED_YIELD);
}

static inline int64_t hw_sched_yield_fastabi(void)
{
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_SCHED;
    register uint64_t rdi __asm__("rdi") = HW_SCHED_YIELD;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_sched_yield(enum hw_abi abi)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_sched_yield_physaddr();
    case HW_ABI_FASTABI:
        return hw_sched_yield_fastabi();
    default:
        return hw_sched_yield_linear();
    }
}

/* Unmasks events and sleeps until one is pending. */
static inline int64_t hw_sched_block_linear(void)
{
    return HW_CALL1(HW_HYPERCALL_SCHED, HW_SCHED_BLOCK);
}

static inline int64_t hw_sched_block_physaddr(void)
{
    return HW_CALL1(HW_HYPERCALL_SCHED, HW_SCHED_BLOCK);
}

static inline int64_t hw_sched_block_fastabi(void)
{
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_SCHED;
    register uint64_t rdi __asm__("rdi") = HW_SCHED_BLOCK;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_sched_block(enum hw_abi abi)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_sched_block_physaddr();
    case HW_ABI_FASTABI:
        return hw_sched_block_fastabi();
    default:
        return hw_sched_block_linear();
    }
}

/* Ends the domain: 0 power off, 1 reboot, 2 suspend, 3 crash, 4 watchdog, 5 soft reset. */
static inline int64_t hw_sched_shutdown_linear(struct sched_shutdown *arg)
{
    return HW_CALL2(HW_HYPERCALL_SCHED, HW_SCHED_SHUTDOWN, (uintptr_t)arg);
}

static inline int64_t hw_sched_shutdown_physaddr(struct sched_shutdown *arg)
{
    return HW_CALL2(HW_HYPERCALL_SCHED, HW_SCHED_SHUTDOWN, hw_virt_to_phys(arg));
}

static inline int64_t hw_sched_shutdown_fastabi(struct sched_shutdown *arg)
{
    const uint64_t in2 = (uint64_t)arg->reason;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_SCHED;
    register uint64_t rdi __asm__("rdi") = HW_SCHED_SHUTDOWN;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_sched_shutdown(enum hw_abi abi, struct sched_shutdown *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_sched_shutdown_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_sched_shutdown_fastabi(arg);
    default:
        return hw_sched_shutdown_linear(arg);
    }
}

/* Sleeps until a port is pending or the absolute time (ns, 0 for none) has come. */
static inline int64_t hw_sched_poll_linear(struct sched_poll *arg)
{
    return HW_CALL2(HW_HYPERCALL_SCHED, HW_SCHED_POLL, (uintptr_t)arg);
}

static inline int64_t hw_sched_poll_physaddr(struct sched_poll *arg)
{
    struct sched_poll copy = *arg;
    int64_t result;

    copy.ports = (void *)(uintptr_t)hw_virt_to_phys(arg->ports);
    result = HW_CALL2(HW_HYPERCALL_SCHED, HW_SCHED_POLL, hw_virt_to_phys(&copy));
    copy.ports = arg->ports;
    *arg = copy;
    return result;
}

static inline int64_t hw_sched_poll_fastabi(struct sched_poll *arg)
{
    const uint64_t in2 = (uint64_t)arg->timeout;
    const uint64_t in3 = (uint64_t)(arg->nr_ports ? arg->ports[0] : 0);
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_SCHED;
    register uint64_t rdi __asm__("rdi") = HW_SCHED_POLL;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_sched_poll(enum hw_abi abi, struct sched_poll *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_sched_poll_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_sched_poll_fastabi(arg);
    default:
        return hw_sched_poll_linear(arg);
    }
}

/* Records the reason that a later crash of the domain will report. */
static inline int64_t hw_sched_shutdown_code_linear(struct sched_shutdown *arg)
{
    return HW_CALL2(HW_HYPERCALL_SCHED, HW_SCHED_SHUTDOWN_CODE, (uintptr_t)arg);
}

static inline int64_t hw_sched_shutdown_code_physaddr(struct sched_shutdown *arg)
{
    return HW_CALL2(HW_HYPERCALL_SCHED, HW_SCHED_SHUTDOWN_CODE, hw_virt_to_phys(arg));
}

static inline int64_t hw_sched_shutdown_code_fastabi(struct sched_shutdown *arg)
{
    const uint64_t in2 = (uint64_t)arg->reason;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_SCHED;
    register uint64_t rdi __asm__("rdi") = HW_SCHED_SHUTDOWN_CODE;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_sched_shutdown_code(enum hw_abi abi, struct sched_shutdown *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_sched_shutdown_code_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_sched_shutdown_code_fastabi(arg);
    default:
        return hw_sched_shutdown_code_linear(arg);
    }
}

/* Sets (id 0), pokes or stops (timeout 0) a watchdog in seconds; returns the id of a new one. */
static inline int64_t hw_sched_watchdog_linear(struct sched_watchdog *arg)
{
    return HW_CALL2(HW_HYPERCALL_SCHED, HW_SCHED_WATCHDOG, (uintptr_t)arg);
}

static inline int64_t hw_sched_watchdog_physaddr(struct sched_watchdog *arg)
{
    return HW_CALL2(HW_HYPERCALL_SCHED, HW_SCHED_WATCHDOG, hw_virt_to_phys(arg));
}

static inline int64_t hw_sched_watchdog_fastabi(struct sched_watchdog *arg)
{
    const uint64_t in2 = (uint64_t)arg->id;
    const uint64_t in3 = (uint64_t)arg->timeout;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_SCHED;
    register uint64_t rdi __asm__("rdi") = HW_SCHED_WATCHDOG;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_sched_watchdog(enum hw_abi abi, struct sched_watchdog *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_sched_watchdog_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_sched_watchdog_fastabi(arg);
    default:
        return hw_sched_watchdog_linear(arg);
    }
}

/* Pins the vCPU to a physical processor; hardware domain only. */
static inline int64_t hw_sched_pin_override_linear(struct sched_pin_override *arg)
{
    return HW_CALL2(HW_HYPERCALL_SCHED, HW_SCHED_PIN_OVERRIDE, (uintptr_t)arg);
}

static inline int64_t hw_sched_pin_override_physaddr(struct sched_pin_override *arg)
{
    return HW_CALL2(HW_HYPERCALL_SCHED, HW_SCHED_PIN_OVERRIDE, hw_virt_to_phys(arg));
}

static inline int64_t hw_sched_pin_override_fastabi(struct sched_pin_override *arg)
{
    const uint64_t in2 = (uint64_t)arg->pcpu;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_SCHED;
    register uint64_t rdi __asm__("rdi") = HW_SCHED_PIN_OVERRIDE;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_sched_pin_override(enum hw_abi abi, struct sched_pin_override *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_sched_pin_override_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_sched_pin_override_fastabi(arg);
    default:
        return hw_sched_pin_override_linear(arg);
    }
}

/* ---- set_timer_op: One timer interrupt at an absolute system time. */

#define HW_HYPERCALL_SET_TIMER_OP 15
#define HW_SET_TIMER_OP_SET 0

/* Nanoseconds of system time; 0 stops the timer. What is negative or more than 2^50 ns ahead fires after 100 ms. */
static inline int64_t hw_set_timer_op_set_linear(int64_t timeout)
{
    return HW_CALL1(HW_HYPERCALL_SET_TIMER_OP, timeout);
}

static inline int64_t hw_set_timer_op_set_physaddr(int64_t timeout)
{
    return HW_CALL1(HW_HYPERCALL_SET_TIMER_OP, timeout);
}

static inline int64_t hw_set_timer_op_set(enum hw_abi abi, int64_t timeout)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_set_timer_op_set_physaddr(timeout);
    default:
        return hw_set_timer_op_set_linear(timeout);
    }
}

/* ---- sysctl: The hypervisor as a whole, which only the control domain may change or look at. */

#define HW_HYPERCALL_SYSCTL 35
#define HW_SYSCTL_CALL 0

#define XEN_SYSCTL_INTERFACE_VERSION 22

struct xen_sysctl {
    uint32_t cmd;
    uint32_t interface_version;
    uint8_t _pad0[128];
};
_Static_assert(sizeof(struct xen_sysctl) == 136, "layout of xen_sysctl");
_Static_assert(offsetof(struct xen_sysctl, cmd) == 0, "layout of xen_sysctl");
_Static_assert(offsetof(struct xen_sysctl, interface_version) == 4, "layout of xen_sysctl");

/* Refused, like every one of its commands. */
static inline int64_t hw_sysctl_call_linear(struct xen_sysctl *arg)
{
    return HW_CALL1(HW_HYPERCALL_SYSCTL, (uintptr_t)arg);
}

static inline int64_t hw_sysctl_call_physaddr(struct xen_sysctl *arg)
{
    return HW_CALL1(HW_HYPERCALL_SYSCTL, hw_virt_to_phys(arg));
}

static inline int64_t hw_sysctl_call(enum hw_abi abi, struct xen_sysctl *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_sysctl_call_physaddr(arg);
    default:
        return hw_sysctl_call_linear(arg);
    }
}

/* ---- vcpu: State, time and registration areas of a vCPU. */

#define HW_HYPERCALL_VCPU 24
#define HW_VCPU_INITIALISE 0
#define HW_VCPU_UP 1
#define HW_VCPU_DOWN 2
#define HW_VCPU_IS_UP 3
#define HW_VCPU_GET_RUNSTATE_INFO 4
#define HW_VCPU_REGISTER_RUNSTATE_MEMORY_AREA 5
#define HW_VCPU_SET_PERIODIC_TIMER 6
#define HW_VCPU_STOP_PERIODIC_TIMER 7
#define HW_VCPU_SET_SINGLESHOT_TIMER 8
#define HW_VCPU_STOP_SINGLESHOT_TIMER 9
#define HW_VCPU_REGISTER_VCPU_INFO 10
#define HW_VCPU_SEND_NMI 11
#define HW_VCPU_GET_PHYSID 12
#define HW_VCPU_REGISTER_VCPU_TIME_MEMORY_AREA 13
#define HW_VCPU_REGISTER_RUNSTATE_PHYS_AREA 14
#define HW_VCPU_REGISTER_VCPU_TIME_PHYS_AREA 15

#define RUNSTATE_RUNNING 0
#define RUNSTATE_RUNNABLE 1
#define RUNSTATE_BLOCKED 2
#define RUNSTATE_OFFLINE 3
#define VCPU_SSHOTTMR_FUTURE 1

struct vcpu_hvm_context {
    uint32_t mode;
    uint8_t _pad0[4];
    uint64_t cpu_regs[15];
};
_Static_assert(sizeof(struct vcpu_hvm_context) == 128, "layout of vcpu_hvm_context");
_Static_assert(offsetof(struct vcpu_hvm_context, mode) == 0, "layout of vcpu_hvm_context");
_Static_assert(offsetof(struct vcpu_hvm_context, cpu_regs) == 8, "layout of vcpu_hvm_context");

struct vcpu_runstate_info {
    uint32_t state;
    uint8_t _pad0[4];
    uint64_t state_entry_time;
    uint64_t time[4];
};
_Static_assert(sizeof(struct vcpu_runstate_info) == 48, "layout of vcpu_runstate_info");
_Static_assert(offsetof(struct vcpu_runstate_info, state) == 0, "layout of vcpu_runstate_info");
_Static_assert(offsetof(struct vcpu_runstate_info, state_entry_time) == 8, "layout of vcpu_runstate_info");
_Static_assert(offsetof(struct vcpu_runstate_info, time) == 16, "layout of vcpu_runstate_info");

struct vcpu_register_memory_area {
    union {
        void *h;
    } addr;
};
_Static_assert(sizeof(struct vcpu_register_memory_area) == 8, "layout of vcpu_register_memory_area");
_Static_assert(offsetof(struct vcpu_register_memory_area, addr.h) == 0, "layout of vcpu_register_memory_area");

struct vcpu_register_time_memory_area {
    union {
        uint64_t p;
    } addr;
};
_Static_assert(sizeof(struct vcpu_register_time_memory_area) == 8, "layout of vcpu_register_time_memory_area");
_Static_assert(offsetof(struct vcpu_register_time_memory_area, addr.p) == 0, "layout of vcpu_register_time_memory_area");

struct vcpu_set_periodic_timer {
    uint64_t period_ns;
};
_Static_assert(sizeof(struct vcpu_set_periodic_timer) == 8, "layout of vcpu_set_periodic_timer");
_Static_assert(offsetof(struct vcpu_set_periodic_timer, period_ns) == 0, "layout of vcpu_set_periodic_timer");

struct vcpu_set_singleshot_timer {
    uint64_t timeout_abs_ns;
    uint32_t flags;
    uint8_t _pad0[4];
};
_Static_assert(sizeof(struct vcpu_set_singleshot_timer) == 16, "layout of vcpu_set_singleshot_timer");
_Static_assert(offsetof(struct vcpu_set_singleshot_timer, timeout_abs_ns) == 0, "layout of vcpu_set_singleshot_timer");
_Static_assert(offsetof(struct vcpu_set_singleshot_timer, flags) == 8, "layout of vcpu_set_singleshot_timer");

struct vcpu_register_vcpu_info {
    uint64_t mfn;
    uint32_t offset;
    uint32_t rsvd;
};
_Static_assert(sizeof(struct vcpu_register_vcpu_info) == 16, "layout of vcpu_register_vcpu_info");
_Static_assert(offsetof(struct vcpu_register_vcpu_info, mfn) == 0, "layout of vcpu_register_vcpu_info");
_Static_assert(offsetof(struct vcpu_register_vcpu_info, offset) == 8, "layout of vcpu_register_vcpu_info");
_Static_assert(offsetof(struct vcpu_register_vcpu_info, rsvd) == 12, "layout of vcpu_register_vcpu_info");

struct vcpu_get_physid {
    uint64_t phys_id;
};
_Static_assert(sizeof(struct vcpu_get_physid) == 8, "layout of vcpu_get_physid");
_Static_assert(offsetof(struct vcpu_get_physid, phys_id) == 0, "layout of vcpu_get_physid");

/* First register state of a vCPU that is not running yet. */
static inline int64_t hw_vcpu_initialise_linear(uint32_t vcpuid, struct vcpu_hvm_context *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_INITIALISE, vcpuid, (uintptr_t)arg);
}

static inline int64_t hw_vcpu_initialise_physaddr(uint32_t vcpuid, struct vcpu_hvm_context *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_INITIALISE, vcpuid, hw_virt_to_phys(arg));
}

static inline int64_t hw_vcpu_initialise_fastabi(uint32_t vcpuid, struct vcpu_hvm_context *arg)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    const uint64_t in3 = (uint64_t)(hw_virt_to_phys(arg) >> 12);
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_INITIALISE;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_initialise(enum hw_abi abi, uint32_t vcpuid, struct vcpu_hvm_context *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_initialise_physaddr(vcpuid, arg);
    case HW_ABI_FASTABI:
        return hw_vcpu_initialise_fastabi(vcpuid, arg);
    default:
        return hw_vcpu_initialise_linear(vcpuid, arg);
    }
}

/* Starts an initialised vCPU. */
static inline int64_t hw_vcpu_up_linear(uint32_t vcpuid)
{
    return HW_CALL2(HW_HYPERCALL_VCPU, HW_VCPU_UP, vcpuid);
}

static inline int64_t hw_vcpu_up_physaddr(uint32_t vcpuid)
{
    return HW_CALL2(HW_HYPERCALL_VCPU, HW_VCPU_UP, vcpuid);
}

static inline int64_t hw_vcpu_up_fastabi(uint32_t vcpuid)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_UP;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_up(enum hw_abi abi, uint32_t vcpuid)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_up_physaddr(vcpuid);
    case HW_ABI_FASTABI:
        return hw_vcpu_up_fastabi(vcpuid);
    default:
        return hw_vcpu_up_linear(vcpuid);
    }
}

/* Stops a vCPU; stopping the last one shuts the domain down. */
static inline int64_t hw_vcpu_down_linear(uint32_t vcpuid)
{
    return HW_CALL2(HW_HYPERCALL_VCPU, HW_VCPU_DOWN, vcpuid);
}

static inline int64_t hw_vcpu_down_physaddr(uint32_t vcpuid)
{
    return HW_CALL2(HW_HYPERCALL_VCPU, HW_VCPU_DOWN, vcpuid);
}

static inline int64_t hw_vcpu_down_fastabi(uint32_t vcpuid)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_DOWN;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_down(enum hw_abi abi, uint32_t vcpuid)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_down_physaddr(vcpuid);
    case HW_ABI_FASTABI:
        return hw_vcpu_down_fastabi(vcpuid);
    default:
        return hw_vcpu_down_linear(vcpuid);
    }
}

/* 1 when the vCPU is running, 0 when it is down. */
static inline int64_t hw_vcpu_is_up_linear(uint32_t vcpuid)
{
    return HW_CALL2(HW_HYPERCALL_VCPU, HW_VCPU_IS_UP, vcpuid);
}

static inline int64_t hw_vcpu_is_up_physaddr(uint32_t vcpuid)
{
    return HW_CALL2(HW_HYPERCALL_VCPU, HW_VCPU_IS_UP, vcpuid);
}

static inline int64_t hw_vcpu_is_up_fastabi(uint32_t vcpuid)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_IS_UP;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_is_up(enum hw_abi abi, uint32_t vcpuid)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_is_up_physaddr(vcpuid);
    case HW_ABI_FASTABI:
        return hw_vcpu_is_up_fastabi(vcpuid);
    default:
        return hw_vcpu_is_up_linear(vcpuid);
    }
}

/* Present run state and the nanoseconds spent in each: running 0, runnable 1, blocked 2, offline 3. */
static inline int64_t hw_vcpu_get_runstate_info_linear(uint32_t vcpuid, struct vcpu_runstate_info *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_GET_RUNSTATE_INFO, vcpuid, (uintptr_t)arg);
}

static inline int64_t hw_vcpu_get_runstate_info_physaddr(uint32_t vcpuid, struct vcpu_runstate_info *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_GET_RUNSTATE_INFO, vcpuid, hw_virt_to_phys(arg));
}

static inline int64_t hw_vcpu_get_runstate_info_fastabi(uint32_t vcpuid, struct vcpu_runstate_info *arg)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_GET_RUNSTATE_INFO;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8");
    register uint64_t r9 __asm__("r9");
    register uint64_t r10 __asm__("r10");
    register uint64_t r11 __asm__("r11");
    register uint64_t r12 __asm__("r12");

    HW_VENDOR_CALL(: "+r"(rax), "+r"(rsi), "=r"(r8), "=r"(r9), "=r"(r10), "=r"(r11), "=r"(r12) : "r"(rdi) : "memory");
    if ((int64_t)rax >= 0) {
        arg->state = (uint32_t)rsi;
        arg->state_entry_time = (uint64_t)r8;
        arg->time[0] = (uint64_t)r9;
        arg->time[1] = (uint64_t)r10;
        arg->time[2] = (uint64_t)r11;
        arg->time[3] = (uint64_t)r12;
    }
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_get_runstate_info(enum hw_abi abi, uint32_t vcpuid, struct vcpu_runstate_info *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_get_runstate_info_physaddr(vcpuid, arg);
    case HW_ABI_FASTABI:
        return hw_vcpu_get_runstate_info_fastabi(vcpuid, arg);
    default:
        return hw_vcpu_get_runstate_info_linear(vcpuid, arg);
    }
}

/* Address, as the guest maps it, where Xen keeps a copy of the run state; 0 for none. */
static inline int64_t hw_vcpu_register_runstate_memory_area_linear(uint32_t vcpuid, struct vcpu_register_memory_area *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_REGISTER_RUNSTATE_MEMORY_AREA, vcpuid, (uintptr_t)arg);
}

static inline int64_t hw_vcpu_register_runstate_memory_area_physaddr(uint32_t vcpuid, struct vcpu_register_memory_area *arg)
{
    struct vcpu_register_memory_area copy = *arg;
    int64_t result;

    copy.addr.h = (void *)(uintptr_t)hw_virt_to_phys(arg->addr.h);
    result = HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_REGISTER_RUNSTATE_MEMORY_AREA, vcpuid, hw_virt_to_phys(&copy));
    copy.addr.h = arg->addr.h;
    *arg = copy;
    return result;
}

static inline int64_t hw_vcpu_register_runstate_memory_area(enum hw_abi abi, uint32_t vcpuid, struct vcpu_register_memory_area *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_register_runstate_memory_area_physaddr(vcpuid, arg);
    default:
        return hw_vcpu_register_runstate_memory_area_linear(vcpuid, arg);
    }
}

/* Period of the vCPU's timer interrupt in nanoseconds, 1 ms to 2^62 - 1 ns. */
static inline int64_t hw_vcpu_set_periodic_timer_linear(uint32_t vcpuid, struct vcpu_set_periodic_timer *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_SET_PERIODIC_TIMER, vcpuid, (uintptr_t)arg);
}

static inline int64_t hw_vcpu_set_periodic_timer_physaddr(uint32_t vcpuid, struct vcpu_set_periodic_timer *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_SET_PERIODIC_TIMER, vcpuid, hw_virt_to_phys(arg));
}

static inline int64_t hw_vcpu_set_periodic_timer_fastabi(uint32_t vcpuid, struct vcpu_set_periodic_timer *arg)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    const uint64_t in3 = (uint64_t)arg->period_ns;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_SET_PERIODIC_TIMER;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_set_periodic_timer(enum hw_abi abi, uint32_t vcpuid, struct vcpu_set_periodic_timer *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_set_periodic_timer_physaddr(vcpuid, arg);
    case HW_ABI_FASTABI:
        return hw_vcpu_set_periodic_timer_fastabi(vcpuid, arg);
    default:
        return hw_vcpu_set_periodic_timer_linear(vcpuid, arg);
    }
}

/* Stops the periodic timer. */
static inline int64_t hw_vcpu_stop_periodic_timer_linear(uint32_t vcpuid)
{
    return HW_CALL2(HW_HYPERCALL_VCPU, HW_VCPU_STOP_PERIODIC_TIMER, vcpuid);
}

static inline int64_t hw_vcpu_stop_periodic_timer_physaddr(uint32_t vcpuid)
{
    return HW_CALL2(HW_HYPERCALL_VCPU, HW_VCPU_STOP_PERIODIC_TIMER, vcpuid);
}

static inline int64_t hw_vcpu_stop_periodic_timer_fastabi(uint32_t vcpuid)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_STOP_PERIODIC_TIMER;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_stop_periodic_timer(enum hw_abi abi, uint32_t vcpuid)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_stop_periodic_timer_physaddr(vcpuid);
    case HW_ABI_FASTABI:
        return hw_vcpu_stop_periodic_timer_fastabi(vcpuid);
    default:
        return hw_vcpu_stop_periodic_timer_linear(vcpuid);
    }
}

/* One timer interrupt at an absolute system time in nanoseconds, at once if that has passed; own vCPU only. */
static inline int64_t hw_vcpu_set_singleshot_timer_linear(uint32_t vcpuid, struct vcpu_set_singleshot_timer *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_SET_SINGLESHOT_TIMER, vcpuid, (uintptr_t)arg);
}

static inline int64_t hw_vcpu_set_singleshot_timer_physaddr(uint32_t vcpuid, struct vcpu_set_singleshot_timer *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_SET_SINGLESHOT_TIMER, vcpuid, hw_virt_to_phys(arg));
}

static inline int64_t hw_vcpu_set_singleshot_timer_fastabi(uint32_t vcpuid, struct vcpu_set_singleshot_timer *arg)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    const uint64_t in3 = (uint64_t)arg->timeout_abs_ns;
    const uint64_t in4 = (uint64_t)arg->flags;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_SET_SINGLESHOT_TIMER;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r9 __asm__("r9") = in4;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi), "r"(r8), "r"(r9) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_set_singleshot_timer(enum hw_abi abi, uint32_t vcpuid, struct vcpu_set_singleshot_timer *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_set_singleshot_timer_physaddr(vcpuid, arg);
    case HW_ABI_FASTABI:
        return hw_vcpu_set_singleshot_timer_fastabi(vcpuid, arg);
    default:
        return hw_vcpu_set_singleshot_timer_linear(vcpuid, arg);
    }
}

/* Stops the one-shot timer; own vCPU only. */
static inline int64_t hw_vcpu_stop_singleshot_timer_linear(uint32_t vcpuid)
{
    return HW_CALL2(HW_HYPERCALL_VCPU, HW_VCPU_STOP_SINGLESHOT_TIMER, vcpuid);
}

static inline int64_t hw_vcpu_stop_singleshot_timer_physaddr(uint32_t vcpuid)
{
    return HW_CALL2(HW_HYPERCALL_VCPU, HW_VCPU_STOP_SINGLESHOT_TIMER, vcpuid);
}

static inline int64_t hw_vcpu_stop_singleshot_timer_fastabi(uint32_t vcpuid)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_STOP_SINGLESHOT_TIMER;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_stop_singleshot_timer(enum hw_abi abi, uint32_t vcpuid)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_stop_singleshot_timer_physaddr(vcpuid);
    case HW_ABI_FASTABI:
        return hw_vcpu_stop_singleshot_timer_fastabi(vcpuid);
    default:
        return hw_vcpu_stop_singleshot_timer_linear(vcpuid);
    }
}

/* Moves the vCPU's vcpu_info out of shared_info to a frame (for HVM a guest frame) and offset; once. */
static inline int64_t hw_vcpu_register_vcpu_info_linear(uint32_t vcpuid, struct vcpu_register_vcpu_info *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_REGISTER_VCPU_INFO, vcpuid, (uintptr_t)arg);
}

static inline int64_t hw_vcpu_register_vcpu_info_physaddr(uint32_t vcpuid, struct vcpu_register_vcpu_info *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_REGISTER_VCPU_INFO, vcpuid, hw_virt_to_phys(arg));
}

static inline int64_t hw_vcpu_register_vcpu_info_fastabi(uint32_t vcpuid, struct vcpu_register_vcpu_info *arg)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    const uint64_t in3 = (uint64_t)arg->mfn;
    const uint64_t in4 = (uint64_t)arg->offset;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_REGISTER_VCPU_INFO;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;
    register uint64_t r9 __asm__("r9") = in4;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi), "r"(r8), "r"(r9) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_register_vcpu_info(enum hw_abi abi, uint32_t vcpuid, struct vcpu_register_vcpu_info *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_register_vcpu_info_physaddr(vcpuid, arg);
    case HW_ABI_FASTABI:
        return hw_vcpu_register_vcpu_info_fastabi(vcpuid, arg);
    default:
        return hw_vcpu_register_vcpu_info_linear(vcpuid, arg);
    }
}

/* Sends an NMI to a vCPU. The traditional pointer must be null. */
static inline int64_t hw_vcpu_send_nmi_linear(uint32_t vcpuid)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_SEND_NMI, vcpuid, 0);
}

static inline int64_t hw_vcpu_send_nmi_physaddr(uint32_t vcpuid)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_SEND_NMI, vcpuid, 0);
}

static inline int64_t hw_vcpu_send_nmi_fastabi(uint32_t vcpuid)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_SEND_NMI;
    register uint64_t rsi __asm__("rsi") = in2;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_send_nmi(enum hw_abi abi, uint32_t vcpuid)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_send_nmi_physaddr(vcpuid);
    case HW_ABI_FASTABI:
        return hw_vcpu_send_nmi_fastabi(vcpuid);
    default:
        return hw_vcpu_send_nmi_linear(vcpuid);
    }
}

/* Physical identity of a pinned hardware-domain vCPU. */
static inline int64_t hw_vcpu_get_physid_linear(uint32_t vcpuid, struct vcpu_get_physid *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_GET_PHYSID, vcpuid, (uintptr_t)arg);
}

static inline int64_t hw_vcpu_get_physid_physaddr(uint32_t vcpuid, struct vcpu_get_physid *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_GET_PHYSID, vcpuid, hw_virt_to_phys(arg));
}

static inline int64_t hw_vcpu_get_physid_fastabi(uint32_t vcpuid, struct vcpu_get_physid *arg)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_GET_PHYSID;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(r8) : "r"(rdi), "r"(rsi) : "memory");
    if ((int64_t)rax >= 0) {
        arg->phys_id = (uint64_t)r8;
    }
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_get_physid(enum hw_abi abi, uint32_t vcpuid, struct vcpu_get_physid *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_get_physid_physaddr(vcpuid, arg);
    case HW_ABI_FASTABI:
        return hw_vcpu_get_physid_fastabi(vcpuid, arg);
    default:
        return hw_vcpu_get_physid_linear(vcpuid, arg);
    }
}

/* Address, as the guest maps it, where Xen keeps a copy of the vCPU's time information; 0 for none. */
static inline int64_t hw_vcpu_register_vcpu_time_memory_area_linear(uint32_t vcpuid, struct vcpu_register_memory_area *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_REGISTER_VCPU_TIME_MEMORY_AREA, vcpuid, (uintptr_t)arg);
}

static inline int64_t hw_vcpu_register_vcpu_time_memory_area_physaddr(uint32_t vcpuid, struct vcpu_register_memory_area *arg)
{
    struct vcpu_register_memory_area copy = *arg;
    int64_t result;

    copy.addr.h = (void *)(uintptr_t)hw_virt_to_phys(arg->addr.h);
    result = HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_REGISTER_VCPU_TIME_MEMORY_AREA, vcpuid, hw_virt_to_phys(&copy));
    copy.addr.h = arg->addr.h;
    *arg = copy;
    return result;
}

static inline int64_t hw_vcpu_register_vcpu_time_memory_area(enum hw_abi abi, uint32_t vcpuid, struct vcpu_register_memory_area *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_register_vcpu_time_memory_area_physaddr(vcpuid, arg);
    default:
        return hw_vcpu_register_vcpu_time_memory_area_linear(vcpuid, arg);
    }
}

/* Guest-physical address where Xen keeps a copy of the run state; all ones for none. */
static inline int64_t hw_vcpu_register_runstate_phys_area_linear(uint32_t vcpuid, struct vcpu_register_time_memory_area *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_REGISTER_RUNSTATE_PHYS_AREA, vcpuid, (uintptr_t)arg);
}

static inline int64_t hw_vcpu_register_runstate_phys_area_physaddr(uint32_t vcpuid, struct vcpu_register_time_memory_area *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_REGISTER_RUNSTATE_PHYS_AREA, vcpuid, hw_virt_to_phys(arg));
}

static inline int64_t hw_vcpu_register_runstate_phys_area_fastabi(uint32_t vcpuid, struct vcpu_register_time_memory_area *arg)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    const uint64_t in3 = (uint64_t)arg->addr.p;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_REGISTER_RUNSTATE_PHYS_AREA;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_register_runstate_phys_area(enum hw_abi abi, uint32_t vcpuid, struct vcpu_register_time_memory_area *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_register_runstate_phys_area_physaddr(vcpuid, arg);
    case HW_ABI_FASTABI:
        return hw_vcpu_register_runstate_phys_area_fastabi(vcpuid, arg);
    default:
        return hw_vcpu_register_runstate_phys_area_linear(vcpuid, arg);
    }
}

/* Guest-physical address where Xen keeps a copy of the vCPU's time information; all ones for none. */
static inline int64_t hw_vcpu_register_vcpu_time_phys_area_linear(uint32_t vcpuid, struct vcpu_register_time_memory_area *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_REGISTER_VCPU_TIME_PHYS_AREA, vcpuid, (uintptr_t)arg);
}

static inline int64_t hw_vcpu_register_vcpu_time_phys_area_physaddr(uint32_t vcpuid, struct vcpu_register_time_memory_area *arg)
{
    return HW_CALL3(HW_HYPERCALL_VCPU, HW_VCPU_REGISTER_VCPU_TIME_PHYS_AREA, vcpuid, hw_virt_to_phys(arg));
}

static inline int64_t hw_vcpu_register_vcpu_time_phys_area_fastabi(uint32_t vcpuid, struct vcpu_register_time_memory_area *arg)
{
    const uint64_t in2 = (uint64_t)vcpuid;
    const uint64_t in3 = (uint64_t)arg->addr.p;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VCPU;
    register uint64_t rdi __asm__("rdi") = HW_VCPU_REGISTER_VCPU_TIME_PHYS_AREA;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8") = in3;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi), "r"(rsi), "r"(r8) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_vcpu_register_vcpu_time_phys_area(enum hw_abi abi, uint32_t vcpuid, struct vcpu_register_time_memory_area *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vcpu_register_vcpu_time_phys_area_physaddr(vcpuid, arg);
    case HW_ABI_FASTABI:
        return hw_vcpu_register_vcpu_time_phys_area_fastabi(vcpuid, arg);
    default:
        return hw_vcpu_register_vcpu_time_phys_area_linear(vcpuid, arg);
    }
}

/* ---- version: What hypervisor this is. */

#define HW_HYPERCALL_VERSION 17
#define HW_VERSION_VERSION 0
#define HW_VERSION_EXTRAVERSION 1
#define HW_VERSION_COMPILE_INFO 2
#define HW_VERSION_CAPABILITIES 3
#define HW_VERSION_CHANGESET 4
#define HW_VERSION_PLATFORM_PARAMETERS 5
#define HW_VERSION_GET_FEATURES 6
#define HW_VERSION_PAGESIZE 7
#define HW_VERSION_GUEST_HANDLE 8
#define HW_VERSION_COMMANDLINE 9
#define HW_VERSION_BUILD_ID 10
#define HW_VERSION_EXTRAVERSION2 11
#define HW_VERSION_CAPABILITIES2 12
#define HW_VERSION_CHANGESET2 13
#define HW_VERSION_COMMANDLINE2 14

#define XENFEAT_WRITABLE_PAGE_TABLES 0
#define XENFEAT_AUTO_TRANSLATED_PHYSMAP 2
#define XENFEAT_HVM_CALLBACK_VECTOR 8
#define XENFEAT_HVM_SAFE_PVCLOCK 9
#define XENFEAT_HVM_PIRQS 10
#define XENFEAT_DOM0 11
#define XENFEAT_MEMORY_OP_VNODE 13
#define XENFEAT_NOT_DIRECT_MAPPED 16
#define XENFEAT_RUNSTATE_PHYS_AREA 18
#define XENFEAT_VCPU_TIME_PHYS_AREA 19
#define XENFEAT_DM_MSIX_ALL_WRITES 20

struct xen_feature_info {
    uint32_t submap_idx;
    uint32_t submap;
};
_Static_assert(sizeof(struct xen_feature_info) == 8, "layout of xen_feature_info");
_Static_assert(offsetof(struct xen_feature_info, submap_idx) == 0, "layout of xen_feature_info");
_Static_assert(offsetof(struct xen_feature_info, submap) == 4, "layout of xen_feature_info");

struct xen_platform_parameters {
    uint64_t virt_start;
};
_Static_assert(sizeof(struct xen_platform_parameters) == 8, "layout of xen_platform_parameters");
_Static_assert(offsetof(struct xen_platform_parameters, virt_start) == 0, "layout of xen_platform_parameters");

/* The version in the result register: major * 65536 + minor. */
static inline int64_t hw_version_version_linear(void)
{
    return HW_CALL1(HW_HYPERCALL_VERSION, HW_VERSION_VERSION);
}

static inline int64_t hw_version_version_physaddr(void)
{
    return HW_CALL1(HW_HYPERCALL_VERSION, HW_VERSION_VERSION);
}

static inline int64_t hw_version_version_fastabi(void)
{
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VERSION;
    register uint64_t rdi __asm__("rdi") = HW_VERSION_VERSION;

    HW_VENDOR_CALL(: "+r"(rax) : "r"(rdi) : "memory");
    return (int64_t)rax;
}

static inline int64_t hw_version_version(enum hw_abi abi)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_version_physaddr();
    case HW_ABI_FASTABI:
        return hw_version_version_fastabi();
    default:
        return hw_version_version_linear();
    }
}

/* What follows the version number, 16 bytes of text. */
static inline int64_t hw_version_extraversion_linear(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_EXTRAVERSION, (uintptr_t)buffer);
}

static inline int64_t hw_version_extraversion_physaddr(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_EXTRAVERSION, hw_virt_to_phys(buffer));
}

static inline int64_t hw_version_extraversion(enum hw_abi abi, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_extraversion_physaddr(buffer);
    default:
        return hw_version_extraversion_linear(buffer);
    }
}

/* Compiler, who compiled where, and when: texts of 64, 16, 32 and 32 bytes. */
static inline int64_t hw_version_compile_info_linear(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_COMPILE_INFO, (uintptr_t)buffer);
}

static inline int64_t hw_version_compile_info_physaddr(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_COMPILE_INFO, hw_virt_to_phys(buffer));
}

static inline int64_t hw_version_compile_info(enum hw_abi abi, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_compile_info_physaddr(buffer);
    default:
        return hw_version_compile_info_linear(buffer);
    }
}

/* Kinds of guests that the hypervisor can run, 1024 bytes of text. */
static inline int64_t hw_version_capabilities_linear(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_CAPABILITIES, (uintptr_t)buffer);
}

static inline int64_t hw_version_capabilities_physaddr(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_CAPABILITIES, hw_virt_to_phys(buffer));
}

static inline int64_t hw_version_capabilities(enum hw_abi abi, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_capabilities_physaddr(buffer);
    default:
        return hw_version_capabilities_linear(buffer);
    }
}

/* What it was built from, 64 bytes of text. */
static inline int64_t hw_version_changeset_linear(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_CHANGESET, (uintptr_t)buffer);
}

static inline int64_t hw_version_changeset_physaddr(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_CHANGESET, hw_virt_to_phys(buffer));
}

static inline int64_t hw_version_changeset(enum hw_abi abi, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_changeset_physaddr(buffer);
    default:
        return hw_version_changeset_linear(buffer);
    }
}

/* Where the hypervisor is in a PV guest's address space; 0 for others. */
static inline int64_t hw_version_platform_parameters_linear(struct xen_platform_parameters *arg)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_PLATFORM_PARAMETERS, (uintptr_t)arg);
}

static inline int64_t hw_version_platform_parameters_physaddr(struct xen_platform_parameters *arg)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_PLATFORM_PARAMETERS, hw_virt_to_phys(arg));
}

static inline int64_t hw_version_platform_parameters(enum hw_abi abi, struct xen_platform_parameters *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_platform_parameters_physaddr(arg);
    default:
        return hw_version_platform_parameters_linear(arg);
    }
}

/* A word of feature flags. */
static inline int64_t hw_version_get_features_linear(struct xen_feature_info *arg)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_GET_FEATURES, (uintptr_t)arg);
}

static inline int64_t hw_version_get_features_physaddr(struct xen_feature_info *arg)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_GET_FEATURES, hw_virt_to_phys(arg));
}

static inline int64_t hw_version_get_features_fastabi(struct xen_feature_info *arg)
{
    const uint64_t in2 = (uint64_t)arg->submap_idx;
    register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_VERSION;
    register uint64_t rdi __asm__("rdi") = HW_VERSION_GET_FEATURES;
    register uint64_t rsi __asm__("rsi") = in2;
    register uint64_t r8 __asm__("r8");

    HW_VENDOR_CALL(: "+r"(rax), "=r"(r8) : "r"(rdi), "r"(rsi) : "memory");
    if ((int64_t)rax >= 0) {
        arg->submap = (uint32_t)r8;
    }
    return (int64_t)rax;
}

static inline int64_t hw_version_get_features(enum hw_abi abi, struct xen_feature_info *arg)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_get_features_physaddr(arg);
    case HW_ABI_FASTABI:
        return hw_version_get_features_fastabi(arg);
    default:
        return hw_version_get_features_linear(arg);
    }
}

/* Bytes of a page. */
static inline int64_t hw_version_pagesize_linear(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_PAGESIZE, (uintptr_t)buffer);
}

static inline int64_t hw_version_pagesize_physaddr(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_PAGESIZE, hw_virt_to_phys(buffer));
}

static inline int64_t hw_version_pagesize(enum hw_abi abi, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_pagesize_physaddr(buffer);
    default:
        return hw_version_pagesize_linear(buffer);
    }
}

/* UUID of the domain, 16 bytes. */
static inline int64_t hw_version_guest_handle_linear(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_GUEST_HANDLE, (uintptr_t)buffer);
}

static inline int64_t hw_version_guest_handle_physaddr(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_GUEST_HANDLE, hw_virt_to_phys(buffer));
}

static inline int64_t hw_version_guest_handle(enum hw_abi abi, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_guest_handle_physaddr(buffer);
    default:
        return hw_version_guest_handle_linear(buffer);
    }
}

/* The hypervisor's command line, 1024 bytes of text; other domains than the hardware domain read that they may not. */
static inline int64_t hw_version_commandline_linear(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_COMMANDLINE, (uintptr_t)buffer);
}

static inline int64_t hw_version_commandline_physaddr(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_COMMANDLINE, hw_virt_to_phys(buffer));
}

static inline int64_t hw_version_commandline(enum hw_abi abi, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_commandline_physaddr(buffer);
    default:
        return hw_version_commandline_linear(buffer);
    }
}

/* What the build is known by; for the control domain. */
static inline int64_t hw_version_build_id_linear(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_BUILD_ID, (uintptr_t)buffer);
}

static inline int64_t hw_version_build_id_physaddr(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_BUILD_ID, hw_virt_to_phys(buffer));
}

static inline int64_t hw_version_build_id(enum hw_abi abi, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_build_id_physaddr(buffer);
    default:
        return hw_version_build_id_linear(buffer);
    }
}

/* What follows the version number, as long as it is, behind the 4-byte length of the buffer; null asks for its length. */
static inline int64_t hw_version_extraversion2_linear(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_EXTRAVERSION2, (uintptr_t)buffer);
}

static inline int64_t hw_version_extraversion2_physaddr(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_EXTRAVERSION2, hw_virt_to_phys(buffer));
}

static inline int64_t hw_version_extraversion2(enum hw_abi abi, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_extraversion2_physaddr(buffer);
    default:
        return hw_version_extraversion2_linear(buffer);
    }
}

/* Kinds of guests that the hypervisor can run, as long as it is, behind the 4-byte length of the buffer; null asks for its length. */
static inline int64_t hw_version_capabilities2_linear(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_CAPABILITIES2, (uintptr_t)buffer);
}

static inline int64_t hw_version_capabilities2_physaddr(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_CAPABILITIES2, hw_virt_to_phys(buffer));
}

static inline int64_t hw_version_capabilities2(enum hw_abi abi, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_capabilities2_physaddr(buffer);
    default:
        return hw_version_capabilities2_linear(buffer);
    }
}

/* What it was built from, as long as it is, behind the 4-byte length of the buffer; null asks for its length. */
static inline int64_t hw_version_changeset2_linear(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_CHANGESET2, (uintptr_t)buffer);
}

static inline int64_t hw_version_changeset2_physaddr(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_CHANGESET2, hw_virt_to_phys(buffer));
}

static inline int64_t hw_version_changeset2(enum hw_abi abi, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_changeset2_physaddr(buffer);
    default:
        return hw_version_changeset2_linear(buffer);
    }
}

/* The hypervisor's command line, for the control domain, as long as it is, behind the 4-byte length of the buffer; null asks for its length. */
static inline int64_t hw_version_commandline2_linear(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_COMMANDLINE2, (uintptr_t)buffer);
}

static inline int64_t hw_version_commandline2_physaddr(void *buffer)
{
    return HW_CALL2(HW_HYPERCALL_VERSION, HW_VERSION_COMMANDLINE2, hw_virt_to_phys(buffer));
}

static inline int64_t hw_version_commandline2(enum hw_abi abi, void *buffer)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_version_commandline2_physaddr(buffer);
    default:
        return hw_version_commandline2_linear(buffer);
    }
}

/* ---- vm_assist: Turns assistance on and off. */

#define HW_HYPERCALL_VM_ASSIST 21
#define HW_VM_ASSIST_SET 0

#define VMASST_CMD_ENABLE 0
#define VMASST_CMD_DISABLE 1
#define VMASST_TYPE_RUNSTATE_UPDATE_FLAG 5

/* Command 0 turns a type on, 1 off. HVM domains have type 5 alone: run-state areas tell of their updates. */
static inline int64_t hw_vm_assist_set_linear(uint32_t cmd, uint32_t type)
{
    return HW_CALL2(HW_HYPERCALL_VM_ASSIST, cmd, type);
}

static inline int64_t hw_vm_assist_set_physaddr(uint32_t cmd, uint32_t type)
{
    return HW_CALL2(HW_HYPERCALL_VM_ASSIST, cmd, type);
}

static inline int64_t hw_vm_assist_set(enum hw_abi abi, uint32_t cmd, uint32_t type)
{
    switch (abi) {
    case HW_ABI_PHYSADDR:
        return hw_vm_assist_set_physaddr(cmd, type);
    default:
        return hw_vm_assist_set_linear(cmd, type);
    }
}

#endif
