import type { PhysicalMemory } from "@hyperwalk/mmu";
import { Errno } from "./errno.js";

const FRAME_BYTES = 4096;
// Entries (public/grant_table.h): v1 {flags u16, domid u16, frame u32}, v2 {flags u16, domid u16, pad u32, frame u64}.
const V1_BYTES = 8;
const V2_BYTES = 16;
const STATUS_BYTES = 2;
const GTF_TYPE_MASK = 3;
const GTF_PERMIT_ACCESS = 1;
/** GTF_reading and GTF_writing: in a v2 table they are in the status frames. */
const GTF_IN_USE = 0x18;
/** Entries that the toolstack fills, and that a change of version keeps. */
const RESERVED_ENTRIES = 8;
const DEFAULT_MAX_FRAMES = 64;

/** What a domain's grant table is made with. */
export interface GrantTableOptions {
  readonly memory: PhysicalMemory;
  /** A zeroed frame of Xen's heap. */
  readonly allocateFrame: () => number;
  /** `max_grant_frames`; default 64. */
  readonly maxFrames?: number;
}

/** What is not in the entries themselves, as plain data. */
export interface GrantTableSnapshot {
  readonly version: number;
  /** Frames of entries, and of status words. */
  readonly shared: readonly number[];
  readonly status: readonly number[];
}

/**
 * A domain's grant table (Xen: `common/grant_table.c`) in frames that the guest can map: entries of version 1 or 2 and,
 * for version 2, status frames. No other domain maps its grants, so that no entry is ever in use.
 */
export class GrantTable {
  readonly maxFrames: number;
  /** Version of the entries in force. */
  version: 1 | 2 = 1;
  private readonly memory: PhysicalMemory;
  private readonly allocateFrame: () => number;
  private readonly shared: number[] = [];
  private readonly status: number[] = [];

  constructor(options: GrantTableOptions) {
    this.memory = options.memory;
    this.allocateFrame = options.allocateFrame;
    this.maxFrames = options.maxFrames ?? DEFAULT_MAX_FRAMES;
    this.grow(1);
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

  /** GNTTABOP_set_version: entries past the reserved ones become empty. @returns 0 or -EINVAL */
  setVersion(version: number): number {
    if (version !== 1 && version !== 2) return -Errno.EINVAL;
    if (version === this.version) return 0;
    const reserved = Array.from({ length: RESERVED_ENTRIES }, (_, i) => this.read(i));
    if (version === 2) this.addStatusFrames();
    this.version = version;
    const empty = new Uint8Array(FRAME_BYTES);
    for (const frame of [...this.shared, ...this.status]) this.memory.writeBytes(frame * FRAME_BYTES, empty);
    reserved.forEach(({ flags, domid, frame }, i) => {
      this.write(i, flags, domid, frame);
    });
    return 0;
  }

  snapshot(): GrantTableSnapshot {
    return { version: this.version, shared: [...this.shared], status: [...this.status] };
  }

  /** @throws RangeError for a version that does not exist, or more frames than there may be */
  restore({ version, shared, status }: GrantTableSnapshot): void {
    if ((version !== 1 && version !== 2) || shared.length > this.maxFrames || status.length > shared.length)
      throw new RangeError(`a grant table of version ${version} with ${shared.length} frames`);
    this.version = version;
    this.shared.splice(0, this.shared.length, ...shared);
    this.status.splice(0, this.status.length, ...status);
  }

  private addStatusFrames(): void {
    const wanted = Math.ceil((this.shared.length * STATUS_BYTES) / V2_BYTES);
    while (this.status.length < wanted) this.status.push(this.allocateFrame());
  }

  /** A reserved entry; one that is no plain grant counts as empty. */
  private read(reference: number): { flags: number; domid: number; frame: number } {
    const at = this.entry(reference);
    const head = this.memory.readU32(at);
    const flags = head & 0xffff;
    if ((flags & GTF_TYPE_MASK) !== GTF_PERMIT_ACCESS) return { flags: 0, domid: 0, frame: 0 };
    return {
      flags: flags & ~GTF_IN_USE,
      domid: head >>> 16,
      frame: this.memory.readU32(at + (this.version === 1 ? 4 : 8)),
    };
  }

  private write(reference: number, flags: number, domid: number, frame: number): void {
    const at = this.entry(reference);
    this.memory.writeU32(at, (flags | (domid << 16)) >>> 0);
    this.memory.writeU32(at + (this.version === 1 ? 4 : 8), frame);
  }

  private entry(reference: number): number {
    return this.shared[0] * FRAME_BYTES + reference * (this.version === 1 ? V1_BYTES : V2_BYTES);
  }
}
