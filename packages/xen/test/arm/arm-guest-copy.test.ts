import { neoverseN1, withArmOverrides } from "@hyperwalk/cpu";
import { ArmStage1, frameOfPar, MmuCounter, Par } from "@hyperwalk/mmu";
import { ARM_STAGES, ArmPhase, ArmSystem, type ArmSystemOptions, uninterrupted } from "@hyperwalk/xen";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const SIZES = ["4k", "2m", "1g"] as const;
const LEVELS = { "4k": 3, "2m": 2, "1g": 1 } as const;

function arm(options: Omit<ArmSystemOptions, "profile"> = {}): ArmSystem {
  return new ArmSystem({ profile: neoverseN1, ...options });
}

/** Makes everything that is remembered go away. */
function forget({ elements }: ArmSystem): void {
  for (const { mmu, cost } of elements) {
    mmu.flushCaches();
    mmu.translations.dropAll();
    mmu.counters.fill(0);
    cost.forget();
  }
}

describe("both forms copy the same bytes", () => {
  it("in either direction, within a page and across two", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...SIZES),
        fc.constantFrom(...SIZES),
        fc.constantFrom(40, 44, 48),
        fc.integer({ min: 0, max: 6000 }),
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        fc.constantFrom("va" as const, "pa" as const),
        (stage1, stage2, ipaBits, offset, bytes, form) => {
          const system = arm({ stage1, stage2, ipaBits });
          const out = uninterrupted(system.hypercall(form, offset, bytes, true));
          expect(out.left).toBe(0);
          expect(out.pages.length).toBe(
            Math.floor((offset + bytes.length - 1) / 4096) - Math.floor(offset / 4096) + 1,
          );
          expect(system.bufferBytes(offset, bytes.length)).toEqual(bytes);
          const back = new Uint8Array(bytes.length);
          const other = form === "va" ? "pa" : "va";
          expect(uninterrupted(system.hypercall(other, offset, back, false)).left).toBe(0);
          expect(back).toEqual(bytes);
          const { ledger } = system.elements[0];
          expect(ledger.rows().reduce((sum, { ticks }) => sum + ticks, 0)).toBe(ledger.clock[0]);
          expect(ledger.phaseDepth).toBe(0);
        },
      ),
      { numRuns: 12 },
    );
  });

  it("and find pages by the instruction, or by the p2m alone", () => {
    const system = arm({ stage1: "2m", stage2: "2m" });
    const va = uninterrupted(system.hypercall("va", 0, new Uint8Array(48), false)).pages[0];
    const pa = uninterrupted(system.hypercall("pa", 0, new Uint8Array(48), false)).pages[0];
    expect(va.by).toBe("at");
    expect(frameOfPar(va.par!)).toBe(pa.frame);
    expect(pa).toMatchObject({ by: "p2m", par: null });
  });
});

describe("what each form reads", () => {
  for (const stage1 of SIZES)
    for (const stage2 of SIZES)
      for (const [vaBits, ipaBits, first1, first2] of [
        [48, 48, 0, 0],
        [39, 40, 1, 1],
      ] as const)
        it(`${vaBits}/${ipaBits} bits, ${stage1} on ${stage2}: the whole nested walk cold, the p2m's levels always`, () => {
          const a = LEVELS[stage1] - first1 + 1;
          const b = LEVELS[stage2] - first2 + 1;
          const system = arm({ stage1, stage2, vaBits, ipaBits });
          const { mmu, cost } = system.elements[0];
          const walked = () =>
            mmu.counters[MmuCounter.GuestReferences] + mmu.counters[MmuCounter.SecondStageReferences];
          forget(system);
          uninterrupted(system.hypercall("va", 0, new Uint8Array(48), false));
          expect(walked()).toBe((a + 1) * (b + 1) - 1);
          expect(cost.tableReads).toBe(0);
          forget(system);
          uninterrupted(system.hypercall("pa", 0, new Uint8Array(48), false));
          expect(walked()).toBe(0);
          expect(cost.tableReads).toBe(b);
          // Across a page boundary: one lookup a page, whatever the size of the leaf.
          uninterrupted(system.hypercall("pa", 4080, new Uint8Array(48), false));
          expect(cost.tableReads).toBe(b + 2 * b);
        });

  it("the PA form is indifferent to what the guest's TLB holds, the VA form pays for an empty one", () => {
    const system = arm();
    const { mmu, ledger } = system.elements[0];
    const cycles = (form: "va" | "pa", flush: boolean) => {
      for (let i = 0; i < 3; i++) {
        system.touchBuffer(0, 48);
        uninterrupted(system.hypercall(form, 0, new Uint8Array(48), false));
      }
      if (flush) mmu.tlbi({ op: "vmalls12e1" });
      const before = ledger.clock[0];
      uninterrupted(system.hypercall(form, 0, new Uint8Array(48), false));
      return ledger.clock[0] - before;
    };
    expect(cycles("pa", true)).toBe(cycles("pa", false));
    expect(cycles("va", true)).toBeGreaterThan(cycles("va", false));
  });

  it("only the VA form pays for AT", () => {
    const cycles = (form: "va" | "pa", at: number) => {
      const system = new ArmSystem({ profile: withArmOverrides(neoverseN1, { "timing.at": at }) });
      uninterrupted(system.hypercall(form, 0, new Uint8Array(48), false));
      return system.elements[0].ledger.clock[0] / 256;
    };
    expect(cycles("va", 70) - cycles("va", 20)).toBe(50);
    expect(cycles("pa", 70)).toBe(cycles("pa", 20));
  });
});

describe("failures", () => {
  it("a hole in stage 1 is -EFAULT for the VA form, after a second attempt, and nothing to the PA form", () => {
    const system = arm({ stage1: "4k", stage2: "2m" });
    system.guestTables.unmap(Number(system.bufferAddress("pa", 4096) >> 12n));
    const bytes = new Uint8Array(48).fill(7);
    const va = uninterrupted(system.hypercall("va", 4072, bytes, true));
    // The first page's 24 bytes are written before the second page is looked for.
    expect(va.left).toBe(24);
    expect(va.pages.map(({ by }) => by)).toEqual(["at", "second attempt"]);
    expect(Number((va.pages[1].par! >> Par.StatusShift) & 0x3fn)).toBe(0x07);
    expect(system.bufferBytes(4072, 48)).toEqual(Uint8Array.from({ length: 48 }, (_, i) => (i < 24 ? 7 : 0)));
    expect(uninterrupted(system.hypercall("pa", 4072, bytes, true)).left).toBe(0);
  });

  it("a guest's read-only page may be read and not written by VA; the PA form does not ask stage 1", () => {
    const system = arm({ stage1: "4k", stage2: "2m" });
    const page = Number(system.bufferAddress("pa", 0) >> 12n);
    const { frame, attributes } = system.guestTables.entry(page)!;
    system.guestTables.map(page, frame, "4k", attributes | ArmStage1.ReadOnly);
    const call = (form: "va" | "pa", toGuest: boolean) =>
      uninterrupted(system.hypercall(form, 0, new Uint8Array(8), toGuest)).left;
    expect([call("va", false), call("va", true), call("pa", true)]).toEqual([0, 8, 0]);
  });

  it("a read-only p2m page refuses writes by either form", () => {
    const system = arm({ stage1: "2m", stage2: "4k" });
    const gfn = Number(system.bufferAddress("pa", 0) >> 12n);
    system.p2m.map(gfn, system.p2m.tables.entry(gfn)!.frame, 1, "4k", false);
    const call = (form: "va" | "pa", toGuest: boolean) =>
      uninterrupted(system.hypercall(form, 0, new Uint8Array(8), toGuest)).left;
    expect([call("va", true), call("pa", true)]).toEqual([8, 8]);
    expect([call("va", false), call("pa", false)]).toEqual([0, 0]);
  });

  it("an address beyond the p2m, or a hole in it, refuses both", () => {
    const system = arm({ stage1: "2m", stage2: "4k" });
    const gfn = Number(system.bufferAddress("pa", 0) >> 12n);
    system.p2m.tables.unmap(gfn);
    for (const form of ["va", "pa"] as const)
      expect(uninterrupted(system.hypercall(form, 0, new Uint8Array(8), false)).left).toBe(8);
    for (const bad of [2 ** 28, -1, 1.5])
      expect(() => arm({ elements: bad })).toThrow(/elements: .*; allowed: 1 to 4/);
    expect(() => arm({ ipaBits: 52 })).toThrow(/ipaBits: 52; allowed: 32 to 48/);
    expect(() => arm({ vaBits: 36 })).toThrow(/vaBits: 36; allowed: 39 to 48/);
  });

  it("cleared valid bits (set/way tracking) fail the instruction alone: types still say what is there", () => {
    for (const ipaBits of [40, 48]) {
      const system = arm({ stage1: "4k", stage2: "2m", ipaBits });
      system.p2m.invalidateRoot();
      const va = uninterrupted(system.hypercall("va", 0, new Uint8Array(48), false));
      expect(va.left).toBe(0);
      expect(va.pages[0].by).toBe("second attempt");
      // Stage 2, on the stage 1 table walk, at the root's level.
      const par = va.pages[0].par!;
      expect(par & (Par.Fault | Par.Stage2 | Par.OnWalk)).toBe(Par.Fault | Par.Stage2 | Par.OnWalk);
      expect(Number((par >> 1n) & 0x3fn)).toBe(0x04 | (ipaBits === 48 ? 0 : 1));
      const { cost } = system.elements[0];
      // Four stage 1 descriptors and the page, each a lookup of the p2m's levels.
      expect(cost.tableReads).toBe(5 * (ipaBits === 48 ? 3 : 2));
      expect(uninterrupted(system.hypercall("pa", 0, new Uint8Array(48), false)).left).toBe(0);
    }
  });
});

describe("accounts", () => {
  it("two systems made alike spend the same, cell for cell", () => {
    const rows = () => {
      const system = arm({ stage1: "2m", stage2: "4k" });
      for (const form of ["va", "pa", "va"] as const)
        uninterrupted(system.hypercall(form, 4090, new Uint8Array(48), true));
      return system.elements[0].ledger.rows();
    };
    expect(rows()).toEqual(rows());
  });

  it("forms differ in the phases that they do not share, and in nothing else once all is warm", () => {
    const phases = (form: "va" | "pa") => {
      const system = arm({ stage1: "2m", stage2: "2m" });
      const { ledger } = system.elements[0];
      for (let i = 0; i < 4; i++) uninterrupted(system.hypercall(form, 0, new Uint8Array(48), false));
      const before = ledger.snapshot();
      uninterrupted(system.hypercall(form, 0, new Uint8Array(48), false));
      const found = new Map<string, number>();
      for (const { phase, ticks } of ledger.rows(before)) found.set(phase, (found.get(phase) ?? 0) + ticks);
      return found;
    };
    const [va, pa] = [phases("va"), phases("pa")];
    expect(va.has(ArmPhase.P2mLookup)).toBe(false);
    expect(pa.has(ArmPhase.AddressTranslation)).toBe(false);
    va.delete(ArmPhase.AddressTranslation);
    pa.delete(ArmPhase.P2mLookup);
    expect(va).toEqual(pa);
  });

  it("every stage is an estimate with a source and a range around its count", () => {
    expect(new Set(ARM_STAGES.map(({ name }) => name)).size).toBe(ARM_STAGES.length);
    for (const { name, instructions, range, basis, source } of ARM_STAGES) {
      expect(basis, name).toBe("estimate");
      expect(source, name).toMatch(/c447b7308b/);
      expect(range[0], name).toBeLessThanOrEqual(instructions);
      expect(range[1], name).toBeGreaterThanOrEqual(instructions);
    }
  });
});
