import type { GuestAccess } from "../guest-access/guest-access.js";
import { GuestCodeMode, type GuestRegisters } from "../host/guest-registers.js";
import { HVMOP_FLUSH_TLBS } from "../operations/hvm.js";
import type { OperationCall } from "../operations/operation.js";
import { yieldOperation } from "../operations/sched.js";
import { highBeyond } from "../operations/word-pair.js";
import type { PathCost } from "../path-cost/path-cost.js";
import { VIRIDIAN_HYPERCALL, VIRIDIAN_SEND_IPI, VIRIDIAN_VP_SET } from "../path-cost/stages/viridian.js";
import type { Vcpu } from "../vcpu.js";
import { VirtualProcessorMask } from "./virtual-processor-mask.js";

/** Call codes that Xen answers. */
export const ViridianCall = {
  FlushVirtualAddressSpace: 2,
  FlushVirtualAddressList: 3,
  NotifyLongSpinWait: 8,
  SendIpi: 0xb,
  FlushVirtualAddressSpaceEx: 0x13,
  FlushVirtualAddressListEx: 0x14,
  SendIpiEx: 0x15,
  ExtQueryCapabilities: 0x8001,
} as const;

/** Status codes (Hypervisor Top Level Functional Specification, appendix B). */
export const ViridianStatus = { Success: 0, InvalidHypercallCode: 2, InvalidParameter: 5 } as const;

const NAMES: ReadonlyMap<number, string> = new Map([
  [ViridianCall.FlushVirtualAddressSpace, "viridian.flush_virtual_address_space"],
  [ViridianCall.FlushVirtualAddressList, "viridian.flush_virtual_address_list"],
  [ViridianCall.NotifyLongSpinWait, "viridian.notify_long_spin_wait"],
  [ViridianCall.SendIpi, "viridian.send_ipi"],
  [ViridianCall.FlushVirtualAddressSpaceEx, "viridian.flush_virtual_address_space_ex"],
  [ViridianCall.FlushVirtualAddressListEx, "viridian.flush_virtual_address_list_ex"],
  [ViridianCall.SendIpiEx, "viridian.send_ipi_ex"],
]);

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const RSI = 6;
const RDI = 7;
const R8 = 8;
const FAST = 1 << 16;
const FLUSH_ALL_PROCESSORS = 1;
/** Sizes of the parameter blocks, as far as they are fixed. */
const FLUSH_BYTES = 24;
const FLUSH_EX_BYTES = 32;
const IPI_BYTES = 16;
const IPI_EX_BYTES = 24;
const FIRST_VECTOR = 0x10;
const LAST_VECTOR = 0xff;

/**
 * Hyper-V's hypercalls (`viridian_hypercall`): a control word, and parameters in registers (fast) or in memory at a
 * guest-*physical* address, the one interface with such addresses that Xen has had for long. 64-bit callers pass rcx, rdx
 * and r8, 32-bit ones edx:eax, ebx:ecx and edi:esi; the result with its status and the number of repetitions done comes
 * back in rax, or edx:eax. No call reads XMM registers.
 */
export class ViridianHypercalls {
  /** Name of the latest call, undefined for a code that Xen does not know. */
  name: string | undefined;
  private readonly registers: GuestRegisters;
  private readonly access: GuestAccess;
  private readonly cost: PathCost;
  private readonly mask = new VirtualProcessorMask();
  // Operands of the present call.
  private fast = false;
  private inputLo = 0;
  private inputHi = 0;
  private outputLo = 0;
  private outputHi = 0;

  /** @param access by guest-physical address */
  constructor(registers: GuestRegisters, access: GuestAccess, cost: PathCost) {
    this.registers = registers;
    this.access = access;
    this.cost = cost;
  }

  /** Makes the call in the registers of a caller that may make one. @returns its status, for listeners */
  handle(call: OperationCall): number {
    const { registers, cost } = this;
    const { mode } = registers;
    cost.run(cost.compile(VIRIDIAN_HYPERCALL));
    this.name = undefined;
    let status: number = ViridianStatus.Success;
    let repetitions = 0;
    if (mode === GuestCodeMode.Long || mode === GuestCodeMode.Protected32) {
      const long = mode === GuestCodeMode.Long;
      const controlLo = registers.lo(long ? RCX : RAX);
      const controlHi = long ? registers.hi(RCX) : registers.lo(RDX);
      this.fast = (controlLo & FAST) !== 0;
      this.inputLo = registers.lo(long ? RDX : RCX);
      this.inputHi = long ? registers.hi(RDX) : registers.lo(RBX);
      this.outputLo = registers.lo(long ? R8 : RSI);
      this.outputHi = long ? registers.hi(R8) : registers.lo(RDI);
      const code = controlLo & 0xffff;
      this.name = NAMES.get(code);
      status = this.dispatch(code, call);
      if (isFlush(code) && status === ViridianStatus.Success) repetitions = controlHi & 0xfff;
    }
    // In other modes nothing is done, and that succeeds.
    if (mode === GuestCodeMode.Long) registers.set(RAX, status, repetitions);
    else {
      registers.set(RDX, repetitions, 0);
      registers.set(RAX, status, 0);
    }
    return status;
  }

  private dispatch(code: number, call: OperationCall): number {
    const { cost } = this;
    switch (code) {
      case ViridianCall.NotifyLongSpinWait:
        cost.run(cost.compile(yieldOperation.stage));
        yieldOperation.handle(call);
        return ViridianStatus.Success;
      case ViridianCall.FlushVirtualAddressSpace:
      case ViridianCall.FlushVirtualAddressList:
        return this.flush(call, false);
      case ViridianCall.FlushVirtualAddressSpaceEx:
      case ViridianCall.FlushVirtualAddressListEx:
        return this.flush(call, true);
      case ViridianCall.SendIpi:
        return this.fast ? this.fastIpi(call) : this.sendIpi(call, false);
      case ViridianCall.SendIpiEx:
        return this.sendIpi(call, true);
      default:
        return ViridianStatus.InvalidHypercallCode;
    }
  }

  /** Whole address spaces: which one, and which addresses, Xen does not look at. */
  private flush(call: OperationCall, ex: boolean): number {
    const { access, mask, cost } = this;
    const bytes = ex ? FLUSH_EX_BYTES : FLUSH_BYTES;
    if (this.fast || access.copyFromGuest(this.inputLo, this.inputHi, bytes) !== 0)
      return ViridianStatus.InvalidParameter;
    const { buffer } = access;
    if ((buffer.getInt32(8, true) & FLUSH_ALL_PROCESSORS) !== 0) mask.fill();
    else if (!ex) mask.set(buffer.getInt32(16, true), buffer.getInt32(20, true));
    else if (!this.takeSet(16, bytes)) return ViridianStatus.InvalidParameter;
    cost.run(cost.compile(HVMOP_FLUSH_TLBS));
    for (const vcpu of call.domain.vcpus) if (mask.has(vcpu.id)) vcpu.flushTlb();
    return ViridianStatus.Success;
  }

  /** Vector and mask are the operands themselves. */
  private fastIpi(call: OperationCall): number {
    if (this.inputHi !== 0) return ViridianStatus.InvalidParameter;
    this.mask.set(this.outputLo, this.outputHi);
    return this.deliver(call.domain.vcpus, this.inputLo);
  }

  private sendIpi(call: OperationCall, ex: boolean): number {
    const { access, mask } = this;
    const bytes = ex ? IPI_EX_BYTES : IPI_BYTES;
    if (this.fast || access.copyFromGuest(this.inputLo, this.inputHi, bytes) !== 0)
      return ViridianStatus.InvalidParameter;
    const { buffer } = access;
    const vector = buffer.getInt32(0, true);
    // Target VTL and what is reserved.
    if (buffer.getInt32(4, true) !== 0 || !isVector(vector)) return ViridianStatus.InvalidParameter;
    if (!ex) mask.set(buffer.getInt32(8, true), buffer.getInt32(12, true));
    else if (!this.takeSet(8, bytes)) return ViridianStatus.InvalidParameter;
    return this.deliver(call.domain.vcpus, vector);
  }

  /** `hv_vpset_to_vpmask`: format and bank mask at this offset of the parameters, the banks after them. */
  private takeSet(offset: number, bytes: number): boolean {
    const { access, mask, cost } = this;
    const { buffer } = access;
    cost.run(cost.compile(VIRIDIAN_VP_SET));
    const banks = mask.begin(
      buffer.getInt32(offset, true),
      buffer.getInt32(offset + 4, true),
      buffer.getInt32(offset + 8, true),
      buffer.getInt32(offset + 12, true),
    );
    if (banks < 0) return false;
    if (banks === 0) return true;
    const at = (this.inputLo + bytes) | 0;
    if (access.copyFromGuest(at, highBeyond(this.inputLo, this.inputHi, bytes), 8 * banks) !== 0)
      return false;
    mask.take(buffer);
    return true;
  }

  private deliver(vcpus: readonly Vcpu[], vector: number): number {
    const { mask, cost } = this;
    if (!isVector(vector)) return ViridianStatus.InvalidParameter;
    for (const vcpu of vcpus) {
      if (!mask.has(vcpu.id)) continue;
      cost.run(cost.compile(VIRIDIAN_SEND_IPI));
      vcpu.runner.sendInterrupt(vector, cost);
    }
    return ViridianStatus.Success;
  }
}

function isFlush(code: number): boolean {
  return (
    code === ViridianCall.FlushVirtualAddressSpace ||
    code === ViridianCall.FlushVirtualAddressList ||
    code === ViridianCall.FlushVirtualAddressSpaceEx ||
    code === ViridianCall.FlushVirtualAddressListEx
  );
}

function isVector(vector: number): boolean {
  return vector >= FIRST_VECTOR && vector <= LAST_VECTOR;
}
