import type { ProcessorProfile } from "@hyperwalk/cpu";
import { createXenSystem, type XenSystem, type XenSystemOptions } from "../src/xen.ts";
import type { DomainConfig } from "../src/xen-config.ts";
import { elfImage } from "./elf-image.ts";

export const CODE = 0x100000;
const BODY = CODE + 0x100;
const HANDLERS = 0x9000;
const HANDLER_BYTES = 64;
const GDT = 0x6000;
const IDT = 0x7000;
/** The local APIC's page, where it is after reset. */
export const APIC = 0xfee00000;
/** The vector that the tests' timers and interrupts have. */
export const VECTOR = 0x30;
export const CLI = 0xfa;
export const STI = 0xfb;
export const HLT = 0xf4;
export const IRET = 0xcf;
export const NOP = 0x90;

export const le = (value: number, bytes = 4): number[] =>
  Array.from({ length: bytes }, (_, i) => Math.floor((value >>> 0) / 256 ** i) % 256);
/** mov dword [APIC + offset], value */
export const store = (offset: number, value: number): number[] => [
  0xc7,
  0x05,
  ...le(APIC + offset),
  ...le(value),
];
/** mov dword [at], value */
export const put = (at: number, value: number): number[] => [0xc7, 0x05, ...le(at), ...le(value)];
/** Makes hypercalls of one vendor's: mov eax, n; mov ebx, a; mov ecx, b; mov edx, c; vmmcall or vmcall. */
export function caller(
  profile: ProcessorProfile,
): (n: number, a: number, b?: number, c?: number) => number[] {
  const instruction = profile.vendor === "amd" ? [0x0f, 0x01, 0xd9] : [0x0f, 0x01, 0xc1];
  return (n, a, b = 0, c = 0) => [
    ...[0xb8, ...le(n), 0xbb, ...le(a), 0xb9, ...le(b), 0xba, ...le(c)],
    ...instruction,
  ];
}
/** mov al, c; out e9h, al */
export const print = (text: string): number[] =>
  [...text].flatMap((c) => [0xb0, c.charCodeAt(0), 0xe6, 0xe9]);
/** Software-enables the APIC. */
export const ENABLE: readonly number[] = store(0xf0, 0x1ff);
export const EOI: readonly number[] = store(0xb0, 0);
export const END: readonly number[] = [...print("\n"), CLI, HLT];

/** How a {@link flatGuest} differs from the plain one. */
export type FlatGuestOptions = Pick<XenSystemOptions, "accounting" | "xen"> & {
  readonly domain?: Partial<DomainConfig>;
};

/** A PVH guest in flat 32-bit protected mode with a GDT, an IDT and handlers; others print "?" and halt. */
export function flatGuest(
  profile: ProcessorProfile,
  body: readonly number[],
  handlers: Readonly<Record<number, readonly number[]>> = {},
  { domain, ...options }: FlatGuestOptions = {},
): XenSystem {
  const system = createXenSystem({
    profile,
    domain: {
      image: elfImage({ bits: 64, segments: [{ address: CODE, bytes: 4096 }] }),
      memoryBytes: 16 * 2 ** 20,
      abi: "linear",
      ...domain,
    },
    ...options,
  });
  const { guestMemory } = system.domain;
  const write = (at: number, bytes: readonly number[]) => guestMemory.writeBytes(at, Uint8Array.from(bytes));
  const flat = (type: number) => [0xff, 0xff, 0, 0, 0, type, 0xcf, 0];
  write(GDT, [...le(0, 8), ...flat(0x9b), ...flat(0x93)]);
  write(GDT + 0x20, [...le(23, 2), ...le(GDT), ...le(256 * 8 - 1, 2), ...le(IDT)]);
  for (let vector = 0; vector < 256; vector++) {
    const at = HANDLERS + HANDLER_BYTES * vector;
    const handler = handlers[vector] ?? [...print("?\n"), CLI, HLT];
    if (handler.length > HANDLER_BYTES) throw new RangeError(`the handler of vector ${vector} is too long`);
    write(IDT + 8 * vector, [...le(at, 2), 8, 0, 0, 0x8e, ...le(at >>> 16, 2)]);
    write(at, handler);
  }
  const lgdt = [0x0f, 0x01, 0x15, ...le(GDT + 0x20)];
  const lidt = [0x0f, 0x01, 0x1d, ...le(GDT + 0x26)];
  const stack = [0xbc, ...le(0x80000)];
  const jump = [0xea, ...le(BODY), 8, 0];
  write(CODE, [...lgdt, ...lidt, ...stack, ...jump]);
  write(BODY, body);
  return system;
}
