import { describe, expect, it } from "vitest";
import { planOperation } from "../src/abi/operation-plan.ts";
import { findDescriptor } from "../src/operations/descriptors.gen.ts";
import type { Operation } from "../src/operations/operation.ts";

/** Xen's public headers compiled for i386: struct bytes and members by offset and size. */
const I386: readonly [string, number, number, number, Readonly<Record<string, [number, number]>>][] = [
  ["memory.add_to_physmap", 12, 7, 16, { space: [4, 4], idx: [8, 4], gpfn: [12, 4] }],
  ["memory.memory_map", 12, 9, 8, { nr_entries: [0, 4], buffer: [4, 4] }],
  ["memory.remove_from_physmap", 12, 15, 8, { domid: [0, 2], gpfn: [4, 4] }],
  ["sched.poll", 29, 3, 16, { ports: [0, 4], nr_ports: [4, 4], timeout: [8, 8] }],
  ["event_channel.status", 32, 5, 24, { dom: [0, 2], port: [4, 4] }],
  ["hvm.get_param", 34, 1, 16, { domid: [0, 2], index: [4, 4] }],
  ["grant_table.query_size", 20, 6, 16, { dom: [0, 2] }],
];

function plan(hypercall: number, subop: number, compat: boolean) {
  const descriptor = findDescriptor(hypercall, subop);
  if (descriptor === undefined) throw new Error("no such operation");
  const operation = { descriptor, handle: () => 0 } as unknown as Operation;
  return { descriptor, ...planOperation(operation, 0, compat) };
}

describe("structs of 32-bit callers", () => {
  it.each(I386)("%s", (name, hypercall, subop, bytes, fields) => {
    const { descriptor, inputs, copyIn } = plan(hypercall, subop, true);
    expect([descriptor.name, copyIn]).toEqual([name, bytes]);
    for (const [field, [at, size]] of Object.entries(fields)) {
      const found = inputs[descriptor.inputs.findIndex((each) => each.name === field)];
      expect([field, found.at, found.bytes]).toEqual([field, at, size]);
    }
  });

  it("gives a runstate without the hole before its first time", () => {
    const { outputs, copyOut, padding } = plan(24, 4, true);
    expect(copyOut).toBe(44);
    expect(outputs.map(({ at }) => at)).toEqual([0, 4, 12, 20, 28, 36]);
    expect([...padding]).toEqual([]);
  });

  it("leaves 64-bit callers' structs alone", () => {
    const { inputs, copyIn } = plan(12, 7, false);
    expect([copyIn, ...inputs.map(({ at }) => at)]).toEqual([24, 0, 2, 4, 8, 16]);
  });

  it("copies a single result out of its own place", () => {
    expect([plan(20, 10, false).copyOutAt, plan(20, 1, false).copyOutAt]).toEqual([4, 20]);
  });
});
