/** Linear addresses and sizes that native/harness.c and the simulated machine share. */
export const CODE_BASE = 0x10000000;
export const CODE_BYTES = 0x2000;
export const DATA_BASE = 0x20000000;
export const DATA_BYTES = 0x2000;
/** Most code bytes of a case, INT3 included. */
export const MAX_CODE = 112;

/** Selectors of a 64-bit Linux process. */
export const USER_CS32 = 0x23;
export const USER_DS = 0x2b;
export const USER_CS = 0x33;

/** Byte offsets in a case, see struct test_case. */
export const CaseField = {
  Mode: 0,
  CodeOffset: 4,
  CodeLength: 8,
  Seed: 12,
  Gpr: 16,
  Flags: 144,
  FsBase: 152,
  GsBase: 160,
  Code: 168,
  Image: 280,
  Bytes: 696,
} as const;

/** Byte offsets in a result, see struct test_result. */
export const ResultField = {
  Gpr: 0,
  Rip: 128,
  Flags: 136,
  Cr2: 144,
  FsBase: 152,
  GsBase: 160,
  Trap: 168,
  Error: 172,
  Hash: 176,
  Cs: 180,
  Ss: 182,
  Ds: 184,
  Es: 186,
  Fs: 188,
  Gs: 190,
  Image: 192,
  Bytes: 608,
} as const;

/** Byte offsets in the image of FXSAVE64 (SDM vol. 1, 10.5.1.1) that cases start and end with. */
export const ImageField = {
  ControlWord: 0,
  StatusWord: 2,
  /** A byte; bit r = R(r) is in use. */
  InUse: 4,
  Opcode: 6,
  InstructionPointer: 8,
  DataPointer: 16,
  Mxcsr: 24,
  MxcsrMask: 28,
  /** ST0 to ST7, 16 bytes apart, 10 of them used. */
  Stack: 32,
  Xmm: 160,
  /** The rest of the 512 bytes is reserved. */
  Bytes: 416,
} as const;

/** `Trap` of cases that did not end with an exception; there is nothing to compare then. */
export const Outcome = { TripleFault: 252, Unsupported: 253, Timeout: 254, SystemCall: 255 } as const;

/** Registers at the start of a sequence, and its bytes. */
export interface TestCase {
  readonly mode: 32 | 64;
  /** Where the code starts, counted from {@link CODE_BASE}. */
  readonly codeOffset: number;
  readonly code: Uint8Array;
  /** Of the data window's contents. */
  readonly seed: number;
  /** Low and high words of 16 registers in encoding order. */
  readonly gpr: Int32Array;
  readonly flags: number;
  readonly fsBase: number;
  readonly gsBase: number;
  /** x87, MMX and XMM registers as FXRSTOR64 loads them, {@link ImageField}.Bytes bytes. */
  readonly image: Uint8Array;
  /** Arithmetic flags that the instruction which ends at a code offset leaves undefined. */
  readonly undefinedFlags: ReadonlyMap<number, number>;
  /** Keys of the opcode forms in the sequence. */
  readonly keys: readonly string[];
}

export function encodeCase(test: TestCase, into: DataView, at: number): void {
  into.setUint32(at + CaseField.Mode, test.mode, true);
  into.setUint32(at + CaseField.CodeOffset, test.codeOffset, true);
  into.setUint32(at + CaseField.CodeLength, test.code.length, true);
  into.setInt32(at + CaseField.Seed, test.seed, true);
  for (let i = 0; i < 32; i++) into.setInt32(at + CaseField.Gpr + 4 * i, test.gpr[i], true);
  into.setUint32(at + CaseField.Flags, test.flags, true);
  into.setUint32(at + CaseField.FsBase, test.fsBase, true);
  into.setUint32(at + CaseField.GsBase, test.gsBase, true);
  new Uint8Array(into.buffer, into.byteOffset + at + CaseField.Code, MAX_CODE).set(test.code);
  new Uint8Array(into.buffer, into.byteOffset + at + CaseField.Image, ImageField.Bytes).set(test.image);
}
