import { DeliveryMode, State, validXcr0 } from "@hyperwalk/cpu";
import { CpuidPolicy } from "../../cpuid-policy.js";
import type { Domain } from "../../domain.js";
import { Errno } from "../../errno.js";
import type { ExitAccounting } from "../../exit-accounting.js";
import type { FrameAllocator } from "../../frame-allocator.js";
import { GuestWalker } from "../../guest-access/guest-walk.js";
import type { HvmCopy } from "../../guest-access/hvm-copy.js";
import { LinearAccess } from "../../guest-access/linear.js";
import { PhysicalAccess } from "../../guest-access/physical.js";
import { ShadowGuestWalker } from "../../guest-access/shadow-walker.js";
import { type HypercallObserver, hexadecimal } from "../../hypercall-observer.js";
import { hypercallPage, viridianHypercallPage } from "../../hypercall-page.js";
import type { SystemCounters } from "../../measured-window.js";
import { MigrationError, type MigrationRecord } from "../../migration/migration-record.js";
import { EFER_ALLOWED, MsrPolicy } from "../../msr-policy.js";
import type { Operation } from "../../operations/operation.js";
import type { PathCost } from "../../path-cost/path-cost.js";
import { LATER_STAGES } from "../../path-cost/stages/later.js";
import { ShadowPaging } from "../../shadow/shadow-paging.js";
import type { PcpuSnapshot } from "../../snapshot/system-snapshot.js";
import { Vcpu, type VcpuRunner } from "../../vcpu.js";
import { ViridianHypercalls } from "../../viridian/viridian-hypercalls.js";
import { ViridianMsrs } from "../../viridian/viridian-msrs.js";
import { hasTscDeadline, Vlapic } from "../../vlapic.js";
import type { ResolvedDomainConfig, ResolvedXenConfig } from "../../xen-config.js";
import type { FrameTable } from "../frame-table.js";
import { HypercallFixups, OTHER_HYPERCALL } from "../hypercall-fixup.js";
import type { Pcpu } from "../pcpu.js";
import type { ShadowControl } from "../shadow-control.js";
import { GhcbRequests } from "../svm/ghcb-requests.js";
import { PageStateChange } from "../svm/page-state-change.js";
import type { SecurePages } from "../svm/secure-pages.js";
import { startUpContext, type VcpuContext } from "../vcpu-context.js";
import type { VcpuControl } from "../vcpu-control.js";
import { Request } from "../vcpu-loop.js";
import { placeOf } from "../vcpu-registers.js";
import { XenDoorbellBackend } from "./doorbell-backend.js";
import { EmulatedExits } from "./emulated-exits.js";
import { HypercallHandler } from "./hypercall-handler.js";
import { InstructionLength } from "./instruction-length.js";
import { MmioExits } from "./mmio-exits.js";
import type { NullScheduler } from "./null-scheduler.js";
import { ShadowExits } from "./shadow-exits.js";
import { StringIo } from "./string-io.js";
import { VirtualInterrupts } from "./virtual-interrupts.js";
import { XenHost } from "./xen-host.js";

/** A vCPU's part of a migration record. */
export type VcpuRecord = Pick<MigrationRecord, "registers" | "msrs" | "apic">;

export interface HvmVcpuOptions {
  readonly id: number;
  readonly pcpu: Pcpu;
  readonly control: ShadowControl;
  readonly domain: Domain;
  readonly config: ResolvedDomainConfig;
  readonly xen: ResolvedXenConfig;
  /** All that hypercalls can do. */
  readonly operations: readonly Operation[];
  /** Undefined for the only vCPU. */
  readonly scheduler: NullScheduler | undefined;
  /** For shadow page tables. */
  readonly heap: FrameAllocator;
  /** vCPU 0, when this is another one. */
  readonly first: HvmVcpu | undefined;
  readonly frameTable: FrameTable;
  /** Of an SEV-SNP domain. */
  readonly pages: SecurePages | undefined;
}

/** A vCPU of an HVM or PVH domain with all that Xen keeps for it (`struct hvm_vcpu`), on the physical CPU it is pinned to. */
export class HvmVcpu implements VcpuRunner {
  readonly pcpu: Pcpu;
  readonly vcpu: Vcpu;
  readonly control: VcpuControl;
  readonly vlapic: Vlapic;
  readonly host: XenHost;
  readonly hypercalls: HypercallHandler;
  /** Exits and hypercalls of this vCPU, while they are counted. */
  accounting: ExitAccounting | undefined;
  private readonly msrs: MsrPolicy;
  private readonly cpuid: CpuidPolicy;
  private readonly interrupts: VirtualInterrupts;
  private readonly scheduler: NullScheduler | undefined;
  private readonly first: HvmVcpu;
  private readonly requests: GhcbRequests | undefined;
  /** What its guest's memory is reached through. */
  private readonly accesses: readonly HvmCopy[];

  constructor(options: HvmVcpuOptions) {
    const { id, pcpu, control, domain, config, scheduler } = options;
    const { processor, cost, counters, ledger } = pcpu;
    const { mmu, memory, profile } = processor;
    const { timing, vendor } = profile;
    const { physicalAddressBits } = profile.memory;
    const { registers } = control;
    const { p2m } = domain;
    this.pcpu = pcpu;
    this.control = control;
    this.scheduler = scheduler;
    this.first = options.first ?? this;
    const { mmioHandlers } = config;
    const { hypercallPages: pages = [0] } = config.abi;
    const copyOptions = { p2m, cost, counters, memory, ledger, timing, mmioHandlers };
    const { viridian } = domain;
    const hap = config.paging === "hap";
    const cpuid = new CpuidPolicy({
      profile,
      abiFeatures: config.abi.cpuidFeatures,
      domainId: domain.id,
      hypercallPages: pages.length,
      viridian,
      hap,
      confidential: config.confidential,
    });
    this.cpuid = cpuid;
    const shadow = hap
      ? undefined
      : new ShadowPaging({
          memory,
          heap: options.heap,
          cost,
          counters,
          p2m,
          hardware: control,
          validCr4: cpuid.validCr4,
          addressBits: physicalAddressBits,
        });
    if (shadow !== undefined) control.useShadow(shadow);
    const rflags = () => registers.rflags;
    const walker =
      shadow === undefined
        ? new GuestWalker(p2m, cost, counters, memory, registers, physicalAddressBits)
        : new ShadowGuestWalker(p2m, cost, counters, memory, shadow, rflags, physicalAddressBits);
    const linear = new LinearAccess(copyOptions, walker);
    const physical = new PhysicalAccess(copyOptions);
    this.accesses = [linear, physical];
    const access = config.abi.pointers === "physical" ? physical : linear;
    let msrs: MsrPolicy | undefined;
    const timestampOffset = () => msrs?.timestampOffset ?? 0;
    const { ghz } = profile;
    const { debugBuild } = options.xen;
    this.vcpu = new Vcpu({
      id,
      domain,
      ledger,
      ghz,
      cost,
      access,
      runner: this,
      timestampOffset,
      debugBuild,
    });
    const vlapic = new Vlapic({
      vcpuId: id,
      ledger,
      ghz,
      physicalAddressBits,
      tscDeadline: hasTscDeadline(profile.cpuid),
      timestampOffset,
      onTaskPriority: (priority) => control.setTaskPriority(priority),
      ...(scheduler === undefined
        ? {}
        : {
            onNmi: () => this.comeUpForNmi(),
            onInit: () => this.host.request(Request.Init),
            onStartUp: (vector) => this.host.requestStartUp(vector),
          }),
    });
    this.vlapic = vlapic;
    if (scheduler !== undefined) vlapic.apic.bus = scheduler;
    msrs = new MsrPolicy(registers, control, () => ledger.cycles, vlapic.apic, vendor, cpuid.xsaves);
    this.msrs = msrs;

    this.hypercalls = new HypercallHandler(
      config.abi.make({
        operations: options.operations,
        registers,
        cost,
        linear,
        physical,
      }),
      registers,
      cost,
      counters,
    );
    this.vcpu.call.constituents = this.hypercalls;
    if (viridian !== undefined) this.hypercalls.viridian = new ViridianHypercalls(registers, physical, cost);
    const emulated = new EmulatedExits({
      vcpuId: id,
      domain,
      control,
      cost,
      mmu,
      cpuid,
      msrs,
      vlapic,
      strings: new StringIo(registers, linear),
      hypercallPages: pages.map((bits) => hypercallPage(control.hardware.hypercallInstruction, bits)),
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
    });
    domain.doorbell?.attach(
      new XenDoorbellBackend({
        p2m,
        cost,
        predictor: processor.predictor,
        deviceModel: config.doorbell?.handler === "user-space",
        ibpbOnSwitch: !options.xen.ibpbEntry,
      }),
    );
    const mmio = new MmioExits({
      processor,
      registers,
      cost,
      vlapic,
      context: control.context,
      linear,
      walker,
    });
    const { encrypted } = control;
    const { pages: secure, frameTable } = options;
    const pageState = secure === undefined ? undefined : new PageStateChange(secure, p2m, cost, frameTable);
    const requests =
      encrypted === undefined
        ? undefined
        : new GhcbRequests({ vcpuId: id, encrypted, p2m, cost, memory, cpuid, vlapic, pageState });
    this.requests = requests;
    const { hypercallFixup: kind } = config;
    if (kind !== "none") control.interceptUndefined();
    const fixups =
      kind === "none"
        ? undefined
        : new HypercallFixups({
            kind,
            registers,
            cost,
            access: linear,
            own: control.hardware.hypercallInstruction,
            other: OTHER_HYPERCALL[vendor],
          });
    this.interrupts = new VirtualInterrupts(this.vcpu, vlapic, control, cost);
    this.host = new XenHost({
      processor,
      domain,
      vcpu: this.vcpu,
      control,
      cost,
      counters,
      switches: options.xen,
      hypercalls: this.hypercalls,
      emulated,
      mmio,
      fixups,
      requests,
      pageState,
      interrupts: this.interrupts,
      instructionLength:
        debugBuild && vendor === "amd" && encrypted === undefined
          ? new InstructionLength(registers, linear, cost)
          : undefined,
      shadow: shadow === undefined ? undefined : new ShadowExits(shadow, control, domain, mmio, cost),
      others: scheduler === undefined ? undefined : this,
    });
  }

  /** Ledger clock in ticks at which it has something to do by itself: now, at its timer's expiry, or never (infinity). */
  get wakesAt(): number {
    const now = this.pcpu.ledger.clock[0];
    return this.host.asleep ? Math.max(now, this.host.wakesAt) : now;
  }

  get preempts(): boolean {
    return this.host.preempts;
  }

  flushTlb(): void {
    if (this.scheduler === undefined || this.scheduler.isRunning(this)) this.control.flushTlb();
    else this.scheduler.flush(this, Request.Flush);
  }

  load(context: VcpuContext): number {
    const [cr4, cr4Hi] = context.cr4;
    const [efer, eferHi] = context.efer;
    if (cr4Hi !== 0 || (cr4 & ~this.cpuid.validCr4) !== 0) return -Errno.EINVAL;
    if (eferHi !== 0 || (efer & ~EFER_ALLOWED) !== 0) return -Errno.EINVAL;
    this.setRegisters(context);
    return 0;
  }

  kick(cost: PathCost): void {
    this.scheduler?.kick(this, cost);
  }

  sendInterrupt(vector: number, cost: PathCost): void {
    this.vlapic.apic.accept(DeliveryMode.Fixed, vector, false);
    this.scheduler?.kick(this, cost);
  }

  sendNmi(cost: PathCost): void {
    this.vlapic.nmiPending = true;
    this.scheduler?.kick(this, cost);
  }

  /** A SIPI has come (`hvm_vcpu_reset_state`). @param vector names the page */
  startUp(vector: number): void {
    this.setRegisters(startUpContext(vector));
    this.vcpu.initialised = true;
    this.vcpu.down = false;
  }

  /** INIT has come: what it resets besides registers. */
  reset(): void {
    this.vlapic.reset();
    this.interrupts.closeWindow();
  }

  /** Keeps accounts in `accounting`, or none. */
  account(accounting: ExitAccounting | undefined): void {
    this.accounting?.settle(this.pcpu.ledger.clock[0]);
    this.host.accounting = accounting;
    this.hypercalls.accounting = accounting;
  }

  /** Has its hypercalls and copies seen by `observer`, or by nobody. */
  observe(observer: HypercallObserver | undefined): void {
    const { id } = this.vcpu;
    this.hypercalls.observer = observer;
    for (const access of this.accesses)
      access.onCopy =
        observer &&
        (({ id: pointer, buffer }, lo, hi, bytes, toGuest, result) =>
          observer.onCopy({
            vcpu: id,
            pointer,
            address: hexadecimal(lo, hi),
            toGuest,
            bytes: new Uint8Array(buffer.buffer, buffer.byteOffset, bytes),
            failed: result !== 0,
          }));
  }

  /** Totals of this vCPU and its physical CPU. */
  counters(): SystemCounters {
    return this.pcpu.systemCounters();
  }

  /** Everything of the vCPU and its physical CPU, memory excepted. */
  snapshot(): PcpuSnapshot {
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
      interfaces: this.hypercalls.snapshot(),
      accounting: this.accounting?.snapshot(),
      requests: this.requests?.snapshot(),
    };
  }

  /** Puts it back, after memory. */
  restore(snapshot: PcpuSnapshot): void {
    const { processor, context } = this.pcpu;
    this.pcpu.restore(snapshot, LATER_STAGES);
    this.control.restore(snapshot.control);
    processor.mmu.activate(context);
    this.msrs.restore(snapshot.msrs);
    this.vlapic.restore(snapshot.vlapic);
    this.vcpu.restore(snapshot.vcpu);
    this.host.restore(snapshot.host);
    this.hypercalls.restore(snapshot.interfaces);
    if (snapshot.requests !== undefined) this.requests?.restore(snapshot.requests);
    if (snapshot.accounting !== undefined) this.accounting?.restore(snapshot.accounting);
    processor.state.words.set(snapshot.processor.words);
  }

  /** The vCPU's part of a migration record; the vCPU is brought out of its guest. @throws MigrationError */
  saveRecord(): VcpuRecord {
    const { host, control, vlapic, vcpu, msrs, pcpu } = this;
    host.pause();
    const { ended, waitsFor } = host.snapshot();
    if (ended !== undefined) throw new MigrationError("STATE", "vCPU", `has ended: ${ended.reason}`);
    if (waitsFor !== "")
      throw new MigrationError("STATE", "vCPU", `sleeps in ${waitsFor}, and what can wake it is not moved`);
    if (vcpu.timers.running || vlapic.apic.snapshot().timer.initial !== 0 || vlapic.apic.deadline !== 0)
      throw new MigrationError("STATE", "timers", "one runs, and is not moved");
    const { runstate, time } = vcpu.areas.snapshot();
    if (runstate.frame >= 0 || time.frame >= 0 || vcpu.areas.runstate.hasHandle || vcpu.areas.time.hasHandle)
      throw new MigrationError("STATE", "areas", "registered run-state and time areas are not moved");
    if (control.registers.eventQueued)
      throw new MigrationError("STATE", "event", "one waits for its injection, and is not moved");
    if (control.registers.nmiMasked) throw new MigrationError("STATE", "NMI", "the guest is in its handler");
    const { timestampOffset, timestampAdjust, timestampAux, cstar } = msrs.snapshot();
    return {
      registers: control.saveRegisters(),
      msrs: {
        timestamp: pcpu.ledger.cycles + timestampOffset,
        timestampAdjust,
        timestampAux,
        cstar,
      },
      apic: vlapic.snapshot(),
    };
  }

  /** @throws MigrationError for registers that this processor cannot have */
  checkRecord({ registers: { words } }: VcpuRecord): void {
    const cr4 = words[placeOf(State.Cr4)];
    if ((cr4 & ~this.cpuid.validCr4) !== 0)
      throw new MigrationError(
        "MISMATCH",
        "CR4",
        `0x${(cr4 >>> 0).toString(16)} has features that are not here`,
      );
    const efer = words[placeOf(State.EferLo)];
    if ((efer & ~EFER_ALLOWED) !== 0)
      throw new MigrationError(
        "MISMATCH",
        "EFER",
        `0x${(efer >>> 0).toString(16)} has features that are not here`,
      );
    if (!validXcr0(words[placeOf(State.XcrLo)], 0))
      throw new MigrationError("MISMATCH", "XCR0", "has states that are not here");
  }

  /** Puts it into a vCPU that has not run, once it has been checked. */
  restoreRecord(record: VcpuRecord): void {
    const { registers, msrs } = record;
    this.control.loadRegisters(registers);
    const timestampOffset = msrs.timestamp - this.pcpu.ledger.cycles;
    const { timestampAdjust, timestampAux, cstar } = msrs;
    this.msrs.restore({ timestampOffset, timestampAdjust, timestampAux, cstar });
    this.control.setTimestampOffset(timestampOffset);
    this.control.setTimestampAux(timestampAux >>> 0);
    this.vlapic.restore(record.apic);
    this.host.restore({ ...this.host.snapshot(), ready: false });
    this.interrupts.closeWindow();
  }

  private setRegisters(context: VcpuContext): void {
    this.control.load(context);
    this.interrupts.closeWindow();
    if (this.first !== this) this.msrs.followTimestamp(this.first.msrs);
  }

  /** `vlapic_accept_irq`: an NMI brings an initialised vCPU up. */
  private comeUpForNmi(): void {
    if (this.vcpu.initialised) this.vcpu.down = false;
  }
}
