import { Flag, SegmentWord, State } from "@hyperwalk/cpu";
import { PageFaultCode } from "@hyperwalk/mmu";
import type { PortDevice } from "../../devices/port-device.js";
import type { EmulatorAccess } from "../../guest-access/emulator-access.js";
import { GuestCodeMode, type GuestRegisters } from "../guest-registers.js";

const RCX = 1;
const RSI = 6;
const RDI = 7;
const ES = 0;
const FS = 4;
/** Units that one exit carries out; a longer REP exits again, so that time and events go on. */
const UNITS_AT_A_TIME = 256;

/** One INS or OUTS as the exit describes it. */
export interface StringOperation {
  readonly read: boolean;
  readonly repeated: boolean;
  /** Bytes of a unit. */
  readonly bytes: number;
  readonly port: number;
  /** Segment of OUTS, 0-5. */
  readonly segment: number;
  /** log2 of the bytes of an address: 1, 2 or 3. */
  readonly addressSize: number;
}

/** What carrying out came to. */
export const StringResult = { Done: 0, Again: 1, Fault: 2 } as const;

/** INS and OUTS with their repetitions (Xen: `hvmemul_rep_ins`, `hvmemul_rep_outs`). */
export class StringIo {
  /** Linear address of the unit that could not be reached. */
  faultLo = 0;
  faultHi = 0;
  /** Of the page fault for it. */
  errorCode = 0;
  private readonly registers: GuestRegisters;
  private readonly access: EmulatorAccess;

  /** @param access by linear address */
  constructor(registers: GuestRegisters, access: EmulatorAccess) {
    this.registers = registers;
    this.access = access;
  }

  /**
   * Moves units between memory and a device; without one all ones come and what goes is lost.
   * @returns a {@link StringResult}: `Again` while units are left, `Fault` with the address in {@link faultLo}
   */
  run(operation: StringOperation, device: PortDevice | undefined): number {
    const { registers } = this;
    const { repeated, bytes, addressSize, read } = operation;
    const pointer = read ? RDI : RSI;
    const step = (registers.rflags & Flag.Df) !== 0 ? -bytes : bytes;
    for (let done = 0; ; done++) {
      if (repeated && this.isZero(RCX, addressSize)) return StringResult.Done;
      if (done === UNITS_AT_A_TIME) return StringResult.Again;
      if (!this.move(operation, pointer, device)) return StringResult.Fault;
      this.add(pointer, step, addressSize);
      if (!repeated) return StringResult.Done;
      this.add(RCX, -1, addressSize);
    }
  }

  private move(operation: StringOperation, pointer: number, device: PortDevice | undefined): boolean {
    const { access, registers } = this;
    this.locate(pointer, operation.read ? ES : operation.segment, operation.addressSize);
    access.asUser(registers.cpl === 3);
    const moved = this.transfer(operation, device);
    access.asUser(false);
    const own = (operation.read ? PageFaultCode.Write : 0) | (registers.cpl === 3 ? PageFaultCode.User : 0);
    if (!moved) this.errorCode = access.errorCode | own;
    return moved;
  }

  private transfer({ read, bytes, port }: StringOperation, device: PortDevice | undefined): boolean {
    const { access } = this;
    if (!read) {
      if (access.copyFromGuest(this.faultLo, this.faultHi, bytes) !== 0) return false;
      const unit = access.buffer.getUint32(0, true);
      device?.write(port, bytes, bytes === 4 ? unit : unit & ((1 << (8 * bytes)) - 1));
      return true;
    }
    access.buffer.setInt32(0, device === undefined ? -1 : device.read(port, bytes), true);
    return access.copyToGuest(this.faultLo, this.faultHi, bytes) === 0;
  }

  /** Linear address of `segment:pointer`. */
  private locate(pointer: number, segment: number, addressSize: number): void {
    const { registers } = this;
    const { words } = registers;
    const long = registers.mode === GuestCodeMode.Long;
    const base = State.Segments + 8 * segment + SegmentWord.BaseLo;
    const hasBase = !long || segment >= FS;
    const lo = addressSize === 1 ? registers.lo(pointer) & 0xffff : registers.lo(pointer);
    const hi = addressSize === 3 ? registers.hi(pointer) : 0;
    const sum = (lo + (hasBase ? words[base] : 0)) | 0;
    const carry = sum >>> 0 < lo >>> 0 ? 1 : 0;
    this.faultLo = sum;
    this.faultHi = long ? (hi + (hasBase ? words[base + 1] : 0) + carry) | 0 : 0;
  }

  private isZero(register: number, addressSize: number): boolean {
    const lo = this.registers.lo(register);
    if (addressSize === 1) return (lo & 0xffff) === 0;
    return lo === 0 && (addressSize === 2 || this.registers.hi(register) === 0);
  }

  private add(register: number, value: number, addressSize: number): void {
    const { registers } = this;
    const lo = registers.lo(register);
    const hi = registers.hi(register);
    const next = (lo + value) | 0;
    if (addressSize === 1) registers.set(register, (lo & ~0xffff) | (next & 0xffff), hi);
    else if (addressSize === 2) registers.set(register, next, 0);
    else {
      const borrow = value < 0 ? (next >>> 0 > lo >>> 0 ? -1 : 0) : next >>> 0 < lo >>> 0 ? 1 : 0;
      registers.set(register, next, (hi + borrow) | 0);
    }
  }
}
