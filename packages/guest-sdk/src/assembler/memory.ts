import type { Label } from "./label.js";
import type { Register } from "./register.js";

/** A memory operand: `[base + index * scale + displacement]`, or a label's place. */
export interface Memory {
  readonly kind: "memory";
  readonly base: Register | undefined;
  readonly index: Register | undefined;
  readonly scale: 1 | 2 | 4 | 8;
  /** Signed 32-bit bytes. */
  readonly displacement: number;
  /** RIP-relative in 64-bit code; the label's physical address in 32-bit code, which runs before paging is on. */
  readonly label: Label | undefined;
}

/** `[base + displacement]` */
export function at(base: Register, displacement = 0): Memory {
  return { kind: "memory", base, index: undefined, scale: 1, displacement, label: undefined };
}

/** `[base + index * scale + displacement]` */
export function indexed(base: Register, index: Register, scale: 1 | 2 | 4 | 8 = 1, displacement = 0): Memory {
  return { kind: "memory", base, index, scale, displacement, label: undefined };
}

/** `[displacement]`, sign-extended to 64 bits in 64-bit code. */
export function absolute(displacement: number): Memory {
  return { kind: "memory", base: undefined, index: undefined, scale: 1, displacement, label: undefined };
}

/** The bytes at a label plus `displacement`. */
export function atLabel(label: Label, displacement = 0): Memory {
  return { kind: "memory", base: undefined, index: undefined, scale: 1, displacement, label };
}
