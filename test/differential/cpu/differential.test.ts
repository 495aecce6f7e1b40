import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DifferentialRun } from "./differential-run.js";
import { NativeHarness, nativeFeatures, nativeVendor, whyNotNative } from "./native/native-harness.js";
import { nativeProfile } from "./native/native-profile.js";
import { SimulatedMachine } from "./simulated/simulated-machine.js";

const reason = whyNotNative();
const SEQUENCES = 15_000;

describe.skipIf(reason !== "")(
  `the processor against this machine${reason && ` (skipped: ${reason})`}`,
  () => {
    let harness: NativeHarness;
    let machine: SimulatedMachine;
    const vendor = reason === "" ? nativeVendor() : "";
    const features = reason === "" ? nativeFeatures() : new Set<string>();

    beforeAll(() => {
      harness = new NativeHarness();
      machine = new SimulatedMachine(nativeProfile());
    });
    afterAll(() => harness?.close());

    it.each([64, 32] as const)(`runs ${SEQUENCES} random sequences alike in %i-bit mode`, (mode) => {
      const run = new DifferentialRun({ seed: 20_260_101, mode, vendor, features }, harness, machine);
      run.batch(SEQUENCES, 5);
      const { totals } = run;
      const explained = totals.kept.map((mismatch) => run.explain(mismatch)).join("\n\n");
      if (vendor === "GenuineIntel" || vendor === "AuthenticAMD") expect(explained).toBe("");
      else {
        // Where the manuals leave the steps of an instruction open, the simulator does as the two did.
        console.log(`${run.summary()}\n\n${explained}`);
        expect(totals.mismatches).toBeLessThan(SEQUENCES / 100);
      }
      // Code that changes itself may become x87 code.
      expect([...totals.unsupported.values()].reduce((sum, count) => sum + count, 0)).toBeLessThan(3);
      expect(totals.skipped).toBeLessThan(SEQUENCES / 100);
      // Most sequences run to their INT3.
      expect(totals.vectors.get(3)).toBeGreaterThan(SEQUENCES / 2);
    });
  },
);
