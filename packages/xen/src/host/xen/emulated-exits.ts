import { ExitKind, State, SvmExitCode, type VmExit, VmxExitReason, validXcr0 } from "@hyperwalk/cpu";
import type { Mmu } from "@hyperwalk/mmu";
import type { CpuidPolicy } from "../../cpuid-policy.js";
import type { PortDevice } from "../../devices/port-device.js";
import type { Domain } from "../../domain.js";
import { Msr, type MsrPolicy } from "../../msr-policy.js";
import type { Stage } from "../../path-cost/stage.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import {
  CPUID_HYPERVISOR_LEAF,
  GUEST_CPUID,
  GUEST_RDMSR,
  GUEST_WRMSR,
  PORT_IO,
  SIMPLE_EXIT,
  WRITE_HYPERCALL_PAGE,
} from "../../path-cost/stages/dispatch.js";
import { APIC_MSR_ACCESS } from "../../path-cost/stages/interrupts.js";
import type { Viridian } from "../../viridian/viridian.js";
import { ViridianMsr, type ViridianMsrs } from "../../viridian/viridian-msrs.js";
import type { Vlapic } from "../../vlapic.js";
import { GuestCodeMode, type GuestRegisters } from "../guest-registers.js";
import type { VcpuControl } from "../vcpu-control.js";
import { type StringIo, type StringOperation, StringResult } from "./string-io.js";

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const VECTOR_UD = 6;
const VECTOR_GP = 13;
/** Error-code bits of a page fault that the emulator raises: the page counts as not present. */
const LINES_OF_A_PAGE = 64;

/** What the instructions cost that a hypervisor carries out. */
export interface EmulatedStages {
  readonly cpuid: Stage;
  /** On top, for a leaf of Xen's. */
  readonly xenLeaf: Stage;
  readonly rdmsr: Stage;
  readonly wrmsr: Stage;
  /** On top, for the local APIC's. */
  readonly apicMsr: Stage;
  /** On top, for the one that fills the hypercall page. */
  readonly hypercallPage: Stage;
  readonly portIo: Stage;
  readonly other: Stage;
}

const XEN_STAGES: EmulatedStages = {
  cpuid: GUEST_CPUID,
  xenLeaf: CPUID_HYPERVISOR_LEAF,
  rdmsr: GUEST_RDMSR,
  wrmsr: GUEST_WRMSR,
  apicMsr: APIC_MSR_ACCESS,
  hypercallPage: WRITE_HYPERCALL_PAGE,
  portIo: PORT_IO,
  other: SIMPLE_EXIT,
};

export interface EmulatedExitsOptions {
  readonly vcpuId: number;
  readonly domain: Domain;
  readonly control: VcpuControl;
  readonly cost: StagePathCost;
  readonly mmu: Mmu;
  readonly cpuid: CpuidPolicy;
  readonly msrs: MsrPolicy;
  readonly vlapic: Vlapic;
  readonly strings: StringIo;
  /** Contents of the hypercall pages, by index. */
  readonly hypercallPages: readonly Uint8Array[];
  /** Hyper-V's interface, where the domain has it. */
  readonly viridian: ViridianPart | undefined;
  /** Default Xen's. */
  readonly stages?: EmulatedStages;
}

/** A vCPU's part of Hyper-V's interface. */
export interface ViridianPart {
  readonly state: Viridian;
  readonly msrs: ViridianMsrs;
  /** Contents of its hypercall page. */
  readonly page: Uint8Array;
}

/**
 * Instructions that Xen carries out for the guest: CPUID, MSR and port accesses, and the few others it intercepts.
 * Each method says whether RIP moves on; if not, an exception was queued.
 */
export class EmulatedExits {
  private readonly options: EmulatedExitsOptions;
  private readonly registers: GuestRegisters;
  private readonly cost: StagePathCost;
  private readonly stages: EmulatedStages;
  private readonly cpuidStage: number;
  private readonly xenLeafStage: number;
  private readonly rdmsrStage: number;
  private readonly wrmsrStage: number;
  private readonly pageStage: number;
  private readonly portStage: number;
  private readonly simpleStage: number;

  constructor(options: EmulatedExitsOptions) {
    const { cost, stages = XEN_STAGES } = options;
    this.options = options;
    this.stages = stages;
    this.registers = options.control.registers;
    this.cost = cost;
    this.cpuidStage = cost.compile(stages.cpuid);
    this.xenLeafStage = cost.compile(stages.xenLeaf);
    this.rdmsrStage = cost.compile(stages.rdmsr);
    this.wrmsrStage = cost.compile(stages.wrmsr);
    this.pageStage = cost.compile(stages.hypercallPage);
    this.portStage = cost.compile(stages.portIo);
    this.simpleStage = cost.compile(stages.other);
  }

  /** CPUID: all four registers, upper halves cleared. */
  cpuid(): boolean {
    const { registers, cost } = this;
    const { cpuid } = this.options;
    const leaf = registers.lo(RAX);
    cost.run(this.cpuidStage);
    if (cpuid.isXenLeaf(leaf)) cost.run(this.xenLeafStage);
    cpuid.query(leaf, registers.lo(RCX), this.options.vcpuId, registers.words[State.Cr4]);
    const { result } = cpuid;
    this.options.vlapic.showIn(leaf, result);
    registers.set(RAX, result[0], 0);
    registers.set(RBX, result[1], 0);
    registers.set(RCX, result[2], 0);
    registers.set(RDX, result[3], 0);
    return true;
  }

  rdmsr(): boolean {
    const { registers } = this;
    const { msrs, viridian, cpuid } = this.options;
    this.cost.run(this.rdmsrStage);
    const msr = registers.lo(RCX);
    if (viridian?.msrs.owns(msr)) {
      if (!viridian.msrs.read(msr)) return this.generalProtection();
      registers.set(RAX, viridian.msrs.lo, 0);
      registers.set(RDX, viridian.msrs.hi, 0);
      return true;
    }
    if (msr === cpuid.hypercallPageMsr) {
      registers.set(RAX, 0, 0);
      registers.set(RDX, 0, 0);
      return true;
    }
    if (msrs.isApic(msr)) this.apicStage();
    if (!msrs.read(msr)) return this.generalProtection();
    registers.set(RAX, msrs.lo, 0);
    registers.set(RDX, msrs.hi, 0);
    return true;
  }

  wrmsr(): boolean {
    const { registers } = this;
    this.cost.run(this.wrmsrStage);
    const msr = registers.lo(RCX);
    const lo = registers.lo(RAX);
    const hi = registers.lo(RDX);
    if (this.options.msrs.isApic(msr)) this.apicStage();
    const { msrs, viridian, cpuid } = this.options;
    const done = viridian?.msrs.owns(msr)
      ? this.writeViridian(viridian, msr, lo, hi)
      : msr === cpuid.hypercallPageMsr
        ? this.writeHypercallPage(lo, hi)
        : msrs.write(msr, lo, hi);
    if (done && (msr === Msr.Tsc || msr === Msr.TscAdjust)) this.updateTime(); // hvm_set_guest_tsc_msr
    return done ? true : this.generalProtection();
  }

  /**
   * IN and OUT: the domain's devices, and ports that nobody answers.
   * @param beforeDevice where it is not this hypervisor that has the devices: what is on the way to them
   */
  io(exit: VmExit, beforeDevice?: () => void): boolean {
    const { registers, cost } = this;
    const intel = this.options.control.hardware.vendor === "intel";
    const info = exit.info1Lo;
    const port = info >>> 16;
    const bytes = intel ? (info & 7) + 1 : (info >>> 4) & 7;
    const read = intel ? (info & 8) !== 0 : (info & 1) !== 0;
    const isString = intel ? (info & 16) !== 0 : (info & 4) !== 0;
    cost.run(this.portStage);
    beforeDevice?.();
    const device = this.portDevice(port, bytes);
    if (isString) {
      const repeated = (info & (intel ? 32 : 8)) !== 0;
      return this.stringIo(info, { read, repeated, bytes, port }, device);
    }
    const mask = bytes === 4 ? -1 : (1 << (8 * bytes)) - 1;
    const rax = registers.lo(RAX);
    if (!read) {
      device?.write(port, bytes, (rax & mask) >>> 0);
      return true;
    }
    // Where nothing answers: all ones. A 4-byte IN clears the upper half, shorter ones keep the rest.
    const value = device === undefined ? -1 : device.read(port, bytes);
    if (bytes === 4) registers.set(RAX, value | 0, 0);
    else registers.set(RAX, (rax & ~mask) | (value & mask), registers.hi(RAX));
    return true;
  }

  /** WBINVD, INVD, XSETBV and the like do what they do; MONITOR, MWAIT and virtualization instructions are #UD. */
  other(exit: VmExit): boolean {
    const { cost, options } = this;
    cost.run(this.simpleStage);
    const { vendor } = options.control.hardware;
    if (exit.kind === ExitKind.CrAccess)
      return (
        options.control.controlRegisterAccess(exit.code, exit.info1Lo, exit.info1Hi) ||
        this.generalProtection()
      );
    if (exit.code === (vendor === "amd" ? SvmExitCode.Xsetbv : VmxExitReason.Xsetbv))
      return this.xsetbv() || this.generalProtection();
    const flushes =
      vendor === "amd"
        ? exit.code === SvmExitCode.Wbinvd || exit.code === SvmExitCode.Invd
        : exit.code === VmxExitReason.Wbinvd || exit.code === VmxExitReason.Invd;
    if (!flushes) return this.undefinedInstruction();
    options.mmu.flushCaches();
    cost.forgetText();
    return true;
  }

  /** INS and OUTS: RIP stays while repetitions are left, or when memory could not be reached. */
  private stringIo(
    info: number,
    operation: Pick<StringOperation, "read" | "repeated" | "bytes" | "port">,
    device: PortDevice | undefined,
  ): boolean {
    const { control, strings } = this.options;
    const operand = control.stringOperand(info);
    const result = strings.run({ ...operation, segment: operand >>> 4, addressSize: operand & 15 }, device);
    if (result === StringResult.Fault)
      control.injectPageFault(strings.errorCode, strings.faultLo, strings.faultHi);
    return result === StringResult.Done;
  }

  /** `handle_xsetbv`: XCR0 alone, with states that there are. */
  private xsetbv(): boolean {
    const { registers } = this;
    const value = registers.lo(RAX);
    if (registers.lo(RCX) !== 0 || !validXcr0(value, registers.lo(RDX))) return false;
    registers.words[State.XcrLo] = value;
    return true;
  }

  private portDevice(port: number, bytes: number): PortDevice | undefined {
    const { ports } = this.options.domain;
    for (let i = 0; i < ports.length; i++) {
      const device = ports[i];
      if (port >= device.first && port + bytes <= device.first + device.count) return device;
    }
    return undefined;
  }

  private updateTime(): void {
    const vcpu = this.options.domain.vcpus[this.options.vcpuId];
    vcpu.areas.updateTime(vcpu, false);
  }

  private apicStage(): void {
    const { cost, registers } = this;
    cost.run(cost.compile(this.stages.apicMsr));
    this.options.vlapic.followTaskPriority(registers.words[State.Cr8]);
  }

  private generalProtection(): boolean {
    this.registers.injectException(VECTOR_GP, 0);
    return false;
  }

  private undefinedInstruction(): boolean {
    this.registers.injectException(VECTOR_UD, -1);
    return false;
  }

  /** A page that cannot be written is no error there: the guest finds it unchanged (`enable_hypercall_page`). */
  private writeViridian({ msrs, page, state }: ViridianPart, msr: number, lo: number, hi: number): boolean {
    if (!msrs.write(msr, lo, hi)) return false;
    if (msr === ViridianMsr.Hypercall && (state.hypercallLo & 1) !== 0) this.fillPage(page, lo, hi);
    return true;
  }

  /** `guest_wrmsr_xen`: the index in the low 12 bits must be that of a page that there is, the frame writable RAM. */
  private writeHypercallPage(lo: number, hi: number): boolean {
    const { options, registers } = this;
    const page = options.hypercallPages[lo & 0xfff];
    if (page === undefined || !this.fillPage(page, lo, hi)) return false;
    options.domain.latchLayout(registers.mode !== GuestCodeMode.Long);
    return true;
  }

  /** @returns false where the frame of this address is not there */
  private fillPage(page: Uint8Array, lo: number, hi: number): boolean {
    const { cost, options } = this;
    const { p2m } = options.domain;
    cost.run(this.pageStage);
    const mfn = p2m.lookupForWriting((lo >>> 12) + (hi >>> 0) * 0x100000);
    if (mfn < 0) return false;
    for (let line = 0; line < LINES_OF_A_PAGE; line++) {
      const at = cost.access(mfn, line * 64, 64, true);
      options.mmu.memory.arena.u8.set(page.subarray(line * 64, line * 64 + 64), at);
    }
    p2m.putPage(mfn);
    return true;
  }
}
