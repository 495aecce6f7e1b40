import { FRAME_BYTES, type PhysicalMemory } from "./physical-memory.js";

/** Bytes of one entry. */
export const RMP_ENTRY_BYTES = 16;
/** What lies between RMP_BASE and the first entry: the processor's own (APM vol. 2, 15.36.4). */
export const RMP_BOOKKEEPING_BYTES = 16384;
const PER_FRAME = FRAME_BYTES / RMP_ENTRY_BYTES;
const BOOKKEEPING_FRAMES = RMP_BOOKKEEPING_BYTES / FRAME_BYTES;
/** Frames of a 2 MiB page. */
export const LARGE_PAGE_FRAMES = 512;

/**
 * Bits of an entry's first two words, where Zen 3 and Zen 4 have them (their PPRs; the APM names the fields alone). The
 * guest-physical address is in its place between the two, the ASID in bits 28:19 of the second.
 */
export const RmpLow = { Assigned: 1, Large: 2, Immutable: 4 } as const;
export const RmpHigh = { AsidShift: 19, AsidMask: 1023, Vmsa: 0x20000000, Validated: 0x40000000 } as const;
const GPA_HIGH = 0x7ffff;

/** A page's state, as RMPUPDATE takes it and RMPREAD gives it. */
export interface ReverseMapEntry {
  /** Owned by a guest, else the hypervisor's. */
  readonly assigned: boolean;
  /** The entry is that of all 2 MiB. */
  readonly large: boolean;
  readonly immutable: boolean;
  /** Guest frame at which its owner has it. */
  readonly gfn: number;
  /** The owner. */
  readonly asid: number;
  /** Holds the register state of a vCPU. */
  readonly vmsa: boolean;
  readonly validated: boolean;
  /** A byte for each VMPL, VMPL0 lowest; nobody looks at them, because every guest here runs at VMPL0. */
  readonly permissions: number;
}

/** The hypervisor's page. */
export const HYPERVISOR_PAGE: ReverseMapEntry = {
  assigned: false,
  large: false,
  immutable: false,
  gfn: 0,
  asid: 0,
  vmsa: false,
  validated: false,
  permissions: 0,
};

/**
 * The reverse map table of SEV-SNP (APM vol. 2, 15.36.3): for every frame of machine memory who owns it and where its owner
 * has it. It lies in machine memory itself; walkers read it through the caches, these accessors without cost. Of
 * a 2 MiB page the first entry counts; the others say that they are assigned and part of one.
 */
export class ReverseMap {
  /** Frame that RMP_BASE names. */
  readonly first: number;
  /** Machine frames that have an entry, from 0 on. What lies beyond is the hypervisor's. */
  readonly frames: number;
  private readonly memory: PhysicalMemory;

  /** The memory must be RAM from `first` on, {@link sizeInFrames} frames of it. */
  constructor(memory: PhysicalMemory, first: number, frames: number) {
    this.memory = memory;
    this.first = first;
    this.frames = frames;
  }

  /** Frames that a table for so many takes. */
  static sizeInFrames(frames: number): number {
    return BOOKKEEPING_FRAMES + Math.ceil(frames / PER_FRAME);
  }

  /** MSR C0010132: address of the first byte. */
  get base(): number {
    return this.first * FRAME_BYTES;
  }

  /** MSR C0010133: address of the last byte. */
  get end(): number {
    return this.base + RMP_BOOKKEEPING_BYTES + this.frames * RMP_ENTRY_BYTES - 1;
  }

  /** Frame in which a frame's entry lies, or -1 when it has none. */
  frameOf(frame: number): number {
    return frame >= 0 && frame < this.frames
      ? this.first + BOOKKEEPING_FRAMES + Math.floor(frame / PER_FRAME)
      : -1;
  }

  /** The first machine frame that a frame of the table describes; -1 for one of the processor's own. */
  firstDescribed(table: number): number {
    const at = table - this.first - BOOKKEEPING_FRAMES;
    return at < 0 ? -1 : at * PER_FRAME;
  }

  /** Byte offset of that entry in its frame. */
  offsetOf(frame: number): number {
    return (frame % PER_FRAME) * RMP_ENTRY_BYTES;
  }

  /** RMPREAD. */
  read(frame: number): ReverseMapEntry {
    const table = this.frameOf(frame);
    if (table < 0) return HYPERVISOR_PAGE;
    const at = table * FRAME_BYTES + this.offsetOf(frame);
    return decodeEntry(this.memory.readU32(at), this.memory.readU32(at + 4), this.memory.readU32(at + 8));
  }

  /** What RMPUPDATE stores. @throws RangeError for a frame without an entry */
  write(frame: number, entry: ReverseMapEntry): void {
    const table = this.frameOf(frame);
    if (table < 0) throw new RangeError(`frame 0x${frame.toString(16)} has no entry in the reverse map`);
    const at = table * FRAME_BYTES + this.offsetOf(frame);
    const words = encodeEntry(entry);
    for (let i = 0; i < 4; i++) this.memory.writeU32(at + 4 * i, words[i]);
  }

  /** What PSMASH does: the entry of 2 MiB becomes 512 of 4 KiB. */
  smash(frame: number): void {
    const first = frame - (frame % LARGE_PAGE_FRAMES);
    const whole = this.read(first);
    for (let i = 0; i < LARGE_PAGE_FRAMES; i++)
      this.write(first + i, { ...whole, large: false, gfn: whole.gfn + i });
  }

  /** Whether a guest owns a frame. */
  isAssigned(frame: number): boolean {
    const table = this.frameOf(frame);
    if (table < 0) return false;
    return (this.memory.readU32(table * FRAME_BYTES + this.offsetOf(frame)) & RmpLow.Assigned) !== 0;
  }
}

/** The four words of an entry. */
export function encodeEntry(entry: ReverseMapEntry): readonly number[] {
  const { gfn, asid } = entry;
  const low =
    (entry.assigned ? RmpLow.Assigned : 0) |
    (entry.large ? RmpLow.Large : 0) |
    (entry.immutable ? RmpLow.Immutable : 0) |
    (gfn << 12);
  const high =
    (Math.floor(gfn / 0x100000) & GPA_HIGH) |
    (asid << RmpHigh.AsidShift) |
    (entry.vmsa ? RmpHigh.Vmsa : 0) |
    (entry.validated ? RmpHigh.Validated : 0);
  return [low >>> 0, high >>> 0, entry.permissions >>> 0, 0];
}

function decodeEntry(low: number, high: number, permissions: number): ReverseMapEntry {
  return {
    assigned: (low & RmpLow.Assigned) !== 0,
    large: (low & RmpLow.Large) !== 0,
    immutable: (low & RmpLow.Immutable) !== 0,
    gfn: guestFrameOf(low, high),
    asid: (high >>> RmpHigh.AsidShift) & RmpHigh.AsidMask,
    vmsa: (high & RmpHigh.Vmsa) !== 0,
    validated: (high & RmpHigh.Validated) !== 0,
    permissions,
  };
}

/** Guest frame in an entry's first two words. */
export function guestFrameOf(low: number, high: number): number {
  return (low >>> 12) + (high & GPA_HIGH) * 0x100000;
}
