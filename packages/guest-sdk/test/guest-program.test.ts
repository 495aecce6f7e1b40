import { defineGuest, type GuestProgram, GuestSourceError } from "@hyperwalk/guest-sdk";
import { describe, expect, it } from "vitest";

const ABIS = ["linear", "physaddr", "percall", "fastabi"] as const;

function build(source: (g: GuestProgram) => void, abi: (typeof ABIS)[number] = "linear"): Uint8Array {
  return defineGuest("test", source).build({ abi, vendor: "amd" });
}

describe("a guest's source", () => {
  it.each(ABIS)("can use every statement under %s", (abi) => {
    const image = build((g) => {
      const sum = g.variable(2n ** 40n);
      const buffer = g.buffer(100, 4096);
      g.add(sum, 5);
      g.subtract(sum, 2n ** 35n);
      g.repeat(3, () => {
        const state = g.hypercall.vcpu.getRunstateInfo({ vcpuid: 0 }).output("time[1]");
        g.add(sum, state);
        state.release();
      });
      g.repeat(sum, () => g.hypercall.sched.yield());
      g.hypercall.memory.memoryMap({ nrEntries: 4, buffer });
      const result = g.hypercall.version.version().result();
      g.when(result, "ge", 0, () => g.printHex(result));
      g.printDecimal(sum);
      g.printRatio(sum, 7);
      g.shutdown(3);
    }, abi);
    expect(image.length).toBeGreaterThan(4096);
  });

  const refuse = (code: GuestSourceError["code"], source: (g: GuestProgram) => void): void => {
    let caught: unknown;
    try {
      build(source);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(GuestSourceError);
    expect((caught as GuestSourceError).code).toBe(code);
  };

  it("is refused where it would go wrong", () => {
    refuse("RESULT_OVERWRITTEN", (g) => {
      const call = g.hypercall.version.version();
      g.print("too early\n");
      call.result();
    });
    refuse("UNKNOWN_OUTPUT", (g) => g.hypercall.vcpu.getRunstateInfo({ vcpuid: 0 }).output("stat"));
    refuse("REGISTERS_EXHAUSTED", (g) => {
      for (let i = 0; i < 6; i++) g.variable(i);
    });
    refuse("RELEASED", (g) => {
      const v = g.variable(1);
      v.release();
      g.printDecimal(v);
    });
    refuse("VALUE", (g) => g.printDecimal(0.5));
    refuse("VALUE", (g) => g.frameOf(g.buffer(4096, 2048)));
    refuse("VALUE", (g) => g.printRatio(1, 0));
  });

  it("gets its registers back from loops", () => {
    build((g) => {
      for (let i = 0; i < 20; i++) g.repeat(2, () => g.repeat(3, () => {}));
    });
  });
});
