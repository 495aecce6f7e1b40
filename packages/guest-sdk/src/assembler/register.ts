/** Width of a register or memory operand in bits. */
export type OperandBits = 8 | 16 | 32 | 64;

/** A general register at one width. 8-bit registers 4-7 are SPL, BPL, SIL and DIL (AH-BH are left out). */
export interface Register {
  readonly kind: "register";
  /** Encoding number, 0-15. */
  readonly index: number;
  readonly bits: OperandBits;
  /** Intel-syntax name. */
  readonly name: string;
}

const LEGACY = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"] as const;

function nameOf(index: number, bits: OperandBits): string {
  if (index >= 8) return `r${index}${{ 8: "b", 16: "w", 32: "d", 64: "" }[bits]}`;
  const word = LEGACY[index];
  if (bits === 64) return `r${word}`;
  if (bits === 32) return `e${word}`;
  if (bits === 16) return word;
  return index < 4 ? `${word[0]}l` : `${word}l`;
}

function file(bits: OperandBits): readonly Register[] {
  return Array.from(
    { length: 16 },
    (_, index): Register => ({ kind: "register", index, bits, name: nameOf(index, bits) }),
  );
}

const files: Readonly<Record<OperandBits, readonly Register[]>> = {
  8: file(8),
  16: file(16),
  32: file(32),
  64: file(64),
};

/** The register with this encoding number (0-15) at this width. */
export function register(index: number, bits: OperandBits): Register {
  const found = files[bits][index];
  if (!found) throw new RangeError(`no general register ${index}: 0-15 are allowed`);
  return found;
}

/** The same register at another width. */
export function resized(r: Register, bits: OperandBits): Register {
  return files[bits][r.index];
}

export const rax: Register = files[64][0];
export const rcx: Register = files[64][1];
export const rdx: Register = files[64][2];
export const rbx: Register = files[64][3];
export const rsp: Register = files[64][4];
export const rbp: Register = files[64][5];
export const rsi: Register = files[64][6];
export const rdi: Register = files[64][7];
export const r8: Register = files[64][8];
export const r9: Register = files[64][9];
export const r10: Register = files[64][10];
export const r11: Register = files[64][11];
export const r12: Register = files[64][12];
export const r13: Register = files[64][13];
export const r14: Register = files[64][14];
export const r15: Register = files[64][15];

export const eax: Register = files[32][0];
export const ecx: Register = files[32][1];
export const edx: Register = files[32][2];
export const ebx: Register = files[32][3];
export const esp: Register = files[32][4];
export const ebp: Register = files[32][5];
export const esi: Register = files[32][6];
export const edi: Register = files[32][7];

export const al: Register = files[8][0];
export const cl: Register = files[8][1];
export const dl: Register = files[8][2];
