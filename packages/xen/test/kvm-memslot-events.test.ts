import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { TICKS_PER_CYCLE } from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import { Errno } from "../src/errno.ts";
import type { SharedInfoKey } from "../src/host/kvm/kvm-config.ts";
import {
  EVENT_SENDERS,
  eventsDuringMemslotUpdate,
  MEMSLOT_UPDATES,
  type MemslotEventsResult,
} from "../src/host/kvm/memslot-events.ts";
import { KvmRig, must, PAGE, PRIORITY, SHINFO_GFN } from "./kvm-rig.ts";

const PORTS = [15, 66, 130, 200, 260, 330, 390, 460, 520, 590];

/** What the rules say of each point: is the frame that shared_info is known by in a slot there? */
const IS_THERE: Readonly<Record<(typeof MEMSLOT_UPDATES)[number], (point: string) => boolean>> = {
  // Until the monitor says where it is now, the kernel looks where it was.
  move: (point) => point === "before" || point.endsWith(" set"),
  replace: (point) => point === "before" || point.startsWith("create: "),
  another: () => true,
};

describe.each([epyc9124, skylakeSp])("events at every point of a memslot update on $id", (profile) => {
  const known = new Map<string, MemslotEventsResult>();
  const run = (key: SharedInfoKey, update: (typeof MEMSLOT_UPDATES)[number]): MemslotEventsResult => {
    const name = `${key} ${update}`;
    const result = known.get(name) ?? eventsDuringMemslotUpdate({ profile, key, update });
    known.set(name, result);
    return result;
  };

  it.each(MEMSLOT_UPDATES)(
    "%s, by hva: none lost, none slow, and none dearer than without an update",
    (update) => {
      const { events, counters, points } = run("hva", update);
      expect(events).toHaveLength(points.length * EVENT_SENDERS.length);
      for (const sender of EVENT_SENDERS) {
        const [before, ...during] = events.filter((event) => event.sender === sender);
        for (const event of during) expect(event).toEqual({ ...before, point: event.point });
        expect(before).toMatchObject({ path: "fast", outcome: "delivered" });
      }
      const { eventsFast, eventsSlow, eventsRefused, eventsDeferred, cacheRefreshes } = counters;
      expect([eventsFast, eventsSlow, eventsRefused, eventsDeferred]).toEqual([events.length, 0, 0, 0]);
      const { cachesOutdated, cachesInvalidated, irqfdWork } = counters;
      expect([cachesOutdated, cachesInvalidated, irqfdWork, cacheRefreshes]).toEqual([0, 0, 0, 0]);
    },
  );

  it.each(MEMSLOT_UPDATES)("%s, by gfn: each sender fares as the kernel's rules say", (update) => {
    const { events, counters } = run("gfn", update);
    for (const { point, sender, path, outcome } of events) {
      const isSet = point.endsWith(" set"); // the attribute has refreshed the cache
      const expected =
        point === "before" || isSet
          ? ["fast", "delivered"]
          : IS_THERE[update](point)
            ? {
                irqfd: ["worker", "delayed"],
                ioctl: ["slow", "delivered"],
                hypercall: ["slow", "delivered"],
                timer: ["vcpu", "delayed"],
              }[sender]
            : {
                irqfd: ["none", "lost"],
                ioctl: ["none", "refused"],
                hypercall: ["none", "refused"],
                timer: ["vcpu", "delayed"],
              }[sender];
      expect({ point, sender, path, outcome }).toEqual({
        point,
        sender,
        path: expected[0],
        outcome: expected[1],
      });
    }
    expect(counters.cachesOutdated).toBeGreaterThan(0);
    const slow = events.filter(({ path }) => ["slow", "worker", "vcpu"].includes(path));
    expect(counters.eventsSlow).toBe(slow.length);
    expect(counters.eventsRefused).toBe(events.filter(({ path }) => path === "none").length);
  });

  it("every cycle is the ledger's, and events on a slow path cost more than on the fast one", () => {
    const result = run("gfn", "replace");
    const { events, ledger, cycles } = result;
    expect(ledger.reduce((sum, row) => sum + row.ticks, 0)).toBe(cycles * TICKS_PER_CYCLE);
    const own = ledger.filter(({ path }) => path[1] !== "monitor");
    const sum = events.reduce((total, event) => total + event.cycles, 0);
    expect(own.reduce((total, { ticks }) => total + ticks, 0) / TICKS_PER_CYCLE).toBeCloseTo(sum, 6);
    expect(ledger.some(({ path, phase }) => path.length === 1 || phase === "guest")).toBe(false);
    for (const sender of EVENT_SENDERS) {
      const of = events.filter((event) => event.sender === sender);
      const fast = of.filter(({ path }) => path === "fast").map((event) => event.cycles);
      const slow = of.filter(({ path }) => path !== "fast" && path !== "none").map((event) => event.cycles);
      expect(Math.min(...slow)).toBeGreaterThan(Math.max(...fast));
    }
    expect(result.estimates.length).toBeGreaterThan(5);
  });

  it("comes out the same every time", () => {
    expect(eventsDuringMemslotUpdate({ profile, key: "gfn", update: "move" })).toEqual(run("gfn", "move"));
  });
});

describe("every choice of points at which an event comes", () => {
  /** The steps of an update with what has to be said to the kernel after them. */
  function* update(
    rig: KvmRig,
    key: SharedInfoKey,
    kind: (typeof MEMSLOT_UPDATES)[number],
  ): Generator<string> {
    const to = kind === "move" ? SHINFO_GFN + 64 : SHINFO_GFN;
    const run = function* (region: ReturnType<KvmRig["region"]>): Generator<string> {
      const steps = rig.vm.memslots.steps(region);
      if (typeof steps === "number") throw new Error(`errno ${-steps}`);
      for (let next = steps.next(); next.done !== true; next = steps.next()) yield next.value;
    };
    if (kind === "another")
      yield* run({
        ...rig.region(SHINFO_GFN + 128, PAGE),
        slot: 11,
        userspaceAddr: rig.region(0).userspaceAddr,
      });
    if (kind === "move") yield* run(rig.region(to));
    if (kind === "replace") {
      for (const step of run(rig.region(to, 0))) yield `delete: ${step}`;
      for (const step of run(rig.region(to))) yield `create: ${step}`;
    }
    if (kind !== "move" || key === "hva") return;
    rig.setSharedInfo("gfn", to);
    yield "SHARED_INFO set";
  }

  it.each([
    ["gfn", "move", "irqfd"],
    ["gfn", "replace", "irqfd"],
    ["gfn", "another", "irqfd"],
    ["gfn", "move", "ioctl"],
    ["gfn", "replace", "ioctl"],
    ["gfn", "another", "ioctl"],
    ["hva", "move", "irqfd"],
    ["hva", "replace", "irqfd"],
    ["hva", "another", "irqfd"],
  ] as const)(
    "by %s, %s, from an %s: lost or refused where the frame is in no slot, slow once a generation, else fast",
    (key, kind, sender) => {
      const rig = new KvmRig({ key });
      const saved = rig.vm.snapshot();
      const names = ["before", ...update(rig, key, kind)];
      rig.vm.restore(saved);
      const eventfds = PORTS.map(() => rig.vm.eventfds.create());
      const gsi = (i: number) => 32 + i;
      must(
        rig.vm.irqfds.setRouting(
          PORTS.map((port, i) => ({
            gsi: gsi(i),
            type: 5 as const,
            xenEvtchn: { port, vcpu: 0, priority: PRIORITY },
          })),
        ),
      );
      for (const [i, { fd }] of eventfds.entries()) must(rig.vm.irqfds.set({ fd, gsi: gsi(i) }));
      const start = rig.vm.snapshot();
      const points = names.length;
      expect(points).toBeLessThanOrEqual(PORTS.length);
      for (let chosen = 0; chosen < 1 << points; chosen++) {
        rig.vm.restore(start);
        rig.clear();
        const lost: number[] = [];
        let slow = 0;
        let known = rig.vm.memslots.generation; // generation for which shared_info was looked up last
        const steps = update(rig, key, kind);
        for (let point = 0; point < names.length; point++) {
          if (point > 0) steps.next();
          const { generation } = rig.vm.memslots;
          if (names[point].endsWith(" set")) known = generation;
          if ((chosen & (1 << point)) === 0) continue;
          const isFast = key === "hva" || known === generation;
          const isThere = IS_THERE[kind](names[point]);
          if (!isFast && !isThere) lost.push(PORTS[point]);
          if (!isFast && isThere) slow++;
          if (isThere) known = generation;
          if (sender === "ioctl") {
            expect(rig.send(PORTS[point])).toBe(isThere ? 0 : -Errno.EFAULT);
            continue;
          }
          eventfds[point].signal();
          expect(rig.isPending(PORTS[point])).toBe(isFast);
          rig.vm.irqfds.runWork();
        }
        const sent = PORTS.filter((_, i) => (chosen & (1 << i)) !== 0);
        expect(sent.filter((port) => !rig.isPending(port))).toEqual(lost);
        const { eventsSlow, eventsRefused } = rig.vm.counters;
        expect([eventsSlow, eventsRefused]).toEqual([slow, lost.length]);
        if (key === "hva") expect([lost, slow]).toEqual([[], 0]);
      }
    },
  );
});
