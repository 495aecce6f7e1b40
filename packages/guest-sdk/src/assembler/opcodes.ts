/** The eight operations that share one encoding, in encoding order. */
export const ALU = { add: 0, or: 1, adc: 2, sbb: 3, and: 4, sub: 5, xor: 6, cmp: 7 } as const;
export const SHIFT = { rol: 0, ror: 1, shl: 4, shr: 5, sar: 7 } as const;
export const UNARY = { not: 2, neg: 3, mul: 4, imul: 5, div: 6, idiv: 7 } as const;

/** Condition codes by their usual suffix; unsigned: b, ae, be, a; signed: l, ge, le, g. */
// biome-ignore format: four pairs a line
export const Condition = {
  o: 0, no: 1, b: 2, ae: 3, e: 4, ne: 5, be: 6, a: 7,
  s: 8, ns: 9, p: 10, np: 11, l: 12, ge: 13, le: 14, g: 15,
} as const;
export type ConditionName = keyof typeof Condition;

export type AluOperation = keyof typeof ALU;
export type ShiftOperation = keyof typeof SHIFT;
export type UnaryOperation = keyof typeof UNARY;

/** Instructions without operands. */
export const PLAIN = {
  nop: [0x90],
  ret: [0xc3],
  int3: [0xcc],
  hlt: [0xf4],
  cli: [0xfa],
  sti: [0xfb],
  cld: [0xfc],
  ud2: [0x0f, 0x0b],
  wrmsr: [0x0f, 0x30],
  rdtsc: [0x0f, 0x31],
  rdmsr: [0x0f, 0x32],
  cpuid: [0x0f, 0xa2],
  pause: [0xf3, 0x90],
  /** XCHG BX, BX: does nothing anywhere; the simulator can stop after it. */
  marker: [0x66, 0x87, 0xdb],
  lfence: [0x0f, 0xae, 0xe8],
  mfence: [0x0f, 0xae, 0xf0],
  vmcall: [0x0f, 0x01, 0xc1],
  vmmcall: [0x0f, 0x01, 0xd9],
  vmgexit: [0xf3, 0x0f, 0x01, 0xd9],
  pvalidate: [0xf2, 0x0f, 0x01, 0xff],
  rmpadjust: [0xf3, 0x0f, 0x01, 0xfe],
  iretq: [0x48, 0xcf],
  repStosq: [0xf3, 0x48, 0xab],
} as const;
export type PlainInstruction = keyof typeof PLAIN;
