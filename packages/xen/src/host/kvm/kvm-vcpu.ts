import { DeliveryMode, State } from "@hyperwalk/cpu";
import { Cause, ticks } from "@hyperwalk/mmu";
import { CpuidPolicy } from "../../cpuid-policy.js";
import type { Domain } from "../../domain.js";
import { Errno } from "../../errno.js";
import type { ExitAccounting } from "../../exit-accounting.js";
import { kvmHypercallPage, viridianHypercallPage } from "../../hypercall-page.js";
import type { SystemCounters } from "../../measured-window.js";
import { Monitor } from "../../monitor/monitor.js";
import { EFER_ALLOWED, MsrPolicy } from "../../msr-policy.js";
import type { Operation } from "../../operations/operation.js";
import { Phase } from "../../path-cost/phases.js";
import {
  KVM_APIC_MSR,
  KVM_CPUID,
  KVM_EMULATE,
  KVM_OTHER_EXIT,
  KVM_PORT_IO,
  KVM_RDMSR,
  KVM_WRITE_HYPERCALL_PAGE,
  KVM_WRMSR,
  KVM_XEN_LEAF,
} from "../../path-cost/stages/kvm-entry-exit.js";
import { KVM_READ_GUEST } from "../../path-cost/stages/kvm-hypercall.js";
import { KVM_PTI_CALL } from "../../path-cost/stages/kvm-mitigations.js";
import { MONITOR_COPY, MONITOR_IOCTL } from "../../path-cost/stages/kvm-user-space.js";
import { Vcpu, type VcpuRunner } from "../../vcpu.js";
import { ViridianMsrs } from "../../viridian/viridian-msrs.js";
import { hasTscDeadline, Vlapic } from "../../vlapic.js";
import { HypercallFixups, OTHER_HYPERCALL } from "../hypercall-fixup.js";
import type { Pcpu } from "../pcpu.js";
import type { VcpuContext } from "../vcpu-context.js";
import type { VcpuControl } from "../vcpu-control.js";
import { EmulatedExits, type EmulatedStages } from "../xen/emulated-exits.js";
import { MmioExits } from "../xen/mmio-exits.js";
import { StringIo } from "../xen/string-io.js";
import { KvmHypervHypercalls } from "./hyperv-hypercalls.js";
import { XenKernelHypercalls } from "./kernel-hypercalls.js";
import type { ResolvedKvmConfig } from "./kvm-config.js";
import { DoorbellHypercalls, KvmDoorbellBackend } from "./kvm-doorbell.js";
import { KvmHost } from "./kvm-host.js";
import { KvmInterrupts } from "./kvm-interrupts.js";
import type { KvmVcpuXen } from "./kvm-vcpu-xen.js";
import type { KvmVm } from "./kvm-vm.js";
import type { KvmXenVcpu } from "./kvm-xen-vcpu.js";
import { SlotAccess } from "./slot-access.js";
import type { TdpMmu } from "./tdp-mmu.js";
import type { KvmXenExitHcall } from "./uapi.js";
import { XenHypercalls } from "./xen-hypercalls.js";

const EFER_LMA = 0x400;
/** KVM's local APIC counts nanoseconds (APIC_BUS_CYCLE_NS_DEFAULT) and has no period below 200 us (`min_timer_period_us`). */
const APIC_TIMING = { busCycleNs: 1, minimumPeriodNs: 200_000 };

const EMULATED: EmulatedStages = {
  cpuid: KVM_CPUID,
  xenLeaf: KVM_XEN_LEAF,
  rdmsr: KVM_RDMSR,
  wrmsr: KVM_WRMSR,
  apicMsr: KVM_APIC_MSR,
  hypercallPage: KVM_WRITE_HYPERCALL_PAGE,
  portIo: KVM_PORT_IO,
  other: KVM_OTHER_EXIT,
};

export interface KvmVcpuOptions {
  readonly id: number;
  readonly pcpu: Pcpu;
  readonly control: VcpuControl;
  readonly vm: KvmVm;
  readonly tdp: TdpMmu;
  readonly domain: Domain;
  readonly kvm: ResolvedKvmConfig;
  /** All that the monitor serves, with the guest memory that it translates addresses in. */
  readonly operations: (access: SlotAccess) => readonly Operation[];
  /** After each hypercall that the monitor has served. */
  readonly served: () => void;
  /** Asked before the monitor, see `KvmSystemOptions`. */
  readonly hypercall: ((exit: KvmXenExitHcall) => boolean) | undefined;
}

/** A vCPU under KVM with its part of the monitor (`struct kvm_vcpu` and the thread that runs it), on one physical CPU. */
export class KvmVcpu implements VcpuRunner, KvmXenVcpu {
  readonly id: number;
  readonly pcpu: Pcpu;
  readonly vcpu: Vcpu;
  readonly control: VcpuControl;
  readonly vlapic: Vlapic;
  readonly host: KvmHost;
  readonly hypercalls: XenHypercalls;
  readonly monitor: Monitor;
  /** Guest memory by linear address, as the kernel itself reaches it. */
  readonly kernelAccess: SlotAccess;
  /** Exits and hypercalls of this vCPU, while they are counted. */
  accounting: ExitAccounting | undefined;
  private readonly msrs: MsrPolicy;
  private readonly cpuid: CpuidPolicy;
  /** The Xen part of it in the kernel. */
  readonly xen: KvmVcpuXen;
  private readonly interrupts: KvmInterrupts;

  constructor(options: KvmVcpuOptions) {
    const { id, pcpu, control, domain, vm, kvm } = options;
    const { processor, cost, counters, ledger } = pcpu;
    const { mmu, memory, profile } = processor;
    const { timing, vendor, ghz } = profile;
    const { physicalAddressBits } = profile.memory;
    const { registers } = control;
    this.id = id;
    this.pcpu = pcpu;
    this.control = control;
    const { viridian } = domain;
    const cpuid = new CpuidPolicy({ profile, abiFeatures: 0, domainId: domain.id, viridian });
    this.cpuid = cpuid;
    const slots = {
      memslots: vm.memslots,
      cost,
      counters,
      memory,
      ledger,
      timing,
      registers,
      physicalAddressBits,
    };
    const access = new SlotAccess({
      ...slots,
      phase: Phase.MonitorCall,
      beforeWalk: kvm.pti ? [MONITOR_IOCTL, KVM_PTI_CALL] : [MONITOR_IOCTL],
      copy: MONITOR_COPY,
    });
    this.kernelAccess = new SlotAccess({ ...slots, phase: Phase.Copy, beforeWalk: [], copy: KVM_READ_GUEST });
    let msrs: MsrPolicy | undefined;
    const timestampOffset = () => msrs?.timestampOffset ?? 0;
    this.vcpu = new Vcpu({
      id,
      domain,
      ledger,
      ghz,
      cost,
      access,
      runner: this,
      timestampOffset,
      debugBuild: false,
    });
    this.vlapic = new Vlapic({
      vcpuId: id,
      ledger,
      ghz,
      physicalAddressBits,
      tscDeadline: hasTscDeadline(profile.cpuid),
      timestampOffset,
      onTaskPriority: (priority) => control.setTaskPriority(priority),
      ...APIC_TIMING,
    });
    const { vlapic } = this;
    msrs = new MsrPolicy(registers, control, () => ledger.cycles, vlapic.apic, vendor, cpuid.xsaves);
    this.msrs = msrs;
    this.hypercalls = new XenHypercalls(registers, cost);
    this.monitor = new Monitor({
      operations: options.operations(access),
      registers,
      access,
      cost,
      served: options.served,
      first: options.hypercall,
    });
    this.vcpu.call.constituents = this.monitor;
    const { doorbell, config } = domain;
    let bindsHypercalls = false;
    if (doorbell !== undefined && config.doorbell !== undefined) {
      const { handler, hypercalls } = config.doorbell;
      doorbell.attach(new KvmDoorbellBackend({ handler, memslots: slots.memslots, memory, cost }));
      bindsHypercalls = hypercalls && handler !== "user-space";
    }
    const { hypercallFixup: kind } = config;
    if (kind !== "none") control.interceptUndefined();
    const fixups =
      kind === "none"
        ? undefined
        : new HypercallFixups({
            kind,
            registers,
            cost,
            access: this.kernelAccess,
            own: control.hardware.hypercallInstruction,
            other: OTHER_HYPERCALL[vendor],
          });
    const emulated = new EmulatedExits({
      vcpuId: id,
      domain,
      control,
      cost,
      mmu,
      cpuid,
      msrs,
      vlapic,
      strings: new StringIo(registers, this.kernelAccess),
      hypercallPages: [kvmHypercallPage(control.hardware.hypercallInstruction)],
      viridian:
        viridian === undefined
          ? undefined
          : {
              state: viridian,
              msrs: new ViridianMsrs({
                viridian,
                vcpuId: id,
                apic: vlapic.apic,
                now: () => this.vcpu.nowNs,
                tscHz: Math.round(ghz * 1e6) * 1000,
              }),
              page: viridianHypercallPage(control.hardware.hypercallInstruction),
            },
      stages: EMULATED,
    });
    const xen = vm.createVcpu(this);
    if (typeof xen === "number") throw new RangeError(`vCPU ${id}: errno ${-xen}`);
    this.xen = xen;
    const kernel = new XenKernelHypercalls({ vm, xen, access: this.kernelAccess, cost });
    this.hypercalls.kernel =
      doorbell !== undefined && bindsHypercalls ? new DoorbellHypercalls(doorbell, cost, kernel) : kernel;
    if (viridian !== undefined) this.hypercalls.hyperv = new KvmHypervHypercalls(viridian, registers, cost);
    this.interrupts = new KvmInterrupts(this.vcpu, xen, vlapic, control, cost);
    this.host = new KvmHost({
      processor,
      domain,
      vcpu: this.vcpu,
      control,
      cost,
      counters,
      switches: kvm,
      tdp: options.tdp,
      hypercalls: this.hypercalls,
      monitor: this.monitor,
      emulated,
      fixups,
      mmio: new MmioExits({
        processor,
        registers,
        cost,
        vlapic,
        context: control.context,
        stage: KVM_EMULATE,
      }),
      interrupts: this.interrupts,
      vm,
      xen,
      kernel,
      hostXcr0: profile.cpuid.find(([leaf, sub]) => leaf === 0xd && sub === 0)?.[2] ?? 1,
    });
  }

  get longMode(): boolean {
    return (this.control.registers.words[State.EferLo] & EFER_LMA) !== 0;
  }

  /** Whoever calls runs on this vCPU's processor. */
  readonly inGuestMode = false;

  get isBlocked(): boolean {
    return this.host.asleep;
  }

  /** Grows by {@link waitForProcessor} alone: its thread has a processor of its own. */
  runDelayNs = 0;

  /** Others have the processor of its thread for so long, which time is stolen from the guest. @param ns whole */
  waitForProcessor(ns: number): void {
    const { ledger, profile } = this.pcpu.processor;
    ledger.charge(Cause.Idle, ticks(Math.ceil(ns * profile.ghz)));
    this.runDelayNs += ns;
  }

  /** A monitor's call is done in one go. */
  readonly preempts = false;

  flushTlb(): void {
    this.control.flushTlb();
  }

  load(context: VcpuContext): number {
    const [cr4, cr4Hi] = context.cr4;
    const [efer, eferHi] = context.efer;
    if (cr4Hi !== 0 || (cr4 & ~this.cpuid.validCr4) !== 0) return -Errno.EINVAL;
    if (eferHi !== 0 || (efer & ~EFER_ALLOWED) !== 0) return -Errno.EINVAL;
    this.control.load(context);
    this.interrupts.closeWindow();
    return 0;
  }

  kick(): void {
    this.host.kick();
  }

  setInterrupt(vector: number): void {
    this.vlapic.apic.accept(DeliveryMode.Fixed, vector, false);
  }

  sendInterrupt(vector: number): void {
    this.setInterrupt(vector);
  }

  sendNmi(): void {
    this.vlapic.nmiPending = true;
  }

  requestClockUpdate(): void {
    this.host.requestClockUpdate();
  }

  /** Keeps accounts in `accounting`, or none. */
  account(accounting: ExitAccounting | undefined): void {
    this.accounting?.settle(this.pcpu.ledger.clock[0]);
    this.host.accounting = accounting;
    this.monitor.accounting = accounting;
  }

  /** Totals of this vCPU and its physical CPU. */
  counters(): SystemCounters {
    return this.pcpu.systemCounters();
  }

  /** Cycles that the guest's time stamp is ahead of the processor's. */
  get timestampOffset(): number {
    return this.msrs.timestampOffset;
  }
}
