import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { epyc9124, PROFILES, profileQuantities } from "@hyperwalk/cpu";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diffProfiles } from "../src/profile-file/profile-documents.js";
import { ProfileFileError } from "../src/profile-file/profile-file-error.js";
import { profileJsonSchema } from "../src/profile-file/profile-schema.js";
import { type ExtendedFile, parseProfile, readProfile } from "../src/profile-file/read-profile.js";
import { hyperwalk } from "./hyperwalk.js";

const GOOD = `extends: epyc-9124
id: lab-epyc
name: EPYC 9124 of our lab
set:
  timing.ibpb:
    value: 1150
    basis: measured
    source: rdtsc around WRMSR PRED_CMD, minimum of 64, microcode 0x0a101148
  timing.serialise: { value: 80, basis: estimate, range: [40, 120], source: half-way to CPUID }
  timing.rdmsr: 70
defaults:
  ibpbEntry: false
  note: spec-ctrl=no-ibpb-entry on the host
`;

function problems(text: string): string[] {
  return readProfile(text, "my.yml").problems.map(({ message }) => message);
}

let directory = "";
const file = (name: string) => join(directory, name);
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "hyperwalk-profile-"));
  writeFileSync(file("good.yml"), GOOD);
  writeFileSync(file("odd.yml"), GOOD.replace("timing.rdmsr: 70", "memory.nestedTlb.ways: 3"));
  writeFileSync(file("bad.yml"), GOOD.replace("timing.ibpb", "timing.ipbp"));
});
afterAll(() => rmSync(directory, { recursive: true }));

describe("a profile file", () => {
  it("is another profile with some numbers and their provenance in the place of its own", () => {
    const { timing, defaults, ...rest } = parseProfile(GOOD, "my.yml");
    expect(rest).toMatchObject({ id: "lab-epyc", name: "EPYC 9124 of our lab", vendor: "amd" });
    expect(timing.ibpb).toEqual({
      value: 1150,
      unit: "cycles",
      basis: "measured",
      source: "rdtsc around WRMSR PRED_CMD, minimum of 64, microcode 0x0a101148",
    });
    expect(timing.serialise).toMatchObject({ value: 80, basis: "estimate", range: [40, 120] });
    expect(timing.rdmsr).toMatchObject({ value: 70, source: "override", range: [70, 70] });
    expect({ ...timing, ibpb: 0, serialise: 0, rdmsr: 0 }).toEqual({
      ...epyc9124.timing,
      ibpb: 0,
      serialise: 0,
      rdmsr: 0,
    });
    expect(defaults).toEqual({
      ...epyc9124.defaults,
      ibpbEntry: false,
      note: "spec-ctrl=no-ibpb-entry on the host",
    });
    const json = JSON.stringify({ extends: "epyc-9124", id: "lab", name: "lab", set: { "timing.ibpb": 1 } });
    expect(parseProfile(json, "my.json").timing.ibpb.value).toBe(1);
  });

  it("is refused by file, line, key and what is allowed", () => {
    const change = (from: string, to: string) => problems(GOOD.replace(from, to));
    expect(change("epyc-9124", "epyc-9999")).toEqual([
      'my.yml:1: extends: "epyc-9999"; allowed: epyc-9124, epyc-7763, skylake-sp, sapphire-rapids, or the path of a profile file',
    ]);
    expect(change("lab-epyc", "epyc-7763")[0]).toMatch(/^my.yml:2: id: "epyc-7763" comes with the package/);
    expect(change("name: EPYC", "nmae: EPYC").join("\n")).toContain("my.yml:3: nmae: there is no such key");
    expect(change("timing.ibpb", "timing.ipbp")[0]).toMatch(
      /^my.yml:5: set.timing.ipbp: no such number in the profile; allowed: timing.issue, .*timing.ibpb/,
    );
    expect(change("measured", "guessed")[0]).toMatch(/^my.yml:7: set.timing.ibpb.basis: "guessed"; allowed:/);
    expect(change(", range: [40, 120]", "")).toEqual([
      "my.yml:9: set.timing.serialise: an estimate without range; allowed: a range",
    ]);
    expect(change("[40, 120]", "[90, 120]")[0]).toContain(
      "my.yml:9: set.timing.serialise: 80 outside its range",
    );
    expect(change("[40, 120]", "[-4, 120]")[0]).toContain(
      "my.yml:9: set.timing.serialise: range to -4 cycles",
    );
    expect(change("timing.rdmsr: 70", "timing.rdmsr: -70")[0]).toContain(
      "my.yml:10: set.timing.rdmsr: -70 cycles",
    );
    expect(change("timing.rdmsr: 70", "memory.nestedTlb.ways: 3")).toEqual([
      "my.yml:10: set.memory.nestedTlb.ways: 64 entries in 3 ways; allowed: a power of two of whole sets",
    ]);
    expect(change("timing.rdmsr: 70", "memory.l2.latency: 99")[0]).toContain("latencies 4, 99, 50, 338");
    expect(change("ibpbEntry: false", "l1dFlush: true")).toEqual([
      "my.yml:12: defaults.l1dFlush: true on a machine of AMD's; allowed: false",
    ]);
    expect(change("  note: spec-ctrl=no-ibpb-entry on the host\n", "")[0]).toContain(
      "defaults.note: it is missing",
    );
    expect(change("id: lab-epyc", "id: lab-epyc\nid: again")[0]).toMatch(
      /^my.yml:3: .*allowed: one YAML document/,
    );
    expect(problems("")).toHaveLength(1);
    expect(() => parseProfile("[]", "my.yml")).toThrow(ProfileFileError);
  });

  it("with several mistakes names each, in order", () => {
    const text = GOOD.replace("timing.ibpb", "timing.ipbp").replace("timing.rdmsr", "rdmsr");
    expect(readProfile(text, "my.yml").problems.map(({ line }) => line)).toEqual([5, 10]);
    expect(readProfile(text, "my.yml").profile).toBeUndefined();
  });

  it("extends another file, from its own folder, and the problems of that one are told as its own", () => {
    const of = (base: string, id: string, rest = "") => `extends: ${base}\nid: ${id}\nname: ${id}\n${rest}`;
    const files = new Map([
      ["lab/part.yml", GOOD],
      ["lab/bad.yml", GOOD.replace("timing.ibpb", "timing.ipbp")],
      ["lab/ring.yml", of("../ours/ring.yml", "ring")],
      ["ours/ring.yml", of("../lab/ring.yml", "ring-2")],
    ]);
    const found: ExtendedFile = (path, from) => {
      const file = posix.join(posix.dirname(from), path);
      const text = files.get(file);
      if (text === undefined) throw new Error(`"${path}" cannot be read (ENOENT)`);
      return { file, text };
    };
    const told = (base: string, id = "host-1", rest = "") =>
      readProfile(of(base, id, rest), "ours/host.yml", found).problems.map(({ message }) => message);

    const own = "set: { timing.rdmsr: 75 }\ndefaults: { ibpbEntry: true, note: on again }";
    const { profile, problems: none } = readProfile(
      of("../lab/part.yml", "host-1", own),
      "ours/host.yml",
      found,
    );
    expect(none).toEqual([]);
    expect(profile).toMatchObject({ id: "host-1", name: "host-1" });
    expect(profile?.timing.ibpb).toMatchObject({ value: 1150, basis: "measured" });
    expect(profile?.timing.rdmsr.value).toBe(75);
    expect(profile?.timing.vmexit).toEqual(epyc9124.timing.vmexit);
    expect(profile?.defaults).toMatchObject({ ibpbEntry: true, note: "on again" });

    expect(told("../lab/none.yml")[0]).toMatch(
      /^ours\/host.yml:1: extends: "..\/lab\/none.yml" cannot be read \(ENOENT\); allowed: epyc-9124, .*profile file$/,
    );
    expect(told("../lab/bad.yml")).toEqual([
      expect.stringMatching(/^lab\/bad.yml:5: set.timing.ipbp: no such number/),
    ]);
    expect(told("../lab/part.yml", "lab-epyc")[0]).toContain('host.yml:2: id: "lab-epyc" is what');
    expect(told("ring.yml")[0]).toContain('lab/ring.yml:1: extends: "../ours/ring.yml" extends this file');
    expect(told("../lab/part.yml", "host-1", "set: { memory.nestedTlb.ways: 3 }")[0]).toContain(
      "ours/host.yml:4: set.memory.nestedTlb.ways: 64 entries in 3 ways",
    );
    expect(problems(of("part.yml", "host-1"))[0]).toContain('my.yml:1: extends: "part.yml" is a file');
  });

  it("has a schema that names every number", () => {
    const schema = profileJsonSchema() as { properties: { set: { properties: Record<string, unknown> } } };
    const keys = Object.keys(schema.properties.set.properties);
    for (const profile of PROFILES)
      for (const [key] of profileQuantities(profile)) expect(keys, profile.id).toContain(key);
    const published = new URL("../schema/profile.schema.json", import.meta.url);
    expect(JSON.parse(readFileSync(published, "utf8"))).toEqual(schema);
  });
});

describe("hyperwalk profiles", { timeout: 60_000 }, () => {
  it("lists and shows, for people and for programs", async () => {
    const list = await hyperwalk("profiles", "list", "--json");
    expect(JSON.parse(list.out)).toEqual(
      PROFILES.map(({ id }) => expect.objectContaining({ id, numbers: expect.any(Number) })),
    );
    expect((await hyperwalk("profiles")).out).toBe((await hyperwalk("profiles", "list")).out);
    const shown = JSON.parse((await hyperwalk("profiles", "show", file("good.yml"), "--json")).out);
    expect(shown).toMatchObject({ id: "lab-epyc", defaults: { ibpbEntry: false } });
    expect(shown.numbers).toContainEqual(expect.objectContaining({ key: "timing.ibpb", value: 1150 }));
    expect((await hyperwalk("profiles", "show", file("good.yml"))).out).toContain("microcode 0x0a101148");
    const arm = JSON.parse((await hyperwalk("profiles", "show", "neoverse-n1", "--json")).out);
    expect(arm.numbers.length).toBeGreaterThan(20);
  });

  it("checks: 0 for what holds together, 1 for what does not, 2 for what is no profile", async () => {
    expect(await hyperwalk("profiles", "check", file("good.yml"))).toMatchObject({ code: 0, err: "" });
    expect(await hyperwalk("profiles", "check", "skylake-sp")).toMatchObject({ code: 0 });
    const odd = await hyperwalk("profiles", "check", file("odd.yml"), "--json");
    expect(odd.code).toBe(1);
    expect(JSON.parse(odd.out).problems).toEqual([
      expect.objectContaining({ line: 10, key: "set.memory.nestedTlb.ways" }),
    ]);
    const bad = await hyperwalk("profiles", "check", file("bad.yml"));
    expect(bad.code).toBe(2);
    expect(bad.out).toContain(`${file("bad.yml")}:5: set.timing.ipbp`);
    const none = await hyperwalk("profiles", "check", file("none.yml"));
    expect(none).toMatchObject({ code: 2, out: "" });
    expect(none.err).toMatch(/none.yml" cannot be read \(ENOENT\)/);
    expect(await hyperwalk("profiles", "check", "epyc")).toMatchObject({ code: 2, out: "" });
  });

  it("says what two machines differ in, and where each number is from", async () => {
    const { numbers, defaults } = JSON.parse(
      (await hyperwalk("profiles", "diff", "epyc-9124", file("good.yml"), "--json")).out,
    );
    expect(numbers.map(({ key }: { key: string }) => key)).toEqual([
      "timing.serialise",
      "timing.rdmsr",
      "timing.ibpb",
    ]);
    expect(numbers[2]).toEqual({
      key: "timing.ibpb",
      a: epyc9124.timing.ibpb,
      b: expect.objectContaining({ value: 1150, basis: "measured" }),
    });
    expect(defaults).toEqual([{ key: "ibpbEntry", a: true, b: false }]);
    const table = (await hyperwalk("profiles", "diff", "epyc-9124", file("good.yml"))).out;
    expect(table).toContain("3 numbers differ");
    expect(table).toContain("ibpbEntry: on on epyc-9124, off on lab-epyc");
    expect((await hyperwalk("profiles", "diff", "epyc-9124", "epyc-9124")).out).toContain(
      "no number differs",
    );
    const same = { id: "a", name: "a", numbers: profileQuantities(epyc9124) };
    expect(diffProfiles(same, { ...same, numbers: same.numbers.slice(1) }).numbers).toEqual([
      { key: "frequency", a: epyc9124.frequency, b: null },
    ]);
  });

  it("gives machines to every command that takes one", async () => {
    const args = ["compare", "runstate-loop", "--abi", "fastabi", "--iterations", "2", "--json"];
    const run = await hyperwalk(...args, "--machine", file("good.yml"));
    const document = JSON.parse(run.out);
    expect(document.machine).toMatchObject({ id: "lab-epyc" });
    expect(document.host.mitigations.ibpbEntry).toBe(false);
    expect(document.estimates).toContainEqual(
      expect.objectContaining({ key: "timing.rdmsr", value: 70, source: "override" }),
    );
    writeFileSync(
      file("host.yml"),
      "extends: ./good.yml\nid: host-1\nname: host 1\nset: { timing.rdmsr: 75 }\n",
    );
    const extending = JSON.parse((await hyperwalk(...args, "--machine", file("host.yml"))).out);
    expect(extending.machine).toMatchObject({
      id: "host-1",
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(extending.machine.sha256).not.toBe(document.machine.sha256);
    expect(extending.host).toEqual(document.host);
    writeFileSync(file("lost.yml"), "extends: bad.yml\nid: lost\nname: lost\n");
    const lost = await hyperwalk("profiles", "check", file("lost.yml"));
    expect(lost.code).toBe(2);
    expect(lost.out + lost.err).toContain(`${file("bad.yml")}:5: set.timing.ipbp`);
    const odd = await hyperwalk(...args, "--machine", file("odd.yml"));
    expect(odd).toMatchObject({ code: 2, out: "" });
    expect(odd.err).toMatch(/^error: option --machine: .*odd.yml:10: set.memory.nestedTlb.ways: 64 entries/);
    expect((await hyperwalk(...args, "--machine", "epyc")).err).toContain("or the path of a profile file");
  });
});
