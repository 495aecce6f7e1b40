import type { MmioDevice } from "@hyperwalk/cpu";
import type { Domain } from "../../domain.js";

/** A guest frame as the emulator sees it when writes to it are dropped (`p2m_is_discard_write`). */
export class DiscardingMemory implements MmioDevice {
  private readonly domain: Domain;
  private readonly gfn: number;

  constructor(domain: Domain, gfn: number) {
    this.domain = domain;
    this.gfn = gfn;
  }

  load(offset: number, bytes: number): number {
    const { guestMemory } = this.domain;
    const at = this.gfn * 4096 + offset;
    return bytes === 1
      ? guestMemory.readU8(at)
      : bytes === 2
        ? guestMemory.readU16(at)
        : guestMemory.readU32(at);
  }

  store(): void {
    // Dropped.
  }
}
