import { epyc9124 } from "@hyperwalk/cpu";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { Errno } from "../src/errno.ts";
import { VIRQ_TIMER } from "../src/virq.ts";
import { createXenSystem } from "../src/xen.ts";
import { elfImage } from "./elf-image.ts";
import {
  CONTROL_GFN,
  DEVICE_GFN,
  EventDomain,
  FIRST_ARRAY_GFN,
  must,
  SHARED_INFO,
  sharedInfoBit,
} from "./event-domain.ts";
import { FifoGuest, QueueModel } from "./fifo-guest.ts";
import { RecordingCost } from "./xen-memory.ts";

vi.setConfig({ testTimeout: 60_000 }); // however slow the host

const PENDING = 2 ** 31;
const MASKED = 2 ** 30;
const LINKED = 2 ** 29;
const BUSY = 2 ** 28;

/** Ports that vCPU 0 sends to, some of them to vCPU 1. */
function domainWithFifo(ipis: readonly number[] = [0, 0, 0, 1], pages = 1) {
  const domain = new EventDomain();
  domain.useFifo(pages);
  return { domain, ports: domain.ports, ipis: ipis.map((vcpu) => must(domain.ports.bindIpi(vcpu))) };
}

describe("a queue", () => {
  it("is linked in the order of sending, and tells the vCPU once", () => {
    const { domain, ports, ipis } = domainWithFifo();
    const [a, b, c, other] = ipis;
    for (const port of [b, a, c, b, other]) expect(ports.send(port)).toBe(0);
    expect([domain.word(b), domain.word(a), domain.word(c)]).toEqual([
      PENDING + LINKED + a,
      PENDING + LINKED + c,
      PENDING + LINKED,
    ]);
    expect([domain.ready(0), domain.head(0, 7)]).toEqual([1 << 7, b]);
    expect([domain.ready(1), domain.head(1, 7)]).toEqual([1 << 7, other]);
    expect(domain.upcalls).toEqual([0, 1]);
    expect(domain.polled).toEqual([b, a, c, other]);
  });

  it("starts anew behind a tail that the guest has taken out", () => {
    const { domain, ports, ipis } = domainWithFifo();
    const [a, b, c] = ipis;
    ports.send(a);
    ports.send(b);
    const guest = new FifoGuest(domain, 0);
    expect([guest.consume(), guest.consume(), guest.consume()]).toEqual([a, b, -1]);
    ports.send(c);
    expect([domain.word(b), domain.head(0, 7), domain.ready(0)]).toEqual([0, c, 1 << 7]);
    // the tail itself again: it must not be linked to itself
    guest.consume();
    ports.send(c);
    expect([domain.word(c), domain.head(0, 7)]).toEqual([PENDING + LINKED, c]);
  });

  it("is appended to while the guest is halfway through it", () => {
    const { domain, ports, ipis } = domainWithFifo();
    const [a, b, c] = ipis;
    ports.send(a);
    ports.send(b);
    const guest = new FifoGuest(domain, 0);
    expect(guest.consume()).toBe(a);
    ports.send(c);
    ports.send(a);
    expect(domain.head(0, 7)).toBe(a); // still the old one: the guest follows its links
    expect(domain.ready(0)).toBe(0);
    expect([guest.consume(), guest.consume(), guest.consume(), guest.consume()]).toEqual([b, c, a, -1]);
  });

  it("is left by an event that changes its priority only with its next event", () => {
    const { domain, ports, ipis } = domainWithFifo();
    const [a, b] = ipis;
    ports.send(a);
    expect(ports.setPriority(a, 0)).toBe(0);
    ports.send(a);
    expect([domain.ready(0), domain.head(0, 0)]).toEqual([1 << 7, 0]);
    const guest = new FifoGuest(domain, 0);
    guest.consume();
    ports.send(b);
    ports.send(a);
    expect([domain.ready(0), domain.head(0, 0), domain.head(0, 7)]).toEqual([(1 << 7) | 1, a, b]);
    expect([guest.consume(), guest.consume()]).toEqual([a, b]);
  });

  it("does not go on behind a port that went from its end to another queue", () => {
    const { domain, ports, ipis } = domainWithFifo();
    const [a, b] = ipis;
    const guest = new FifoGuest(domain, 0);
    ports.send(a);
    guest.consume(); // a is the tail of queue 7 as far as Xen knows
    ports.setPriority(a, 3);
    ports.send(a); // and linked again, but to queue 3
    ports.send(b);
    expect([domain.word(a), domain.head(0, 7)]).toEqual([PENDING + LINKED, b]);
    expect([guest.consume(), guest.consume(), guest.consume()]).toEqual([a, b, -1]);
  });

  it("moves with the port to another vCPU", () => {
    const domain = new EventDomain();
    domain.useFifo();
    const [port, remote] = domain.pair();
    const guests = [0, 1].map((vcpu) => new FifoGuest(domain, vcpu));
    while (guests[0].consume() >= 0);
    domain.ports.send(remote);
    expect(domain.ports.bindVcpu(port, 1)).toBe(0);
    domain.ports.send(remote);
    expect([domain.ready(0), domain.ready(1)]).toEqual([1 << 7, 0]);
    expect(guests[0].consume()).toBe(port);
    domain.ports.send(remote);
    expect([domain.ready(0), domain.ready(1), domain.head(1, 7)]).toEqual([0, 1 << 7, port]);
    expect([guests[0].consume(), guests[1].consume()]).toEqual([-1, port]);
  });

  it("keeps a closed port from being given out until the guest has taken it out", () => {
    const { domain, ports, ipis } = domainWithFifo();
    const [a] = ipis;
    ports.setPriority(a, 2);
    ports.send(a);
    expect(ports.close(a)).toBe(0);
    expect(domain.word(a)).toBe(LINKED);
    expect(ports.bindIpi(0)).toBe(5);
    expect(new FifoGuest(domain, 0).consume()).toBe(0);
    expect(ports.bindIpi(0)).toBe(a);
    ports.send(a);
    expect(domain.ready(0)).toBe(1 << 7); // the default priority again
  });

  it("does not tell a vCPU that has not seen its READY bit yet", () => {
    const { domain, ports, ipis } = domainWithFifo();
    domain.memory.writeU32(domain.controlAt(0), 1 << 7);
    ports.send(ipis[0]);
    expect([domain.head(0, 7), domain.upcalls]).toEqual([ipis[0], []]);
    ports.setPriority(ipis[1], 8);
    ports.send(ipis[1]);
    expect([domain.ready(0), domain.upcalls]).toEqual([3 << 7, [0]]);
  });

  it("clears BUSY and whatever the guest wrote to LINK", () => {
    const { domain, ports, ipis } = domainWithFifo();
    const [a, b] = ipis;
    ports.send(a);
    domain.setWord(a, PENDING + LINKED + BUSY + 0x1ffff);
    ports.send(b);
    expect(domain.word(a)).toBe(PENDING + LINKED + b);
  });
});

describe("the change from the 2-level ABI", () => {
  it("keeps what was pending until its event word is there", () => {
    const domain = new EventDomain();
    const { ports } = domain;
    const [a, b] = [must(ports.bindIpi(0)), must(ports.bindIpi(1))];
    ports.send(b);
    domain.useFifo(0);
    expect([ports.isPending(b), ports.isMasked(b)]).toEqual([false, true]);
    ports.send(a);
    expect(ports.unmask(a)).toBe(0);
    expect(domain.ready(0)).toBe(0);
    expect(ports.expandArray(FIRST_ARRAY_GFN, domain)).toBe(0);
    expect([domain.ready(0), domain.head(0, 7), domain.head(1, 7)]).toEqual([1 << 7, a, b]);
  });

  it("does not clear the guest's words, which may be masked", () => {
    const domain = new EventDomain();
    const { ports } = domain;
    const port = must(ports.bindIpi(0));
    ports.send(port);
    domain.setWord(port, MASKED);
    domain.useFifo();
    expect([domain.word(port), domain.ready(0)]).toEqual([PENDING + MASKED, 0]);
    new FifoGuest(domain, 0).unmask(port);
    expect([domain.word(port), domain.ready(0)]).toEqual([PENDING + LINKED, 1 << 7]);
  });

  it("drops events for a vCPU without a control block", () => {
    const domain = new EventDomain();
    const { ports } = domain;
    must(ports.initControl(0, CONTROL_GFN, 0, domain));
    must(ports.expandArray(FIRST_ARRAY_GFN, domain));
    const port = must(ports.bindIpi(1));
    expect([ports.send(port), domain.word(port), domain.upcalls]).toEqual([0, 0, []]);
    must(ports.initControl(1, CONTROL_GFN, 72, domain));
    expect([ports.send(port), domain.word(port), domain.upcalls]).toEqual([0, PENDING + LINKED, [1]]);
  });

  it("does not happen when the first control block is refused", () => {
    const domain = new EventDomain();
    const { ports } = domain;
    const refused = (gfn: number, offset: number, vcpu = 0) =>
      expect([ports.initControl(vcpu, gfn, offset, domain), ports.expandArray(2, domain)]).toEqual([
        vcpu < 2 ? -Errno.EINVAL : -Errno.ENOENT,
        -Errno.EOPNOTSUPP,
      ]);
    refused(64, 0);
    refused(DEVICE_GFN, 0);
    refused(CONTROL_GFN, 4028);
    refused(CONTROL_GFN, 4032);
    refused(CONTROL_GFN, 4);
    refused(CONTROL_GFN, 0, 2);
    expect(domain.referenced).toBe(0);
    const port = must(ports.bindIpi(0));
    ports.send(port);
    const { at, bit } = sharedInfoBit("pending", port);
    expect(domain.memory.readU8(at) & bit).toBe(bit);
  });

  it("is undone by a reset, which closes every port and lets go of the guest's pages", () => {
    const { domain, ports } = domainWithFifo([0, 1], 3);
    must(ports.bindVirq(VIRQ_TIMER, 0));
    domain.pair();
    expect(domain.referenced).toBe(5);
    let closed = 0;
    expect(ports.reset(0x7ff0, domain, () => closed++)).toBe(0);
    expect([closed, domain.referenced]).toEqual([5, 0]);
    expect(ports.expandArray(2, domain)).toBe(-Errno.EOPNOTSUPP);
    const port = must(ports.bindVirq(VIRQ_TIMER, 0));
    expect(port).toBe(1);
    ports.raiseVirq(VIRQ_TIMER, 0);
    const { at, bit } = sharedInfoBit("pending", port);
    expect(domain.memory.readU8(at) & bit).toBe(bit);
    // and once more, with empty queues in the same pages
    domain.memory.writeBytes(domain.wordAt(0), new Uint8Array(4096));
    domain.memory.writeBytes(domain.controlAt(0), new Uint8Array(4096));
    domain.useFifo();
    expect([domain.ready(0), domain.head(0, 7), domain.word(port)]).toEqual([1 << 7, port, PENDING + LINKED]);
  });
});

describe("the number of ports", () => {
  it("is 4096 on the 2-level ABI, 1024 for 32-bit guests, 2^17 with FIFO, each at most what the domain may have", () => {
    const available = (ports: number, prepare: (domain: EventDomain) => void) => {
      const domain = new EventDomain({ ports });
      prepare(domain);
      let bound = 1;
      while (domain.ports.bindIpi(0) > 0) bound++;
      return bound;
    };
    expect(available(5000, () => {})).toBe(4096);
    expect(available(5000, ({ ports }) => ports.events.latchLayout(true))).toBe(1024);
    expect(available(5000, (domain) => domain.useFifo())).toBe(5000);
    expect(available(1024, (domain) => domain.useFifo())).toBe(1024);
    expect(available(2 ** 17, (domain) => domain.useFifo())).toBe(2 ** 17);
  });

  it("is in a domain's configuration", () => {
    const bound = (maxEventChannels?: number) => {
      const image = elfImage({ bits: 64, segments: [{ address: 0x100000, bytes: 64 }] });
      const domain = { image, memoryBytes: 8 * 2 ** 20, abi: "linear", maxEventChannels } as const;
      const { eventChannels } = createXenSystem({ profile: epyc9124, domain }).domain;
      let last = 2; // the toolstack's
      while (eventChannels.bindIpi(0) > 0) last++;
      return last;
    };
    expect([bound(2), bound(5), bound(), bound(4096)]).toEqual([2, 5, 1023, 4095]);
  });

  it("needs pages of event words, up to 128", () => {
    const domain = new EventDomain({ ports: 2 ** 17 });
    const { ports } = domain;
    domain.useFifo(2);
    for (let port = 1; port < 3000; port++) must(ports.bindIpi(0));
    for (const port of [2047, 2048, 2999]) ports.send(port);
    expect([domain.word(2047), domain.head(0, 7)]).toEqual([PENDING + LINKED, 2047]);
    expect(ports.expandArray(64, domain)).toBe(-Errno.EINVAL);
    expect(ports.expandArray(DEVICE_GFN, domain)).toBe(-Errno.EINVAL);
    for (let page = 2; page < 128; page++) must(ports.expandArray(FIRST_ARRAY_GFN + (page & 15), domain));
    expect(domain.word(2047)).toBe(PENDING + LINKED + 2048);
    expect([domain.word(2048), domain.word(2999)]).toEqual([PENDING + LINKED + 2999, PENDING + LINKED]);
    expect(ports.expandArray(FIRST_ARRAY_GFN, domain)).toBe(-Errno.ENOSPC);
    expect(domain.referenced).toBe(2 + 128);
  });
});

describe("what it costs", () => {
  it("is more locks and lines than the 2-level ABI, and less when nothing is new", () => {
    const { domain, ports, ipis } = domainWithFifo();
    const send = (port: number) => {
      const cost = new RecordingCost(domain.memory);
      ports.send(port, cost);
      return cost;
    };
    const name = (part: string) => `evtchn_fifo_set_pending (${part})`;
    const base = "evtchn_fifo_set_pending";
    expect(send(ipis[0]).stages).toEqual([base, name("two queues"), name("append"), name("ready")]);
    expect(send(ipis[0]).stages).toEqual([base]);
    const second = send(ipis[1]);
    expect(second.stages).toEqual([base, name("two queues"), name("append"), "evtchn_fifo_set_link"]);
    const written = second.touched.filter(({ write, frame }) => write && frame >= 0x200);
    expect(written).toEqual([
      { frame: 0x202, offset: 4 * ipis[1], bytes: 4, write: true },
      { frame: 0x202, offset: 4 * ipis[0], bytes: 4, write: true },
    ]);
  });
});

/** shared_info, Xen's heap, and the guest's control blocks and event words. */
const FRAMES = [SHARED_INFO, 16, 17, 18, 0x201, 0x202];

const sameBytes = (a: Uint8Array, b: Uint8Array) => a.every((byte, i) => byte === b[i]);

type Step = readonly [kind: number, port: number, value: number];
const steps = fc.array(fc.tuple(fc.nat(9), fc.nat(7), fc.nat(31)) as fc.Arbitrary<Step>, {
  minLength: 1,
  maxLength: 120,
});

describe("any sequence of what Xen and a guest do", () => {
  it("delivers the events that simple lists deliver, in their order", () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const domain = new EventDomain();
        domain.useFifo();
        const { ports } = domain;
        const model = new QueueModel();
        const guests = [0, 1].map((vcpu) => new FifoGuest(domain, vcpu));
        const pairs = Array.from({ length: 8 }, () => domain.pair());
        for (const [port, remote] of pairs) {
          model.add(remote, 0);
          model.raise(remote); // binding does that
          model.add(port, 0);
        }
        const act: ((port: number, remote: number, value: number) => void)[] = [
          (port, remote) => {
            ports.send(remote);
            model.raise(port);
          },
          (port) => {
            ports.raise(port);
            model.raise(port);
          },
          (port) => {
            guests[0].mask(port);
            model.events.get(port)!.masked = true;
          },
          (port) => {
            guests[0].unmask(port);
            model.unmask(port);
          },
          (port, _, value) => {
            must(ports.setPriority(port, value & 15));
            model.events.get(port)!.priority = value & 15;
          },
          (port, _, value) => {
            must(ports.bindVcpu(port, value & 1));
            model.events.get(port)!.vcpu = value & 1;
          },
          (_port, _remote, value) => expect(guests[value & 1].consume()).toBe(model.consume(value & 1)),
          (_port, _remote, value) => {
            for (let i = 0; i < value; i++) expect(guests[0].consume()).toBe(model.consume(0));
          },
          (port) => {
            ports.unmask(port);
            model.unmask(port);
          },
          (port) => {
            // a guest that polls clears PENDING by itself
            domain.setWord(port, domain.word(port) & ~PENDING);
            model.events.get(port)!.pending = false;
          },
        ];
        for (const [kind, which, value] of sequence) {
          act[kind](...pairs[which], value);
          const seen = [...model.events.keys()].map((port) => [
            ports.isPending(port),
            ports.isMasked(port),
            (domain.word(port) & LINKED) !== 0,
          ]);
          expect(seen).toEqual([...model.events.values()].map((e) => [e.pending, e.masked, e.linked]));
        }
        for (const vcpu of [0, 1])
          for (let last = 0; last !== -1; ) {
            last = guests[vcpu].consume();
            expect(last).toBe(model.consume(vcpu));
          }
        for (const [port, { pending, masked }] of model.events) {
          if (pending && masked) guests[0].unmask(port);
          expect(ports.isPending(port)).toBe(pending); // lost is none
        }
      }),
      { numRuns: 120 },
    );
  });

  it("goes on the same after it was saved and restored at any point", () => {
    fc.assert(
      fc.property(steps, fc.nat(), (sequence, seed) => {
        const made = () => {
          const domain = new EventDomain();
          domain.useFifo();
          const ports = Array.from({ length: 8 }, (_, i) => must(domain.ports.bindIpi(i & 1)));
          return { domain, ports, guests: [0, 1].map((vcpu) => new FifoGuest(domain, vcpu)) };
        };
        const act = ({ domain, ports, guests }: ReturnType<typeof made>, [kind, which, value]: Step) => {
          if (kind < 4) domain.ports.send(ports[which]);
          else if (kind < 6) domain.ports.setPriority(ports[which], value & 15);
          else guests[value & 1].consume();
        };
        const straight = made();
        const cut = seed % sequence.length;
        for (const step of sequence.slice(0, cut)) act(straight, step);
        const snapshot = structuredClone(straight.domain.ports.snapshot());
        const other = made();
        for (const step of sequence) act(other, step); // leaves other state behind
        for (const frame of FRAMES)
          other.domain.memory.writeBytes(frame * 4096, straight.domain.memory.readBytes(frame * 4096, 4096));
        other.domain.ports.restore(snapshot);
        expect(other.domain.ports.snapshot()).toEqual(snapshot);
        other.guests.forEach((guest, i) => {
          Object.assign(guest, structuredClone({ ...straight.guests[i], domain: undefined }), {
            domain: other.domain,
          });
        });
        for (const step of sequence.slice(cut)) {
          act(straight, step);
          act(other, step);
        }
        for (const frame of FRAMES) {
          const expected = straight.domain.memory.readBytes(frame * 4096, 4096);
          expect(sameBytes(other.domain.memory.readBytes(frame * 4096, 4096), expected)).toBe(true);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("is not restored from what cannot be", () => {
    const { ports } = domainWithFifo();
    const whole = ports.snapshot();
    const { fifo } = whole;
    const { length } = fifo.controlFrame;
    const wrong: Partial<typeof fifo>[] = [
      { pageCount: 129 },
      { pageCount: 0.5 },
      { pageCount: -1 },
      { pageCount: 2, pages: new Int32Array(128).fill(2 ** 28) },
      { enabled: false },
      { heap: new Int32Array(fifo.heap.length).fill(-5) },
      { controlFrame: new Int32Array(length).fill(-2) },
      { controlOffset: new Int32Array(length).fill(4032) },
      { controlOffset: new Int32Array(length).fill(4) },
    ];
    for (const part of wrong)
      expect(() => ports.restore({ ...whole, fifo: { ...fifo, ...part } })).toThrow(RangeError);
  });

  it("stays within its pages and ends, whatever a guest writes to them meanwhile", () => {
    const scribble = fc.record({
      gfn: fc.nat(4),
      at: fc.oneof(fc.nat(40), fc.nat(1023)),
      value: fc.oneof(
        fc.integer(),
        fc.nat(64).map((port) => LINKED + BUSY + port - 2 ** 32),
      ),
    });
    const ops = fc.tuple(fc.nat(9), fc.integer({ min: -1, max: 70 }), fc.integer({ min: -1, max: 17 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(scribble, ops), { maxLength: 80 }), (sequence) => {
        const domain = new EventDomain();
        const { ports, memory } = domain;
        const guard = new Uint8Array(4096).fill(0xa5);
        for (const frame of [0x1ff, 0x205, 0x206]) memory.writeBytes(frame * 4096, guard);
        for (let i = 0; i < 20; i++) must(ports.bindIpi(i & 1));
        const cost = new RecordingCost(memory);
        const act: ((a: number, b: number) => number)[] = [
          (a) => ports.send(a, cost),
          (a) => ports.raise(a, cost),
          (a) => ports.unmask(a, cost),
          (a, b) => ports.setPriority(a, b, cost),
          (a, b) => ports.bindVcpu(a, b, cost),
          (a) => ports.close(a, cost),
          (a) => ports.bindIpi(a & 1, cost),
          (a, b) => ports.initControl(b, a & 3, (a & 63) * 8, domain, cost),
          (a) => ports.expandArray(a & 7 ? 64 : 1 + (a & 3), domain, cost),
          (a) => (a === 70 ? ports.reset(0x7ff0, domain, () => {}, cost) : 0),
        ];
        for (const [{ gfn, at, value }, [kind, a, b]] of sequence) {
          memory.writeU32((0x200 + gfn) * 4096 + 4 * at, value >>> 0);
          const before = cost.touched.length;
          expect(act[kind](a, b)).toBeGreaterThanOrEqual(-100);
          expect(cost.touched.length - before).toBeLessThan(2000);
        }
        for (const frame of [0x1ff, 0x205, 0x206])
          expect(sameBytes(memory.readBytes(frame * 4096, 4096), guard)).toBe(true);
        must(ports.reset(0x7ff0, domain, () => {}));
        expect(domain.referenced).toBe(0);
        expect(memory.readU8(SHARED_INFO * 4096 + 2 * 64)).toBe(0); // no vCPU 2
      }),
      { numRuns: 80 },
    );
  });
});
