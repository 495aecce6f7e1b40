import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { farApart } from "./compare/x87-closeness.js";
import { DifferentialRun } from "./differential-run.js";
import { X87Generator } from "./generator/x87-generator.js";
import { X87TranscendentalGenerator } from "./generator/x87-transcendental-generator.js";
import { ResultField } from "./layout.js";
import { NativeHarness, nativeFeatures, nativeVendor, whyNotNative } from "./native/native-harness.js";
import { nativeProfile } from "./native/native-profile.js";
import { SimulatedMachine } from "./simulated/simulated-machine.js";

const reason = whyNotNative();
const SEQUENCES = 15_000;
const TRANSCENDENTAL = 4000;

describe.skipIf(reason !== "")(`x87 against this machine${reason && ` (skipped: ${reason})`}`, () => {
  let harness: NativeHarness;
  let machine: SimulatedMachine;
  const vendor = reason === "" ? nativeVendor() : "";
  const features = reason === "" ? nativeFeatures() : new Set<string>();

  beforeAll(() => {
    harness = new NativeHarness();
    machine = new SimulatedMachine(nativeProfile());
  });
  afterAll(() => harness?.close());

  it.each([64, 32] as const)(`runs ${SEQUENCES} x87 sequences alike in %i-bit mode`, (mode) => {
    const options = { seed: 20_260_102, mode, vendor, features };
    const run = new DifferentialRun(options, harness, machine, new X87Generator(options.seed, mode));
    run.batch(SEQUENCES, 5);
    const { totals } = run;
    const explained = totals.kept.map((mismatch) => run.explain(mismatch)).join("\n\n");
    if (vendor === "AuthenticAMD") expect(explained).toBe("");
    else {
      // What the manuals leave open was matched to AMD's Zen 3.
      console.log(`${run.summary()}\n\n${explained}`);
      expect(totals.mismatches).toBeLessThan(SEQUENCES / 20);
    }
    expect(totals.unsupported.size).toBe(0);
    // INT3 at the end, pending exceptions, undefined escapes, page faults.
    for (const vector of [3, 6, 14, 16]) expect(totals.vectors.get(vector)).toBeGreaterThan(50);
  });

  it(`computes ${TRANSCENDENTAL} transcendental functions to a unit in the last place`, () => {
    const generator = new X87TranscendentalGenerator(20_260_103, 64);
    const cases = Array.from({ length: TRANSCENDENTAL }, () => generator.next());
    const natives = harness.run(cases);
    const simulated = new DataView(new ArrayBuffer(ResultField.Bytes));
    const found: string[] = [];
    cases.forEach((test, i) => {
      machine.run(test, simulated, 0);
      const native = new DataView(natives.buffer, i * ResultField.Bytes, ResultField.Bytes);
      const difference = farApart(test, native, simulated);
      if (difference !== "") found.push(difference);
    });
    expect(found).toEqual([]);
  });
});
