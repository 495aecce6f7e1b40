import { epyc9124, skylakeSp } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import { sumCells } from "../src/ledger-sums.js";
import {
  compareOperations,
  MATRIX_OPERATIONS,
  type MatrixCell,
  type MatrixDocument,
} from "../src/operation-matrix.js";
import { hyperwalk } from "./hyperwalk.js";

vi.setConfig({ testTimeout: 120_000 }); // simulated work, however slow the host

const ENOSYS = -38;

function cell(document: MatrixDocument, operation: string, column = 0): MatrixCell {
  return document.operations.find((row) => row.operation === operation)!.cells[column];
}

describe.each([epyc9124, skylakeSp])("every operation under KVM on $id", (machine) => {
  const document = compareOperations({ machine, hosts: ["kvm"] });

  it("is measured, or there is the reason why not, and the guest ends well", () => {
    expect(document.exits).toMatchObject([{ ok: true }]);
    expect(document.operations.map(({ operation }) => operation)).toEqual(MATRIX_OPERATIONS);
    for (const { operation, cells } of document.operations) {
      expect(cells.map(({ abi, host }) => [abi, host])).toEqual([["linear", "kvm"]]);
      const [found] = cells;
      if (found.cyclesPerCall === null) expect(found.reason, operation).not.toContain("did not come");
    }
  });

  it("has a ledger that sums to what the guest's time stamps saw", () => {
    for (const { operation, cells } of document.operations)
      for (const found of cells)
        if (found.cyclesPerCall !== null) {
          expect(sumCells(found.ledger), operation).toBeCloseTo(found.cyclesPerCall, 6);
          for (const { cyclesPerCall } of found.ledger) expect(cyclesPerCall, operation).toBeGreaterThan(0);
        }
  });

  it("is served in the kernel where Linux does, by nobody where it is about FIFO events, else by the monitor", () => {
    const by = (who: string) =>
      document.operations
        .filter(({ cells: [found] }) => found.cyclesPerCall !== null && found.servedBy === who)
        .map(({ operation }) => operation)
        .sort();
    expect(by("kernel")).toEqual([
      "event_channel.send",
      "sched.poll",
      "sched.yield",
      "set_timer_op.set",
      "vcpu.set_singleshot_timer",
      "vcpu.stop_singleshot_timer",
      "version.version",
    ]);
    expect(by("refused")).toEqual(["event_channel.expand_array", "event_channel.set_priority"]);
    const measured = document.operations.filter(({ cells: [found] }) => found.cyclesPerCall !== null);
    expect(by("monitor")).toHaveLength(measured.length - 9);
    for (const operation of by("refused"))
      expect(cell(document, operation)).toMatchObject({ result: ENOSYS });
  });

  it("passes through user space exactly where the kernel does not serve it", () => {
    for (const { operation, cells } of document.operations)
      for (const found of cells)
        if (found.cyclesPerCall !== null) {
          const leaves = found.ledger.some(({ phase }) => phase === "exit to user space");
          expect(leaves, operation).toBe(found.servedBy !== "kernel");
        }
  });

  it("sleeps in SCHEDOP_poll, whose instant KVM takes for a time from now", () => {
    const poll = cell(document, "sched.poll");
    const idle = (poll.cyclesPerCall === null ? [] : poll.ledger).filter(({ cause }) => cause === "idle");
    expect(sumCells(idle)).toBeGreaterThan(1_000_000);
    expect(document.operations.find(({ operation }) => operation === "sched.poll")?.condition).toContain(
      "a time from now",
    );
  });
});

describe("both hosts in one matrix", () => {
  const operations = ["event_channel.send", "vcpu.get_runstate_info", "vcpu.set_singleshot_timer"];

  it("has Xen's interfaces first, as a matrix of Xen's alone has them", () => {
    const both = compareOperations({
      machine: epyc9124,
      abis: ["linear", "physaddr"],
      hosts: ["xen", "kvm"],
      operations,
    });
    const alone = compareOperations({ machine: epyc9124, abis: ["linear", "physaddr"], operations });
    expect(both.abis).toEqual(["linear", "physaddr", "linear"]);
    expect(both.hosts).toEqual(["xen", "xen", "kvm"]);
    expect(both.host.kind).toBe("xen,kvm");
    expect(alone.hosts).toBeUndefined();
    for (const operation of operations)
      for (const column of [0, 1]) {
        const { cyclesPerCall } = cell(both, operation, column);
        expect(cell(alone, operation, column).cyclesPerCall).toBe(cyclesPerCall);
        expect(cell(alone, operation, column)).not.toHaveProperty("host");
        expect(cell(both, operation, column)).not.toHaveProperty("servedBy");
      }
    // In the kernel KVM is the cheaper one, by way of user space the dearer one.
    const cycles = (operation: string, column: number) => cell(both, operation, column).cyclesPerCall!;
    expect(cycles("event_channel.send", 2)).toBeLessThan(cycles("event_channel.send", 0));
    expect(cycles("vcpu.get_runstate_info", 2)).toBeGreaterThan(cycles("vcpu.get_runstate_info", 0));
  });

  it("refuses what cannot be", () => {
    const machine = epyc9124;
    expect(() => compareOperations({ machine, hosts: [] })).toThrow("hosts: none is given");
    expect(() => compareOperations({ machine, abis: ["fastabi"], hosts: ["kvm"] })).toThrow("under kvm");
  });
});

describe("compare --op with --host", () => {
  const ops = ["--op", "version.version,vcpu.is_up,event_channel.set_priority"];

  it("says who served each call, and where the cycles went", async () => {
    const { code, out, err } = await hyperwalk("compare", "runstate-loop", ...ops, "--host", "xen,kvm");
    expect([code, err]).toEqual([0, ""]);
    const [tables] = out.split("Estimates that");
    expect(tables).toMatch(/^version\.version .* kernel$/m);
    expect(tables).toMatch(/^vcpu\.is_up .* monitor$/m);
    expect(tables).toMatch(/^event_channel\.set_priority~ .* nobody: -ENOSYS$/m);
    expect(tables).toContain("Where the cycles go under KVM");
    expect(tables).toContain("under Xen and KVM");
    expect(tables.split("\n").every((line) => line.length <= 130)).toBe(true);
  });

  it("says nothing of KVM where nobody asked", async () => {
    const { out } = await hyperwalk("compare", "runstate-loop", ...ops, "--abi", "linear");
    expect(out).not.toContain("KVM:");
    expect(out).not.toContain("served by");
  });

  it.each([
    ["an interface that KVM does not have", ["--abi", "physaddr"], ["--abi", "physaddr", "linear"]],
    ["words of Xen's", ["--spec-ctrl", "no-xen"], ["--spec-ctrl", "--host xen"]],
  ])("refuses %s", async (_, args, said) => {
    const { code, out, err } = await hyperwalk("compare", "runstate-loop", ...ops, "--host", "kvm", ...args);
    expect([code, out]).toEqual([2, ""]);
    for (const words of said) expect(err).toContain(words);
  });
});
