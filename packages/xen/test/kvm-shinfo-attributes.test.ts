import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import { KvmVm } from "../src/host/kvm/kvm-vm.ts";
import {
  KVM_CAP_XEN_HVM,
  KVM_MAX_VCPUS,
  KVM_XEN_INVALID_GFN,
  KvmXenAttrType,
  KvmXenHvmConfigFlag,
  KvmXenVcpuAttrType,
} from "../src/host/kvm/uapi.ts";
import { decodeSnapshot, encodeSnapshot } from "../src/snapshot/encoding.ts";
import type { PlainData } from "../src/snapshot/plain-data.ts";
import { IdleVcpu, KvmRig, must, PAGE, SHINFO_GFN, SHINFO_GPA, SHINFO_HVA, VECTOR } from "./kvm-rig.ts";
import { RecordingCost, xenMemory } from "./xen-memory.ts";

const NO_BLOBS = { blobAddr32: 0, blobAddr64: 0, blobSize32: 0, blobSize64: 0 };

describe("KVM_CAP_XEN_HVM", () => {
  it("has bits 0 to 8, those of run states only where the host accounts for delays", () => {
    const { memory } = xenMemory();
    const base = { memory, cost: new RecordingCost(memory), nowNs: () => 0, tscGhz: 2 };
    expect(new KvmVm(base).checkExtension(KVM_CAP_XEN_HVM)).toBe(0x1ff);
    const without = new KvmVm({ ...base, hasSchedInfo: false });
    expect(without.checkExtension(KVM_CAP_XEN_HVM)).toBe(0x1ff & ~0x48);
    expect(without.checkExtension(1)).toBe(0);
    const flag = { type: KvmXenAttrType.RUNSTATE_UPDATE_FLAG, runstateUpdateFlag: true };
    expect(without.xenHvmSetAttr(flag)).toBe(-Errno.EOPNOTSUPP);
  });

  it("KVM_XEN_HVM_CONFIG takes what is permitted", () => {
    const { vm } = new KvmRig();
    const config = (fields: object) => vm.xenHvmConfig({ flags: 0, msr: 0, ...NO_BLOBS, ...fields });
    expect(config({ flags: KvmXenHvmConfigFlag.SHARED_INFO })).toBe(-Errno.EINVAL);
    expect(config({ flags: KvmXenHvmConfigFlag.INTERCEPT_HCALL, blobSize64: 1 })).toBe(-Errno.EINVAL);
    expect(config({ msr: 0x3fffffff })).toBe(-Errno.EINVAL);
    expect(config({ msr: 0x50000000 })).toBe(-Errno.EINVAL);
    expect(config({ blobSize64: 1, blobAddr64: SHINFO_HVA })).toBe(0);
    expect([vm.interceptsHypercalls, vm.sendsEvents]).toEqual([false, false]);
    const flags = KvmXenHvmConfigFlag.INTERCEPT_HCALL | KvmXenHvmConfigFlag.PVCLOCK_TSC_UNSTABLE;
    expect(config({ flags, msr: 0x40000200 })).toBe(0);
    expect([vm.interceptsHypercalls, vm.isTscUnstable, vm.config.msr]).toEqual([true, true, 0x40000200]);
  });
});

describe("attributes", () => {
  it("shared_info is known by one address or the other", () => {
    const rig = new KvmRig({ key: "gfn" });
    const gfn = () => rig.vm.xenHvmGetAttr(KvmXenAttrType.SHARED_INFO);
    const hva = () => rig.vm.xenHvmGetAttr(KvmXenAttrType.SHARED_INFO_HVA);
    expect([gfn(), hva()]).toMatchObject([{ gfn: SHINFO_GFN }, { hva: 0 }]);
    rig.setSharedInfo("hva");
    expect([gfn(), hva()]).toMatchObject([{ gfn: KVM_XEN_INVALID_GFN }, { hva: SHINFO_HVA }]);
    must(rig.vm.xenHvmSetAttr({ type: KvmXenAttrType.SHARED_INFO_HVA, hva: 0 }));
    expect([gfn(), hva()]).toMatchObject([{ gfn: KVM_XEN_INVALID_GFN }, { hva: 0 }]);
    expect(rig.send(5)).toBe(-Errno.EINVAL); // nothing to refresh
    rig.setSharedInfo("gfn");
    expect(rig.send(5)).toBe(0);
    must(rig.vm.xenHvmSetAttr({ type: KvmXenAttrType.SHARED_INFO, gfn: KVM_XEN_INVALID_GFN }));
    expect(gfn()).toMatchObject({ gfn: KVM_XEN_INVALID_GFN });
  });

  it("addresses where nothing is are refused", () => {
    const { vm, vcpus } = new KvmRig();
    const gfn = (value: number) => vm.xenHvmSetAttr({ type: KvmXenAttrType.SHARED_INFO, gfn: value });
    const hva = (value: number) => vm.xenHvmSetAttr({ type: KvmXenAttrType.SHARED_INFO_HVA, hva: value });
    expect([gfn(5), gfn(2 ** 52), gfn(Number.NaN)]).toEqual(new Array(3).fill(-Errno.EFAULT));
    expect(hva(SHINFO_HVA + 8)).toBe(-Errno.EINVAL);
    expect(hva(2 ** 47)).toBe(-Errno.EINVAL);
    expect(hva(0x10000)).toBe(-Errno.EFAULT);
    const info = (gpa: number) => vcpus[0].xenSetAttr({ type: KvmXenVcpuAttrType.VCPU_INFO, gpa });
    expect(info(SHINFO_GPA + PAGE - 63)).toBe(-Errno.EINVAL); // across two pages
    expect(info(0)).toBe(-Errno.EFAULT);
  });

  it("vectors are those of interrupts", () => {
    const { vm, vcpus } = new KvmRig();
    for (const [vector, result] of [
      [0xf, -Errno.EINVAL],
      [0x100, -Errno.EINVAL],
      [0xff, 0],
      [0, 0],
    ]) {
      expect(vm.xenHvmSetAttr({ type: KvmXenAttrType.UPCALL_VECTOR, vector })).toBe(result);
      expect(vcpus[0].xenSetAttr({ type: KvmXenVcpuAttrType.UPCALL_VECTOR, vector })).toBe(result);
    }
    expect(new KvmRig().vm.xenHvmGetAttr(KvmXenAttrType.UPCALL_VECTOR)).toMatchObject({ vector: VECTOR });
  });

  it("the version and a vCPU's number are what they were set to", () => {
    const { vm, vcpus } = new KvmRig();
    const version = { type: KvmXenAttrType.XEN_VERSION, xenVersion: 0x40011 };
    must(vm.xenHvmSetAttr(version));
    expect(vm.xenHvmGetAttr(KvmXenAttrType.XEN_VERSION)).toEqual(version);
    const set = (vcpuId: number) => vcpus[0].xenSetAttr({ type: KvmXenVcpuAttrType.VCPU_ID, vcpuId });
    expect([set(7), set(KVM_MAX_VCPUS), set(-1)]).toEqual([0, -Errno.EINVAL, -Errno.EINVAL]);
    expect(vcpus[0].xenGetAttr(KvmXenVcpuAttrType.VCPU_ID)).toMatchObject({ vcpuId: 7 });
    expect(vm.createVcpu(new IdleVcpu(0))).toBe(-Errno.EEXIST);
    expect(vm.createVcpu(new IdleVcpu(KVM_MAX_VCPUS))).toBe(-Errno.EINVAL);
  });

  it("the mode of the vCPU that asks for the hypercall page decides where the wall clock is", () => {
    const rig = new KvmRig();
    const at = (offset: number) => rig.memory.readU32(rig.at(offset));
    expect([at(0xc00), at(0x900)]).toEqual([2, 0]);
    expect(rig.vm.latchLongMode(true)).toBe(0);
    expect([at(0xc00), at(0x900)]).toEqual([2, 0]);
    expect(rig.vm.latchLongMode(false)).toBe(0);
    expect([at(0xc00), at(0x900), rig.vm.maxPorts]).toEqual([2, 2, 1024]);
  });
});

describe("a snapshot of a VM", () => {
  const busy = () => {
    const rig = new KvmRig({ vcpus: 2 });
    const { vm } = rig;
    const eventfd = vm.eventfds.create();
    const priority = 0xffffffff;
    vm.irqfds.setRouting([{ gsi: 40, type: 5, xenEvtchn: { port: 9, vcpu: 1, priority } }]);
    must(vm.irqfds.set({ fd: eventfd.fd, gsi: 40 }));
    const deliver = { eventfd: { fd: eventfd.fd } };
    const type = KvmXenAttrType.EVTCHN;
    must(vm.xenHvmSetAttr({ type, sendPort: 30, evtchnType: 2, flags: 0, deliver }));
    const own = { port: { port: 31, vcpu: 1, priority } };
    must(vm.xenHvmSetAttr({ type, sendPort: 31, evtchnType: 5, flags: 0, deliver: own }));
    must(
      rig.vcpus[0].xenSetAttr({
        type: KvmXenVcpuAttrType.TIMER,
        port: 13,
        priority,
        expiresNs: rig.now + 1000,
      }),
    );
    must(rig.vcpus[1].xenSetAttr({ type: KvmXenVcpuAttrType.RUNSTATE_ADDR, gpa: SHINFO_GPA + 2 * PAGE - 9 }));
    rig.vcpus[1].startPoll([9], 0);
    rig.addDummySlot(11);
    eventfd.signal(); // waits for a worker
    return rig;
  };

  it("goes on as the VM itself does", () => {
    const first = busy();
    const saved = first.vm.snapshot();
    const written = decodeSnapshot(encodeSnapshot(saved as unknown as PlainData));
    expect(written).toEqual(saved); // plain data that a file keeps
    const second = new KvmRig({ vcpus: 2 });
    second.memory.restore(first.memory.snapshot());
    second.vm.restore(saved);
    expect(second.vm.snapshot()).toEqual(first.vm.snapshot());
    for (const rig of [first, second]) {
      rig.now = 2_000_000;
      rig.vm.irqfds.runWork();
      rig.vcpus[0].timer.expire(rig.now);
      rig.vm.guestEvtchnSend(30);
      rig.vm.guestEvtchnSend(31);
      for (const vcpu of rig.vcpus) vcpu.beforeEntry();
      rig.vcpus[1].runstate.update(2);
    }
    expect(second.vm.snapshot()).toEqual(first.vm.snapshot());
    expect(second.memory.readBytes(second.at(0), 3 * PAGE)).toEqual(
      first.memory.readBytes(first.at(0), 3 * PAGE),
    );
    expect([9, 13, 31].map((port) => second.isPending(port))).toEqual([true, true, true]);
  });

  it("is refused when it cannot be", () => {
    const { vm } = busy();
    const saved = vm.snapshot();
    const [vcpu, other] = saved.vcpus;
    const frame = { ...saved.sharedInfo, valid: true, generation: 1, frame: 5 };
    for (const bad of [
      { ...saved, vcpus: [vcpu] },
      { ...saved, sharedInfo: frame },
      { ...saved, sharedInfo: { ...saved.sharedInfo, generation: saved.memslots.generation + 1 } },
      { ...saved, vcpus: [{ ...vcpu, upcallVector: 5 }, other] },
      { ...saved, vcpus: [{ ...vcpu, timer: { ...vcpu.timer, port: -1 } }, other] },
      { ...saved, vcpus: [{ ...vcpu, runstate: { ...vcpu.runstate, current: 9 } }, other] },
      { ...saved, eventfds: { next: 3, fds: [] } },
      { ...saved, config: { ...saved.config, flags: 4 } },
    ])
      expect(() => vm.restore(bad)).toThrow(RangeError);
    vm.restore(saved);
    expect(vm.snapshot()).toEqual(saved);
  });
});
