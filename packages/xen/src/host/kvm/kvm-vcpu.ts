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
import type { PathCost } from "../../path-cost/path-cost.js";
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
import { KVM_KICK_IPI, KVM_WAKE_UP } from "../../path-cost/stages/kvm-events.js";
import { KVM_READ_GUEST } from "../../path-cost/stages/kvm-hypercall.js";
import { KVM_LATER_STAGES } from "../../path-cost/stages/kvm-later.js";
import { KVM_PTI_CALL } from "../../path-cost/stages/kvm-mitigations.js";
import { MONITOR_COPY, MONITOR_IOCTL } from "../../path-cost/stages/kvm-user-space.js";
import type { PcpuSnapshot } from "../../snapshot/system-snapshot.js";
import { Vcpu, type VcpuRunner } from "../../vcpu.js";
import { ViridianMsrs } from "../../viridian/viridian-msrs.js";
import { hasTscDeadline, Vlapic } from "../../vlapic.js";
import { HypercallFixups, OTHER_HYPERCALL } from "../hypercall-fixup.js";
import type { Pcpu } from "../pcpu.js";
import type { ShadowControl } from "../shadow-control.js";
import { startUpContext, type VcpuContext } from "../vcpu-context.js";
import type { VcpuControl } from "../vcpu-control.js";
import { Request, type VcpuReset } from "../vcpu-loop.js";
import type { TurnVcpu } from "../vcpu-turns.js";
import { EmulatedExits, type EmulatedStages } from "../xen/emulated-exits.js";
import { MmioExits } from "../xen/mmio-exits.js";
import { StringIo } from "../xen/string-io.js";
import { KvmHypervHypercalls } from "./hyperv-hypercalls.js";
import { XenKernelHypercalls } from "./kernel-hypercalls.js";
import type { ResolvedKvmConfig } from "./kvm-config.js";
import { DoorbellHypercalls, KvmDoorbellBackend } from "./kvm-doorbell.js";
import { KvmHost, type KvmHostSnapshot } from "./kvm-host.js";
import { KvmInterrupts } from "./kvm-interrupts.js";
import type { KvmThreads } from "./kvm-threads.js";
import type { KvmVcpuXen } from "./kvm-vcpu-xen.js";
import type { KvmVm } from "./kvm-vm.js";
import type { KvmXenVcpu } from "./kvm-xen-vcpu.js";
import { SlotAccess } from "./slot-access.js";
import type { TdpMmu } from "./tdp-mmu.js";
import type { KvmXenExitHcall } from "./uapi.js";
import { XenHypercalls, type XenHypercallsSnapshot } from "./xen-hypercalls.js";

const EFER_LMA = 0x400;
/** KVM's local APIC counts nanoseconds (APIC_BUS_CYCLE_NS_DEFAULT) and has no period below 200 us (`min_timer_period_us`). */
const APIC_TIMING = { busCycleNs: 1, minimumPeriodNs: 200_000 };

const START_UP = startUpContext(0);
/** Registers of the bootstrap processor after INIT: the reset vector, 16 bytes below 4 GiB. */
const RESET_CONTEXT: VcpuContext = {
  ...START_UP,
  rip: [0xfff0, 0],
  cs: { ...START_UP.cs, selector: 0xf000, base: 0xffff0000 },
};

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

/** One vCPU, its part of the monitor, and the physical CPU that it is pinned to. */
export interface KvmVcpuSnapshot extends Omit<PcpuSnapshot, "requests"> {
  readonly host: KvmHostSnapshot;
  readonly hypercalls: XenHypercallsSnapshot;
  readonly runDelayNs: number;
}

export interface KvmVcpuOptions {
  readonly id: number;
  readonly pcpu: Pcpu;
  readonly control: ShadowControl;
  readonly vm: KvmVm;
  readonly tdp: TdpMmu;
  readonly domain: Domain;
  readonly kvm: ResolvedKvmConfig;
  /** All that the monitor serves, with the guest memory that it translates addresses in. */
  readonly operations: (access: SlotAccess) => readonly Operation[];
  /** After each hypercall that the monitor has served. */
  readonly served: () => void;
  /** Undefined for the only vCPU. */
  readonly threads: KvmThreads | undefined;
  /** Asked before the monitor, see `KvmSystemOptions`. */
  readonly hypercall: ((exit: KvmXenExitHcall) => boolean) | undefined;
}

/** A vCPU under KVM with its part of the monitor (`struct kvm_vcpu` and the thread that runs it), on one physical CPU. */
export class KvmVcpu implements VcpuRunner, KvmXenVcpu, VcpuReset, TurnVcpu {
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
  private readonly threads: KvmThreads | undefined;

  constructor(options: KvmVcpuOptions) {
    const { id, pcpu, control, domain, vm, kvm, threads } = options;
    const { processor, cost, counters, ledger } = pcpu;
    const { mmu, memory, profile } = processor;
    const { timing, vendor, ghz } = profile;
    const { physicalAddressBits } = profile.memory;
    const { registers } = control;
    this.id = id;
    this.pcpu = pcpu;
    this.control = control;
    this.threads = threads;
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
    this.kernelAccess = new SlotAccess({
      ...slots,
      phase: Phase.Copy,
      beforeWalk: [],
      copy: KVM_READ_GUEST,
      emulates: true,
    });
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
      apicId: id,
      ledger,
      ghz,
      physicalAddressBits,
      tscDeadline: hasTscDeadline(profile.cpuid),
      timestampOffset,
      onTaskPriority: (priority) => control.setTaskPriority(priority),
      ...APIC_TIMING,
      ...(threads === undefined
        ? {}
        : {
            onInit: () => this.host.request(Request.Init),
            onStartUp: (vector) => this.host.requestStartUp(vector),
          }),
    });
    const { vlapic } = this;
    if (threads !== undefined) vlapic.apic.bus = threads;
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
      access: this.kernelAccess,
      others: threads === undefined ? undefined : this,
      hostXcr0: profile.cpuid.find(([leaf, sub]) => leaf === 0xd && sub === 0)?.[2] ?? 1,
    });
  }

  get longMode(): boolean {
    return (this.control.registers.words[State.EferLo] & EFER_LMA) !== 0;
  }

  get inGuestMode(): boolean {
    return this.threads?.isElsewhere(this) === true && this.host.inGuest;
  }

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

  /** Ledger clock in ticks at which it has something to do by itself: now, at its timer's expiry, or never (infinity). */
  get wakesAt(): number {
    const now = this.pcpu.ledger.clock[0];
    return this.host.asleep ? Math.max(now, this.host.wakesAt) : now;
  }

  flushTlb(): void {
    if (!this.isElsewhere) this.control.flushTlb();
    else {
      this.host.request(Request.Flush);
      this.reschedule();
    }
  }

  /** KVM_REQ_TLB_FLUSH: done before the guest's next instruction. */
  requestFlush(): void {
    this.host.requestFlush();
    this.reschedule();
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

  /** @param cost of the monitor's thread that has a signal sent to this one's; absent: of the kernel, which has paid */
  kick(cost?: PathCost): void {
    if (cost !== undefined) this.signal(cost);
    else if (this.isElsewhere) this.threads?.kick(this, true);
    else this.host.kick();
  }

  setInterrupt(vector: number): void {
    if (this.isElsewhere) this.threads?.deliver(this, vector);
    else {
      this.vlapic.apic.accept(DeliveryMode.Fixed, vector, false);
      this.host.interrupt();
    }
  }

  sendInterrupt(vector: number, cost: PathCost): void {
    this.setInterrupt(vector);
    if (this.isElsewhere) cost.run(cost.compile(this.isBlocked ? KVM_WAKE_UP : KVM_KICK_IPI));
  }

  sendNmi(cost: PathCost): void {
    this.vlapic.nmiPending = true;
    this.kick(cost);
  }

  /** INIT has come (`kvm_vcpu_reset`): the bootstrap processor begins at its reset vector. */
  reset(): void {
    this.vlapic.reset();
    this.interrupts.closeWindow();
    if (this.id === 0) this.control.load(RESET_CONTEXT);
  }

  /** A SIPI has come (`kvm_vcpu_deliver_sipi_vector`). @param vector names the page */
  startUp(vector: number): void {
    this.control.load(startUpContext(vector));
    this.interrupts.closeWindow();
    this.vcpu.initialised = true;
    this.vcpu.down = false;
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

  /** Everything of the vCPU, its Xen part in the kernel excepted, and of its physical CPU, memory excepted. */
  snapshot(): KvmVcpuSnapshot {
    const { pcpu } = this;
    return {
      cost: pcpu.cost.snapshot(),
      processor: pcpu.processor.snapshot(),
      control: this.control.snapshot(),
      counters: pcpu.counters.snapshot(),
      vcpu: this.vcpu.snapshot(),
      msrs: this.msrs.snapshot(),
      vlapic: this.vlapic.snapshot(),
      host: this.host.snapshot(),
      interfaces: [],
      accounting: this.accounting?.snapshot(),
      hypercalls: this.hypercalls.snapshot(),
      runDelayNs: this.runDelayNs,
    };
  }

  /** Puts it back, after memory. */
  restore(snapshot: KvmVcpuSnapshot): void {
    const { processor } = this.pcpu;
    this.pcpu.restore(snapshot, KVM_LATER_STAGES);
    this.control.restore(snapshot.control);
    processor.mmu.activate(this.pcpu.context);
    this.msrs.restore(snapshot.msrs);
    this.vlapic.restore(snapshot.vlapic);
    this.vcpu.restore(snapshot.vcpu);
    this.host.restore(snapshot.host);
    this.hypercalls.restore(snapshot.hypercalls);
    this.runDelayNs = snapshot.runDelayNs;
    if (snapshot.accounting !== undefined) this.accounting?.restore(snapshot.accounting);
    processor.state.words.set(snapshot.processor.words);
  }

  /** Cycles that the guest's time stamp is ahead of the processor's. */
  get timestampOffset(): number {
    return this.msrs.timestampOffset;
  }

  /** Does another vCPU's thread call? */
  private get isElsewhere(): boolean {
    return this.threads?.isElsewhere(this) === true;
  }

  /** `pthread_kill` of this vCPU's thread, in KVM_RUN or out of it. */
  private signal(cost: PathCost): void {
    if (!this.isElsewhere) {
      this.host.kick();
      return;
    }
    cost.run(cost.compile(MONITOR_IOCTL));
    cost.run(cost.compile(this.isBlocked ? KVM_WAKE_UP : KVM_KICK_IPI));
    this.threads?.kick(this, true);
  }

  /** It leaves its guest, if it is there, to see what was requested. */
  private reschedule(): void {
    const { threads, host } = this;
    if (!this.isElsewhere) host.interrupt();
    else if (!host.asleep) {
      threads?.payReschedule();
      threads?.kick(this, false);
    }
  }
}
