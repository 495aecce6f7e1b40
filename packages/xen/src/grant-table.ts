import type { PhysicalMemory } from "@hyperwalk/mmu";
import { Errno } from "./errno.js";
import { ActiveEntries } from "./grant-entries.js";
import { Maptrack, type MaptrackSnapshot } from "./maptrack.js";
import {
  GNTST_BAD_GNTREF,
  GNTST_EAGAIN,
  GNTST_OKAY,
  GTF_PERMIT_ACCESS,
  GTF_TRANSITIVE,
  GTF_TYPE_MASK,
} from "./operations/descriptors.gen.js";
import type { PathCost } from "./path-cost/path-cost.js";

const FRAME_BYTES = 4096;
// Entries (public/grant_table.h): v1 {flags u16, domid u16, frame u32}, v2 {flags u16, domid u16, pad u32, frame u64}.
const V1_BYTES = 8;
const V2_BYTES = 16;
const STATUS_BYTES = 2;
/** GTF_reading and GTF_writing: in a v2 table they are in the status frames. */
const GTF_IN_USE = 0x18;
/** Entries that the toolstack fills, and that a change of version keeps. */
const RESERVED_ENTRIES = 8;
export const DEFAULT_MAX_FRAMES = 64;

/** What a domain's grant table is made with. */
export interface GrantTableOptions {
  readonly memory: PhysicalMemory;
  /** A zeroed frame of Xen's heap. */
  readonly allocateFrame: () => number;
  /** `max_grant_frames`; default 64. */
  readonly maxFrames?: number;
  /** `max_maptrack_frames`; default 1024. */
  readonly maxMaptrackFrames?: number;
}

/** What is not in the entries themselves, as plain data. */
export interface GrantTableSnapshot {
  readonly version: number;
  /** Frames of entries, and of status words. */
  readonly shared: readonly number[];
  readonly status: readonly number[];
  /** Frames of Xen's own records of entries; 0: none yet. */
  readonly active: readonly number[];
  readonly maptrack: MaptrackSnapshot;
}

/** The first word of an entry. */
export interface GrantHeader {
  /** GTF_* */
  readonly flags: number;
  /** Whom it is for. */
  readonly domid: number;
}

/**
 * A domain's grant table (Xen: `common/grant_table.c`): entries of version 1 or 2 and, for version 2, status words, in
 * frames that the guest can map; Xen's own records of the entries that are in use; and what the domain itself has mapped of
 * others' grants. With a {@link PathCost} each touch of an entry goes through the caches.
 */
export class GrantTable {
  readonly maxFrames: number;
  /** Version of the entries in force. */
  version: 1 | 2 = 1;
  /** Xen's records of entries in use. */
  readonly active: ActiveEntries;
  /** What the domain has mapped of others. */
  readonly maptrack: Maptrack;
  private readonly memory: PhysicalMemory;
  private readonly allocateFrame: () => number;
  private readonly shared: number[] = [];
  private readonly status: number[] = [];

  constructor(options: GrantTableOptions) {
    this.memory = options.memory;
    this.allocateFrame = options.allocateFrame;
    this.maxFrames = options.maxFrames ?? DEFAULT_MAX_FRAMES;
    this.active = new ActiveEntries(options);
    this.maptrack = new Maptrack(options, options.maxMaptrackFrames);
    this.grow(1);
  }

  /** Entries that there are. */
  get entries(): number {
    return this.shared.length * (FRAME_BYTES / (this.version === 1 ? V1_BYTES : V2_BYTES));
  }

  /** Status frames that there are, in version 2. */
  get statusFrames(): readonly number[] {
    return this.version === 2 ? this.status : [];
  }

  /** Frames of entries there are. */
  get frames(): number {
    return this.shared.length;
  }

  /** Grants a guest frame to dom0, as the toolstack does for the rings. Version 1 only: before the guest runs. */
  grantToToolstack(reference: number, gfn: number): void {
    const at = this.shared[0] * FRAME_BYTES + reference * V1_BYTES;
    this.memory.writeU32(at, GTF_PERMIT_ACCESS);
    this.memory.writeU32(at + 4, gfn);
  }

  /** Adds frames of entries until there are `count`. @returns false when that is more than {@link maxFrames} */
  grow(count: number): boolean {
    if (count > this.maxFrames) return false;
    while (this.shared.length < count) this.shared.push(this.allocateFrame());
    if (this.version === 2) this.addStatusFrames();
    return true;
  }

  /**
   * Machine frame of a frame of entries; the table grows to have it.
   * @returns -EINVAL past the largest size
   */
  sharedFrame(index: number): number {
    if (index >= this.shared.length && !this.grow(index + 1)) return -Errno.EINVAL;
    return this.shared[index];
  }

  /** The same for a status frame: -EINVAL unless the version is 2. */
  statusFrame(index: number): number {
    if (this.version !== 2) return -Errno.EINVAL;
    const perStatusFrame = V2_BYTES / STATUS_BYTES;
    if (index >= this.status.length && !this.grow((index + 1) * perStatusFrame)) return -Errno.EINVAL;
    return this.status[index] ?? -Errno.EINVAL;
  }

  /**
   * GNTTABOP_set_version: entries past the reserved ones become empty.
   * @returns 0, -EINVAL, -EBUSY while others than the reserved ones are in use, -ERANGE for a reserved one that version 1
   * cannot express
   */
  setVersion(version: number): number {
    if (version !== 1 && version !== 2) return -Errno.EINVAL;
    if (version === this.version) return 0;
    if (this.active.isUsedFrom(RESERVED_ENTRIES)) return -Errno.EBUSY;
    if (version === 1)
      for (let i = 0; i < RESERVED_ENTRIES; i++) if (!this.fitsVersion1(i)) return -Errno.ERANGE;
    const reserved = Array.from({ length: RESERVED_ENTRIES }, (_, i) => this.read(i));
    if (version === 2) this.addStatusFrames();
    this.version = version;
    const empty = new Uint8Array(FRAME_BYTES);
    for (const frame of [...this.shared, ...this.status]) this.memory.writeBytes(frame * FRAME_BYTES, empty);
    reserved.forEach(({ flags, domid, frame }, i) => {
      this.write(i, version === 2 ? flags & ~GTF_IN_USE : flags, domid, frame);
      if (version === 2)
        this.memory.writeU32(this.statusAddress(i & ~1), this.statusPair(i, flags & GTF_IN_USE));
    });
    return 0;
  }

  /** Flags and domain of an entry that exists. */
  header(reference: number, cost: PathCost | undefined): GrantHeader {
    const word = this.memory.arena.i32[this.touch(reference, cost) >> 2];
    return { flags: word & 0xffff, domid: word >>> 16 };
  }

  /** Guest frame that an entry grants, whole or in part. */
  frameOf(reference: number): number {
    const at = this.entry(reference);
    if (this.version === 1) return this.memory.readU32(at + 4);
    return this.memory.readU32(at + 8) + this.memory.readU32(at + 12) * 2 ** 32;
  }

  /** First byte and length of a version-2 entry that grants part of a frame. */
  partOf(reference: number): { readonly offset: number; readonly length: number } {
    const word = this.memory.readU32(this.entry(reference) + 4);
    return { offset: word & 0xffff, length: word >>> 16 };
  }

  /** Whose grant a transitive version-2 entry passes on. */
  transitiveOf(reference: number): { readonly domid: number; readonly ref: number } {
    const at = this.entry(reference);
    return { domid: this.memory.readU32(at + 4) & 0xffff, ref: this.memory.readU32(at + 8) };
  }

  /** Sets GTF_reading and GTF_writing of an entry, and clears them, where its version has them. */
  changeInUse(reference: number, set: number, clear: number, cost: PathCost | undefined): void {
    const { memory } = this;
    if (this.version === 2 && cost !== undefined)
      cost.access(this.status[reference >>> 11], (reference & 2047) * STATUS_BYTES, STATUS_BYTES, true);
    const at = this.version === 1 ? this.entry(reference) : this.statusAddress(reference);
    const before = memory.readU8(at);
    memory.writeU8(at, (before | set) & ~clear);
  }

  /** GNTTABOP_swap_grant_ref. @returns a GNTST code */
  swap(a: number, b: number, cost: PathCost | undefined): number {
    if (a >= this.entries || b >= this.entries) return GNTST_BAD_GNTREF;
    if (a === b) return GNTST_OKAY;
    if (this.active.pinOf(a) !== 0 || this.active.pinOf(b) !== 0) return GNTST_EAGAIN;
    this.touch(a, cost);
    this.touch(b, cost);
    this.exchange(this.entry(a), this.entry(b), this.version === 1 ? V1_BYTES : V2_BYTES);
    if (this.version === 2) this.exchange(this.statusAddress(a), this.statusAddress(b), STATUS_BYTES);
    return GNTST_OKAY;
  }

  /** Fills an entry that grants a whole frame, as its owner does in shared memory. */
  grant(reference: number, flags: number, domid: number, frame: number): void {
    this.write(reference, flags, domid, frame);
  }

  /** Fills any version-2 entry, word by word. */
  writeVersion2(reference: number, words: readonly [number, number, number, number]): void {
    words.forEach((word, i) => {
      this.memory.writeU32(this.entry(reference) + 4 * i, word >>> 0);
    });
  }

  /** GTF_reading and GTF_writing of an entry, from wherever its version has them. */
  inUse(reference: number): number {
    const at = this.version === 1 ? this.entry(reference) : this.statusAddress(reference);
    return this.memory.readU8(at) & GTF_IN_USE;
  }

  snapshot(): GrantTableSnapshot {
    return {
      version: this.version,
      shared: [...this.shared],
      status: [...this.status],
      active: this.active.snapshot(),
      maptrack: this.maptrack.snapshot(),
    };
  }

  /** @throws RangeError for a version that does not exist, or more frames than there may be */
  restore({ version, shared, status, active, maptrack }: GrantTableSnapshot): void {
    if ((version !== 1 && version !== 2) || shared.length > this.maxFrames || status.length > shared.length)
      throw new RangeError(`a grant table of version ${version} with ${shared.length} frames`);
    this.version = version;
    this.shared.splice(0, this.shared.length, ...shared);
    this.status.splice(0, this.status.length, ...status);
    this.active.restore(active);
    this.maptrack.restore(maptrack);
  }

  private addStatusFrames(): void {
    const wanted = Math.ceil((this.shared.length * STATUS_BYTES) / V2_BYTES);
    while (this.status.length < wanted) this.status.push(this.allocateFrame());
  }

  /** A reserved entry with GTF_reading and GTF_writing; one that is no plain grant counts as empty. */
  private read(reference: number): { flags: number; domid: number; frame: number } {
    const { flags, domid } = this.header(reference, undefined);
    if ((flags & GTF_TYPE_MASK) !== GTF_PERMIT_ACCESS) return { flags: 0, domid: 0, frame: 0 };
    return { flags: flags | this.inUse(reference), domid, frame: this.frameOf(reference) };
  }

  private write(reference: number, flags: number, domid: number, frame: number): void {
    const at = this.entry(reference);
    this.memory.writeU32(at, (flags | (domid << 16)) >>> 0);
    if (this.version === 1) this.memory.writeU32(at + 4, frame >>> 0);
    else {
      this.memory.writeU32(at + 8, frame >>> 0);
      this.memory.writeU32(at + 12, Math.floor(frame / 2 ** 32));
    }
  }

  private fitsVersion1(reference: number): boolean {
    const type = this.header(reference, undefined).flags & GTF_TYPE_MASK;
    return type !== GTF_TRANSITIVE && (type !== GTF_PERMIT_ACCESS || this.frameOf(reference) < 2 ** 32);
  }

  /** The two status words of which `reference` is one, with its own changed. */
  private statusPair(reference: number, status: number): number {
    const pair = this.memory.readU32(this.statusAddress(reference & ~1));
    return (reference & 1) === 0 ? (pair & 0xffff0000) | status : (pair & 0xffff) | (status << 16);
  }

  private exchange(a: number, b: number, bytes: number): void {
    const { memory } = this;
    const kept = memory.readBytes(a, bytes);
    memory.writeBytes(a, memory.readBytes(b, bytes));
    memory.writeBytes(b, kept);
  }

  private statusAddress(reference: number): number {
    return this.status[reference >>> 11] * FRAME_BYTES + (reference & 2047) * STATUS_BYTES;
  }

  /** Address of an entry in machine memory. */
  private entry(reference: number): number {
    const bytes = this.version === 1 ? V1_BYTES : V2_BYTES;
    const perFrame = FRAME_BYTES / bytes;
    return this.shared[Math.floor(reference / perFrame)] * FRAME_BYTES + (reference % perFrame) * bytes;
  }

  /** Arena offset of an entry, through the caches. */
  private touch(reference: number, cost: PathCost | undefined): number {
    const at = this.entry(reference);
    const offset = at % FRAME_BYTES;
    const frame = (at - offset) / FRAME_BYTES;
    const bytes = this.version === 1 ? V1_BYTES : V2_BYTES;
    return cost === undefined
      ? this.memory.frameOffset(frame) + offset
      : cost.access(frame, offset, bytes, true);
  }
}
