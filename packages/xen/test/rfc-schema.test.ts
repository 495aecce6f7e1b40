import { readFileSync } from "node:fs";
import { AbiError, type AbiGroup, describeOperations, loadAbi } from "@hyperwalk/xen/abi-loader";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

/*
 * The schema of the FastABI RFC's own files: registers, sub-operations and what a C stub needs, no layouts. Its seven
 * files are not here; these have the same groups, written anew from our descriptions.
 */

const ABI = new URL("../abi/", import.meta.url);
const GROUPS = ["event_channel", "grant_table", "hvm", "memory", "sched", "vcpu", "version"] as const;
const shipped = (name: string) => loadAbi(readFileSync(new URL(`${name}.yml`, ABI), "utf8"), `${name}.yml`);

/** A group in block style, with the lines of nothing but blanks that the RFC's files have. */
function inRfcSchema(group: AbiGroup): string {
  const out = [`name: ${group.name}`, `hypercall_index: ${group.hypercall}`, "", "subops:"];
  for (const operation of group.operations.filter((each) => each.fastabi)) {
    out.push(`  ${operation.name}:`, `    index: ${operation.subop}`);
    const carried = (values: typeof operation.inputs) => values.filter(({ register }) => register !== 0);
    for (const [side, values] of [
      ["input", carried(operation.inputs)],
      ["output", carried(operation.outputs)],
    ] as const)
      if (values.length > 0)
        out.push(`    ${side}:`, ...values.map(({ name, register }) => `      ${name}: ${register}`));
    const values = [...carried(operation.inputs), ...carried(operation.outputs)];
    const params = values.filter(({ offset }) => offset !== undefined && offset < 0);
    const mapped = values.filter(({ name, path }) => path !== undefined && path !== name);
    if (values.length > 0 || operation.struct !== undefined) out.push("    c_lang:");
    if (operation.struct !== undefined) out.push(`      struct: ${operation.struct}`);
    if (mapped.length > 0)
      out.push("      mapping:", ...mapped.map(({ name, path }) => `        ${name}: ${path}`));
    if (params.length > 0)
      out.push("      params:", ...params.map(({ name, type }) => `        ${name}: ${type?.c}`));
    out.push("  ");
  }
  return `${out.join("\n")}\n`;
}

const carriage = (group: AbiGroup) =>
  group.operations
    .filter((operation) => operation.fastabi)
    .map(({ name, subop, inputs, outputs }) => {
      const carried = (values: typeof inputs) =>
        Object.fromEntries(
          values.filter(({ register }) => register !== 0).map((v) => [v.name, v.register] as const),
        );
      return { name, subop, inputs: carried(inputs), outputs: carried(outputs) };
    });

describe.each(GROUPS)("%s in the RFC's schema", (name) => {
  const group = shipped(name);
  const text = inRfcSchema(group);

  it("says the same about every register", () => {
    const loaded = loadAbi(text, "rfc.yml");
    expect(loaded.hypercall).toBe(group.hypercall);
    expect(carriage(loaded)).toEqual(carriage(group));
    expect(loaded.structs).toEqual([]);
  });

  it("has the descriptors of our own files once somebody gives it the layouts", () => {
    const loaded = loadAbi(text, "rfc.yml", { structs: group.structs });
    const own = new Map(describeOperations(group, name).map((each) => [each.name, each]));
    for (const descriptor of describeOperations(loaded, "rfc.yml")) {
      const { inputs, outputs, hypercall, subop, struct } = own.get(descriptor.name) ?? descriptor;
      expect(descriptor).toMatchObject({ hypercall, subop });
      expect(descriptor.struct).toEqual(struct);
      for (const [fields, ours] of [
        [descriptor.inputs, inputs],
        [descriptor.outputs, outputs],
      ])
        for (const field of fields)
          expect(field).toMatchObject({ bytes: ours.find((each) => each.name === field.name)?.bytes });
    }
  });

  it("has no descriptors without them where a struct is named", () => {
    const loaded = loadAbi(text, "rfc.yml");
    const named = loaded.operations.find(({ struct, inputs, outputs }) => {
      return struct !== undefined && inputs.length + outputs.length > 0;
    });
    const error = thrownBy(() => describeOperations(loaded, "rfc.yml"));
    expect([error?.code, error?.line]).toEqual(["missing-struct", named?.line]);
    expect(error?.message).toContain(named?.struct);
  });
});

describe("values that nobody laid out", () => {
  const text =
    "name: probe\nhypercall_index: 100\nsubops:\n  add:\n    index: 3\n    input: { a: 2, b: 3 }\n    output: { sum: 2 }\n";

  it("are whole registers of an operation that FastABI alone carries", () => {
    const [descriptor] = describeOperations(loadAbi(text, "probe.yml"), "probe.yml");
    expect(descriptor).toMatchObject({ name: "probe.add", hypercall: 100, subop: 3, fastabiOnly: true });
    expect(
      [...descriptor.inputs, ...descriptor.outputs].map((f) => [f.name, f.bytes, f.register, f.offset]),
    ).toEqual([
      ["a", 8, 2, -2],
      ["b", 8, 3, -2],
      ["sum", 8, 2, -2],
    ]);
  });

  it("may be what another file's struct has no member for", () => {
    const other =
      "name: other\nhypercall_index: 9\nstructs:\n  pair:\n    bytes: 8\n    fields:\n      a: { offset: 0, type: u32 }\nsubops:\n  x:\n    index: 0\n";
    const { structs } = loadAbi(other, "other.yml");
    const group = loadAbi(`${text}    c_lang: { struct: pair }\n`, "probe.yml", { structs });
    expect(group.structs).toEqual(structs);
    const [descriptor] = describeOperations(group, "probe.yml");
    expect(descriptor.inputs.map((f) => [f.bytes, f.offset])).toEqual([
      [4, 0],
      [8, -2],
    ]);
    expect(descriptor.fastabiOnly).toBe(true);
  });
});

/** In the RFC's schema; each line is the one that the error names. */
const PROBE = [
  "name: probe", // 1
  "hypercall_index: 24", // 2
  "", // 3
  "subops:", // 4
  "  read:", // 5
  "    index: 4", // 6
  "    input:", // 7
  "      vcpuid: 2", // 8
  "      flags: 3", // 9
  "    output:", // 10
  "      state: 2", // 11
  "      time[0]: 4", // 12
  "    c_lang:", // 13
  "      struct: some_struct", // 14
  "      mapping:", // 15
  "        state: u._state", // 16
  "      params:", // 17
  "        vcpuid: uint32_t", // 18
  "  write:", // 19
  "    index: 5", // 20
].join("\n");

describe("errors name the line", () => {
  it("accepts the text that the others are made from, with either line end and a byte-order mark", () => {
    for (const text of [PROBE, PROBE.replaceAll("\n", "\r\n"), `\ufeff${PROBE}`])
      expect(loadAbi(text, "probe.yml").operations).toHaveLength(2);
  });

  it.each([
    ["a register past the last", PROBE.replace("flags: 3", "flags: 8"), "unknown-register", 9],
    ["a negative register", PROBE.replace("flags: 3", "flags: -1"), "unknown-register", 9],
    ["a register by its name", PROBE.replace("flags: 3", "flags: r8"), "unknown-register", 9],
    ["a fraction of a register", PROBE.replace("flags: 3", "flags: 3.5"), "unknown-register", 9],
    ["no register", PROBE.replace("flags: 3", "flags:"), "unknown-register", 9],
    [
      "the result's register as an output",
      PROBE.replace("state: 2", "state: 1\n      other: 9"),
      "unknown-register",
      12,
    ],
    ["an input register twice", PROBE.replace("flags: 3", "flags: 2"), "register-used-twice", 9],
    ["an output register twice", PROBE.replace("time[0]: 4", "time[0]: 2"), "register-used-twice", 12],
    ["one index for two operations", PROBE.replace("index: 5", "index: 4"), "duplicate-index", 19],
    ["one name for two operations", PROBE.replace("  write:", "  read:"), "syntax", 19],
    ["an index past the last", PROBE.replace("index: 5", "index: 256"), "bad-number", 20],
    ["a hypercall without a stub", PROBE.replace("index: 24", "index: 128"), "bad-number", 2],
    ["a type that does not exist", PROBE.replace("uint32_t", "uint128_t"), "unknown-type", 18],
    ["a parameter that is no value", PROBE.replace("        vcpuid:", "        vcpu:"), "missing-field", 18],
    ["a mapped name that is no value", PROBE.replace("        state:", "        stat:"), "missing-field", 16],
    ["a key that nobody knows", PROBE.replace("    output:", "    outputs:"), "unknown-key", 10],
    ["no index", PROBE.replace("    index: 5", "    input: { a: 2 }"), "missing-key", 19],
    ["no operations", "name: probe\nhypercall_index: 1\n", "missing-key", 1],
    ["a list of operations", "name: probe\nhypercall_index: 1\nsubops: [read]\n", "wrong-type", 3],
    ["a name with a blank", PROBE.replace("  write:", "  wr ite:"), "bad-name", 19],
    ["a prototype's name as an errno", `${PROBE}\n    errors: [constructor]\n`, "unknown-errno", 21],
    ["a merged mapping", `${PROBE}\n    <<: { index: 6 }\n`, "unknown-key", 21],
    ["a tag", PROBE.replace("index: 5", "index: !!binary aGk="), "syntax", 20],
    ["a number as a key", `${PROBE}\n    7: 8\n`, "syntax", 21],
  ] as const)("%s", (_, text, code, line) => {
    const error = thrownBy(() => loadAbi(text, "probe.yml"));
    expect([error?.code, error?.line]).toEqual([code, line]);
    expect(error?.message).toMatch(new RegExp(`^probe\\.yml:${line}: ${code}`));
  });
});

describe("hostile descriptions", { timeout: 30_000 }, () => {
  it("fail by typed errors alone, whatever is done to their lines", () => {
    const lines = PROBE.split("\n");
    const line = fc.nat(lines.length - 1);
    const value = fc.constantFrom(
      "{}",
      "[]",
      "~",
      "2",
      "-1",
      "1e400",
      "0x2",
      "true",
      "''",
      "&a 1",
      "*a",
      "!!set {a}",
      "|",
      "? x",
    );
    const change = fc.oneof(
      fc.record({ kind: fc.constant("drop" as const), line }),
      fc.record({ kind: fc.constant("copy" as const), line, to: line }),
      fc.record({ kind: fc.constant("value" as const), line, value }),
      fc.record({ kind: fc.constant("indent" as const), line, by: fc.nat(12) }),
      fc.record({
        kind: fc.constant("text" as const),
        line,
        text: fc.string({ maxLength: 12, unit: "binary" }),
      }),
    );
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const damaged = [...lines];
        for (const each of changes) {
          const before = damaged[each.line] ?? "";
          if (each.kind === "drop") damaged.splice(each.line, 1);
          else if (each.kind === "copy") damaged.splice(each.to, 0, before);
          else if (each.kind === "value") damaged[each.line] = before.replace(/:.*/, `: ${each.value}`);
          else if (each.kind === "indent") damaged[each.line] = " ".repeat(each.by) + before.trimStart();
          else damaged[each.line] = before + each.text;
        }
        const error = thrownBy(() => {
          const group = loadAbi(damaged.join("\n"), "probe.yml");
          describeOperations(group, "probe.yml");
        });
        if (error !== undefined)
          expect(error.line).toBeLessThanOrEqual(damaged.join("\n").split(/\r\n?|\n/).length);
      }),
      { numRuns: 1500 },
    );
  });

  it("leave nothing behind in objects that everybody shares", () => {
    for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
      const text = `name: probe\nhypercall_index: 1\nsubops:\n  ${name}:\n    index: 1\n    input: { ${name}: 2 }\n`;
      thrownBy(() => describeOperations(loadAbi(text, "probe.yml"), "probe.yml"));
      expect(({} as { readonly index?: unknown }).index).toBeUndefined();
    }
  });
});

/** @throws anything but an AbiError */
function thrownBy(action: () => void): AbiError | undefined {
  try {
    action();
  } catch (error) {
    if (error instanceof AbiError) return error;
    throw error;
  }
  return undefined;
}
