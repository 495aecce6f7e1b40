import { ArmStage1, frameOfPar, guestSpace, InnerShareable, MmuCounter, type Tlbi } from "@hyperwalk/mmu";
import { describe, expect, it } from "vitest";
import { address, GUEST_MACHINE, GUEST_RAM, NORMAL, NORMAL2, testElement } from "./element.js";

const PAGE = 0x40000;
const OTHER = GUEST_MACHINE + 0x1000;

/** Two pages of stage 1: one of ASID 1, one global; all of it cached. */
function cached() {
  const element = testElement();
  element.stage2.mapRange(GUEST_RAM, GUEST_MACHINE, 512, "2m", NORMAL2);
  element.stage1.map(PAGE, GUEST_RAM, "4k", NORMAL | ArmStage1.NotGlobal);
  element.stage1.map(PAGE + 1, GUEST_RAM + 1, "4k", NORMAL);
  const { mmu } = element;
  const frames = () => [mmu.at(address(PAGE), false), mmu.at(address(PAGE + 1), false)].map(frameOfPar);
  frames();
  return { ...element, frames };
}

describe("TLB maintenance forgets what it names and nothing else", () => {
  /** Both leaves lead elsewhere now. */
  const elsewhere = (world: ReturnType<typeof cached>) => {
    world.stage1.map(PAGE, GUEST_RAM + 0x1000, "4k", NORMAL | ArmStage1.NotGlobal);
    world.stage1.map(PAGE + 1, GUEST_RAM + 0x1001, "4k", NORMAL);
  };
  const rows: readonly [Tlbi, private1: boolean, global: boolean][] = [
    [{ op: "vae1", page: PAGE, asid: 1 }, true, false],
    [{ op: "vae1", page: PAGE, asid: 1, last: true }, true, false],
    [{ op: "vae1", page: PAGE, asid: 2 }, false, false],
    [{ op: "vae1", page: PAGE + 1, asid: 2 }, false, true],
    [{ op: "vaae1", page: PAGE }, true, false],
    [{ op: "aside1", asid: 1 }, true, false],
    [{ op: "aside1", asid: 2 }, false, false],
    [{ op: "vmalle1" }, true, true],
    [{ op: "vmalls12e1" }, true, true],
    [{ op: "ipas2e1", page: GUEST_RAM }, false, false],
    [{ op: "alle1" }, true, true],
    [{ op: "alle2" }, false, false],
    [{ op: "vae2", page: PAGE }, false, false],
  ];
  for (const [operation, own, global] of rows)
    it(`${JSON.stringify(operation)}`, () => {
      const world = cached();
      elsewhere(world);
      expect(world.frames()).toEqual([GUEST_MACHINE, GUEST_MACHINE + 1]);
      world.mmu.tlbi(operation);
      expect(world.frames()).toEqual([own ? OTHER : GUEST_MACHINE, global ? OTHER + 1 : GUEST_MACHINE + 1]);
    });

  it("leaf-only operations keep the tables above in the walk caches, others do not", () => {
    const walked = (last: boolean) => {
      const { mmu } = cached();
      mmu.tlbi({ op: "vae1", page: PAGE, asid: 1, last });
      mmu.counters.fill(0);
      mmu.at(address(PAGE), false);
      return mmu.counters[MmuCounter.GuestReferences];
    };
    expect(walked(true)).toBe(1);
    expect(walked(false)).toBe(4);
  });

  it("a stale table descriptor is used until it is invalidated", () => {
    const { mmu, stage1, memory } = cached();
    const level2 = stage1.path(PAGE)[2];
    // A new level 3 table: the page leads elsewhere through it, but the old table is what the walk cache knows.
    const table = 0x3f100;
    const at = (GUEST_MACHINE + table) * 4096;
    memory.writeU64(at, BigInt((GUEST_RAM + 0x1000) * 4096) | BigInt(NORMAL | 3));
    stage1.store({ ...level2, lo: ((GUEST_RAM + table) << 12) | 3, hi: 0 });
    mmu.tlbi({ op: "vae1", page: PAGE, asid: 1, last: true });
    expect(frameOfPar(mmu.at(address(PAGE), false))).toBe(GUEST_MACHINE);
    mmu.tlbi({ op: "vae1", page: PAGE, asid: 1 });
    expect(frameOfPar(mmu.at(address(PAGE), false))).toBe(OTHER);
  });

  it("stage 2: an IPA operation alone leaves the combined entry, both together forget it", () => {
    const { mmu, stage2, frames } = cached();
    stage2.map(GUEST_RAM, OTHER, "4k", NORMAL2);
    mmu.tlbi({ op: "ipas2e1", page: GUEST_RAM });
    expect(frames()[0]).toBe(GUEST_MACHINE);
    mmu.tlbi({ op: "vmalle1" });
    expect(frames()[0]).toBe(OTHER);
  });

  it("stage 2: forgetting combined entries alone leaves the stage 2 page, however stale", () => {
    const { mmu, stage2, frames } = cached();
    stage2.map(GUEST_RAM, OTHER, "4k", NORMAL2);
    mmu.tlbi({ op: "vmalle1" });
    expect(frames()[0]).toBe(GUEST_MACHINE);
    mmu.tlbi({ op: "vmalls12e1" });
    expect(frames()[0]).toBe(OTHER);
  });

  it("one operation takes every piece of a block that stage 2 broke up", () => {
    const element = testElement();
    const { mmu, stage1, stage2 } = element;
    stage2.mapRange(GUEST_RAM, GUEST_MACHINE, 512, "4k", NORMAL2);
    stage2.mapRange(GUEST_RAM + 0x3f000, GUEST_MACHINE + 0x3f000, 512, "4k", NORMAL2);
    stage1.map(PAGE, GUEST_RAM, "2m", NORMAL);
    for (let i = 0; i < 4; i++) mmu.at(address(PAGE + i), false);
    stage1.unmap(PAGE);
    mmu.tlbi({ op: "vaae1", page: PAGE + 200 });
    for (let i = 0; i < 4; i++) expect(frameOfPar(mmu.at(address(PAGE + i), false))).toBe(-1);
  });

  it("VMIDs and ASIDs keep apart, global pages do not care about the ASID", () => {
    const { mmu, attach, frames } = cached();
    mmu.counters.fill(0);
    attach(2);
    frames();
    // The global page is a hit; the other one is walked for its new ASID.
    expect(mmu.counters[MmuCounter.Walks]).toBe(1);
    expect(guestSpace(7, 2)).not.toBe(guestSpace(8, 2));
  });

  it("refuses ASIDs and VMIDs that do not exist", () => {
    const { mmu, stage1, stage2, attach } = cached();
    expect(() => attach(256)).toThrow(/asid: 256; allowed: a whole number from 0 to 255/);
    const base = { rootFrame: stage1.rootFrame, inputBits: 52 };
    expect(() =>
      mmu.setGuest({ enabled: true, lower: base, upper: null, asid: 0, outputBits: 48 }, null),
    ).toThrow(/lower.inputBits/);
    const { rootFrame, startLevel } = stage2;
    expect(() => mmu.setGuest(null, { rootFrame, startLevel, ipaBits: 48, vmid: 65535 })).toThrow(/vmid/);
  });
});

describe("broadcasts", () => {
  it("act on the issuer at once, on the others when its DSB completes, and for the issuer's VMID", () => {
    const world = cached();
    // A second element over the same memory is what matters here: use another world's MMU as the receiver.
    const receiver = cached();
    const domain = new InnerShareable([world.mmu, receiver.mmu]);
    for (const { stage1 } of [world, receiver]) stage1.unmap(PAGE);
    domain.issue(world.mmu, { op: "vmalle1" });
    expect(world.frames()[0]).toBe(-1);
    expect(receiver.frames()[0]).toBe(GUEST_MACHINE);
    expect(domain.outstanding).toBe(1);
    domain.complete(receiver.mmu);
    expect(domain.outstanding).toBe(1);
    domain.complete(world.mmu);
    expect(domain.outstanding).toBe(0);
    expect(receiver.frames()[0]).toBe(-1);
  });
});

describe("snapshots", () => {
  it("give back TLBs, walk caches and caches: the same accesses cost the same", () => {
    const { mmu, ledger } = cached();
    const saved = mmu.snapshot();
    const run = () => {
      const before = ledger.clock[0];
      mmu.at(address(PAGE), false);
      mmu.tlbi({ op: "vae1", page: PAGE, asid: 1 });
      mmu.at(address(PAGE), true);
      return ledger.clock[0] - before;
    };
    const first = run();
    mmu.restore(saved);
    expect(run()).toBe(first);
    expect(first).toBeGreaterThan(0);
  });
});
