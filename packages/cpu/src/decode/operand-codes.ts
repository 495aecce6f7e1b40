/** Where an operand comes from, after SDM vol. 2 appendix A. */
export const OperandKind = {
  None: 0,
  /** E: general register or memory from ModRM.rm. */
  RegisterOrMemory: 1,
  /** G: general register from ModRM.reg. */
  Register: 2,
  /** M: memory only. */
  Memory: 3,
  /** R: general register from ModRM.rm whatever ModRM.mod says. */
  RegisterFromRm: 4,
  /** Z: general register from the opcode's low bits. */
  RegisterFromOpcode: 5,
  /** I: immediate. */
  Immediate: 6,
  /** J: displacement relative to the next instruction. */
  Relative: 7,
  /** O: memory at an absolute offset. */
  Offset: 8,
  /** A: far pointer in the instruction. */
  FarPointer: 9,
  /** X: memory at DS:rSI. */
  StringSource: 10,
  /** Y: memory at ES:rDI. */
  StringDestination: 11,
  /** S: segment register from ModRM.reg. */
  SegmentFromReg: 12,
  /** C: control register from ModRM.reg. */
  Control: 13,
  /** D: debug register from ModRM.reg. */
  Debug: 14,
  /** A named general register: accumulator, CL or DX. */
  FixedRegister: 15,
  /** A named segment register. */
  FixedSegment: 16,
  /** The constant 1. */
  One: 17,
  /** V, W, U: vector register; W may be memory. */
  VectorFromReg: 18,
  VectorOrMemory: 19,
  VectorFromRm: 20,
  /** P, Q, N: MMX register; Q may be memory. */
  MmxFromReg: 21,
  MmxOrMemory: 22,
  MmxFromRm: 23,
  /** x87 stack top and stack register from ModRM.rm. */
  StackTop: 24,
  StackRegister: 25,
  /** B: general register from VEX.vvvv. */
  VexRegister: 26,
} as const;

/** Widths as written in the opcode maps; those that follow the operand size are resolved per instruction. */
export const OperandWidth = {
  None: 0,
  Byte: 1,
  Word: 2,
  Dword: 3,
  Qword: 4,
  /** v: 16, 32 or 64 bits by operand size. */
  ByOperandSize: 5,
  /** z: 16 bits, or 32 for operand sizes 32 and 64. */
  ByOperandSizeTo32: 6,
  /** y: 32 or 64 bits. */
  DwordOrQword: 7,
  /** 16 bytes. */
  Vector: 8,
  /** p: far pointer, 16-bit selector after an offset of operand size. */
  Far: 9,
  /** s: descriptor-table limit and base. */
  TableRegister: 10,
  /** a: pair of bounds. */
  Bounds: 11,
  /** Not in the SDM's alphabet (written n): 64 bits in 64-bit mode, otherwise 32, whatever the prefixes. */
  Native: 12,
} as const;

/** One operand of an opcode form. */
export interface OperandCode {
  readonly kind: number;
  readonly width: number;
  /** Register number of fixed operands. */
  readonly register: number;
}

const WIDTHS: Record<string, number> = {
  "": OperandWidth.None,
  b: OperandWidth.Byte,
  w: OperandWidth.Word,
  d: OperandWidth.Dword,
  q: OperandWidth.Qword,
  v: OperandWidth.ByOperandSize,
  z: OperandWidth.ByOperandSizeTo32,
  y: OperandWidth.DwordOrQword,
  x: OperandWidth.Vector,
  p: OperandWidth.Far,
  s: OperandWidth.TableRegister,
  a: OperandWidth.Bounds,
  n: OperandWidth.Native,
};

const KINDS: Record<string, number> = {
  E: OperandKind.RegisterOrMemory,
  G: OperandKind.Register,
  M: OperandKind.Memory,
  R: OperandKind.RegisterFromRm,
  Z: OperandKind.RegisterFromOpcode,
  I: OperandKind.Immediate,
  J: OperandKind.Relative,
  O: OperandKind.Offset,
  A: OperandKind.FarPointer,
  X: OperandKind.StringSource,
  Y: OperandKind.StringDestination,
  S: OperandKind.SegmentFromReg,
  C: OperandKind.Control,
  D: OperandKind.Debug,
  V: OperandKind.VectorFromReg,
  W: OperandKind.VectorOrMemory,
  U: OperandKind.VectorFromRm,
  P: OperandKind.MmxFromReg,
  Q: OperandKind.MmxOrMemory,
  N: OperandKind.MmxFromRm,
  B: OperandKind.VexRegister,
};

const FIXED: Record<string, OperandCode> = {
  AL: { kind: OperandKind.FixedRegister, width: OperandWidth.Byte, register: 0 },
  CL: { kind: OperandKind.FixedRegister, width: OperandWidth.Byte, register: 1 },
  AX: { kind: OperandKind.FixedRegister, width: OperandWidth.Word, register: 0 },
  DX: { kind: OperandKind.FixedRegister, width: OperandWidth.Word, register: 2 },
  eAX: { kind: OperandKind.FixedRegister, width: OperandWidth.ByOperandSizeTo32, register: 0 },
  rAX: { kind: OperandKind.FixedRegister, width: OperandWidth.ByOperandSize, register: 0 },
  ES: { kind: OperandKind.FixedSegment, width: OperandWidth.Word, register: 0 },
  CS: { kind: OperandKind.FixedSegment, width: OperandWidth.Word, register: 1 },
  SS: { kind: OperandKind.FixedSegment, width: OperandWidth.Word, register: 2 },
  DS: { kind: OperandKind.FixedSegment, width: OperandWidth.Word, register: 3 },
  FS: { kind: OperandKind.FixedSegment, width: OperandWidth.Word, register: 4 },
  GS: { kind: OperandKind.FixedSegment, width: OperandWidth.Word, register: 5 },
  ST: { kind: OperandKind.StackTop, width: OperandWidth.None, register: 0 },
  Ti: { kind: OperandKind.StackRegister, width: OperandWidth.None, register: 0 },
  "1": { kind: OperandKind.One, width: OperandWidth.Byte, register: 0 },
};

/** Parses one operand code such as `Ev` or `AL`. */
export function parseOperandCode(text: string): OperandCode {
  const fixed = FIXED[text];
  if (fixed !== undefined) return fixed;
  const kind = KINDS[text.charAt(0)];
  const suffix = text.slice(1);
  const width = WIDTHS[suffix];
  if (kind === undefined || width === undefined) throw new RangeError(`unknown operand code ${text}`);
  return { kind, width, register: 0 };
}
