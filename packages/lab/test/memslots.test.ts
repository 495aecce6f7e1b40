import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { EVENT_SENDERS, MEMSLOT_UPDATES } from "@hyperwalk/xen";
import { describe, expect, it } from "vitest";
import { DEFAULT_MEMSLOT_UPDATES } from "../src/memslot-names.js";
import { compareSharedInfoKeys, type MemslotsDocument } from "../src/memslots.js";
import { memslotsReport } from "../src/report/memslots-report.js";
import { plain } from "../src/report/paint.js";
import { hyperwalk } from "./hyperwalk.js";

describe.each([epyc9124, skylakeSp])("shared_info by gfn and by hva on $id", (machine) => {
  const document = compareSharedInfoKeys({ machine });

  it("by hva no event is lost, delayed, refused or on a slow path", () => {
    const settings = document.settings.filter(({ key }) => key === "hva");
    expect(settings.map(({ update }) => update)).toEqual([...MEMSLOT_UPDATES]);
    for (const { events, paths, outcomes, counters } of settings) {
      expect([paths.fast, outcomes.delivered]).toEqual([events.length, events.length]);
      expect([counters.cachesOutdated, counters.cachesInvalidated]).toEqual([0, 0]);
    }
  });

  it("by gfn a move loses an irqfd's events for as long as the frame is in no slot, and more cycles are spent", () => {
    for (const setting of document.settings.filter(({ key }) => key === "gfn")) {
      const byHva = document.settings.find(({ key, update }) => key === "hva" && update === setting.update)!;
      expect(setting.counters.cachesOutdated).toBeGreaterThan(0);
      expect(setting.cyclesPerEvent).toBeGreaterThan(byHva.cyclesPerEvent);
      const { lost, refused, delayed, delivered } = setting.outcomes;
      expect(lost + refused + delayed + delivered).toBe(setting.points.length * EVENT_SENDERS.length);
      // A slot elsewhere costs time, but nothing is lost.
      expect([lost > 0, refused > 0]).toEqual(setting.update === "another" ? [false, false] : [true, true]);
    }
  });

  it("every figure is the ledger's", () => {
    for (const { events, ledger, cyclesPerEvent, cyclesPerUpdate } of document.settings) {
      const sum = ledger.reduce((total, { cycles }) => total + cycles, 0);
      expect((cyclesPerEvent + cyclesPerUpdate) * events.length).toBeCloseTo(sum, 3);
      const own = events.reduce((total, { cycles }) => total + cycles, 0);
      expect(cyclesPerEvent * events.length).toBeCloseTo(own, 3);
    }
  });

  it("the report says who delivered what, in lines of 100 columns before the estimates", () => {
    const text = memslotsReport(document, plain);
    const before = text.slice(0, text.indexOf("Estimates"));
    expect(Math.max(...before.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
    for (const word of ["LOST", "monitor", "error", "worker", "vCPU", "fast", "slow"])
      expect(before).toContain(word);
  });

  it("the report counts caches that were found outdated apart from those that were invalidated", () => {
    const summary = memslotsReport(document, plain).split("All events together")[1].split("\n");
    for (const { update, key, counters } of document.settings) {
      const cells = summary.find((line) => line.startsWith(update) && line.includes(` ${key} `))?.split(/ +/);
      const { cachesOutdated, cachesInvalidated } = counters;
      expect(cells?.slice(9, 11).map(Number)).toEqual([cachesOutdated, cachesInvalidated]);
    }
  });
});

describe("hyperwalk memslots", () => {
  it("prints the document that the library makes", async () => {
    const { code, out } = await hyperwalk("memslots", "--update", "another", "--json");
    expect(code).toBe(0);
    const document: MemslotsDocument = JSON.parse(out);
    const made = compareSharedInfoKeys({ machine: epyc9124, updates: ["another"] });
    expect(document).toEqual(JSON.parse(JSON.stringify(made)));
  });

  it("says what is allowed", async () => {
    const { code, err } = await hyperwalk("memslots", "--update", "split");
    expect(code).toBe(2);
    expect(err).toContain(DEFAULT_MEMSLOT_UPDATES.join(", "));
    expect(DEFAULT_MEMSLOT_UPDATES).toEqual(MEMSLOT_UPDATES);
  });
});
