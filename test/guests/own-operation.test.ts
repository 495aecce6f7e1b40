import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { defineGuest, GuestSourceError } from "@hyperwalk/guest-sdk";
import {
  createXenSystem,
  Errno,
  type Operation,
  type OwnCall,
  ownOperation,
  SnapshotError,
  VERSION_VERSION,
  XenConfigError,
} from "@hyperwalk/xen";
import { describeOperations, loadAbi } from "@hyperwalk/xen/abi-loader";
import { describe, expect, it, vi } from "vitest";
import { ABIS, type AbiName } from "./boot.js";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

const DESCRIPTION = `
name: own
hypercall_index: 100
structs:
  own_scale:
    bytes: 24
    fields:
      value: { offset: 0, type: s32 }
      by: { offset: 4, type: u16 }
      low: { offset: 8, type: s16 }
      whole: { offset: 16, type: u64 }
subops:
  scale:
    index: 200
    input: { value: 2, by: 3 }
    output: { low: 4, whole: 5 }
    c_lang: { struct: own_scale }
`;
/** In the RFC's schema: nothing but registers. */
const REGISTERS_ONLY = `
name: bare
hypercall_index: 101
subops:
  swap:
    index: 1
    input: { a: 2, b: 3 }
    output: { first: 2, second: 3 }
`;
const [scale] = describeOperations(loadAbi(DESCRIPTION, "own.yml"), "own.yml");
const [swap] = describeOperations(loadAbi(REGISTERS_ONLY, "bare.yml"), "bare.yml");

const handleScale = (own: OwnCall): number => {
  const product = own.input("value") * own.input("by");
  if (product === 0n) return -Errno.EINVAL;
  own.output("low", product);
  own.output("whole", product);
  return 7;
};
const handleSwap = (own: OwnCall): number => {
  own.output("first", own.input("b"));
  own.output("second", own.input("a"));
  return 0;
};
const OPERATIONS: readonly Operation[] = [ownOperation(scale, handleScale), ownOperation(swap, handleSwap)];

const guest = defineGuest("own", (g) => {
  const call = g.call(scale, { value: -3, by: 1 });
  const result = call.result();
  const low = call.output("low");
  const whole = call.output("whole");
  g.print("result=");
  g.printDecimal(result);
  g.print(" low=");
  g.printHex(low);
  g.print(" whole=");
  g.printHex(whole);
  result.release();
  low.release();
  whole.release();
  const refused = g.call(scale, [0, 5]).result();
  g.when(refused, "e", -Errno.EINVAL, () => g.print(" EINVAL"));
  if (g.abi === "fastabi") {
    const second = g.call(swap, { a: 2n ** 63n + 5n, b: 1 }).output("second");
    g.print(" second=");
    g.printHex(second);
  }
  g.print("\n");
});

const system = (profile: typeof epyc9124, abi: AbiName, operations: readonly Operation[] = OPERATIONS) =>
  createXenSystem({
    profile,
    domain: { image: guest.build({ abi, vendor: profile.vendor }), memoryBytes: 32 * 2 ** 20, abi },
    operations,
  });

describe.each([epyc9124, skylakeSp])("operations from outside on $id", (profile) => {
  it.each(ABIS)("carry their values through %s", (abi) => {
    const made = system(profile, abi);
    made.run();
    const second = abi === "fastabi" ? " second=0x8000000000000005" : "";
    expect(made.console).toBe(`result=7 low=0xfffffffffffffffd whole=0xfffffffffffffffd EINVAL${second}\n`);
    expect(made.ledger.phaseDepth).toBe(0);
  });

  it("are not there without", () => {
    const made = system(profile, "fastabi", []);
    made.run();
    expect(made.console).toMatch(/^result=18446744073709551578 .*\n$/); // -ENOSYS
  });

  it("make their cost known, and that it is an estimate", () => {
    const dear = ownOperation(scale, handleScale, {
      name: "scale",
      phase: "operation",
      instructions: 100_000,
      basis: "estimate",
      source: "test",
    });
    const cycles = [OPERATIONS, [dear, OPERATIONS[1]]].map((operations) => {
      const made = system(profile, "linear", operations);
      made.run();
      return made.cycles;
    });
    expect(cycles[1] - cycles[0]).toBeGreaterThan(30_000);
    const made = system(profile, "linear");
    made.run();
    expect(
      made
        .estimates()
        .map(({ key }) => key)
        .filter((key) => key.includes("own.scale")),
    ).toHaveLength(1);
  });

  it("belong to what a snapshot fits", () => {
    const made = system(profile, "linear");
    made.run({ maxInstructions: 1000 });
    const snapshot = made.snapshot();
    const again = system(profile, "linear");
    again.restore(snapshot);
    again.run();
    made.run();
    expect([again.console, again.cycles]).toEqual([made.console, made.cycles]);
    expect(() => system(profile, "linear", OPERATIONS.slice(0, 1)).restore(snapshot)).toThrow(SnapshotError);
  });
});

describe("operations that cannot be", () => {
  const refused = (operation: Operation) => {
    try {
      system(epyc9124, "linear", [operation]);
    } catch (error) {
      if (error instanceof XenConfigError) return error.key;
      throw error;
    }
    return "";
  };

  it.each([
    ["one of Xen's", { hypercall: VERSION_VERSION.hypercall, subop: VERSION_VERSION.subop }, "descriptor"],
    ["a continuation of Xen's", { hypercall: 32, subop: 14 }, "descriptor"],
    ["beside one that takes the whole hypercall", { hypercall: 15, subop: 3 }, "descriptor"],
    ["no stub for it", { hypercall: 128 }, "descriptor.hypercall"],
    ["no number", { hypercall: Number.NaN }, "descriptor.hypercall"],
    ["a sub-operation too far", { subop: 256 }, "descriptor.subop"],
    ["too many values", { inputs: Array(40).fill(scale.inputs[0]) }, "descriptor"],
  ] as const)("%s", (_, changes, key) => {
    const operation = ownOperation({ ...scale, ...changes }, handleScale);
    expect(refused(operation)).toBe(`operations[0].${key}`);
  });

  it("two in one place, no handler, names that there are not", () => {
    expect(() => system(epyc9124, "linear", [OPERATIONS[0], OPERATIONS[0]])).toThrow(XenConfigError);
    expect(refused({ ...OPERATIONS[0], handle: undefined as never })).toBe("operations[0].handle");
    const wrong = ownOperation(scale, (own) => Number(own.input("vallue")));
    expect(() => system(epyc9124, "linear", [wrong]).run()).toThrow(RangeError);
    const source = (inputs: Record<string, number>) => () =>
      defineGuest("wrong", (g) => void g.call(scale, inputs)).build({ abi: "linear", vendor: "amd" });
    expect(source({ value: 1, buy: 2 })).toThrow(GuestSourceError);
    const bare = defineGuest("wrong", (g) => void g.call(swap, { a: 1, b: 2 }));
    expect(() => bare.build({ abi: "linear", vendor: "amd" })).toThrow(GuestSourceError);
  });
});
