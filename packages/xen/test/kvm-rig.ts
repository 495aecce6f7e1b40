import type { PhysicalMemory } from "@hyperwalk/mmu";
import type { KvmVcpuXen } from "../src/host/kvm/kvm-vcpu-xen.ts";
import { KvmVm } from "../src/host/kvm/kvm-vm.ts";
import type { KvmXenVcpu } from "../src/host/kvm/kvm-xen-vcpu.ts";
import {
  KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL,
  type KvmUserspaceMemoryRegion,
  KvmXenAttrType,
  KvmXenHvmConfigFlag,
  KvmXenVcpuAttrType,
} from "../src/host/kvm/uapi.ts";
import type { PhasedPathCost } from "../src/path-cost/path-cost.ts";
import { RecordingCost, xenMemory } from "./xen-memory.ts";

export const PAGE = 4096;
/** Guest frame of shared_info at first; two more pages of the same slot follow it. */
export const SHINFO_GFN = 0xc0000;
export const SHINFO_GPA: number = SHINFO_GFN * PAGE;
export const SHINFO_SLOT = 10;
/** Where the monitor has those three pages. */
export const SHINFO_HVA = 0x7f0000000000;
export const VCPU_INFO: number = SHINFO_GPA + 0x40;
export const VECTOR = 0x10;
export const PRIORITY: number = KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL;
export const PENDING = 2048;
export const MASK = 2560;
/** Machine frame of the first of the three pages. */
const FRAME = 0x100;

/** A vCPU that only remembers what happened to it. */
export class IdleVcpu implements KvmXenVcpu {
  readonly id: number;
  longMode = true;
  inGuestMode = false;
  isBlocked = false;
  runDelayNs = 0;
  timestampOffset = 0;
  kicks = 0;
  clockUpdates = 0;
  readonly interrupts: number[] = [];

  constructor(id: number) {
    this.id = id;
  }

  kick(): void {
    this.kicks++;
    this.isBlocked = false;
  }

  setInterrupt(vector: number): void {
    this.interrupts.push(vector);
  }

  requestClockUpdate(): void {
    this.clockUpdates++;
  }
}

export interface KvmRigOptions {
  /** How shared_info and the first vCPU's `vcpu_info` in it are known to the kernel; default by guest address. */
  readonly key?: "gfn" | "hva";
  readonly vcpus?: number;
  readonly cost?: (memory: PhysicalMemory) => PhasedPathCost;
}

/** A VM with a slot of three pages, shared_info in the first of them and a 64-bit guest, as its monitor has set it up. */
export class KvmRig {
  readonly memory: PhysicalMemory;
  readonly vm: KvmVm;
  readonly idle: readonly IdleVcpu[];
  readonly vcpus: readonly KvmVcpuXen[];
  readonly cost: PhasedPathCost;
  now = 1_000_000;

  constructor({ key = "gfn", vcpus = 1, cost }: KvmRigOptions = {}) {
    this.memory = xenMemory().memory;
    this.cost = cost?.(this.memory) ?? new RecordingCost(this.memory);
    this.vm = new KvmVm({ memory: this.memory, cost: this.cost, nowNs: () => this.now, tscGhz: 2 });
    const { vm } = this;
    vm.userSpace.mmap(SHINFO_HVA, 8 * PAGE, FRAME);
    must(vm.setUserMemoryRegion(this.region(SHINFO_GFN)));
    const flags = KvmXenHvmConfigFlag.INTERCEPT_HCALL | KvmXenHvmConfigFlag.EVTCHN_SEND;
    const blobs = { blobAddr32: 0, blobAddr64: 0, blobSize32: 0, blobSize64: 0 };
    must(vm.xenHvmConfig({ flags, msr: 0x40000000, ...blobs }));
    must(vm.xenHvmSetAttr({ type: KvmXenAttrType.LONG_MODE, longMode: true }));
    must(vm.xenHvmSetAttr({ type: KvmXenAttrType.UPCALL_VECTOR, vector: VECTOR }));
    this.idle = Array.from({ length: vcpus }, (_, id) => new IdleVcpu(id));
    this.vcpus = this.idle.map((vcpu) => {
      const created = vm.createVcpu(vcpu);
      if (typeof created === "number") throw new Error(`errno ${-created}`);
      return created;
    });
    this.setSharedInfo(key);
    this.vcpus.forEach((vcpu, i) => {
      must(
        key === "gfn"
          ? vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.VCPU_INFO, gpa: VCPU_INFO + 64 * i })
          : vcpu.xenSetAttr({ type: KvmXenVcpuAttrType.VCPU_INFO_HVA, hva: SHINFO_HVA + 64 * (i + 1) }),
      );
    });
  }

  setSharedInfo(key: "gfn" | "hva", gfn: number = SHINFO_GFN): void {
    must(
      key === "gfn"
        ? this.vm.xenHvmSetAttr({ type: KvmXenAttrType.SHARED_INFO, gfn })
        : this.vm.xenHvmSetAttr({ type: KvmXenAttrType.SHARED_INFO_HVA, hva: SHINFO_HVA }),
    );
  }

  /** The slot of shared_info, at some guest frame. */
  region(gfn: number, memorySize: number = 3 * PAGE): KvmUserspaceMemoryRegion {
    return {
      slot: SHINFO_SLOT,
      flags: 0,
      guestPhysAddr: gfn * PAGE,
      memorySize,
      userspaceAddr: SHINFO_HVA,
    };
  }

  /** Adds a slot that has nothing to do with anything. */
  addDummySlot(slot: number): void {
    must(
      this.vm.setUserMemoryRegion({
        slot,
        flags: 0,
        guestPhysAddr: SHINFO_GPA + (slot + 10) * PAGE,
        memorySize: PAGE,
        userspaceAddr: SHINFO_HVA + 3 * PAGE,
      }),
    );
  }

  /** Machine address of a byte of the page at {@link SHINFO_HVA}. */
  at(offset: number): number {
    return this.vm.userSpace.frameOf(SHINFO_HVA + offset) * PAGE + (offset % PAGE);
  }

  isPending(port: number): boolean {
    return (this.memory.readU8(this.at(PENDING + (port >>> 3))) & (1 << (port & 7))) !== 0;
  }

  setMasked(port: number): void {
    const at = this.at(MASK + (port >>> 3));
    this.memory.writeU8(at, this.memory.readU8(at) | (1 << (port & 7)));
  }

  /** upcall_pending of a vCPU, and the low word of its selector. */
  vcpuInfo(vcpu = 0): { upcall: number; selector: number } {
    const at = this.at(64 * (vcpu + 1));
    return { upcall: this.memory.readU8(at), selector: this.memory.readU32(at + 8) };
  }

  /** What the guest's handler does, and the monitor to the pending bits. */
  clear(): void {
    for (let i = 0; i < this.vcpus.length; i++)
      this.memory.writeBytes(this.at(64 * (i + 1)), new Uint8Array(16));
    this.memory.writeBytes(this.at(PENDING), new Uint8Array(512));
  }

  /** KVM_XEN_HVM_EVTCHN_SEND. */
  send(port: number, vcpu = 0): number {
    return this.vm.xenHvmEvtchnSend({ port, vcpu, priority: PRIORITY });
  }
}

export function must(result: number): void {
  if (result < 0) throw new Error(`errno ${-result}`);
}
