import { epyc9124, withOverrides } from "@hyperwalk/cpu";
import { applyPrices } from "@hyperwalk/xen";
import { describe, expect, it } from "vitest";
import { compareCommandLine } from "../src/html/reproduce.js";
import { machineSettings } from "../src/machine-settings.js";
import { profileHash } from "../src/profile-hash.js";
import { plain } from "../src/report/paint.js";
import { setting } from "../src/report/summary.js";
import type { CompareDocument } from "../src/result.js";
import { CANNED } from "./canned-document.js";

const PLAIN = { id: "epyc-9124", name: epyc9124.name, vendor: "amd", ghz: epyc9124.frequency.value };
const STAGE = "stage.guest_walk_tables (fixed part)";

describe("the machine of a result", () => {
  it("is a name where it comes with the package, copied or not", () => {
    expect(machineSettings(epyc9124)).toEqual(PLAIN);
    expect(machineSettings(epyc9124, {})).toEqual(PLAIN);
    expect(machineSettings(structuredClone(epyc9124))).toEqual(PLAIN);
    expect(machineSettings(withOverrides(epyc9124, {}))).toEqual(PLAIN);
  });

  it("says which numbers are others, so that a scenario can set them", () => {
    const set = { "timing.vmexit": 400, "memory.dramLatency": 345, [STAGE]: 200 };
    const { profile, prices } = applyPrices(epyc9124, set);
    const settings = machineSettings(profile, prices);
    expect(settings).toEqual({ ...PLAIN, sha256: profileHash(profile), set });
    const again = applyPrices(epyc9124, settings.set ?? {});
    expect(again.prices).toEqual(prices);
    expect(profileHash(again.profile)).toBe(profileHash(profile));
  });

  it("has no hash where only the hypervisor's code is priced anew", () => {
    expect(machineSettings(epyc9124, { [STAGE]: 200 })).toEqual({ ...PLAIN, set: { [STAGE]: 200 } });
  });

  it("has the hash of a profile that is the user's own, or changed in what is no number", () => {
    const own = { ...epyc9124, id: "ours" };
    expect(machineSettings(own)).toEqual({ ...PLAIN, id: "ours", sha256: profileHash(own) });
    const defaults = { ...epyc9124.defaults, ibpbEntry: false };
    const changed = { ...epyc9124, defaults };
    expect(machineSettings(changed)).toEqual({ ...PLAIN, sha256: profileHash(changed) });
  });
});

describe("a comparison with numbers of its own", () => {
  const document: CompareDocument = {
    ...CANNED,
    machine: { ...PLAIN, sha256: "abc", set: { "timing.vmexit": 400, [STAGE]: 200 } },
  };

  it("says so in the terminal", () => {
    const lines = setting(document, plain).split("\n");
    expect(lines).toContain("profile: epyc-9124, SHA-256 abc");
    expect(lines).toContain(`numbers set: timing.vmexit=400, ${STAGE}=200`);
  });

  it("is not made again by a command line alone, and the page says what else it takes", () => {
    expect(compareCommandLine(document).notes.join("\n")).toContain(
      `{ "timing.vmexit": 400, "${STAGE}": 200 }`,
    );
    const { notes } = compareCommandLine({ ...document, machine: { ...PLAIN, id: "ours", sha256: "abc" } });
    expect(notes.join("\n")).toMatch(/ours.*--machine takes the path of its profile file.*SHA-256 abc/);
  });
});
