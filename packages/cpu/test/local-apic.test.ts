import {
  ApicBase,
  DeliveryMode,
  LocalApic,
  type LocalApicHost,
  ApicRegister as R,
  routeCommand,
} from "@hyperwalk/cpu";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const BASE = 0xfee00000 | 0;
const TICKS_PER_COUNT = 100;

class Host implements LocalApicHost {
  now = 0;
  priority = 0;
  readonly signals: [number, number][] = [];
  timeOfTimestamp(cycles: number): number {
    return cycles * 256;
  }
  interruptMayBeDue(): void {}
  timerChanged(): void {}
  taskPriorityChanged(priority: number): void {
    this.priority = priority;
  }
  signal(mode: number, vector: number): void {
    this.signals.push([mode, vector]);
  }
}

function apic(id = 0): { apic: LocalApic; host: Host } {
  const host = new Host();
  const local = new LocalApic(host, {
    id,
    bootstrap: id === 0,
    physicalAddressBits: 46,
    x2apic: true,
    tscDeadline: true,
    ticksPerCount: TICKS_PER_COUNT,
  });
  return { apic: local, host };
}

function enabled(id = 0): { apic: LocalApic; host: Host } {
  const made = apic(id);
  made.apic.store(R.SpuriousVector, 4, 0x1ff);
  return made;
}

function x2apic(id = 0): { apic: LocalApic; host: Host } {
  const made = enabled(id);
  expect(made.apic.writeBase(BASE | ApicBase.Enabled | ApicBase.Extended, 0)).toBe(true);
  return made;
}

describe("local APIC after reset", () => {
  it("is enabled at its usual place, with every local source masked and no fixed interrupt accepted", () => {
    const { apic: a } = apic();
    expect(a.base).toEqual([BASE | 0x900, 0]);
    expect(a.pageFrame).toBe(0xfee00);
    expect(a.load(R.Version, 4)).toBe(0x50014);
    expect(a.load(R.SpuriousVector, 4)).toBe(0xff);
    expect(a.load(R.DestinationFormat, 4)).toBe(-1);
    for (let lvt = R.LvtTimer; lvt <= R.LvtError; lvt += 16) expect(a.load(lvt, 4)).toBe(0x10000);
    a.accept(DeliveryMode.Fixed, 0x40, false);
    a.store(R.SpuriousVector, 4, 0x1ff);
    expect(a.pending).toBe(-1);
  });

  it("keeps its LVT masked until software enables it", () => {
    const { apic: a } = apic();
    a.store(R.LvtTimer, 4, 0x40);
    expect(a.load(R.LvtTimer, 4)).toBe(0x10040);
    a.store(R.SpuriousVector, 4, 0x1ff);
    a.store(R.LvtTimer, 4, 0x40);
    expect(a.load(R.LvtTimer, 4)).toBe(0x40);
    a.store(R.SpuriousVector, 4, 0xff);
    expect(a.load(R.LvtTimer, 4)).toBe(0x10040);
  });
});

describe("acceptance and priority", () => {
  it("serves the highest class first, and a lower one after EOI", () => {
    const { apic: a } = enabled();
    for (const vector of [0x31, 0x72, 0x75, 0x20]) a.accept(DeliveryMode.Fixed, vector, false);
    const served: number[] = [];
    for (let vector = a.acknowledge(); vector >= 0; vector = a.acknowledge()) {
      served.push(vector);
      expect(a.processorPriority).toBe(vector & 0xf0);
      a.store(R.Eoi, 4, 0);
    }
    expect(served).toEqual([0x75, 0x72, 0x31, 0x20]);
  });

  it("nests: a higher class interrupts the one in service, the same class waits", () => {
    const { apic: a } = enabled();
    a.accept(DeliveryMode.Fixed, 0x41, false);
    expect(a.acknowledge()).toBe(0x41);
    a.accept(DeliveryMode.Fixed, 0x4f, false);
    expect(a.pending).toBe(-1);
    a.accept(DeliveryMode.Fixed, 0x50, false);
    expect(a.acknowledge()).toBe(0x50);
    expect(a.load(R.InService + 0x20, 4)).toBe((1 << 1) | (1 << 16));
    a.store(R.Eoi, 4, 0); // of 50h
    expect(a.pending).toBe(-1);
    a.store(R.Eoi, 4, 0);
    expect(a.pending).toBe(0x4f);
  });

  it("holds classes up to the task priority back", () => {
    const { apic: a, host } = enabled();
    a.accept(DeliveryMode.Fixed, 0x5f, false);
    a.store(R.TaskPriority, 4, 0x50);
    expect([a.pending, host.priority]).toEqual([-1, 5]);
    a.taskPriority = 0x4f;
    expect(a.pending).toBe(0x5f);
  });

  it("takes the higher of task priority and what is in service, for any sequence", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("accept"), value: fc.integer({ min: 16, max: 255 }) }),
      fc.record({ kind: fc.constant("tpr"), value: fc.integer({ min: 0, max: 255 }) }),
      fc.record({ kind: fc.constantFrom("take", "eoi"), value: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { apic: a } = enabled();
        const requested = new Set<number>();
        const service: number[] = [];
        let tpr = 0;
        for (const { kind, value } of steps) {
          if (kind === "accept") {
            a.accept(DeliveryMode.Fixed, value, false);
            requested.add(value);
          } else if (kind === "tpr") {
            tpr = value;
            a.store(R.TaskPriority, 4, tpr);
          } else if (kind === "eoi") {
            a.store(R.Eoi, 4, 0);
            service.sort((x, y) => x - y).pop();
          } else {
            const best = Math.max(-1, ...requested);
            const floor = Math.max(tpr >> 4, ...service.map((v) => v >> 4));
            const expected = best >> 4 > floor ? best : -1;
            expect(a.acknowledge()).toBe(expected);
            if (expected >= 0) {
              requested.delete(expected);
              service.push(expected);
            }
          }
        }
      }),
    );
  });

  it("tells I/O APICs of the EOI of level-triggered vectors only", () => {
    const { apic: a } = enabled();
    const told: number[] = [];
    a.onLevelEoi = (vector) => told.push(vector);
    for (const [vector, level] of [
      [0x50, true],
      [0x60, false],
    ] as const) {
      a.accept(DeliveryMode.Fixed, vector, level);
      a.acknowledge();
      a.store(R.Eoi, 4, 0);
    }
    expect(told).toEqual([0x50]);
  });

  it("hands NMI, INIT and SIPI on even while software has it disabled", () => {
    const { apic: a, host } = apic();
    a.accept(DeliveryMode.Nmi, 0, false);
    a.accept(DeliveryMode.StartUp, 0x9a, false);
    expect(host.signals).toEqual([
      [DeliveryMode.Nmi, 0],
      [DeliveryMode.StartUp, 0x9a],
    ]);
  });
});

describe("errors", () => {
  it("are latched by a write to the ESR and raise the error vector once", () => {
    const { apic: a } = enabled();
    a.store(R.LvtError, 4, 0xe0);
    a.accept(DeliveryMode.Fixed, 5, false);
    a.load(0x3d0, 4); // reserved
    expect(a.load(R.ErrorStatus, 4)).toBe(0);
    a.store(R.ErrorStatus, 4, 0);
    expect(a.load(R.ErrorStatus, 4)).toBe(0xc0);
    a.store(R.ErrorStatus, 4, 0);
    expect(a.load(R.ErrorStatus, 4)).toBe(0);
    expect(a.acknowledge()).toBe(0xe0);
  });

  it("report a command with an illegal vector to the sender", () => {
    const { apic: a } = enabled();
    a.store(R.InterruptCommand, 4, 0x40000 | 7);
    a.store(R.ErrorStatus, 4, 0);
    expect(a.load(R.ErrorStatus, 4)).toBe(0x20);
  });
});

describe("IA32_APIC_BASE", () => {
  it("goes from xAPIC to x2APIC to disabled and back, no other way", () => {
    const XAPIC = BASE | ApicBase.Enabled;
    const X2APIC = XAPIC | ApicBase.Extended;
    const { apic: a } = apic();
    expect(a.writeBase(BASE | ApicBase.Extended, 0)).toBe(false);
    expect(a.writeBase(X2APIC, 0)).toBe(true);
    expect(a.pageFrame).toBe(-1);
    expect(a.writeBase(XAPIC, 0)).toBe(false);
    expect(a.writeBase(BASE, 0)).toBe(true);
    expect(a.writeBase(X2APIC, 0)).toBe(false);
    expect(a.writeBase(XAPIC, 0)).toBe(true);
  });

  it("refuses reserved bits and addresses beyond MAXPHYADDR, and moves the page", () => {
    const { apic: a } = apic();
    expect(a.writeBase(BASE | 0x900 | 1, 0)).toBe(false);
    expect(a.writeBase(BASE | 0x900, 1 << 14)).toBe(false);
    expect(a.writeBase(0x12345900, 3)).toBe(true);
    expect(a.pageFrame).toBe(0x312345);
  });

  it("loses its registers when disabled", () => {
    const { apic: a } = enabled();
    a.store(R.LvtLint0, 4, 0x700);
    a.writeBase(BASE, 0);
    a.writeBase(BASE | 0x800, 0);
    expect(a.load(R.LvtLint0, 4)).toBe(0x10000);
    expect(a.load(R.SpuriousVector, 4)).toBe(0xff);
  });
});

describe("x2APIC registers", () => {
  it("show a 32-bit ID and the logical ID that follows from it", () => {
    const { apic: a } = x2apic(0x25);
    expect(a.readMsr(0x802)).toEqual([0x25, 0]);
    expect(a.readMsr(0x80d)).toEqual([(2 << 16) | (1 << 5), 0]);
  });

  it("#GP where the manual says so", () => {
    const { apic: a } = x2apic();
    for (const msr of [0x80b, 0x80e, 0x831, 0x83f, 0x809, 0x80c, 0x804, 0x8ff])
      expect(a.readMsr(msr)?.[0] ?? "#GP", msr.toString(16)).toBe(msr === 0x83f ? 0 : "#GP");
    for (const [msr, lo, hi] of [
      [0x802, 0, 0],
      [0x803, 0, 0],
      [0x80b, 1, 0],
      [0x828, 1, 0],
      [0x808, 0x100, 0],
      [0x808, 0, 1],
      [0x830, 1 << 20, 0],
      [0x80d, 0, 0],
      [0x839, 0, 0],
      [0x83e, 0x10, 0],
    ] as const)
      expect(a.writeMsr(msr, lo, hi), msr.toString(16)).toBe(false);
    expect(a.writeMsr(0x80b, 0, 0)).toBe(true);
    expect(a.writeMsr(0x828, 0, 0)).toBe(true);
  });

  it("are not there in xAPIC mode", () => {
    const { apic: a } = enabled();
    expect(a.readMsr(0x802)).toBeUndefined();
    expect(a.writeMsr(0x80b, 0, 0)).toBe(false);
  });

  it("send to a 32-bit destination, and to oneself", () => {
    const { apic: a } = x2apic(3);
    expect(a.writeMsr(0x83f, 0x55, 0)).toBe(true);
    expect(a.acknowledge()).toBe(0x55);
    a.writeMsr(0x80b, 0, 0);
    expect(a.writeMsr(0x830, 0x66, 3)).toBe(true);
    expect(a.acknowledge()).toBe(0x66);
    expect(a.readMsr(0x830)).toEqual([0x66, 3]);
  });
});

describe("destinations of interrupt commands", () => {
  function machine(count: number): LocalApic[] {
    return Array.from({ length: count }, (_, i) => enabled(i).apic);
  }
  function targets(members: LocalApic[], lo: number, destination: number): number[] {
    const found: number[] = [];
    routeCommand(members, members[0], lo, destination, (target) => found.push(target.id));
    return found;
  }

  it("by physical ID, broadcast and shorthand", () => {
    const m = machine(4);
    expect(targets(m, 0x40, 2)).toEqual([2]);
    expect(targets(m, 0x40, 0xff)).toEqual([0, 1, 2, 3]);
    expect(targets(m, 0x40000 | 0x40, 2)).toEqual([0]);
    expect(targets(m, 0x80000 | 0x40, 2)).toEqual([0, 1, 2, 3]);
    expect(targets(m, 0xc0000 | 0x40, 2)).toEqual([1, 2, 3]);
    expect(targets(m, 0x40, 9)).toEqual([]);
  });

  it("by logical ID in the flat and the cluster model", () => {
    const m = machine(4);
    for (const [i, a] of m.entries()) a.store(R.LogicalDestination, 4, (1 << i) << 24);
    expect(targets(m, 0x840, 0b1010)).toEqual([1, 3]);
    for (const [i, a] of m.entries()) {
      a.store(R.DestinationFormat, 4, 0x0fffffff);
      a.store(R.LogicalDestination, 4, (((i >> 1) << 4) | (1 << (i & 1))) << 24);
    }
    expect(targets(m, 0x840, 0x13)).toEqual([2, 3]);
    expect(targets(m, 0x840, 0x01)).toEqual([0]);
    expect(targets(m, 0x840, 0xf2)).toEqual([1, 3]);
  });

  it("lowest priority goes to one, the least busy", () => {
    const m = machine(3);
    m[0].taskPriority = 0x40;
    m[1].taskPriority = 0x20;
    m[2].taskPriority = 0x20;
    expect(targets(m, 0x80000 | 0x140, 0)).toEqual([1]);
  });

  it("nowhere for INIT level de-assert", () => {
    expect(targets(machine(2), 0xc8500, 0)).toEqual([]);
    expect(targets(machine(2), 0xc4500, 0)).toEqual([1]);
  });
});

describe("timer", () => {
  const count = (a: LocalApic) => a.load(R.CurrentCount, 4);

  it("counts down once at the divided rate", () => {
    const { apic: a, host } = enabled();
    a.store(R.LvtTimer, 4, 0x40);
    a.store(R.DivideConfiguration, 4, 0b0011); // by 16
    a.store(R.InitialCount, 4, 10);
    expect(a.due).toBe(10 * 16 * TICKS_PER_COUNT);
    host.now = 3.5 * 16 * TICKS_PER_COUNT;
    expect(count(a)).toBe(7);
    a.advance();
    expect(a.pending).toBe(-1);
    host.now = a.due;
    a.advance();
    expect([a.pending, count(a), a.due]).toEqual([0x40, 0, Number.POSITIVE_INFINITY]);
  });

  it.each([
    [0b0000, 2],
    [0b0001, 4],
    [0b1010, 128],
    [0b1001, 64],
    [0b1011, 1],
    [0b1000, 32],
  ])("divides by its configuration %i", (code, divisor) => {
    const { apic: a } = enabled();
    a.store(R.DivideConfiguration, 4, code);
    a.store(R.InitialCount, 4, 1);
    expect(a.due).toBe(divisor * TICKS_PER_COUNT);
  });

  it("starts over by itself in periodic mode, without drift", () => {
    const { apic: a, host } = enabled();
    a.store(R.LvtTimer, 4, 0x20040);
    a.store(R.DivideConfiguration, 4, 0b1011);
    a.store(R.InitialCount, 4, 50);
    const period = 50 * TICKS_PER_COUNT;
    for (let i = 1; i < 5; i++) {
      host.now = i * period + 77; // late each time
      a.advance();
      expect(a.due).toBe((i + 1) * period);
      expect(a.acknowledge()).toBe(0x40);
      a.store(R.Eoi, 4, 0);
    }
    host.now = 100.5 * period;
    a.advance();
    expect([a.due, count(a)]).toEqual([101 * period, 25]);
  });

  it("counts on, but raises nothing, while masked; a count of 0 stops it", () => {
    const { apic: a, host } = enabled();
    a.store(R.InitialCount, 4, 5);
    host.now = a.due;
    a.advance();
    expect(a.pending).toBe(-1);
    a.store(R.InitialCount, 4, 5);
    a.store(R.InitialCount, 4, 0);
    expect(a.due).toBe(Number.POSITIVE_INFINITY);
  });

  it("fires at its TSC deadline, and only in that mode", () => {
    const { apic: a, host } = enabled();
    a.deadline = 1000;
    expect([a.deadline, a.due]).toEqual([0, Number.POSITIVE_INFINITY]);
    a.store(R.LvtTimer, 4, 0x40040);
    a.store(R.InitialCount, 4, 5);
    expect(a.due).toBe(Number.POSITIVE_INFINITY);
    a.deadline = 1000;
    expect([a.deadline, a.due]).toEqual([1000, 256000]);
    host.now = 256000;
    a.advance();
    expect([a.pending, a.deadline]).toEqual([0x40, 0]);
    a.deadline = 2000;
    a.store(R.LvtTimer, 4, 0x40); // leaving the mode disarms
    expect(a.due).toBe(Number.POSITIVE_INFINITY);
  });

  it("goes on from where it was when the divisor changes", () => {
    const { apic: a, host } = enabled();
    a.store(R.DivideConfiguration, 4, 0b1011);
    a.store(R.InitialCount, 4, 100);
    host.now = 40 * TICKS_PER_COUNT;
    a.store(R.DivideConfiguration, 4, 0b0000);
    expect(a.due).toBe((40 + 60 * 2) * TICKS_PER_COUNT);
  });
});

describe("the page", () => {
  it("gives parts of registers, and nothing between them", () => {
    const { apic: a } = enabled(5);
    expect(a.load(R.Id + 3, 1)).toBe(5);
    expect(a.load(R.Version + 2, 2)).toBe(5);
    expect(a.load(R.Version + 4, 4)).toBe(0);
    a.store(R.TaskPriority, 1, 0x30);
    expect(a.load(R.TaskPriority, 4)).toBe(0x30);
  });
});

describe("snapshot", () => {
  it("goes on as if nothing had happened", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(0x80, 0xf0, 0x320, 0x380, 0x3e0, 0xb0), fc.integer()), {
          maxLength: 20,
        }),
        fc.nat(20),
        (writes, cut) => {
          const one = enabled();
          const other = enabled();
          for (const [i, [offset, value]] of writes.entries()) {
            one.host.now = other.host.now = i * 5000;
            if (i === cut) {
              const copy = apic();
              copy.host.now = one.host.now;
              copy.apic.restore(JSON.parse(JSON.stringify(one.apic.snapshot())));
              one.apic = copy.apic;
              one.host = copy.host;
            }
            for (const { apic: a } of [one, other]) {
              a.advance();
              a.store(offset, 4, value);
            }
            expect(one.apic.snapshot()).toEqual(other.apic.snapshot());
            expect([one.apic.due, one.apic.pending]).toEqual([other.apic.due, other.apic.pending]);
          }
        },
      ),
    );
  });
});
