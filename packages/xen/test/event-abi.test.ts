import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import { VIRQ_TIMER } from "../src/virq.ts";
import { EventDomain, must, sharedInfoBit } from "./event-domain.ts";

const MASKED = 2 ** 30;

/** What a guest does to the words of its ABI. */
interface GuestWords {
  readonly prepare: (domain: EventDomain) => void;
  readonly mask: (domain: EventDomain, port: number) => void;
  /** Takes every event that the vCPU was told of, lowest port first. */
  readonly take: (domain: EventDomain, vcpu: number) => number[];
}

const SELECTOR = 8; // in vcpu_info, 64-bit layout

const twoLevel: GuestWords = {
  prepare: () => {},
  mask({ memory }, port) {
    const { at, bit } = sharedInfoBit("mask", port);
    memory.writeU8(at, memory.readU8(at) | bit);
  },
  take(domain, vcpu) {
    const { memory } = domain;
    const selector = 8 * 4096 + 64 * vcpu + SELECTOR;
    const words = memory.readU8(selector);
    memory.writeU8(selector, 0);
    domain.clearUpcall(vcpu);
    const taken: number[] = [];
    for (let port = 1; port < 512; port++) {
      if ((words & (1 << (port >>> 6))) === 0) continue;
      const pending = sharedInfoBit("pending", port);
      const mask = sharedInfoBit("mask", port);
      if ((memory.readU8(pending.at) & pending.bit) === 0 || (memory.readU8(mask.at) & mask.bit) !== 0)
        continue;
      memory.writeU8(pending.at, memory.readU8(pending.at) & ~pending.bit);
      taken.push(port);
    }
    return taken;
  },
};

const fifo: GuestWords = {
  prepare: (domain) => domain.useFifo(),
  mask: (domain, port) => domain.setWord(port, domain.word(port) | MASKED),
  take(domain, vcpu) {
    const taken: number[] = [];
    domain.clearUpcall(vcpu);
    const ready = domain.ready(vcpu);
    domain.memory.writeU32(domain.controlAt(vcpu), 0);
    for (let priority = 0; priority < 16; priority++) {
      let port = (ready & (1 << priority)) !== 0 ? domain.head(vcpu, priority) : 0;
      while (port !== 0) {
        const word = domain.word(port);
        const isDue = word >>> 30 === 2; // PENDING and not MASKED
        domain.setWord(port, (word & (2 ** 30)) | (isDue ? 0 : word & (2 ** 31)));
        if (isDue) taken.push(port);
        port = word & 0x1ffff;
      }
    }
    return taken.sort((a, b) => a - b);
  },
};

describe.each([
  ["2-level", twoLevel],
  ["FIFO", fifo],
] as const)("events of the %s ABI", (_name, guest) => {
  function made() {
    const domain = new EventDomain();
    guest.prepare(domain);
    const take = (vcpu: number) => guest.take(domain, vcpu);
    return { domain, ports: domain.ports, take, mask: (port: number) => guest.mask(domain, port) };
  }

  it("reach the vCPU that the port notifies, once", () => {
    const { domain, ports, take } = made();
    const [first, second] = [must(ports.bindIpi(1)), must(ports.bindIpi(1))];
    for (const port of [second, first, second]) expect(ports.send(port)).toBe(0);
    expect([domain.upcalls, domain.polled]).toEqual([[1], [second, first]]);
    expect([ports.events.hasUpcall(0), ports.events.hasUpcall(1)]).toEqual([false, true]);
    expect([ports.isPending(first), ports.isMasked(first)]).toEqual([true, false]);
    expect([take(0), take(1), take(1)]).toEqual([[], [first, second], []]);
    expect(ports.isPending(first)).toBe(false);
    ports.send(first);
    expect([domain.upcalls, take(1)]).toEqual([[1, 1], [first]]);
  });

  it("wait while they are masked, and come with the unmasking", () => {
    const { domain, ports, take, mask } = made();
    const port = must(ports.bindIpi(0));
    mask(port);
    ports.send(port);
    expect([ports.isPending(port), ports.isMasked(port), domain.upcalls]).toEqual([true, true, []]);
    expect(domain.polled).toEqual([port]); // pollers are told all the same
    expect([take(0), ports.unmask(port)]).toEqual([[], 0]);
    expect([ports.isMasked(port), domain.upcalls, take(0)]).toEqual([false, [0], [port]]);
    mask(port);
    expect([ports.unmask(port), domain.upcalls, take(0)]).toEqual([0, [0], []]); // nothing was pending
  });

  it("are not taken while masked after they were sent", () => {
    const { ports, take, mask } = made();
    const port = must(ports.bindIpi(0));
    ports.send(port);
    mask(port);
    expect([take(0), ports.isPending(port)]).toEqual([[], true]);
    ports.unmask(port);
    expect(take(0)).toEqual([port]);
  });

  it("follow their port to another vCPU", () => {
    const { domain, ports, take } = made();
    const [port, remote] = domain.pair();
    take(0); // what binding sets
    expect(ports.bindVcpu(port, 1)).toBe(0);
    ports.send(remote);
    expect([take(0), take(1)]).toEqual([[], [port]]);
    expect(ports.bindVcpu(port, 0)).toBe(0);
    ports.send(remote);
    expect([take(0), take(1), domain.upcalls]).toEqual([[port], [], [0, 1, 0]]);
  });

  it("come from a new connection, backends and VIRQs", () => {
    const { domain, ports, take } = made();
    const [port, remote] = domain.pair();
    expect([port, take(0)]).toEqual([1, [remote]]);
    const backend = ports.connectBackend(9, () => {});
    const timer = must(ports.bindVirq(VIRQ_TIMER, 1));
    ports.raiseVirq(VIRQ_TIMER, 1);
    ports.raiseVirq(VIRQ_TIMER, 0);
    expect([take(0), take(1)]).toEqual([[], [timer]]);
    ports.raise(backend);
    expect([take(1), take(0)]).toEqual([[], [backend]]);
  });

  it("end with their port", () => {
    const { ports, take } = made();
    const port = must(ports.bindIpi(0));
    ports.send(port);
    expect(ports.close(port)).toBe(0);
    expect([ports.isPending(port), take(0)]).toEqual([false, []]);
    expect([ports.send(port), ports.raise(port), ports.unmask(port)]).toEqual([
      -Errno.EINVAL,
      -Errno.EINVAL,
      0,
    ]);
    expect(ports.bindIpi(1)).toBe(port);
    ports.send(port);
    expect([take(0), take(1)]).toEqual([[], [port]]);
  });

  it("tell a vcpu_info that moved", () => {
    const { domain, ports, take } = made();
    const port = must(ports.bindIpi(1));
    ports.events.moveVcpuInfo(1, 0x210, 128);
    expect(domain.upcalls).toEqual([1]); // spurious, for what may have gone to the old place
    domain.memory.writeBytes(0x210 * 4096 + 128, new Uint8Array(16));
    ports.send(port);
    expect([domain.upcalls, domain.memory.readU8(0x210 * 4096 + 128)]).toEqual([[1, 1], 1]);
    expect(take(0)).toEqual([]);
  });

  it("come in the 32-bit layout, too", () => {
    const { domain, ports } = made();
    ports.events.latchLayout(true);
    for (let i = 1; i <= 40; i++) must(ports.bindIpi(1));
    ports.send(40);
    expect([domain.upcalls, ports.isPending(40), ports.isMasked(40)]).toEqual([[1], true, false]);
  });

  it("are the same after saving and restoring", () => {
    const { domain, ports, take, mask } = made();
    const [a, b] = [must(ports.bindIpi(0)), must(ports.bindIpi(0))];
    mask(b);
    ports.send(a);
    ports.send(b);
    const saved = structuredClone(ports.snapshot());
    ports.unmask(b);
    take(0);
    must(ports.reset(0x7ff0, domain, () => {}));
    ports.restore(saved);
    expect(ports.snapshot()).toEqual(saved);
    guest.mask(domain, a);
    expect(ports.isMasked(a)).toBe(true); // in the words of the ABI that was in force
  });
});
