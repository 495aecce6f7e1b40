import { sha256Hex } from "./sha256.js";

/** Guest-physical memory that is measured. */
export interface MeasuredRange {
  readonly address: number;
  readonly bytes: number;
}

/** Guest memory as it is read for nothing: `Domain.guestMemory`. */
export interface MeasuredMemory {
  readBytes(address: number, count: number): Uint8Array;
}

/** SHA-256 of a range of guest memory, as a launch measurement or a later attestation takes it: 64 hexadecimal digits. */
export function measureMemory(memory: MeasuredMemory, { address, bytes }: MeasuredRange): string {
  return sha256Hex(memory.readBytes(address, bytes));
}
