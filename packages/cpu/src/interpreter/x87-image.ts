import type { ExecutionCore } from "./core.js";

const FIELDS = 7;
const REGISTER_BYTES = 10;
const SIGNIFICAND_BYTES = 8;

/**
 * The image of the FNSTENV, FNSAVE, FLDENV or FRSTOR at work: seven fields of the environment, of 2 or 4 bytes each, and
 * ST(0) to ST(7) (SDM vol. 1, 8.1.10). Memory is accessed by fields, significands, and signs with exponents, each at an
 * offset that wraps at the address size and with its own segment check, as Zen 3 does.
 */
export class X87Image {
  private readonly view = new DataView(new ArrayBuffer(4 * FIELDS + 8 * REGISTER_BYTES));
  private fieldBytes = 0;
  private bytes = 0;

  /**
   * Tries the first field and the last byte before anything is touched, as Zen 3 does. On AMD the two have their own
   * limit checks, in this order; elsewhere the limit of all comes first.
   * @param wide 4-byte fields
   */
  open(core: ExecutionCore, pc: number, wide: boolean, registers: boolean, write: boolean): boolean {
    const first = wide ? 4 : 2;
    const bytes = FIELDS * first + (registers ? 8 * REGISTER_BYTES : 0);
    this.fieldBytes = first;
    this.bytes = bytes;
    if (!core.address(pc, core.amd ? first : bytes, write) || !core.aligned(first)) return false;
    if (access(core, pc, first, write) < 0) return false;
    core.mmu.writePending = 0;
    if (!core.addressAfter(pc, bytes - 1, 1, write) || access(core, pc, 1, write) < 0) return false;
    core.mmu.writePending = 0;
    return true;
  }

  /** Field of the environment, zero-extended. */
  field(index: number): number {
    const { view, fieldBytes } = this;
    const at = fieldBytes * index;
    return fieldBytes === 4 ? view.getInt32(at, true) : view.getUint16(at, true);
  }

  put(index: number, value: number): void {
    const { view, fieldBytes } = this;
    if (fieldBytes === 4) view.setInt32(4 * index, value, true);
    else view.setInt16(2 * index, value, true);
  }

  /** ST(i) to the three state words at `to`. */
  takeRegister(i: number, words: Int32Array, to: number): void {
    const at = this.registerAt(i);
    words[to] = this.view.getInt32(at, true);
    words[to + 1] = this.view.getInt32(at + 4, true);
    words[to + 2] = this.view.getUint16(at + SIGNIFICAND_BYTES, true);
  }

  putRegister(i: number, words: Int32Array, from: number): void {
    const at = this.registerAt(i);
    this.view.setInt32(at, words[from], true);
    this.view.setInt32(at + 4, words[from + 1], true);
    this.view.setInt16(at + SIGNIFICAND_BYTES, words[from + 2], true);
  }

  private registerAt(i: number): number {
    return FIELDS * this.fieldBytes + REGISTER_BYTES * i;
  }

  /** Bytes of the access at an offset in the image. */
  private accessBytes(offset: number): number {
    const after = offset - this.registerAt(0);
    if (after < 0) return this.fieldBytes;
    return after % REGISTER_BYTES === 0 ? SIGNIFICAND_BYTES : REGISTER_BYTES - SIGNIFICAND_BYTES;
  }

  /** Reads all of the image. @returns false after a fault */
  read(core: ExecutionCore, pc: number): boolean {
    const { view } = this;
    for (let offset = 0, bytes = 0; offset < this.bytes; offset += bytes) {
      bytes = this.accessBytes(offset);
      if (!core.addressAfter(pc, offset, bytes, false)) return false;
      const at = access(core, pc, bytes, false);
      if (at < 0) return false;
      for (let i = 0; i < bytes; i += 2) view.setInt16(offset + i, core.view.getInt16(at + i, true), true);
    }
    return true;
  }

  /** Writes all of the image, in order up to the access that faults. @returns false after a fault */
  write(core: ExecutionCore, pc: number): boolean {
    const { view } = this;
    for (let offset = 0, bytes = 0; offset < this.bytes; offset += bytes) {
      bytes = this.accessBytes(offset);
      if (!core.addressAfter(pc, offset, bytes, true)) return false;
      const at = access(core, pc, bytes, true);
      if (at < 0) return false;
      for (let i = 0; i < bytes; i += 2) core.view.setInt16(at + i, view.getInt16(offset + i, true), true);
      if (core.mmu.writePending !== 0) core.mmu.commitWrite();
    }
    return true;
  }
}

/** Opens bytes at the core's linear address. @returns their place in the arena, or -1 after a fault */
function access(core: ExecutionCore, pc: number, bytes: number, write: boolean): number {
  const { mmu, eaLo, eaHi } = core;
  const at = write ? mmu.write(eaLo, eaHi, bytes) : mmu.read(eaLo, eaHi, bytes);
  if (at < 0) core.memoryFault(core.segmentOf(pc));
  return at;
}
