import { neoverseN1 } from "@hyperwalk/cpu";
import {
  ArmSystem,
  everyMeeting,
  type Meeting,
  meet,
  primeCaller,
  stage1Change,
  stage2Change,
} from "@hyperwalk/xen";
import { describe, expect, it } from "vitest";

const PATTERN = Uint8Array.from({ length: 48 }, (_, i) => 3 * i + 1);

function world(): ArmSystem {
  const system = new ArmSystem({ profile: neoverseN1, stage1: "2m", stage2: "2m", elements: 2 });
  const machine = system.p2m.tables.entry(0x4212c)!.frame + 0x12c;
  system.memory.writeBytes(machine * 4096, PATTERN);
  return system;
}

/** After a reset, which leaves TLBs empty. */
function prime(system: ArmSystem, cached: boolean): void {
  if (cached) system.touchBuffer(0, PATTERN.length);
}

const failed = ({ result }: Meeting) => result.left !== 0;

/** Steps of the guest's change: 1 invalid, 2 DSB, 3 TLBI issued, 4 complete, 5 made again, 6 over. */
const INVALID = { from: 1, to: 4 };
const COMPLETE = 4;
const isInvalid = (progress: number) => progress >= INVALID.from && progress <= INVALID.to;

describe("the guest breaks its own mapping before it makes the new one", () => {
  it("the VA form fails between break and make, by TLB entry until the TLBI is complete; the PA form never", () => {
    const system = world();
    const prepared = stage1Change(system);
    const at = (form: "va" | "pa", cached: boolean, steps: number) => {
      prepared.reset();
      primeCaller(system, form, cached);
      return meet(system, prepared.change, form, [steps]);
    };
    for (let steps = 0; steps <= prepared.change.length; steps++) {
      expect(failed(at("va", true, steps)), `cached, ${steps}`).toBe(steps === COMPLETE);
      expect(failed(at("va", false, steps)), `not cached, ${steps}`).toBe(isInvalid(steps));
      const pa = at("pa", false, steps);
      expect(failed(pa)).toBe(false);
      expect(pa.bytes).toEqual(PATTERN);
    }
  });

  it("a call that fails copies nothing, and PAR_EL1 says: stage 1 translation fault at the block's level", () => {
    const system = world();
    const prepared = stage1Change(system);
    prepared.reset();
    primeCaller(system, "va", false);
    const { result } = meet(system, prepared.change, "va", [2]);
    expect(result).toMatchObject({ left: 48, pages: [{ frame: -1, by: "second attempt" }] });
    expect(Number((result.pages[0].par! >> 1n) & 0x3fn)).toBe(0x06);
    expect(result.pages[0].par! & 0x200n).toBe(0n);
  });

  for (const cached of [true, false])
    it(`at every interleaving, the translation ${cached ? "" : "not "}in the TLB: fails iff AT and the software walk both meet the break`, () => {
      const system = world();
      const prepared = stage1Change(system);
      const all = everyMeeting(
        system,
        prepared,
        "va",
        () => prime(system, cached),
        ({ kind }) => kind === "at" || kind === "stage1",
      );
      for (const { schedule, result, bytes } of all) {
        const [instruction, ...walk] = schedule;
        const atFails = cached ? instruction === COMPLETE : isInvalid(instruction);
        // Levels 0, 1, 2: the third read is the broken descriptor.
        const walkFails = atFails && isInvalid(walk[2]);
        expect(result.left, schedule.join()).toBe(walkFails ? 48 : 0);
        expect(result.pages[0].by, schedule.join()).toBe(atFails ? "second attempt" : "at");
        expect(walk.length).toBe(!atFails ? 0 : walkFails ? 3 : walk[2] >= 5 ? 4 : 3);
        if (!walkFails) expect(bytes).toEqual(PATTERN);
      }
      // Counted by hand: without a failing AT one schedule each; otherwise non-decreasing triples from there, those that
      // end after the make with a level 3 read more.
      const after = (from: number) => {
        let count = 0;
        for (let a = from; a <= 6; a++)
          for (let b = a; b <= 6; b++) for (let c = b; c <= 6; c++) count += c >= 5 ? 7 - c : c >= 1 ? 1 : 0;
        return count;
      };
      const expected = cached ? 6 + after(4) : 3 + [1, 2, 3, 4].reduce((sum, from) => sum + after(from), 0);
      expect(all.length).toBe(expected);
      expect(new Set(all.map(({ schedule }) => schedule.join())).size).toBe(all.length);
    });

  it("at every interleaving the PA form reads the right bytes and never waits", () => {
    const system = world();
    const prepared = stage1Change(system);
    const all = everyMeeting(system, prepared, "pa", () => {});
    // Lock, three stage 2 levels, unlock; six steps of the change: 11 over 5.
    expect(all.length).toBe(462);
    for (const { result, bytes, waitedFor } of all) {
      expect(result).toMatchObject({ left: 0, pages: [{ by: "p2m" }] });
      expect(bytes).toEqual(PATTERN);
      expect(waitedFor).toBe(0);
    }
  });

  it("leaves the new mapping in force: a page of the split block on its own", () => {
    const system = world();
    const { change } = stage1Change(system);
    for (const { apply } of change) apply();
    expect(system.guestTables.entry(0x4212c)).toMatchObject({ size: "4k", frame: 0x4212c });
  });
});

describe("Xen breaks a p2m mapping before it makes the new one", () => {
  for (const form of ["va", "pa"] as const)
    it(`the ${form} form waits for the lock and never fails, at every interleaving`, () => {
      const system = world();
      const prepared = stage2Change(system);
      for (const cached of form === "va" ? [true, false] : [false]) {
        const all = everyMeeting(system, prepared, form, () => prime(system, cached));
        const waits = new Set<number>();
        for (const { schedule, result, bytes, waitedFor } of all) {
          expect(result.left).toBe(0);
          expect(bytes).toEqual(PATTERN);
          // It came to the lock while the writer was at step 1 to 5: it waits for the rest of the six.
          const [lock] = schedule;
          expect(waitedFor).toBe(lock >= 1 && lock <= 5 ? 6 - lock : 0);
          waits.add(waitedFor);
        }
        expect([...waits].sort()).toEqual([0, 1, 2, 3, 4, 5]);
      }
    });

  it("waiting costs what the writer still has to do, charged as lock-wait", () => {
    const system = world();
    const prepared = stage2Change(system);
    const { ledger } = system.elements[0];
    prepared.reset();
    primeCaller(system, "pa", false);
    const before = ledger.snapshot();
    meet(system, prepared.change, "pa", [2]);
    const waited = ledger.rows(before).filter(({ cause }) => cause === "lock-wait");
    const rest = prepared.change.slice(2).reduce((sum, { cycles }) => sum + cycles, 0);
    expect(waited.reduce((sum, { ticks }) => sum + ticks, 0)).toBe(Math.round(rest * 256));
    expect(ledger.rows().reduce((sum, { ticks }) => sum + ticks, 0)).toBe(ledger.clock[0]);
  });

  it("a writer waits for readers: the break never comes between a reader's lock and unlock", () => {
    const system = world();
    const prepared = stage2Change(system);
    const all = everyMeeting(system, prepared, "pa", () => {});
    for (const { schedule } of all) {
      const [lock, ...held] = schedule;
      const start = lock >= 1 && lock <= 5 ? 6 : lock;
      for (const progress of held) expect(progress).toBe(start);
    }
  });

  it("the old translation is stale in nobody's TLB afterwards", () => {
    const system = world();
    const prepared = stage2Change(system);
    prepared.reset();
    primeCaller(system, "va", true);
    for (const { apply } of prepared.change) apply();
    const gfn = 0x4212c;
    system.p2m.map(gfn, system.p2m.tables.entry(gfn)!.frame + 1, 1, "4k");
    const found = meet(system, [], "va", [0]).result.pages[0];
    expect(found.by).toBe("at");
    expect(found.frame).toBe(system.p2m.tables.entry(gfn)!.frame);
  });
});
