import { USER_CS, USER_CS32, USER_DS } from "../layout.js";
import type { Random } from "../random.js";

/** UD2, which a transfer must leap over. */
const TRAP = [0x0f, 0x0b];

interface Transfer {
  readonly key: string;
  /** `T` stands for four bytes of the target address. */
  readonly bytes: readonly (number | "T")[];
}

const LONG: readonly Transfer[] = [
  { key: "ret", bytes: [0x68, "T", 0xc3] },
  { key: "ret", bytes: [0x68, "T", 0xc2, 24, 0] },
  { key: "retf", bytes: [0x6a, USER_CS, 0x68, "T", 0x48, 0xcb] },
  { key: "retf", bytes: [0x6a, USER_CS, 0x68, "T", 0x48, 0xca, 16, 0] },
  { key: "iret", bytes: [0x6a, USER_DS, 0x54, 0x9c, 0x6a, USER_CS, 0x68, "T", 0x48, 0xcf] },
  { key: "jmp", bytes: [0xb8, "T", 0xff, 0xe0] },
  { key: "jmp", bytes: [0x48, 0xc7, 0x44, 0x24, 0xf8, "T", 0xff, 0x64, 0x24, 0xf8] },
  { key: "call", bytes: [0x41, 0xbb, "T", 0x41, 0xff, 0xd3] },
  { key: "call", bytes: [0x48, 0xc7, 0x44, 0x24, 0xf8, "T", 0xff, 0x54, 0x24, 0xf8] },
  { key: "call", bytes: [0x68, "T", 0xff, 0x14, 0x24] },
  { key: "jmpf", bytes: [0x6a, USER_CS, 0xc7, 0x44, 0x24, 0xfc, "T", 0xff, 0x6c, 0x24, 0xfc] },
  { key: "callf", bytes: [0x6a, USER_CS, 0xc7, 0x44, 0x24, 0xfc, "T", 0xff, 0x5c, 0x24, 0xfc] },
];

const PROTECTED: readonly Transfer[] = [
  { key: "ret", bytes: [0x68, "T", 0xc3] },
  { key: "ret", bytes: [0x68, "T", 0xc2, 24, 0] },
  { key: "retf", bytes: [0x6a, USER_CS32, 0x68, "T", 0xcb] },
  { key: "retf", bytes: [0x6a, USER_CS32, 0x68, "T", 0xca, 16, 0] },
  { key: "iret", bytes: [0x9c, 0x6a, USER_CS32, 0x68, "T", 0xcf] },
  { key: "jmp", bytes: [0xb8, "T", 0xff, 0xe0] },
  { key: "jmp", bytes: [0x68, "T", 0xff, 0x24, 0x24] },
  { key: "call", bytes: [0xb8, "T", 0xff, 0xd0] },
  { key: "call", bytes: [0x68, "T", 0xff, 0x14, 0x24] },
  { key: "jmpf", bytes: [0xea, "T", USER_CS32, 0] },
  { key: "callf", bytes: [0x9a, "T", USER_CS32, 0] },
  { key: "jmpf", bytes: [0x6a, USER_CS32, 0x68, "T", 0xff, 0x2c, 0x24] },
  { key: "callf", bytes: [0x6a, USER_CS32, 0x68, "T", 0xff, 0x1c, 0x24] },
];

/** A transfer of control that arrives, which random operands hardly ever do. */
export function makeTransfer(
  random: Random,
  mode: 32 | 64,
  address: number,
): { readonly key: string; readonly bytes: number[] } {
  const { key, bytes } = random.pick(mode === 64 ? LONG : PROTECTED);
  const length = bytes.reduce((sum: number, byte) => sum + (byte === "T" ? 4 : 1), TRAP.length);
  const target = address + length;
  const out: number[] = [];
  for (const byte of bytes) {
    if (byte === "T") for (let i = 0; i < 4; i++) out.push((target >> (8 * i)) & 0xff);
    else out.push(byte);
  }
  return { key, bytes: [...out, ...TRAP] };
}
