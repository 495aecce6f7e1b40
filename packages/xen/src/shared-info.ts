import { FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";

/** Wall-clock time at system time 0, in seconds since 1970: nothing simulated reads a real clock. 1 January 2026, UTC. */
export const BOOT_WALLCLOCK_SECONDS = 1_767_225_600;
// wc_version, wc_sec, wc_nsec in `struct shared_info`, and where the high half of wc_sec is; then the same for 32 bits.
const WALLCLOCK = 3072;
const WALLCLOCK_HIGH: number = WALLCLOCK + 12;
const WALLCLOCK_32BIT = 2304;
const WALLCLOCK_HIGH_32BIT: number = WALLCLOCK_32BIT + 36;

/** Where a domain's `struct shared_info` is. */
export class SharedInfo {
  /** Machine frame, of Xen's heap. */
  readonly frame: number;
  /** Guest frame at which the guest mapped it, or -1. */
  gfn = -1;

  constructor(frame: number) {
    this.frame = frame;
  }

  /** `update_domain_wallclock_time`: the time of day at system time 0, with a version that is even when it is there. */
  writeWallclock(memory: PhysicalMemory, is32Bit: boolean): void {
    const base = this.frame * FRAME_BYTES;
    const at = base + (is32Bit ? WALLCLOCK_32BIT : WALLCLOCK);
    memory.writeU32(at, (((memory.readU32(at) + 1) | 1) + 1) >>> 0);
    memory.writeU32(at + 4, BOOT_WALLCLOCK_SECONDS % 2 ** 32);
    memory.writeU32(at + 8, 0);
    memory.writeU32(base + (is32Bit ? WALLCLOCK_HIGH_32BIT : WALLCLOCK_HIGH), 0);
  }
}
