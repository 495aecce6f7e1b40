import { readdirSync, readFileSync } from "node:fs";
import { AbiError, describeOperations, loadAbi, MAX_ABI_TEXT } from "@hyperwalk/xen/abi-loader";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const ABI = new URL("../abi/", import.meta.url);
const FILES = readdirSync(ABI).filter((name) => name.endsWith(".yml"));

function errorOf(text: string): AbiError {
  try {
    loadAbi(text, "test.yml");
  } catch (error) {
    if (error instanceof AbiError) return error;
    throw error;
  }
  throw new Error("no error");
}

/** A description in the RFC's own grammar: no layouts, no additions. */
const RFC_STYLE = `name: probe
hypercall_index: 24
subops:
  plain:
    index: 0
  read:
    index: 4
    input:
      vcpuid: 2
    output:
      state: 2
      time[0]: 4
      addr.p: 5
    c_lang:
      struct: some_struct
      mapping:
        state: u._state
      params:
        vcpuid: uint32_t
  poll:
    index: 5
    input:
      timeout: 2
      port: 3
    c_lang:
      params:
        timeout: uint64_t
        port: evtchn_port_t
`;

const SMALL = `name: probe
hypercall_index: 33
structs:
  pair:
    bytes: 8
    fields:
      a: { offset: 0, type: u32 }
      b: { offset: 4, type: s16 }
subops:
  get:
    index: 1
    input: { a: 2 }
    output: { b: 3 }
    c_lang: { struct: pair }
`;

describe("the shipped descriptions", () => {
  it.each(FILES)("%s loads and describes every operation", (name) => {
    const group = loadAbi(readFileSync(new URL(name, ABI), "utf8"), name);
    expect(describeOperations(group, name)).toHaveLength(group.operations.length);
    expect(group.doc).not.toBe("");
  });
});

describe("the RFC's grammar", () => {
  it("loads without our additions, with types where the file gives them", () => {
    const group = loadAbi(RFC_STYLE, "rfc.yml");
    expect(group.operations.map((o) => o.name)).toEqual(["plain", "read", "poll"]);
    const read = group.operations[1];
    expect(read.struct).toBe("some_struct");
    expect(read.inputs[0]).toMatchObject({ name: "vcpuid", register: 2, offset: -1 });
    expect(read.outputs.map((v) => [v.name, v.register, v.type])).toEqual([
      ["state", 2, undefined],
      ["time[0]", 4, undefined],
      ["addr.p", 5, undefined],
    ]);
    expect(group.operations[2].inputs[1].type?.bytes).toBe(4);
  });

  it("refuses to make descriptors without layouts", () => {
    const group = loadAbi(RFC_STYLE, "rfc.yml");
    expect(() => describeOperations(group, "rfc.yml")).toThrow(AbiError);
  });
});

describe("errors", () => {
  it("accepts the text that the others are made from", () => {
    const [operation] = loadAbi(SMALL, "test.yml").operations;
    expect(operation).toMatchObject({ copyIn: 8, copyOut: 8 });
    expect(operation.outputs[0]).toMatchObject({ offset: 4, type: { bytes: 2, signed: true } });
  });

  it.each([
    ["unknown register", SMALL.replace("a: 2", "a: 8"), "unknown-register", 12],
    ["sub-operation's register as an input", SMALL.replace("a: 2", "a: 1"), "unknown-register", 12],
    ["register as text", SMALL.replace("a: 2", "a: rsi"), "unknown-register", 12],
    ["register used twice", SMALL.replace("a: 2", "a: 2, b: 2"), "register-used-twice", 12],
    ["missing field", SMALL.replace("a: 2", "c: 2"), "missing-field", 12],
    ["missing struct", SMALL.replace("struct: pair", "struct: pear"), "missing-struct", 14],
    ["unknown key", SMALL.replace("index: 1", "indx: 1"), "unknown-key", 11],
    ["missing key", SMALL.replace("    index: 1\n", ""), "missing-key", 10],
    ["bad number", SMALL.replace("index: 1", "index: 1.5"), "bad-number", 11],
    ["negative number", SMALL.replace("hypercall_index: 33", "hypercall_index: -1"), "bad-number", 2],
    ["huge number", SMALL.replace("bytes: 8", "bytes: 99999999999999999999"), "bad-number", 5],
    ["unknown type", SMALL.replace("type: u32", "type: u128"), "unknown-type", 7],
    ["misaligned field", SMALL.replace("offset: 4", "offset: 5"), "bad-layout", 8],
    ["field past the end", SMALL.replace("offset: 4, type: s16", "offset: 4, type: u64"), "bad-layout", 8],
    ["duplicate index", `${SMALL}  put:\n    index: 1\n`, "duplicate-index", 15],
    ["duplicate key", `${SMALL}  get:\n    index: 2\n`, "syntax", 15],
    ["wrong type", SMALL.replace("input: { a: 2 }", "input: 7"), "wrong-type", 12],
    ["bad name", SMALL.replace("  get:", "  Get It:"), "bad-name", 10],
    ["unknown errno", SMALL.replace("index: 1", "index: 1\n    errors: [EWHAT]"), "unknown-errno", 12],
    ["not YAML", "name: [", "syntax", 1],
    ["two documents", `${SMALL}---\n${SMALL}`, "syntax", 1],
    ["empty", "", "syntax", 1],
    ["null", "~", "wrong-type", 1],
    ["alias", "a: &x [1]\nb: *x\n", "syntax", 2],
  ] as const)("%s", (_, text, code, line) => {
    const error = errorOf(text);
    expect([error.code, error.line]).toEqual([code, line]);
    expect(error.file).toBe("test.yml");
    expect(error.message).toContain(error.allowed);
  });
});

describe("hostile input", { timeout: 30_000 }, () => {
  it("refuses an alias bomb, deep nesting and huge texts at once", () => {
    const bomb = Array.from({ length: 20 }, (_, i) => `a${i}: &a${i} [*a${i - 1}, *a${i - 1}, *a${i - 1}]`);
    expect(errorOf(`a0: &a0 [x]\n${bomb.slice(1).join("\n")}\n`).code).toBe("syntax");
    expect(errorOf("[".repeat(MAX_ABI_TEXT)).code).toBe("syntax");
    expect(errorOf("- ".repeat(MAX_ABI_TEXT / 2)).code).toBe("syntax");
    expect(errorOf("x".repeat(MAX_ABI_TEXT + 1)).code).toBe("too-large");
    expect(errorOf(undefined as unknown as string).code).toBe("wrong-type");
  });

  it("gives typed errors for arbitrary text", () => {
    const pieces = fc.constantFrom(
      ..."name hypercall_index subops index input output c_lang struct 0 1 2 24".split(" "),
    );
    const noise = fc.constantFrom(
      ": ",
      "\n",
      "\n  ",
      "\n    ",
      "- ",
      "{",
      "}",
      "[",
      "]",
      "&a ",
      "*a",
      "!!int ",
      "|",
      "'",
      "#",
    );
    const text = fc
      .array(fc.oneof(pieces, noise, fc.string({ maxLength: 4 })), { maxLength: 60 })
      .map((t) => t.join(""));
    fc.assert(fc.property(text, throwsNothingElse), { numRuns: 2000 });
  });

  it("gives typed errors for damaged descriptions", () => {
    const whole = readFileSync(new URL("vcpu.yml", ABI), "utf8");
    const damage = fc.tuple(fc.nat(whole.length), fc.nat(40), fc.string({ maxLength: 6 }));
    const property = fc.property(damage, ([at, cut, text]) =>
      throwsNothingElse(whole.slice(0, at) + text + whole.slice(at + cut)),
    );
    fc.assert(property, { numRuns: 150 });
  });
});

function throwsNothingElse(text: string): void {
  try {
    loadAbi(text, "test.yml");
  } catch (error) {
    expect(error).toBeInstanceOf(AbiError);
  }
}
