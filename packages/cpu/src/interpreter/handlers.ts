import { Cr0, Cr4 } from "../control-registers.js";
import { State } from "../cpu-state.js";
import type { OpcodeForm } from "../decode/opcode-map.js";
import { OperandKind } from "../decode/operand-codes.js";
import { Vector } from "../exceptions/vector.js";
import type { ExecutionCore } from "./core.js";
import { Status } from "./entry.js";
import { AES } from "./families/aes.js";
import { ARITHMETIC } from "./families/arithmetic.js";
import { BITS } from "./families/bits.js";
import { BMI } from "./families/bmi.js";
import { CONTROL_FLOW } from "./families/control-flow.js";
import { EXTENDED_STATE } from "./families/extended-state.js";
import { FAR_TRANSFERS } from "./families/far-transfers.js";
import { FLAG_CONTROL } from "./families/flag-control.js";
import { INTERRUPT_RETURN } from "./families/interrupt-return.js";
import { IO } from "./families/io.js";
import { MOVES } from "./families/moves.js";
import { MULTIPLY } from "./families/multiply.js";
import { PACKED_ARITHMETIC } from "./families/packed-arithmetic.js";
import { PACKED_ELEMENTS } from "./families/packed-elements.js";
import { PACKED_SHIFTS } from "./families/packed-shifts.js";
import { PACKED_SHUFFLES } from "./families/packed-shuffles.js";
import { PACKED_STRINGS } from "./families/packed-strings.js";
import { PACKED_SUMS } from "./families/packed-sums.js";
import { PACKED_UNPACKS } from "./families/packed-unpacks.js";
import { PAGE_STATE } from "./families/page-state.js";
import { RANDOM } from "./families/random.js";
import { SEGMENTS } from "./families/segments.js";
import { SHA } from "./families/sha.js";
import { SHIFTS } from "./families/shifts.js";
import { SSE_ARITHMETIC } from "./families/sse-arithmetic.js";
import { SSE_CONVERSIONS } from "./families/sse-conversions.js";
import { SSE_PRODUCTS } from "./families/sse-products.js";
import { STACK } from "./families/stack.js";
import { STRINGS } from "./families/strings.js";
import { SYSTEM } from "./families/system.js";
import { SYSTEM_CALLS } from "./families/system-calls.js";
import { VECTOR_LOGIC } from "./families/vector-logic.js";
import { VECTOR_MOVES } from "./families/vector-moves.js";
import { VIRTUALIZATION } from "./families/virtualization.js";
import { X87_ARITHMETIC } from "./families/x87-arithmetic.js";
import { X87_COMPARE } from "./families/x87-compare.js";
import { X87_CONTROL } from "./families/x87-control.js";
import { X87_MOVES } from "./families/x87-moves.js";
import { X87_TRANSCENDENTAL } from "./families/x87-transcendental.js";
import type { Family, Handler } from "./handler.js";

function invalid(core: ExecutionCore): number {
  return core.undefined();
}

/** Longer than 15 bytes. */
function tooLong(core: ExecutionCore): number {
  return core.protection();
}

function unsupported(): number {
  return Status.Unsupported;
}

/** MMX and SSE: #UD when not enabled, #NM when another task's; otherwise the engine has to give up. */
function vector(core: ExecutionCore, pc: number): number {
  const { words } = core;
  const sse = core.variantOf(pc) === 1;
  if ((words[State.Cr0] & Cr0.Em) !== 0 || (sse && (words[State.Cr4] & Cr4.OsFxsr) === 0))
    return core.undefined();
  if ((words[State.Cr0] & Cr0.Ts) !== 0) return core.raisePlain(Vector.Nm);
  return Status.Unsupported;
}

const SPECIAL: Family = {
  "#ud": invalid,
  "#long": tooLong,
  "#unsupported": unsupported,
  "#vector": vector,
  // VEX and EVEX on vector registers: no profile offers AVX, so XCR0 cannot enable it.
  "#vex": invalid,
};

const FAMILIES: readonly Family[] = [
  SPECIAL,
  ARITHMETIC,
  BITS,
  BMI,
  CONTROL_FLOW,
  EXTENDED_STATE,
  FAR_TRANSFERS,
  FLAG_CONTROL,
  INTERRUPT_RETURN,
  IO,
  MOVES,
  MULTIPLY,
  RANDOM,
  SEGMENTS,
  SHIFTS,
  SSE_ARITHMETIC,
  SSE_CONVERSIONS,
  SSE_PRODUCTS,
  STACK,
  STRINGS,
  SYSTEM,
  SYSTEM_CALLS,
  AES,
  PACKED_ARITHMETIC,
  PACKED_ELEMENTS,
  PACKED_SHIFTS,
  PACKED_SHUFFLES,
  PACKED_STRINGS,
  PACKED_SUMS,
  PACKED_UNPACKS,
  SHA,
  VECTOR_LOGIC,
  VECTOR_MOVES,
  VIRTUALIZATION,
  X87_ARITHMETIC,
  X87_COMPARE,
  X87_CONTROL,
  X87_MOVES,
  X87_TRANSCENDENTAL,
  PAGE_STATE,
];

/** Handlers by number; an entry's `Form` word has the number in its top byte. */
export const HANDLERS: Handler[] = [];
const numbers = new Map<string, { readonly handler: number; readonly variant: number }>();

for (const family of FAMILIES)
  for (const [key, entry] of Object.entries(family)) {
    const [handler, variant] = typeof entry === "function" ? [entry, 0] : entry;
    let number = HANDLERS.indexOf(handler);
    if (number < 0) number = HANDLERS.push(handler) - 1;
    if (numbers.has(key)) throw new RangeError(`two handlers for ${key}`);
    numbers.set(key, { handler: number, variant });
  }
if (HANDLERS.length > 256) throw new RangeError("more handlers than an entry can name");

const VECTOR_KINDS = new Set<number>([
  OperandKind.VectorFromReg,
  OperandKind.VectorOrMemory,
  OperandKind.VectorFromRm,
  OperandKind.MmxFromReg,
  OperandKind.MmxOrMemory,
  OperandKind.MmxFromRm,
]);
const VECTOR_KEYS = new Set("ldmxcsr stmxcsr fxsave fxrstor xsave xrstor xsaveopt".split(" "));

/** Handler number and variant of a form key: `#ud`, `#long` and `#unsupported` are the special ones. */
export function handlerOf(key: string): { readonly handler: number; readonly variant: number } | undefined {
  return numbers.get(key);
}

/** The key of the handler for a form that no family has. */
export function fallbackKey(form: OpcodeForm): string {
  if (VECTOR_KEYS.has(form.key) || form.operands.some((o) => VECTOR_KINDS.has(o.kind))) return "#vector";
  return "#unsupported";
}

/** Whether the form touches vector (not MMX) registers. */
export function usesVectors(form: OpcodeForm): boolean {
  return form.operands.some((o) => o.kind >= OperandKind.VectorFromReg && o.kind <= OperandKind.VectorFromRm);
}

/** Keys after which a block ends: transfers of control, and whatever may stop, exit or change how code decodes. */
export const BLOCK_ENDS: ReadonlySet<string> = new Set(
  [
    ...Object.keys(CONTROL_FLOW),
    ...Object.keys(FAR_TRANSFERS),
    ...Object.keys(INTERRUPT_RETURN),
    ...Object.keys(SYSTEM_CALLS),
    ...Object.keys(IO),
    ...Object.keys(SPECIAL),
    ..."xsetbv cli sti clac stac popf movtoseg popseg les lds lss lfs lgs lgdt lidt lldt ltr".split(" "),
    ...Object.keys(SYSTEM),
    ...Object.keys(VIRTUALIZATION),
    ...Object.keys(PAGE_STATE),
  ].filter((key) => !/^(lfence|mfence|sfence|rdpid|clflush|clflushopt|clwb|movfromcr|smsw)$/.test(key)),
);
