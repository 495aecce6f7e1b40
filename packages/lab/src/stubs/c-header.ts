import {
  type AbiGroup,
  type AbiOperation,
  type AbiValue,
  REGISTER_ARGUMENT,
} from "@hyperwalk/xen/abi-loader";
import { cStruct } from "./c-struct.js";

const REGISTERS = ["rax", "rdi", "rsi", "r8", "r9", "r10", "r11", "r12"];

const PREAMBLE = `#ifndef XEN_HYPERCALLS_H
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
#define HW_CALL1(nr, a1) __extension__ ({ \\
    uint64_t hw_a1 = (uint64_t)(a1); \\
    int64_t hw_result; \\
    __asm__ volatile("call hypercall_page+%c[stub]" \\
                     : "=a"(hw_result), "+D"(hw_a1) : [stub] "i"(32 * (nr)) : "memory"); \\
    hw_result; })
#define HW_CALL2(nr, a1, a2) __extension__ ({ \\
    uint64_t hw_a1 = (uint64_t)(a1), hw_a2 = (uint64_t)(a2); \\
    int64_t hw_result; \\
    __asm__ volatile("call hypercall_page+%c[stub]" \\
                     : "=a"(hw_result), "+D"(hw_a1), "+S"(hw_a2) : [stub] "i"(32 * (nr)) : "memory"); \\
    hw_result; })
#define HW_CALL3(nr, a1, a2, a3) __extension__ ({ \\
    uint64_t hw_a1 = (uint64_t)(a1), hw_a2 = (uint64_t)(a2), hw_a3 = (uint64_t)(a3); \\
    int64_t hw_result; \\
    __asm__ volatile("call hypercall_page+%c[stub]" \\
                     : "=a"(hw_result), "+D"(hw_a1), "+S"(hw_a2), "+d"(hw_a3) \\
                     : [stub] "i"(32 * (nr)) : "memory"); \\
    hw_result; })

/* The vendor's instruction with the operands that follow it. */
#define HW_VENDOR_CALL(...) do { \\
    if (hw_use_vmmcall) \\
        __asm__ volatile("vmmcall" __VA_ARGS__); \\
    else \\
        __asm__ volatile("vmcall" __VA_ARGS__); \\
} while (0)
`;

/**
 * The C header of Xen's own operations: what every stub needs, then structs, constants and a stub of every operation for each
 * interface.
 * @param banner its first line
 */
export function xenHeader(groups: readonly AbiGroup[], banner: string): string {
  return `/* ${banner} */\n${PREAMBLE}\n${groups.map(groupText).join("")}#endif\n`;
}

/** The C header of somebody's own operations, beside Xen's own. @param file that the description came from */
export function ownHeader(group: AbiGroup, file: string): string {
  const guard = `HW_${group.name.toUpperCase().replace(/[^A-Z0-9]/g, "_")}_H`;
  const head = [
    `/* Generated from ${file} by hyperwalk stubs; do not edit. */`,
    `#ifndef ${guard}`,
    `#define ${guard}`,
    "",
    '#include "xen-hypercalls.h" /* of @hyperwalk/guest-sdk: include/ */',
    "",
  ];
  return `${head.join("\n")}\n${groupText(group)}#endif\n`;
}

function groupText(group: AbiGroup): string {
  const out = [`/* ---- ${group.name}: ${group.doc} */`, ""];
  out.push(`#define HW_HYPERCALL_${group.name.toUpperCase()} ${group.hypercall}`);
  for (const o of group.operations) out.push(`#define HW_${constantName(group.name, o.name)} ${o.subop}`);
  out.push("");
  for (const [name, value] of group.constants)
    out.push(`#define ${name} ${value < 0 ? `(${value})` : value}`);
  if (group.constants.size > 0) out.push("");
  for (const struct of group.structs) out.push(...cStruct(struct), "");
  for (const operation of group.operations) out.push(...stubs(group, operation));
  return `${out.join("\n")}\n`;
}

/** `event_channel`, `send` → `EVENT_CHANNEL_SEND`. */
function constantName(group: string, operation: string): string {
  return `${group}_${operation}`.toUpperCase();
}

/** A stub's C parameters: register arguments that are not implied, then the struct. */
function parameters(operation: AbiOperation): { declaration: string; name: string }[] {
  const list = registerArguments(operation)
    .filter((v) => v.implied === undefined)
    .map((v) => ({
      declaration: v.type?.pointer ? `void *${v.name}` : `${v.type?.c} ${v.name}`,
      name: v.name,
    }));
  if (operation.struct !== undefined)
    list.push({ declaration: `struct ${operation.struct} *arg`, name: "arg" });
  return list;
}

function registerArguments(operation: AbiOperation): AbiValue[] {
  return operation.inputs.filter((v) => v.offset === REGISTER_ARGUMENT);
}

function stubs(group: AbiGroup, operation: AbiOperation): string[] {
  const name = `hw_${group.name}_${operation.name}`;
  const list = parameters(operation);
  const declarations = list.map((p) => p.declaration).join(", ") || "void";
  const names = list.map((p) => p.name).join(", ");
  const define = (suffix: string, body: string[]) => [
    `static inline int64_t ${name}_${suffix}(${declarations})`,
    "{",
    ...body.map((line) => (line === "" ? "" : `    ${line}`)),
    "}",
    "",
  ];
  return [
    `/* ${operation.doc} */`,
    ...define("linear", traditional(group, operation, false)),
    ...define("physaddr", traditional(group, operation, true)),
    ...(operation.fastabi ? define("fastabi", fastabi(group, operation)) : []),
    `static inline int64_t ${name}(${["enum hw_abi abi", ...list.map((p) => p.declaration)].join(", ")})`,
    "{",
    "    switch (abi) {",
    "    case HW_ABI_PHYSADDR:",
    `        return ${name}_physaddr(${names});`,
    ...(operation.fastabi ? ["    case HW_ABI_FASTABI:", `        return ${name}_fastabi(${names});`] : []),
    "    default:",
    `        return ${name}_linear(${names});`,
    "    }",
    "}",
    "",
  ];
}

function traditional(group: AbiGroup, operation: AbiOperation, physical: boolean): string[] {
  const address = (expression: string) =>
    physical ? `hw_virt_to_phys(${expression})` : `(uintptr_t)${expression}`;
  const number = `HW_HYPERCALL_${group.name.toUpperCase()}`;
  const subop = group.plain ? [] : [`HW_${constantName(group.name, operation.name)}`];
  const args = registerArguments(operation).map((v) => {
    if (v.implied !== undefined) return String(v.implied);
    return v.type?.pointer ? address(v.name) : v.name;
  });
  const struct = group.structs.find((s) => s.name === operation.struct);
  const handles = physical ? (struct?.fields.filter((f) => f.type.pointer) ?? []) : [];
  if (struct !== undefined) args.push(address(handles.length > 0 ? "&copy" : "arg"));
  if (group.array) args.push("1");
  args.unshift(...subop);
  const call = `HW_CALL${args.length}(${[number, ...args].join(", ")})`;
  if (struct === undefined || handles.length === 0) return [`return ${call};`];
  // Pointers inside the struct are physical too: pass a copy with the converted ones.
  return [
    `struct ${struct.name} copy = *arg;`,
    "int64_t result;",
    "",
    ...handles.map((f) => `copy.${f.path} = (void *)(uintptr_t)hw_virt_to_phys(arg->${f.path});`),
    `result = ${call};`,
    ...handles.map((f) => `copy.${f.path} = arg->${f.path};`),
    "*arg = copy;",
    "return result;",
  ];
}

function fastabi(group: AbiGroup, operation: AbiOperation): string[] {
  const inputs = operation.inputs.filter((v) => v.register !== 0);
  const outputs = operation.outputs.filter((v) => v.register !== 0);
  const out = [
    `register uint64_t rax __asm__("rax") = HW_FASTABI_MASK | HW_HYPERCALL_${group.name.toUpperCase()};`,
    `register uint64_t rdi __asm__("rdi") = HW_${constantName(group.name, operation.name)};`,
  ];
  const inOnly: string[] = [];
  const outOnly: string[] = [];
  // Values are computed before any register variable lives: a call in between would destroy it.
  const values = inputs.map((v) => `const uint64_t in${v.register} = (uint64_t)${fastabiInput(v)};`);
  for (let number = 2; number < REGISTERS.length; number++) {
    const isIn = inputs.some((v) => v.register === number);
    const isOut = outputs.some((v) => v.register === number);
    if (!isIn && !isOut) continue;
    const register = REGISTERS[number];
    out.push(`register uint64_t ${register} __asm__("${register}")${isIn ? ` = in${number}` : ""};`);
    if (isOut) outOnly.push(`"${isIn ? "+" : "="}r"(${register})`);
    else inOnly.push(`"r"(${register})`);
  }
  const results = ['"+r"(rax)', ...outOnly].join(", ");
  const given = ['"r"(rdi)', ...inOnly].join(", ");
  const stores = outputs.map((v) => `    arg->${v.path} = (${v.type?.c})${REGISTERS[v.register]};`);
  const uses =
    operation.struct !== undefined && !inputs.some((v) => v.path ?? v.source) && stores.length === 0;
  return [
    ...(uses ? ["(void)arg;"] : []),
    ...values,
    ...out,
    "",
    `HW_VENDOR_CALL(: ${results} : ${given} : "memory");`,
    ...(stores.length > 0 ? ["if ((int64_t)rax >= 0) {", ...stores, "}"] : []),
    "return (int64_t)rax;",
  ];
}

function fastabiInput(value: AbiValue): string {
  if (value.source === "frame") return "(hw_virt_to_phys(arg) >> 12)";
  // The first element of an array that may be empty.
  if (value.source !== undefined)
    return `(arg->nr_${value.source.replace("[0]", "")} ? arg->${value.source} : 0)`;
  if (value.path === undefined) return value.name;
  return value.type?.pointer ? `hw_virt_to_phys(arg->${value.path})` : `arg->${value.path}`;
}
