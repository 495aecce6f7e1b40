import { epyc9124 } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { compare } from "../src/compare.ts";
import { runstateLoop } from "../src/guest-catalogue.ts";
import { hyperwalk } from "./hyperwalk.ts";

const request = { guest: runstateLoop, machine: epyc9124, iterations: 64 };

describe("compare under several hypervisors", () => {
  it("names the hypervisor of each run, and says the same of Xen's as without KVM", () => {
    const alone = compare({ ...request, abis: ["linear", "fastabi"] });
    const both = compare({ ...request, abis: ["linear", "fastabi"], hosts: ["xen", "kvm"] });
    expect(alone.host.kind).toBe("xen");
    expect(alone.runs[0]).not.toHaveProperty("host");
    expect(both.host.kind).toBe("xen,kvm");
    expect(both.host.kvm).toMatchObject({ vmscape: true, rsbFill: "none" });
    expect(both.runs.map(({ host, abi }) => `${host} ${abi}`)).toEqual([
      "xen linear",
      "xen fastabi",
      "kvm linear",
    ]);
    expect(both.runs.slice(0, 2).map(({ host: _host, ...rest }) => rest)).toEqual(alone.runs);
    const kvm = both.runs[2];
    expect(kvm.exit.ok).toBe(true);
    expect(kvm.window).toBe("rdtsc");
    const sum = kvm.ledger.reduce((total, { cyclesPerCall }) => total + cyclesPerCall, 0);
    expect(sum).toBeCloseTo(kvm.cyclesPerCall ?? 0, 6);
    expect(kvm.ledger.map(({ phase }) => phase)).toContain("user-space monitor");
  });

  it("refuses what KVM does not have", () => {
    expect(() => compare({ ...request, abis: ["fastabi"], hosts: ["kvm"] })).toThrow(/fastabi under kvm/);
    expect(() => compare({ ...request, hosts: ["kvm"], confidential: "sev" })).toThrow(RangeError);
    expect(() => compare({ ...request, hosts: [] })).toThrow(RangeError);
  });

  it("prints both in one table", async () => {
    const { code, out } = await hyperwalk(
      "compare",
      "runstate-loop",
      "--iterations",
      "64",
      "--host",
      "xen,kvm",
    );
    expect(code).toBe(0);
    expect(out).toContain("under Xen and KVM");
    expect(out).toMatch(/linear on KVM\s+│?\s*[\d,]+/);
  });

  it("runs the linear interface when KVM is alone and nothing else was named", async () => {
    const { code, out } = await hyperwalk(
      "compare",
      "runstate-loop",
      "--iterations",
      "64",
      "--host",
      "kvm",
      "--json",
    );
    expect(code).toBe(0);
    const document = JSON.parse(out);
    expect(document.host.kind).toBe("kvm");
    expect(document.runs.map(({ abi, host }: { abi: string; host: string }) => [abi, host])).toEqual([
      ["linear", "kvm"],
    ]);
  });

  it.each([
    [["--host", "kvm", "--abi", "physaddr"], "KVM does not have physaddr"],
    [["--host", "xen,kvm", "--abi", "fastabi"], "KVM does not have fastabi"],
    [["--host", "bhyve"], "bhyve"],
    [["--host", "kvm", "--spec-ctrl", "no"], "words of Xen's"],
    [["--host", "kvm", "--confidential", "sev"], "not encrypted"],
  ])("is exit code 2 for %s", async (args, message) => {
    const { code, err } = await hyperwalk("compare", "runstate-loop", ...args);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });
});
