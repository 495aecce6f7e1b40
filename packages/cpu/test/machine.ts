import {
  epyc9124,
  Processor,
  type ProcessorProfile,
  type ProcessorStorage,
  type ResolvedProfile,
  Segment,
  State,
} from "@hyperwalk/cpu";
import { FRAME_BYTES } from "@hyperwalk/mmu";

/** Attributes of flat segments. */
export const CODE_64 = 0xa09b;
export const CODE_32 = 0xc09b;
export const DATA = 0xc093;
const EFER_LMA_LME_NXE_SCE = 0xd01;

/** A processor with 16 MiB of RAM at 0 and helpers to put code there. */
export class Machine {
  readonly processor: Processor;
  readonly words: Int32Array;

  constructor(
    profile: ProcessorProfile | ResolvedProfile = epyc9124,
    megabytes = 16,
    storage?: ProcessorStorage,
  ) {
    this.processor = new Processor({ profile, storage });
    this.processor.memory.addRam(0, (megabytes << 20) / FRAME_BYTES);
    this.words = this.processor.state.words;
  }

  write(address: number, bytes: ArrayLike<number>): void {
    this.processor.memory.writeBytes(address, Uint8Array.from(bytes));
  }

  word16(address: number): number {
    const { memory } = this.processor;
    return memory.readU8(address) | (memory.readU8(address + 1) << 8);
  }

  gpr(register: number): bigint {
    const { words } = this.processor.state;
    return (BigInt(words[2 * register + 1] >>> 0) << 32n) | BigInt(words[2 * register] >>> 0);
  }

  setGpr(register: number, value: bigint): void {
    const { words } = this.processor.state;
    words[2 * register] = Number(value & 0xffffffffn) | 0;
    words[2 * register + 1] = Number((value >> 32n) & 0xffffffffn) | 0;
  }

  get rip(): bigint {
    const { words } = this.processor.state;
    return (BigInt(words[State.RipHi] >>> 0) << 32n) | BigInt(words[State.RipLo] >>> 0);
  }

  set rip(value: bigint) {
    const { words } = this.processor.state;
    words[State.RipLo] = Number(value & 0xffffffffn) | 0;
    words[State.RipHi] = Number((value >> 32n) & 0xffffffffn) | 0;
  }

  segment(segment: number, selector: number, attributes: number, base: number = 0, limit: number = -1): void {
    this.processor.state.words.set([selector, attributes, limit, base, 0], State.Segments + 8 * segment);
  }

  /** Real mode, all segments at `paragraph`, vector table at 0. */
  real(paragraph: number, ip: number): this {
    const { words } = this.processor.state;
    words[State.Cr0] = 0x60000010;
    words[State.EferLo] = 0;
    words[State.Cpl] = 0;
    for (let s = Segment.Es; s <= Segment.Gs; s++) this.segment(s, paragraph, 0x93, paragraph << 4, 0xffff);
    words.set([0x3ff, 0, 0], State.IdtrLimit);
    this.rip = BigInt(ip);
    this.processor.syncTranslation();
    return this;
  }

  /** 32-bit flat protected mode at CPL `cpl`, paging off. */
  flat32(rip: number, cpl = 0): this {
    const { words } = this.processor.state;
    words[State.Cr0] = 0x60000011;
    words[State.Cpl] = cpl;
    this.flatSegments(CODE_32, cpl);
    this.rip = BigInt(rip);
    this.processor.syncTranslation();
    return this;
  }

  /**
   * 64-bit mode with 2 MiB identity pages over all RAM, user-accessible.
   * @param tables address of three table pages
   */
  long(rip: number, cpl = 0, tables = 0x1000): this {
    const { memory, state } = this.processor;
    const { words } = state;
    memory.writeU64(tables, BigInt(tables + 0x1000) | 7n);
    memory.writeU64(tables + 0x1000, BigInt(tables + 0x2000) | 7n);
    for (let i = 0; i < 512; i++) memory.writeU64(tables + 0x2000 + 8 * i, (BigInt(i) << 21n) | 0x87n);
    words[State.Cr3Lo] = tables;
    words[State.Cr4] = 0x20;
    words[State.EferLo] = EFER_LMA_LME_NXE_SCE;
    words[State.Cr0] = 0x80050033 | 0;
    words[State.Cpl] = cpl;
    this.flatSegments(CODE_64, cpl);
    this.rip = BigInt(rip);
    this.processor.syncTranslation();
    return this;
  }

  run(maxInstructions: number = 1_000_000, maxTicks: number = Number.POSITIVE_INFINITY): number {
    return this.processor.engine.run(maxInstructions, maxTicks);
  }

  private flatSegments(code: number, cpl: number): void {
    const dpl = cpl << 5;
    this.segment(Segment.Cs, cpl === 0 ? 0x08 : 0x1b, code | dpl);
    for (const s of [Segment.Ss, Segment.Ds, Segment.Es, Segment.Fs, Segment.Gs])
      this.segment(s, cpl === 0 ? 0x10 : 0x23, DATA | dpl);
    this.segment(Segment.Tr, 0x28, 0x8b, 0, 0x67);
    this.segment(Segment.Ldtr, 0, 0x10000, 0, 0);
  }
}

/** Where {@link installTables} puts things. */
export const Table = {
  Gdt: 0x6000,
  Idt: 0x7000,
  Tss: 0x8000,
  Handlers: 0x9000,
  Stack0: 0xb000,
  Ist1: 0xc000,
} as const;

/** Selectors of the GDT that {@link installTables} builds. */
export const Selector = {
  Code0: 0x08,
  Data0: 0x10,
  Code3: 0x1b,
  Data3: 0x23,
  Tss: 0x28,
  /** 32-bit code in either mode. */
  Code32: 0x38,
  /** Writable data, not present. */
  Absent: 0x40,
  ReadOnly: 0x48,
  /** Conforming code at DPL 0. */
  Conforming: 0x50,
  /** Writable data, base 0x10000, limit 0xff, byte-granular. */
  Small: 0x58,
} as const;

/** A segment descriptor. @param access type, S, DPL and P @param flags AVL, L, D/B and G */
export function descriptor(base: number, limit: number, access: number, flags: number): bigint {
  const b = BigInt(base);
  const l = BigInt(limit);
  return (
    (l & 0xffffn) |
    ((b & 0xffffffn) << 16n) |
    (BigInt(access) << 40n) |
    (((l >> 16n) & 15n) << 48n) |
    (BigInt(flags) << 52n) |
    ((b >> 24n) << 56n)
  );
}

/**
 * GDT, IDT and TSS for the mode that the machine is in. Every vector's handler is one HLT at
 * `Table.Handlers + 16 * vector`, reached by an interrupt gate of DPL 0 (INT3: DPL 3).
 */
export function installTables(machine: Machine): void {
  const { memory, state } = machine.processor;
  const { words } = state;
  const long = (words[State.EferLo] & 0x400) !== 0;
  const code = long ? 0xa : 0xc;
  const gdt: readonly bigint[] = [
    0n,
    descriptor(0, 0xfffff, 0x9b, code),
    descriptor(0, 0xfffff, 0x93, 0xc),
    descriptor(0, 0xfffff, 0xfb, code),
    descriptor(0, 0xfffff, 0xf3, 0xc),
    descriptor(Table.Tss, 0x67, 0x89, 0),
    0n,
    descriptor(0, 0xfffff, 0x9b, 0xc),
    descriptor(0, 0xfffff, 0x13, 0xc),
    descriptor(0, 0xfffff, 0x91, 0xc),
    descriptor(0, 0xfffff, 0x9f, code),
    descriptor(0x10000, 0xff, 0xf3, 0x4),
  ];
  for (const [i, value] of gdt.entries()) memory.writeU64(Table.Gdt + 8 * i, value);
  for (let vector = 0; vector < 64; vector++) {
    const handler = BigInt(handlerOf(vector));
    const type = vector === 3 ? 0xeen : 0x8en;
    const gate =
      (handler & 0xffffn) | (BigInt(Selector.Code0) << 16n) | (type << 40n) | ((handler >> 16n) << 48n);
    if (long) {
      memory.writeU64(Table.Idt + 16 * vector, gate);
      memory.writeU64(Table.Idt + 16 * vector + 8, 0n);
    } else memory.writeU64(Table.Idt + 8 * vector, gate);
    memory.writeU8(Number(handler), 0xf4);
  }
  if (long) {
    memory.writeU64(Table.Tss + 4, BigInt(Table.Stack0));
    memory.writeU64(Table.Tss + 0x24, BigInt(Table.Ist1));
  } else {
    memory.writeU32(Table.Tss + 4, Table.Stack0);
    memory.writeU32(Table.Tss + 8, Selector.Data0);
  }
  words.set([64 * 16 - 1, Table.Idt, 0], State.IdtrLimit);
  words.set([8 * gdt.length - 1, Table.Gdt, 0], State.GdtrLimit);
  machine.segment(Segment.Tr, Selector.Tss, 0x8b, Table.Tss, 0x67);
}

/** Address of a vector's handler. */
export function handlerOf(vector: number): number {
  return Table.Handlers + 16 * vector;
}

/** Bytes written as hexadecimal text, an instruction a string. */
export function code(...instructions: readonly string[]): number[] {
  return instructions.flatMap((text) => text.split(" ").map((byte) => Number.parseInt(byte, 16)));
}

/** Little-endian bytes. */
export function le(value: number | bigint, bytes: number): number[] {
  let rest = BigInt.asUintN(64, BigInt(value));
  return Array.from({ length: bytes }, () => {
    const byte = Number(rest & 0xffn);
    rest >>= 8n;
    return byte;
  });
}
