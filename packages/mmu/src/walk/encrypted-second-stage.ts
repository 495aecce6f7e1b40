import { ENCRYPTED_FRAME, encryptedFrame } from "../memory-encryption.js";
import { type SecondStageWalker, StageAccess } from "./second-stage-walker.js";

/**
 * Second stage of a guest whose memory is encrypted (APM vol. 2, 15.34.5): the C-bit of a guest entry is no part of the
 * guest-physical address, but comes back in the machine frame. Reads of guest tables and instruction fetches are encrypted
 * whatever it says, and so is everything while the guest's paging mode has no C-bit.
 */
export class EncryptedSecondStage implements SecondStageWalker {
  private inner!: SecondStageWalker;
  private key = 0;
  private always = false;
  /** While PVALIDATE or RMPADJUST looks for a page: it is private whatever the entry says. */
  validating = false;

  /** @param key the guest's @param always no entry can say otherwise: paging is off, or in the 32-bit format */
  configure(inner: SecondStageWalker, key: number, always: boolean): void {
    this.inner = inner;
    this.key = key;
    this.always = always;
  }

  get rights(): number {
    return this.inner.rights;
  }

  get kind(): number {
    return this.inner.kind;
  }

  translate(gfn: number, offset: number, access: number): number {
    const marked = gfn >= ENCRYPTED_FRAME;
    const encrypted =
      marked || this.always || this.validating || (access & (StageAccess.Table | StageAccess.Fetch)) !== 0;
    const asked = encrypted ? access | StageAccess.Private : access;
    const frame = this.inner.translate(marked ? gfn - ENCRYPTED_FRAME : gfn, offset, asked);
    if (frame < 0) return -1;
    return encrypted ? encryptedFrame(frame, this.key) : frame;
  }

  refuseTableUpdate(gfn: number, offset: number, rights: number): void {
    this.inner.refuseTableUpdate(gfn >= ENCRYPTED_FRAME ? gfn - ENCRYPTED_FRAME : gfn, offset, rights);
  }
}
