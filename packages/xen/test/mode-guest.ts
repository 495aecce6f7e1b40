import type { ProcessorProfile } from "@hyperwalk/cpu";
import type { XenSystem } from "../src/xen.ts";
import { type FlatGuestOptions, flatGuest, le } from "./flat-guest.ts";

/** Where the guest leaves a hypercall's result. */
export const RESULT = 0x8000;
/** A page that the guest's structs are in; the one after it is mapped too. */
export const STRUCT = 0x40000;

const GDT = 0x5000;
const TABLES = 0x20000;
const REAL_CODE = 0x2000;
const TSS_ESP0 = 4; // the PVH task register's segment begins at address 0
const STACK = 0x80000;
const CODE32 = 0x08;
const DATA = 0x10;
const CODE16 = 0x18;
const CODE64 = 0x20;
const CODE32_USER = 0x28;
const DATA_USER = 0x30;
const SPIN = [0xeb, 0xfe];
const PRESENT = 0x67; // present, writable, user, accessed, dirty
const LARGE = 0x80;

/** Modes that {@link modeGuest} makes its hypercall in. */
export type GuestModeName =
  | "real"
  | "unpaged"
  | "vm86"
  | "user"
  | "pse"
  | "legacy"
  | "pae"
  | "pae2m"
  | "compat"
  | "long"
  | "long2m"
  | "long1g"
  | "long5";

type Modes = Record<GuestModeName, { tables?: (system: XenSystem) => number; cr4: number; long?: boolean }>;

const write64 = ({ domain }: XenSystem, at: number, value: number) => {
  domain.guestMemory.writeU32(at, value >>> 0);
  domain.guestMemory.writeU32(at + 4, Math.floor(value / 2 ** 32));
};

/** Identity tables of 8-byte entries: one table a level, the last of 4 KiB pages or the one above of large ones. */
function wide(levels: number, leaf: number) {
  return (system: XenSystem): number => {
    for (let level = levels, at = TABLES; level >= leaf; level--, at += 4096) {
      const pae3 = levels === 3 && level === 3;
      if (level > leaf) write64(system, at, (at + 4096) | (pae3 ? 1 : PRESENT));
      else
        for (let i = 0; i < 512; i++)
          write64(system, at + 8 * i, i * 2 ** (9 * level + 3) + (PRESENT | (level > 1 ? LARGE : 0)));
    }
    return TABLES;
  };
}

/** The same of 4-byte entries. */
function narrow(leaf: number) {
  return ({ domain }: XenSystem): number => {
    const { guestMemory } = domain;
    for (let i = 0; i < 1024; i++)
      if (leaf === 2) guestMemory.writeU32(TABLES + 4 * i, ((i << 22) | PRESENT | LARGE) >>> 0);
      else guestMemory.writeU32(TABLES + 4096 + 4 * i, (i << 12) | PRESENT);
    if (leaf === 1) guestMemory.writeU32(TABLES, (TABLES + 4096) | PRESENT);
    return TABLES;
  };
}

const MODES: Modes = {
  real: { cr4: 0 },
  unpaged: { cr4: 0 },
  vm86: { cr4: 0 },
  user: { cr4: 0 },
  pse: { cr4: 0x10, tables: narrow(2) },
  legacy: { cr4: 0, tables: narrow(1) },
  pae: { cr4: 0x20, tables: wide(3, 1) },
  pae2m: { cr4: 0x20, tables: wide(3, 2) },
  compat: { cr4: 0x20, tables: wide(4, 1), long: true },
  long: { cr4: 0x20, tables: wide(4, 1), long: true },
  long2m: { cr4: 0x20, tables: wide(4, 2), long: true },
  long1g: { cr4: 0x20, tables: wide(4, 3), long: true },
  long5: { cr4: 0x1020, tables: wide(5, 1), long: true },
};

const hypercallOf = (profile: ProcessorProfile) => [0x0f, 0x01, profile.vendor === "amd" ? 0xd9 : 0xc1];
const load = (register: number, value: number) => [0xb8 + register, ...le(value)];
const EAX = 0;
/** ebx, ecx, edx, esi, edi; rdi, rsi, rdx (r10 and r8 are not needed). */
const COMPAT = [3, 1, 2, 6, 7];
const LONG = [7, 6, 2];

/** Number and arguments into registers, the vendor's instruction, the result to {@link RESULT}. */
function callIn32(profile: ProcessorProfile, [number, ...args]: readonly number[]): number[] {
  return [
    ...load(EAX, number),
    ...args.flatMap((value, i) => load(COMPAT[i], value)),
    ...hypercallOf(profile),
    0xa3,
    ...le(RESULT),
  ];
}

/** The same as 64-bit code. */
function callIn64(profile: ProcessorProfile, [number, ...args]: readonly number[]): number[] {
  return [
    ...load(EAX, number),
    ...args.flatMap((value, i) => load(LONG[i], value)),
    ...hypercallOf(profile),
    ...[0x89, 0x04, 0x25, ...le(RESULT)],
  ];
}

/** And as 16-bit code. */
function callIn16(profile: ProcessorProfile, [number, ...args]: readonly number[]): number[] {
  const wide = (code: number[]) => [0x66, ...code];
  return [
    ...wide(load(EAX, number)),
    ...args.flatMap((value, i) => wide(load(COMPAT[i], value))),
    ...hypercallOf(profile),
    ...wide([0xa3, ...le(RESULT, 2)]),
  ];
}

/**
 * A guest that goes to a mode and makes a hypercall there, with 32-bit arguments, then code of a test's own, then loops for
 * ever.
 * @param after 64- or 32-bit code
 */
export function modeGuest(
  profile: ProcessorProfile,
  mode: GuestModeName,
  call: readonly number[],
  options: FlatGuestOptions = {},
  after: readonly number[] = [],
  handlers: Readonly<Record<number, readonly number[]>> = {},
): XenSystem {
  const { cr4, tables, long = false } = MODES[mode];
  const control = (register: number, value: number) => [
    ...load(EAX, value),
    0x0f,
    0x22,
    0xc0 | (register << 3),
  ];
  const lgdt = [0x0f, 0x01, 0x15, ...le(GDT + 0x40)];
  const far = (selector: number, at: number) => [0xea, ...le(at), ...le(selector, 2)];
  const body: number[] = [...lgdt];
  // Every jump goes to the instruction after it.
  const at = (extra: number) => 0x100100 + body.length + extra;
  body.push(...far(CODE32, at(7)));
  if (cr4 !== 0) body.push(...control(4, cr4));
  if (tables !== undefined) body.push(...control(3, TABLES));
  if (long) body.push(...load(1, 0xc0000080), ...load(EAX, 0x100), ...load(2, 0), 0x0f, 0x30);
  if (tables !== undefined) body.push(...control(0, 0x80010011));
  if (mode === "real") {
    body.push(...far(CODE16, REAL_CODE));
  } else if (mode === "vm86") {
    // GS, FS, DS, ES, SS, ESP, EFLAGS, CS, EIP
    for (const value of [0, 0, 0, 0, 0, 0x1000, 0x20002, 0, REAL_CODE]) body.push(0x68, ...le(value));
    body.push(0xcf);
  } else if (mode === "user") {
    for (const value of [DATA_USER | 3, STACK, 2, CODE32_USER | 3]) body.push(0x68, ...le(value));
    body.push(0x68, ...le(at(6)), 0xcf);
    body.push(...load(EAX, DATA_USER | 3), 0x8e, 0xd8, ...callIn32(profile, call), ...after, ...SPIN);
  } else if (long && mode !== "compat") {
    body.push(...far(CODE64, at(7)), ...callIn64(profile, call), ...after, ...SPIN);
  } else body.push(...callIn32(profile, call), ...after, ...SPIN);
  const system = flatGuest(profile, body, handlers, options);
  const { guestMemory } = system.domain;
  const write = (address: number, bytes: readonly number[]) =>
    guestMemory.writeBytes(address, Uint8Array.from(bytes));
  const segment = (type: number, flags: number) => [0xff, 0xff, 0, 0, 0, type, flags, 0];
  write(GDT, [
    ...le(0, 8),
    ...segment(0x9b, 0xcf),
    ...segment(0x93, 0xcf),
    ...segment(0x9b, 0x00),
    ...segment(0x9b, 0xaf),
    ...segment(0xfb, 0xcf),
    ...segment(0xf3, 0xcf),
  ]);
  write(GDT + 0x40, [...le(0x37, 2), ...le(GDT)]);
  write(TSS_ESP0, [...le(STACK), ...le(DATA)]);
  if (mode === "real") {
    // Out of protected mode, then a far jump that loads a real-mode CS.
    const leave = [0x0f, 0x20, 0xc0, 0x24, 0xfe, 0x0f, 0x22, 0xc0];
    const jump = [0xea, ...le(REAL_CODE + leave.length + 5, 2), ...le(0, 2)];
    write(REAL_CODE, [...leave, ...jump, ...callIn16(profile, call), ...SPIN]);
  } else write(REAL_CODE, [...callIn16(profile, call), ...SPIN]);
  tables?.(system);
  return system;
}
