import { epyc9124, type ProcessorProfile, sapphireRapids, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it } from "vitest";
import { parseEpt, parseSpecCtrl } from "../src/spec-ctrl.ts";
import { resolveXenConfig, type XenConfig, XenConfigError } from "../src/xen-config.ts";
import { hypercallCost } from "./mitigation-cost.ts";

const OFF = {
  ibpbEntry: false,
  rsbOverwrite: false,
  specCtrlWrite: false,
  verw: false,
  bhbClear: false,
  l1dFlush: false,
  lockHarden: false,
};
const resolved = (text: string, profile: ProcessorProfile) =>
  resolveXenConfig(parseSpecCtrl(text, profile), profile);

describe("spec-ctrl=", () => {
  it.each([epyc9124, skylakeSp, sapphireRapids])("no turns everything off on $id", (profile) => {
    expect(resolved("no", profile)).toMatchObject(OFF);
    expect(resolved("0", profile)).toMatchObject(OFF);
    expect(resolved("off,lock-harden", profile)).toMatchObject({ ...OFF, lockHarden: true });
  });

  it("no-xen leaves SPEC_CTRL for guests", () => {
    expect(resolved("no-xen", skylakeSp)).toMatchObject({ ...OFF, specCtrlWrite: true });
    expect(resolved("xen=0", epyc9124)).toMatchObject(OFF);
  });

  it.each([epyc9124, skylakeSp, sapphireRapids])("what says nothing changes nothing on $id", (profile) => {
    const nothing = "pv=no,ibrs=1,ssbd,no-psfd,bti-thunk=jmp,rsb=no-pv,branch-harden=off";
    expect(resolved(nothing, profile)).toEqual(resolveXenConfig({}, profile));
  });

  it("later sub-options win", () => {
    expect(resolved("no-rsb,rsb=hvm", epyc9124).rsbOverwrite).toBe(true);
    expect(resolved("rsb,rsb=no-hvm", epyc9124).rsbOverwrite).toBe(false);
    expect(resolved("no,hvm", epyc9124)).toMatchObject({ rsbOverwrite: true, verw: true, ibpbEntry: true });
  });

  it("IBPB on entry is SVM's alone", () => {
    expect(resolved("no-ibpb-entry", epyc9124).ibpbEntry).toBe(false);
    expect(resolved("ibpb-entry=hvm", skylakeSp).ibpbEntry).toBe(false);
  });

  it("BHB clearing is VMX's alone, and takes a sequence", () => {
    expect(resolved("bhb-entry,bhb-seq=long", skylakeSp)).toMatchObject({ bhbClear: true, bhbSeq: "long" });
    expect(resolved("bhb-entry", skylakeSp).bhbClear).toBe(false); // nothing was patched in
    expect(resolved("bhb-seq=short", skylakeSp).bhbClear).toBe(false); // not believed to be affected
    expect(resolved("bhb-seq=short", sapphireRapids).bhbClear).toBe(true);
    expect(resolved("no-bhi-dis-s", sapphireRapids)).toMatchObject({ bhbClear: true, bhbSeq: "short" });
    expect(resolved("bhb-entry,bhb-seq=short", epyc9124).bhbClear).toBe(false);
    // No RTM is enumerated: XBEGIN would be #UD.
    expect(resolved("bhb-seq=tsx", sapphireRapids)).toMatchObject({ bhbClear: true, bhbSeq: "short" });
  });

  it("VERW stands in for an L1D flush that is off, and not beside it", () => {
    expect(resolved("no-l1d-flush", skylakeSp)).toMatchObject({ l1dFlush: false, verw: true });
    expect(resolved("verw", skylakeSp)).toMatchObject({ l1dFlush: true, verw: false });
    expect(resolved("no-l1d-flush,md-clear=no-hvm", skylakeSp)).toMatchObject({
      l1dFlush: false,
      verw: false,
    });
    expect(resolved("l1d-flush", epyc9124).l1dFlush).toBe(false);
    expect(resolved("verw", epyc9124).verw).toBe(true);
  });

  it.each([
    ["rsb=maybe", "spec-ctrl.rsb", /hvm/],
    ["rsb=no-dom0", "spec-ctrl.rsb", /hvm/],
    ["lock-harden=2", "spec-ctrl.lock-harden", /a boolean: yes/],
    ["bhb-seq=loop", "spec-ctrl.bhb-seq", /none, short, long, tsx/],
    ["bti-thunk=none", "spec-ctrl.bti-thunk", /retpoline/],
    ["no-rsb=hvm", "spec-ctrl", /msr-sc/],
    ["hvm=pv", "spec-ctrl.hvm", /boolean/],
    ["xen", "spec-ctrl.xen", /no-xen/],
    ["yes", "spec-ctrl", /msr-sc/],
    ["", "spec-ctrl", /msr-sc/],
    ["rsb,,verw", "spec-ctrl", /msr-sc/],
    ["mitigations", "spec-ctrl", /lock-harden/],
  ])("refuses %j, naming %s", (text, key, allowed) => {
    let error: unknown;
    try {
      parseSpecCtrl(text, epyc9124);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(XenConfigError);
    expect(error).toMatchObject({ key });
    expect((error as XenConfigError).allowed).toMatch(allowed);
  });
});

describe("ept=", () => {
  it("exec-sp, pml and ad", () => {
    expect(parseEpt("exec-sp", skylakeSp)).toEqual({ execSp: true });
    expect(parseEpt("no-exec-sp,pml=off", skylakeSp)).toEqual({ execSp: false, pml: false });
    expect(parseEpt("ad=0,pml", skylakeSp)).toEqual({ pml: false });
    expect(parseEpt("exec-sp=0", epyc9124)).toEqual({});
  });

  it("follows the part: superpages may be executed from except on Skylake-SP", () => {
    expect(resolveXenConfig({}, skylakeSp)).toMatchObject({ execSp: false, pml: true });
    expect(resolveXenConfig({}, sapphireRapids)).toMatchObject({ execSp: true, pml: true });
    expect(resolveXenConfig({}, epyc9124)).toMatchObject({ execSp: true, pml: false });
  });

  it.each(["", "exec_sp", "pml=4k", "ad,x"])("refuses %j", (text) => {
    expect(() => parseEpt(text, skylakeSp)).toThrow(XenConfigError);
  });
});

describe("each mitigation is a line of its own", () => {
  const all: XenConfig = { ibpbEntry: true, rsbOverwrite: true, specCtrlWrite: true, verw: true };
  const cells = (profile: ProcessorProfile, xen: XenConfig) => hypercallCost(profile, xen).lines;

  it.each([
    ["ibpbEntry", epyc9124, "mitigations: IBPB predictor-barrier"],
    ["specCtrlWrite", epyc9124, "mitigations: SPEC_CTRL predictor-barrier"],
    ["verw", epyc9124, "mitigations: VERW predictor-barrier"],
    ["lockHarden", epyc9124, "p2m lookup lock-harden"],
    ["specCtrlWrite", skylakeSp, "mitigations: SPEC_CTRL predictor-barrier"],
    ["verw", skylakeSp, "mitigations: VERW predictor-barrier"],
    ["bhbClear", skylakeSp, "mitigations: BHB clearing issue"],
    ["l1dFlush", skylakeSp, "vm-entry l1d-flush"],
    ["lockHarden", skylakeSp, "return path lock-harden"],
  ] as const)("%s", (key, profile, line) => {
    expect(cells(profile, { ...OFF, [key]: true }).get(line) ?? 0).toBeGreaterThan(0);
    expect(cells(profile, OFF).has(line)).toBe(false);
  });

  it("the RSB overwrite's is the NOPs without it", () => {
    const line = "mitigations: RSB overwrite issue";
    const on = cells(epyc9124, { ...OFF, rsbOverwrite: true }).get(line) ?? 0;
    const off = cells(epyc9124, OFF).get(line) ?? 0;
    expect(on).toBeGreaterThan(11 * off);
    expect(off).toBeGreaterThan(0);
  });

  it("the long sequence takes three times the short one's", () => {
    const line = "mitigations: BHB clearing issue";
    const short = cells(skylakeSp, { ...OFF, bhbClear: true }).get(line) ?? 0;
    const long = cells(skylakeSp, { ...OFF, bhbClear: true, bhbSeq: "long" }).get(line) ?? 0;
    expect(long / short).toBeCloseTo(320 / 105, 2);
  });

  it("together they cost what the phases say", () => {
    const { lines, cycles } = hypercallCost(epyc9124, { ...OFF, ...all, lockHarden: true });
    expect([...lines.values()].reduce((sum, each) => sum + each, 0)).toBeCloseTo(cycles, 6);
  });

  it("refuses what a vendor's path does not have", () => {
    expect(() => resolveXenConfig({ bhbClear: true }, epyc9124)).toThrow(/xen\.bhbClear/);
    expect(() => resolveXenConfig({ bhbSeq: "tiny" as never }, skylakeSp)).toThrow(/short, long, tsx/);
    expect(() => resolveXenConfig({ execSp: false }, epyc9124)).toThrow(/no EPT/);
    expect(() => resolveXenConfig({ pml: true }, epyc9124)).toThrow(/page-modification log/);
  });
});
