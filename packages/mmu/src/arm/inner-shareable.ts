import { FRAME_BYTES } from "../physical-memory.js";
import type { ArmMmu } from "./arm-mmu.js";
import type { Tlbi } from "./arm-translation-caches.js";

/** A broadcast operation that the others have not seen. */
export interface PendingTlbi {
  readonly issuer: ArmMmu;
  readonly vmid: number;
  readonly operation: Tlbi;
}

/**
 * The inner shareable domain: processing elements whose TLB maintenance reaches each other. A broadcast operation (TLBI
 * …IS) acts on its issuer at once and on the others when the issuer's DSB completes, the latest that the architecture
 * permits (Arm ARM DDI 0487, D8.14); {@link deliver} lets it come sooner. Stores take the line out of the others' caches.
 */
export class InnerShareable {
  private readonly elements: readonly ArmMmu[];
  private pending: PendingTlbi[] = [];

  /** @param elements over the same memory */
  constructor(elements: readonly ArmMmu[]) {
    this.elements = elements;
  }

  /** TLBI …IS, for the VMID that the issuer has. */
  issue(issuer: ArmMmu, operation: Tlbi): void {
    issuer.tlbi(operation);
    this.pending.push({ issuer, vmid: issuer.vmid, operation });
  }

  /** DSB ISH: what the issuer has broadcast has been done everywhere. */
  complete(issuer: ArmMmu): void {
    this.deliver(({ issuer: from }) => from === issuer);
  }

  /** Operations that were issued and that the others have not seen. */
  get outstanding(): number {
    return this.pending.length;
  }

  /** Lets broadcasts arrive, all or those that are chosen. */
  deliver(chosen: (pending: PendingTlbi) => boolean = () => true): void {
    const now = this.pending.filter(chosen);
    this.pending = this.pending.filter((one) => !now.includes(one));
    for (const { issuer, vmid, operation } of now)
      for (const element of this.elements)
        if (element !== issuer) element.translations.invalidate(operation, vmid);
  }

  /** A store by `writer` to a machine address: 8 bytes, aligned. */
  store(writer: ArmMmu, frame: number, offset: number, lo: number, hi: number): void {
    const { memory } = writer;
    memory.writeU32(frame * FRAME_BYTES + offset, lo >>> 0);
    memory.writeU32(frame * FRAME_BYTES + offset + 4, hi >>> 0);
    for (const element of this.elements) if (element !== writer) element.snoop(frame, offset);
  }
}
