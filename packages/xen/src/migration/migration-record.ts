import type { VcpuRegisters } from "../host/vcpu-registers.js";
import type { VcpuEventsSnapshot } from "../vcpu-events.js";
import type { VlapicSnapshot } from "../vlapic.js";

/** Guest memory with contents; pages of zeros are left out. */
export interface MigratedPage {
  readonly gfn: number;
  readonly bytes: Uint8Array;
}

/** MSRs that Xen keeps outside the control structure. */
export interface MigratedMsrs {
  /** What the guest would read from its time stamp counter. */
  readonly timestamp: number;
  readonly timestampAdjust: number;
  readonly timestampAux: number;
  readonly cstar: readonly [number, number];
}

/** Event channels with two-level bits, which are in shared_info. */
export interface MigratedEvents {
  /** Where the `vcpu_info` are: guest frame, or -1 for those in shared_info. */
  readonly infoGfn: readonly number[];
  readonly infoOffset: readonly number[];
  readonly is32Bit: VcpuEventsSnapshot["is32Bit"];
  readonly callback: readonly [number, number];
  readonly upcallVectors: Uint8Array;
  readonly virqPort: Int32Array;
  readonly connected: readonly number[];
  /** Xen's records of ports, 64 to a page; undefined: none yet. */
  readonly records: readonly (Uint8Array | undefined)[];
}

/**
 * What a guest is, apart from the machine that it ran on: the architectural state that a live migration's stream has.
 * Neither page tables of the second stage nor control structures, caches, TLBs or host frames are in it, so that it can go
 * on on a processor of another kind. Pages are by guest frame.
 */
export interface MigrationRecord {
  readonly version: 1;
  /** Profile of the machine that it comes from, and the hypercall instruction there. */
  readonly from: string;
  readonly hypercallInstruction: readonly number[];
  readonly memoryBytes: number;
  readonly abi: string;
  readonly pages: readonly MigratedPage[];
  /** Guest frames of RAM that the guest gave back. */
  readonly holes: readonly number[];
  /** The toolstack's frames: rings of console and xenstore. */
  readonly specialPages: readonly MigratedPage[];
  readonly sharedInfo: { readonly gfn: number; readonly bytes: Uint8Array };
  /** Pages of the grant table. */
  readonly grants: readonly Uint8Array[];
  readonly events: MigratedEvents;
  readonly registers: VcpuRegisters;
  readonly msrs: MigratedMsrs;
  readonly apic: VlapicSnapshot;
  readonly params: Float64Array;
  readonly vmAssist: number;
  /** State of the doorbell, if there is one; its ring is mapped anew. */
  readonly doorbell: readonly number[] | undefined;
}

/** Why a guest cannot be moved, or a record not be taken over. */
export class MigrationError extends Error {
  readonly code: "STATE" | "MISMATCH";
  /** What is in the way. */
  readonly key: string;

  constructor(code: MigrationError["code"], key: string, message: string) {
    super(`${key}: ${message}`);
    this.name = "MigrationError";
    this.code = code;
    this.key = key;
  }
}
