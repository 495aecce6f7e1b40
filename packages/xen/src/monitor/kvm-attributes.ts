import type { Domain } from "../domain.js";
import { DOMID_SELF } from "../event-channel.js";
import type { SharedInfoKey } from "../host/kvm/kvm-config.js";
import type { KvmVcpuXen } from "../host/kvm/kvm-vcpu-xen.js";
import type { KvmVm } from "../host/kvm/kvm-vm.js";
import {
  KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL,
  KVM_XEN_INVALID_GFN,
  KVM_XEN_INVALID_GPA,
  KvmXenAttrType,
  KvmXenEvtchnFlag,
  type KvmXenHvmAttr,
  KvmXenHvmConfigFlag,
  type KvmXenVcpuAttr,
  KvmXenVcpuAttrType,
} from "../host/kvm/uapi.js";
import { EVTCHNSTAT_INTERDOMAIN, EVTCHNSTAT_IPI, EVTCHNSTAT_VIRQ } from "../operations/descriptors.gen.js";
import { XEN_MAJOR, XEN_MINOR } from "../operations/version.js";
import { FreePathCost } from "../path-cost/free-path-cost.js";
import { VIRQ_TIMER } from "../virq.js";
import { hostAddressOf } from "./memory-regions.js";
import type { MonitorPhysmap } from "./monitor-physmap.js";

const PAGE = 4096;
const PRIORITY = KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL;

/** What the monitor has told KVM, as plain data. */
export interface KvmAttributesSnapshot {
  readonly sharedGfn: number;
  readonly upcallVector: number;
  readonly longMode: boolean;
  /** By vCPU. */
  readonly vcpuVectors: readonly number[];
  readonly infoAddresses: readonly number[];
  /** Ports of VIRQ_TIMER by vCPU, 0: none. */
  readonly timerPorts: readonly number[];
  /** Ports that the kernel knows, with the vCPUs that it tells. */
  readonly ports: readonly (readonly [number, number])[];
}

export interface KvmAttributesOptions {
  readonly vm: KvmVm;
  readonly domain: Domain;
  readonly physmap: MonitorPhysmap;
  readonly key: SharedInfoKey;
  /** MSR of the hypercall page. */
  readonly hypercallMsr: number;
  /** The system call around each attribute: its own work is the kernel's to price. */
  readonly call: () => void;
}

/**
 * What the monitor tells KVM of the guest, and when: shared_info, `vcpu_info`, upcall vectors, layout, and the event channels
 * and timers that the kernel is to serve by itself. An attribute is set when what it says has changed.
 */
export class KvmAttributes {
  private readonly options: KvmAttributesOptions;
  private sharedGfn = -1;
  private upcallVector = 0;
  private longMode = false;
  /** By vCPU. */
  private readonly vcpuVectors: number[] = [];
  private readonly infoAddresses: number[] = [];
  /** Ports that the kernel knows, with the vCPU that it tells. */
  private readonly ports = new Map<number, number>();
  /** Port of VIRQ_TIMER by vCPU. */
  private readonly timerPorts: number[] = [];

  constructor(options: KvmAttributesOptions) {
    this.options = options;
  }

  /** What is set before the guest runs: nobody pays. */
  start(): void {
    const { vm, domain, key, hypercallMsr } = this.options;
    const { cost } = vm;
    vm.cost = new FreePathCost(vm.memory);
    vm.xenHvmConfig({
      flags: KvmXenHvmConfigFlag.INTERCEPT_HCALL | KvmXenHvmConfigFlag.EVTCHN_SEND,
      msr: hypercallMsr,
      blobAddr32: 0,
      blobAddr64: 0,
      blobSize32: 0,
      blobSize64: 0,
    });
    vm.xenHvmSetAttr({ type: KvmXenAttrType.XEN_VERSION, xenVersion: (XEN_MAJOR << 16) | XEN_MINOR });
    if (key === "hva") {
      const hva = hostAddressOf(domain.sharedInfo.frame);
      if (vm.userSpace.frameOf(hva) < 0) vm.userSpace.mmap(hva, PAGE, domain.sharedInfo.frame);
      vm.xenHvmSetAttr({ type: KvmXenAttrType.SHARED_INFO_HVA, hva });
      for (const xen of vm.vcpus) this.placeInfo(xen, false);
    }
    vm.cost = cost;
  }

  /** After anything that the guest may have had changed. */
  update(): void {
    const { vm, domain, key } = this.options;
    const { events, callbackVector, upcallVectors } = domain.eventChannels;
    const long = !events.is32Bit;
    if (long !== this.longMode) {
      this.longMode = long;
      // Where the hypercall page's MSR did it, the kernel has it already.
      if (vm.longMode !== long) this.set({ type: KvmXenAttrType.LONG_MODE, longMode: long });
    }
    const { gfn } = domain.sharedInfo;
    if (key === "gfn" && gfn !== this.sharedGfn) {
      this.sharedGfn = gfn;
      this.set({ type: KvmXenAttrType.SHARED_INFO, gfn: gfn < 0 ? KVM_XEN_INVALID_GFN : gfn });
    }
    for (const xen of vm.vcpus) this.placeInfo(xen, true);
    const vector = Math.max(callbackVector, 0);
    if (vector !== this.upcallVector && (vector === 0 || vector >= 0x10)) {
      this.upcallVector = vector;
      this.set({ type: KvmXenAttrType.UPCALL_VECTOR, vector });
    }
    vm.vcpus.forEach((xen, id) => {
      if (upcallVectors[id] === (this.vcpuVectors[id] ?? 0)) return;
      this.vcpuVectors[id] = upcallVectors[id];
      this.setVcpu(xen, { type: KvmXenVcpuAttrType.UPCALL_VECTOR, vector: upcallVectors[id] });
    });
  }

  /** An event channel was bound, moved or closed: the kernel serves those that come back to the guest by themselves. */
  portChanged(port: number): void {
    const { domain } = this.options;
    const words = new Int32Array(8);
    if (domain.eventChannels.status(DOMID_SELF, port, words) !== 0) return;
    const [state, , vcpu, , source, , remotePort] = words;
    const isLoop = state === EVTCHNSTAT_INTERDOMAIN && source === domain.id;
    const known = this.ports.get(port);
    if (state === EVTCHNSTAT_IPI || isLoop) {
      const target = isLoop ? remotePort : port;
      const evtchnType = isLoop ? EVTCHNSTAT_INTERDOMAIN : EVTCHNSTAT_IPI;
      const told = isLoop ? this.vcpuOf(remotePort) : vcpu;
      if (known === told) return;
      this.ports.set(port, told);
      const flags = known === undefined ? 0 : KvmXenEvtchnFlag.UPDATE;
      const deliver = { port: { port: target, vcpu: told, priority: PRIORITY } };
      this.set({ type: KvmXenAttrType.EVTCHN, sendPort: port, evtchnType, flags, deliver });
      return;
    }
    if (known !== undefined) {
      this.ports.delete(port);
      const deliver = { port: { port, vcpu: 0, priority: PRIORITY } };
      const flags = KvmXenEvtchnFlag.DEASSIGN;
      this.set({ type: KvmXenAttrType.EVTCHN, sendPort: port, evtchnType: 0, flags, deliver });
    }
    const isTimer = state === EVTCHNSTAT_VIRQ && source === VIRQ_TIMER;
    const owner = this.timerPorts.indexOf(port);
    if (isTimer === owner >= 0) return;
    const id = isTimer ? vcpu : owner;
    this.timerPorts[id] = isTimer ? port : 0;
    const timer = { port: this.timerPorts[id], priority: PRIORITY, expiresNs: 0 };
    this.setVcpu(this.options.vm.vcpus[id], { type: KvmXenVcpuAttrType.TIMER, ...timer });
  }

  /** Every port was closed. */
  portsReset(): void {
    for (const port of [...this.ports.keys(), ...this.timerPorts.filter((port) => port > 0)])
      this.portChanged(port);
  }

  snapshot(): KvmAttributesSnapshot {
    const { sharedGfn, upcallVector, longMode } = this;
    const each = this.options.vm.vcpus.map(({ index }) => index);
    return {
      sharedGfn,
      upcallVector,
      longMode,
      vcpuVectors: each.map((id) => this.vcpuVectors[id] ?? 0),
      infoAddresses: each.map((id) => this.infoAddresses[id] ?? -1),
      timerPorts: each.map((id) => this.timerPorts[id] ?? 0),
      ports: [...this.ports],
    };
  }

  /** After the kernel's side. @throws RangeError for what KVM has not been told */
  restore(snapshot: KvmAttributesSnapshot): void {
    const { sharedGfn, upcallVector, longMode, vcpuVectors, infoAddresses, timerPorts, ports } = snapshot;
    const { vm } = this.options;
    const { length } = vm.vcpus;
    if ([vcpuVectors, infoAddresses, timerPorts].some((list) => list.length !== length))
      throw new RangeError(`the monitor knows of another number of vCPUs than ${length}`);
    const unknown = ports.find(([port]) => vm.evtchnPorts.targetOf(port) === undefined);
    if (unknown !== undefined) throw new RangeError(`the kernel does not know port ${unknown[0]}`);
    Object.assign(this, { sharedGfn, upcallVector, longMode });
    this.vcpuVectors.splice(0, Number.POSITIVE_INFINITY, ...vcpuVectors);
    this.infoAddresses.splice(0, Number.POSITIVE_INFINITY, ...infoAddresses);
    this.timerPorts.splice(0, Number.POSITIVE_INFINITY, ...timerPorts);
    this.ports.clear();
    for (const [port, vcpu] of ports) this.ports.set(port, vcpu);
  }

  private vcpuOf(port: number): number {
    const words = new Int32Array(8);
    return this.options.domain.eventChannels.status(DOMID_SELF, port, words) === 0 ? words[2] : 0;
  }

  /** Where a vCPU's `vcpu_info` is, by the same key as shared_info. */
  private placeInfo(xen: KvmVcpuXen, priced: boolean): void {
    const { domain, key, physmap } = this.options;
    const { events } = domain.eventChannels;
    const id = xen.index;
    const frame = events.infoFrameOf(id);
    const offset = events.infoOffsetOf(id);
    const isInitial = frame === domain.sharedInfo.frame;
    const gfn = isInitial ? domain.sharedInfo.gfn : physmap.gfnOf(frame);
    const isNowhere = frame < 0 || (key === "gfn" && gfn < 0);
    const address = isNowhere ? -1 : (key === "hva" ? hostAddressOf(frame) : gfn * PAGE) + offset;
    if (address === (this.infoAddresses[id] ?? -1)) return;
    this.infoAddresses[id] = address;
    const attr: KvmXenVcpuAttr =
      key === "hva"
        ? { type: KvmXenVcpuAttrType.VCPU_INFO_HVA, hva: address }
        : { type: KvmXenVcpuAttrType.VCPU_INFO, gpa: address < 0 ? KVM_XEN_INVALID_GPA : address };
    if (priced) this.setVcpu(xen, attr);
    else xen.xenSetAttr(attr);
  }

  private set(attr: KvmXenHvmAttr): void {
    this.options.call();
    this.options.vm.xenHvmSetAttr(attr);
  }

  private setVcpu(xen: KvmVcpuXen, attr: KvmXenVcpuAttr): void {
    this.options.call();
    xen.xenSetAttr(attr);
  }
}
