import { SvmRegisters } from "./svm-registers.js";

/**
 * Registers of a vCPU whose state is encrypted (SEV-ES), as Xen sees them between exit and entry: zero but for what the
 * guest showed in its GHCB. Xen cannot move RIP; an exception that an emulated instruction raises is put down for the
 * GHCB instead of being injected.
 */
export class EncryptedRegisters extends SvmRegisters {
  /** A request of the guest's is being handled. */
  inRequest = false;
  /** Exception that the request ends in, as EVENTINJ has it; 0: none. */
  exception = 0;
  exceptionError = 0;

  override skip(): void {
    // The guest's own handler does it, and the processor where the instruction left by itself.
  }

  override injectException(vector: number, errorCode: number): void {
    if (!this.inRequest) {
      super.injectException(vector, errorCode);
      return;
    }
    this.exception = exceptionInfo(vector, errorCode >= 0);
    this.exceptionError = Math.max(0, errorCode);
  }
}

const VALID = -0x80000000;
const ERROR_CODE_VALID = 0x800;
const HARDWARE_EXCEPTION = 0x300;

function exceptionInfo(vector: number, hasErrorCode: boolean): number {
  return VALID | HARDWARE_EXCEPTION | (hasErrorCode ? ERROR_CODE_VALID : 0) | vector;
}
