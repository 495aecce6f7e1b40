import type { ProcessorProfile } from "@hyperwalk/cpu";
import type { GuestSystem, SystemVcpu } from "../src/guest-system.ts";
import type { TimelineListener } from "../src/timeline/timeline-stretch.ts";
import type { Vlapic } from "../src/vlapic.ts";
import { createXenSystem, type XenSystem, type XenSystemOptions } from "../src/xen.ts";
import { elfImage } from "./elf-image.ts";

/** A system of either hypervisor. */
export interface SmpSystem extends GuestSystem {
  readonly vcpus: readonly (SystemVcpu & { readonly vlapic: Vlapic })[];
}

export const CODE = 0x100000;
export const BODY: readonly number[] = [CODE + 0x1000, CODE + 0x2000, CODE + 0x3000, CODE + 0x4000]; // by vCPU
export const HANDLERS: number = CODE + 0x8000;
export const GDT = 0x6000;
export const IDT = 0x7000;
export const TRAMPOLINE = 0x8000;
export const CONTEXT = 0x9000; // one for each vCPU, 128 bytes apart
export const RESULTS = 0xa000;
export const COUNTS = 0xb000; // one for each vCPU
export const STRUCT = 0xc000;
export const SHARED = 0xd000;
export const CONTROL = 0xe000; // FIFO control blocks, 128 bytes apart
export const EVENT_WORDS = 0xf000;
export const STACK = 0x80000; // grows down, 4 KiB for each vCPU
export const APIC = 0xfee00000;
export const FIRST_PORT = 3; // after the toolstack's
export const VECTOR = 0x30; // plus the number of the vCPU
export const HLT = 0xf4;
export const STI = 0xfb;
export const CLI = 0xfa;
export const IRET = 0xcf;

export const VCPU_OP = 24;
export const SCHED_OP = 29;
export const EVENT_CHANNEL_OP = 32;
export const HVM_OP = 34;
export const MEMORY_OP = 12;
export const INITIALISE = 0;
export const UP = 1;
export const DOWN = 2;
export const IS_UP = 3;
export const SEND_NMI = 11;

export const le = (value: number, bytes = 4): number[] =>
  Array.from({ length: bytes }, (_, i) => Math.floor((value >>> 0) / 256 ** i) % 256);
/** mov dword [at], value */
export const put = (at: number, value: number): number[] => [0xc7, 0x05, ...le(at), ...le(value)];
/** lock inc dword [at] */
export const count = (at: number): number[] => [0xf0, 0xff, 0x05, ...le(at)];
export const print = (text: string): number[] =>
  [...text].flatMap((c) => [0xb0, c.charCodeAt(0), 0xe6, 0xe9]);
/** mov [RESULTS + 4 slot], eax */
export const keep = (slot: number): number[] => [0xa3, ...le(RESULTS + 4 * slot)];
/** pause; cmp dword [at], value; jb back */
export const await_ = (at: number, value: number): number[] => [
  0xf3,
  0x90,
  0x81,
  0x3d,
  ...le(at),
  ...le(value),
  0x72,
  0xf2,
];
/** Sleeps with interrupts on until the counter has that value: cli; cmp; jae past; sti; hlt; jmp back. */
export const sleepUntil = (at: number, value: number): number[] => [
  CLI,
  0x81,
  0x3d,
  ...le(at),
  ...le(value),
  0x73,
  4,
  STI,
  HLT,
  0xeb,
  0xef,
];
/** cmp dword [at], value; jae past the code */
export const unless = (at: number, value: number, code: readonly number[]): number[] => [
  0x81,
  0x3d,
  ...le(at),
  ...le(value),
  0x73,
  code.length,
  ...code,
];
export const sendIpi = (id: number, lo: number): number[] => [
  ...put(APIC + 0x310, id << 24),
  ...put(APIC + 0x300, lo),
];
export const ENABLE: number[] = put(APIC + 0xf0, 0x1ff);
export const EOI: number[] = put(APIC + 0xb0, 0);
export const EDGE_INIT = 0x4500;
export const SIPI = 0x4600;

export interface Program {
  /** By vCPU; the first one starts by itself. */
  readonly bodies: readonly (readonly number[])[];
  readonly handlers?: Readonly<Record<number, readonly number[]>>;
  readonly trampoline?: readonly number[];
  readonly timeline?: TimelineListener;
}

/** A PVH guest in flat 32-bit protected mode; contexts for VCPUOP_initialise start the others at their bodies. */
export function guest<S extends SmpSystem = XenSystem>(
  profile: ProcessorProfile,
  vcpus: number,
  program: Program,
  create: (options: XenSystemOptions) => S = createXenSystem as never,
): S {
  const system = create({
    profile,
    domain: {
      image: elfImage({ bits: 64, segments: [{ address: CODE, bytes: 0x10000 }] }),
      memoryBytes: 16 * 2 ** 20,
      abi: "linear",
      vcpus,
    },
    accounting: true,
    timeline: program.timeline,
  });
  const { guestMemory } = system.domain;
  const write = (at: number, bytes: readonly number[]) => guestMemory.writeBytes(at, Uint8Array.from(bytes));
  write(GDT, [...le(0, 8), 0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0, 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0]);
  write(GDT + 0x20, [...le(23, 2), ...le(GDT), ...le(256 * 8 - 1, 2), ...le(IDT)]);
  for (let vector = 0; vector < 256; vector++) {
    const handler = HANDLERS + 128 * vector;
    write(IDT + 8 * vector, [...le(handler, 2), 8, 0, 0, 0x8e, ...le(handler >>> 16, 2)]);
    write(handler, program.handlers?.[vector] ?? [...print("?"), CLI, HLT]);
  }
  const tables = [0x0f, 0x01, 0x15, ...le(GDT + 0x20), 0x0f, 0x01, 0x1d, ...le(GDT + 0x26)];
  program.bodies.forEach((body, id) => {
    const stack = [0xbc, ...le(STACK - 0x1000 * id)];
    const start = id === 0 ? CODE : BODY[id] - 0x40;
    write(start, [...tables, ...stack, 0xea, ...le(BODY[id]), 8, 0]);
    write(BODY[id], body);
    write(CONTEXT + 128 * id, context32(start));
  });
  write(TRAMPOLINE, program.trampoline ?? [HLT]);
  return system;
}

/** A `vcpu_hvm_context` of flat 32-bit protected mode. */
export function context32(eip: number, changes: Readonly<Record<number, readonly number[]>> = {}): number[] {
  const bytes = new Array<number>(128).fill(0);
  const fields: Readonly<Record<number, readonly number[]>> = {
    40: le(eip),
    44: le(2),
    48: le(0x11),
    92: [...le(-1), ...le(-1), ...le(-1), ...le(-1), ...le(0x67)],
    112: [...le(0xc9b, 2), ...le(0xc93, 2), ...le(0xc93, 2), ...le(0xc93, 2), ...le(0x8b, 2)],
    ...changes,
  };
  for (const [at, value] of Object.entries(fields)) bytes.splice(Number(at), value.length, ...value);
  return bytes;
}

export const word = (system: SmpSystem, at: number): number => system.domain.guestMemory.readU32(at) | 0;
export const results = (system: SmpSystem, slots: number): number[] =>
  Array.from({ length: slots }, (_, slot) => word(system, RESULTS + 4 * slot));
export const balanced = (system: SmpSystem): boolean =>
  system.vcpus.every(({ pcpu }) => {
    const cells = pcpu.ledger.rows().reduce((sum, { ticks }) => sum + ticks, 0);
    return cells === pcpu.ledger.clock[0];
  });
/** Everything that a run comes to. */
export const digest = (system: SmpSystem): string =>
  JSON.stringify([
    system.console,
    system.cycles,
    system.counters(),
    system.exitAccounts(),
    system.hypercallAccounts(),
    system.vcpus.map(({ pcpu, vlapic }) => [
      [...pcpu.processor.state.words],
      pcpu.ledger.rows(),
      vlapic.apic.snapshot(),
    ]),
  ]);
