const VALID = 1 << 31;
const ERROR_CODE_VALID = 0x800;
const KIND_SHIFT = 8;

/**
 * The event that the processor is delivering through the IDT: what EXITINTINFO (APM vol. 2, 15.7.2) and the
 * IDT-vectoring fields (SDM vol. 3, 28.2.4) report when delivery itself leaves the guest. Whoever delivers fills it in
 * before it touches memory and clears it once the handler's first instruction is at RIP.
 */
export class EventInDelivery {
  /** Vector, kind, error-code flag and valid bit where EVENTINJ and VM-entry interruption information have them; 0: none. */
  info = 0;
  errorCode = 0;
  /** Bytes of the instruction that raised a software event, else 0. */
  length = 0;

  /** @param kind an `EventKind` number */
  begin(kind: number, vector: number, errorCode: number, hasErrorCode: boolean, length: number): void {
    this.info = vector | (kind << KIND_SHIFT) | (hasErrorCode ? ERROR_CODE_VALID : 0) | VALID;
    this.errorCode = hasErrorCode ? errorCode : 0;
    this.length = length;
  }

  clear(): void {
    this.info = this.errorCode = this.length = 0;
  }
}
