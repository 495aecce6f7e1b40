import { describe, expect, it } from "vitest";
import { runGuest } from "../src/run-guest.js";
import { fakeSystem, ROWS, WINDOW } from "./fake-system.js";

const options = { abi: "linear", iterations: 4, ghz: 2.5, maxInstructions: 1000 } as const;

describe("runGuest", () => {
  it("divides the window by its hypercalls", () => {
    const { result } = runGuest(fakeSystem({ window: WINDOW }), options);
    expect(result.window).toBe("rdtsc");
    expect(result.cyclesPerCall).toBe(2563.25 / 4);
    expect(result.nsPerCall).toBe(2563.25 / 4 / 2.5);
    expect(result.counters).toEqual({
      hypervisorInstructionsPerCall: 700,
      p2mLookupsPerCall: 6,
      p2mTableReadsPerCall: 24,
      guestPteReadsPerCall: 4,
      guestInstructionsPerCall: 9,
      bytesCopiedPerCall: 48,
    });
  });

  it("gives one cell for each phase and cause, and they sum to the cycles per call", () => {
    const { result } = runGuest(fakeSystem({ window: WINDOW }), options);
    expect(result.ledger.reduce((sum, cell) => sum + cell.cyclesPerCall, 0)).toBe(result.cyclesPerCall);
    const names = result.ledger.map(({ phase, cause }) => `${phase} ${cause}`);
    expect(new Set(names).size).toBe(names.length);
    expect(result.ledger.find((cell) => cell.phase === "copy")?.cyclesPerCall).toBe(1103 / 4);
  });

  it("prefers the figure that the guest printed, and falls back to the timestamps it read", () => {
    const console =
      "boot\r\nhypercall-bench: abi=linear op=x iterations=4 cycles=2564 per-call=641\r\nbye\r\n";
    const printed = runGuest(fakeSystem({ window: WINDOW, console }), options).result;
    expect([printed.guestMeasuredCyclesPerCall, printed.guestMeasuredBy]).toEqual([641, "console"]);
    const silent = runGuest(fakeSystem({ window: WINDOW }), options).result;
    expect([silent.guestMeasuredCyclesPerCall, silent.guestMeasuredBy]).toEqual([2563.25 / 4, "tsc"]);
  });

  it("marks what ran with timing off, and keeps it out of the figures", () => {
    const { result } = runGuest(fakeSystem({ window: WINDOW }), {
      ...options,
      fastForward: { untilMarker: true },
    });
    expect(result.fastForward).toEqual({
      mode: "functional",
      until: "marker",
      reached: true,
      instructions: 1000,
      cycles: 500,
    });
    expect(result.cyclesPerCall).toBe(2563.25 / 4);
    expect(runGuest(fakeSystem({ window: WINDOW }), options).result.fastForward).toBeUndefined();
  });

  it("says so when there was no window, and measures from start to end", () => {
    const { result } = runGuest(fakeSystem({ window: undefined }), options);
    expect(result.window).toBe("whole-run");
    expect(result.guestMeasuredCyclesPerCall).toBeNull();
    expect(result.cyclesPerCall).toBe(ROWS.reduce((sum, row) => sum + row.ticks, 0) / 256 / 4);
  });

  it("reports a bad end with its RIP", () => {
    const outcome = {
      reason: "unsupported-instruction",
      rip: "0xffffffff80100010",
      detail: "addps xmm0, xmm1",
    };
    const { result } = runGuest(fakeSystem({ window: WINDOW, outcome }), options);
    expect(result.exit).toEqual({ ok: false, ...outcome });
    const crash = { reason: "shutdown", shutdown: "crash", rip: "0x1" };
    expect(runGuest(fakeSystem({ outcome: crash }), options).result.exit.ok).toBe(false);
  });

  it("passes estimates on, with null for a range that nobody stated", () => {
    const { estimates } = runGuest(fakeSystem({}), options);
    expect(estimates.map((each) => each.range)).toEqual([[0.3, 0.6], null]);
  });
});
