import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import { DOMID_SELF, EventChannels, type EventChannelsOptions } from "../src/event-channel.ts";
import { VIRQ_DEBUG, VIRQ_TIMER } from "../src/virq.ts";
import { RecordingCost, xenMemory } from "./xen-memory.ts";

const SHARED_INFO = 8;
const PENDING = SHARED_INFO * 4096 + 2048;
const MASK = SHARED_INFO * 4096 + 2560;

function channels(options: Partial<EventChannelsOptions> = {}) {
  const { memory, allocateFrame } = xenMemory();
  const base = { memory, allocateFrame, domainId: 3, vcpus: 2, sharedInfoFrame: SHARED_INFO };
  return { memory, ports: new EventChannels({ ...base, ...options }) };
}

const bit = (memory: { readU8(at: number): number }, base: number, port: number) =>
  (memory.readU8(base + (port >>> 3)) >>> (port & 7)) & 1;

/** status, vCPU, and the two values that depend on the status. */
function statusOf(ports: EventChannels, port: number): number[] {
  const words = new Int32Array(8).fill(-1);
  expect(ports.status(DOMID_SELF, port, words)).toBe(0);
  return [words[0], words[2], words[4], words[6]];
}

describe("binding", () => {
  it("connects a port to another of the same domain and marks the new one pending once", () => {
    const { memory, ports } = channels();
    const first = ports.allocUnbound(DOMID_SELF, DOMID_SELF);
    const second = ports.bindInterdomain(3, first);
    expect([first, second]).toEqual([1, 2]);
    expect(statusOf(ports, first)).toEqual([2, 0, 3, second]);
    expect(statusOf(ports, second)).toEqual([2, 0, 3, first]);
    expect([bit(memory, PENDING, first), bit(memory, PENDING, second)]).toEqual([0, 1]);
    expect(ports.bindInterdomain(3, first)).toBe(-Errno.EINVAL); // no longer unbound
  });

  it("gives Xen's errors", () => {
    const { ports } = channels();
    expect(ports.allocUnbound(0, 0)).toBe(-Errno.EPERM);
    expect(ports.allocUnbound(7, 0)).toBe(-Errno.ESRCH);
    const forDom0 = ports.allocUnbound(3, 0);
    expect(statusOf(ports, forDom0)).toEqual([1, 0, 0, 0]);
    expect(ports.bindInterdomain(DOMID_SELF, forDom0)).toBe(-Errno.EINVAL); // kept for dom0
    expect(ports.bindInterdomain(0, 1)).toBe(-Errno.EINVAL);
    expect(ports.bindInterdomain(9, 1)).toBe(-Errno.ESRCH);
    expect(ports.bindInterdomain(3, 5000)).toBe(-Errno.EINVAL);
    expect(ports.bindVirq(24, 0)).toBe(-Errno.EINVAL);
    expect(ports.bindVirq(-1, 0)).toBe(-Errno.EINVAL);
    expect(ports.bindVirq(VIRQ_TIMER, 2)).toBe(-Errno.ENOENT);
    expect(ports.bindVirq(2, 1)).toBe(-Errno.EINVAL); // a global VIRQ belongs to vCPU 0
    expect(ports.bindVirq(2, 0)).toBe(-Errno.EBUSY); // the console's goes to the hardware domain
    expect(channels({ hardwareDomain: true }).ports.bindVirq(2, 0)).toBe(1);
    const timer = ports.bindVirq(VIRQ_TIMER, 1);
    expect(statusOf(ports, timer)).toEqual([4, 1, VIRQ_TIMER, 0]);
    expect(ports.bindVirq(VIRQ_TIMER, 1)).toBe(-Errno.EEXIST);
    expect(ports.bindVcpu(timer, 0)).toBe(-Errno.EINVAL);
    expect(ports.bindIpi(2)).toBe(-Errno.ENOENT);
    const ipi = ports.bindIpi(1);
    expect(statusOf(ports, ipi)).toEqual([5, 1, 0, 0]);
    expect(ports.bindVcpu(ipi, 0)).toBe(-Errno.EINVAL);
    expect(ports.bindVcpu(forDom0, 1)).toBe(0);
    expect(ports.bindVcpu(forDom0, 2)).toBe(-Errno.ENOENT);
    expect(ports.bindVcpu(77, 1)).toBe(-Errno.EINVAL);
    const words = new Int32Array(8);
    expect(ports.status(0, 1, words)).toBe(-Errno.EPERM);
    expect(ports.status(8, 1, words)).toBe(-Errno.ESRCH);
    expect(ports.status(3, -1, words)).toBe(-Errno.EINVAL);
  });

  it("runs out of ports", () => {
    const { ports } = channels({ ports: 100 });
    for (let i = 1; i < 100; i++) expect(ports.bindIpi(0)).toBe(i);
    expect(ports.bindIpi(0)).toBe(-Errno.ENOSPC);
    expect(ports.allocUnbound(3, 0)).toBe(-Errno.ENOSPC);
    expect(ports.close(50)).toBe(0);
    expect(ports.bindIpi(0)).toBe(50);
    expect(ports.exists(100)).toBe(false);
    expect(ports.close(0)).toBe(-Errno.EINVAL);
    expect(() => channels({ ports: 2 ** 17 + 1 })).toThrow(RangeError);
  });

  it("closes", () => {
    const { memory, ports } = channels();
    const a = ports.allocUnbound(3, 3);
    const b = ports.bindInterdomain(3, a);
    expect(ports.close(b)).toBe(0);
    expect([bit(memory, PENDING, b), ports.close(b)]).toEqual([0, -Errno.EINVAL]);
    expect(statusOf(ports, a)).toEqual([1, 0, 3, 0]);
    expect(statusOf(ports, b)).toEqual([0, 0, 0, 0]);
    const timer = ports.bindVirq(VIRQ_DEBUG, 0);
    ports.close(timer);
    expect(ports.bindVirq(VIRQ_DEBUG, 0)).toBe(timer);
  });
});

describe("delivery", () => {
  it("sets pending, selector and upcall, once", () => {
    const { memory, ports } = channels();
    const upcalls: number[] = [];
    ports.events.onUpcall = (vcpu) => upcalls.push(vcpu);
    const fillers = Array.from({ length: 69 }, () => ports.bindIpi(0));
    const ipi = ports.bindIpi(1);
    expect([fillers.length, ipi]).toEqual([69, 70]);
    expect(ports.send(ipi)).toBe(0);
    const info = SHARED_INFO * 4096 + 64;
    expect(bit(memory, PENDING, ipi)).toBe(1);
    expect(memory.readU8(info)).toBe(1);
    expect(memory.readU32(info + 8)).toBe(2); // word 1 of the pending array
    expect(ports.send(ipi)).toBe(0);
    expect(upcalls).toEqual([1]);
    expect([ports.events.hasUpcall(0), ports.events.hasUpcall(1)]).toEqual([false, true]);
  });

  it("keeps a masked event until it is unmasked", () => {
    const { memory, ports } = channels();
    const ipi = ports.bindIpi(0);
    memory.writeU8(MASK, 1 << ipi);
    expect(ports.isMasked(ipi)).toBe(true);
    ports.send(ipi);
    expect([bit(memory, PENDING, ipi), ports.events.hasUpcall(0)]).toEqual([1, false]);
    expect(ports.unmask(ipi)).toBe(0);
    expect([memory.readU8(MASK), ports.events.hasUpcall(0)]).toEqual([0, true]);
    expect(ports.unmask(4096)).toBe(-Errno.EINVAL);
    expect(ports.unmask(5)).toBe(0); // a free port: nothing happens
  });

  it("drops what is sent on an unbound port and refuses others", () => {
    const { memory, ports } = channels();
    const unbound = ports.allocUnbound(3, 0);
    const timer = ports.bindVirq(VIRQ_TIMER, 0);
    expect([ports.send(unbound), bit(memory, PENDING, unbound)]).toEqual([0, 0]);
    for (const port of [0, timer, 50, 1024, -1, 2 ** 31 - 1]) expect(ports.send(port)).toBe(-Errno.EINVAL);
    ports.raiseVirq(VIRQ_TIMER, 0);
    ports.raiseVirq(VIRQ_TIMER, 1);
    expect(bit(memory, PENDING, timer)).toBe(1);
  });

  it("tells a backend", () => {
    const { ports } = channels();
    let told = 0;
    const port = ports.connectBackend(42, () => told++);
    expect(statusOf(ports, port)).toEqual([2, 0, 0, 42]);
    expect([ports.send(port), told]).toEqual([0, 1]);
    expect(ports.raise(port)).toBe(0);
    expect(ports.events.hasUpcall(0)).toBe(true);
    ports.close(port);
    expect([ports.send(port), told]).toEqual([-Errno.EINVAL, 1]);
  });

  it("uses the 32-bit layout once that is latched", () => {
    const { memory, ports } = channels();
    ports.events.latchLayout(true);
    for (let i = 0; i < 40; i++) ports.bindIpi(0);
    memory.writeU8(SHARED_INFO * 4096 + 2048 + 128 + (35 >>> 3), 1 << (35 & 7));
    ports.send(35);
    expect(ports.events.hasUpcall(0)).toBe(false);
    ports.send(34);
    expect(memory.readU32(SHARED_INFO * 4096 + 4)).toBe(2);
  });

  it("follows a vcpu_info that moved, with what was in it", () => {
    const { memory, ports } = channels();
    const ipi = ports.bindIpi(1);
    memory.writeU8(SHARED_INFO * 4096 + 64 + 1, 1);
    expect(ports.events.hasInitialVcpuInfo(1)).toBe(true);
    ports.events.moveVcpuInfo(1, 200, 128);
    expect(ports.events.hasInitialVcpuInfo(1)).toBe(false);
    expect([memory.readU8(200 * 4096 + 128), memory.readU8(200 * 4096 + 129)]).toEqual([1, 1]);
    memory.writeBytes(200 * 4096 + 128, new Uint8Array(16));
    ports.send(ipi);
    expect(memory.readU8(200 * 4096 + 128)).toBe(1);
    expect(memory.readU8(SHARED_INFO * 4096 + 64)).toBe(0);
  });

  it("touches the very lines, and few when the event is already pending", () => {
    const { memory, ports } = channels();
    const a = ports.allocUnbound(3, 3);
    const b = ports.bindInterdomain(3, a);
    const first = new RecordingCost(memory);
    ports.send(b, first);
    expect(first.stages).toEqual(["evtchn_2l_set_pending"]);
    const again = new RecordingCost(memory);
    ports.send(b, again);
    expect(again.stages).toEqual([]);
    expect(again.touched).toEqual([
      { frame: 16, offset: 64 * b, bytes: 64, write: true },
      { frame: 16, offset: 64 * a, bytes: 64, write: false },
      { frame: SHARED_INFO, offset: 2048, bytes: 1, write: true },
    ]);
  });
});

describe("any sequence of operations", () => {
  it("keeps the two ends of every connection pointing at each other", () => {
    const step = fc.tuple(fc.nat(7), fc.integer({ min: -2, max: 70 }), fc.integer({ min: -1, max: 25 }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { ports } = channels();
        const act = [
          (a: number) => ports.send(a),
          () => ports.allocUnbound(DOMID_SELF, DOMID_SELF),
          (a: number) => ports.bindInterdomain(DOMID_SELF, a),
          (a: number, b: number) => ports.bindVirq(b, a),
          (a: number) => ports.bindIpi(a),
          (a: number, b: number) => ports.bindVcpu(a, b),
          (a: number) => ports.close(a),
          (a: number) => ports.unmask(a),
        ];
        for (const [which, a, b] of steps) expect(act[which](a, b)).toBeGreaterThanOrEqual(-100);
        for (let port = 1; port < 64; port++) {
          const [state, , dom, remote] = statusOf(ports, port);
          if (state === 2) expect([dom, statusOf(ports, remote)[3]]).toEqual([3, port]);
        }
      }),
    );
  });
});
