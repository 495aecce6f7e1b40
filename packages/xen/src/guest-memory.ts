import { FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";
import type { PageOwnership } from "./page-ownership.js";

/** Where a guest's frames are. */
export interface FrameTranslation {
  /** Machine frame behind a guest frame, -1 where there is none. */
  translate(gfn: number): number;
  /** Set where pages may be the guest's alone. */
  readonly ownership?: PageOwnership | undefined;
}

/** A guest-physical address outside the domain's memory. */
export class GuestAddressError extends Error {
  readonly code = "GUEST_ADDRESS";
  /** The guest-physical address. */
  readonly address: number;

  constructor(address: number, why = "is not mapped") {
    super(`guest-physical address 0x${address.toString(16)} ${why}`);
    this.name = "GuestAddressError";
    this.address = address;
  }
}

/**
 * A domain's memory by guest-physical address, for builders, devices in dom0 and tests: no cost, no caches.
 * Every accessor throws {@link GuestAddressError} where there is a hole, and those that write also for a private page of an
 * SNP guest, as the reverse map has devices' writes refused.
 */
export class GuestMemory {
  private readonly memory: PhysicalMemory;
  private readonly frames: FrameTranslation;

  constructor(memory: PhysicalMemory, frames: FrameTranslation) {
    this.memory = memory;
    this.frames = frames;
  }

  readU8(address: number): number {
    return this.memory.readU8(this.machine(address));
  }

  writeU8(address: number, value: number): void {
    this.memory.writeU8(this.machine(address, true), value);
  }

  readU16(address: number): number {
    return this.readU8(address) | (this.readU8(address + 1) << 8);
  }

  readU32(address: number): number {
    if (address % FRAME_BYTES <= FRAME_BYTES - 4) return this.memory.readU32(this.machine(address));
    return (this.readU16(address) | (this.readU16(address + 2) << 16)) >>> 0;
  }

  writeU32(address: number, value: number): void {
    if (address % FRAME_BYTES <= FRAME_BYTES - 4)
      this.memory.writeU32(this.machine(address, true), value >>> 0);
    else for (let i = 0; i < 4; i++) this.writeU8(address + i, (value >>> (8 * i)) & 0xff);
  }

  readBytes(address: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const count = Math.min(FRAME_BYTES - ((address + done) % FRAME_BYTES), length - done);
      out.set(this.memory.readBytes(this.machine(address + done), count), done);
      done += count;
    }
    return out;
  }

  writeBytes(address: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const count = Math.min(FRAME_BYTES - ((address + done) % FRAME_BYTES), bytes.length - done);
      this.memory.writeBytes(this.machine(address + done, true), bytes.subarray(done, done + count));
      done += count;
    }
  }

  private machine(address: number, write = false): number {
    const mfn = address >= 0 ? this.frames.translate(Math.floor(address / FRAME_BYTES)) : -1;
    if (mfn < 0) throw new GuestAddressError(address);
    if (write && this.frames.ownership?.isPrivate(mfn))
      throw new GuestAddressError(address, "is in a private page of its guest's");
    return mfn * FRAME_BYTES + (address % FRAME_BYTES);
  }
}
