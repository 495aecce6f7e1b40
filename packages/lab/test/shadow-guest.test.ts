import { epyc9124 } from "@hyperwalk/cpu";
import { createXenSystem } from "@hyperwalk/xen";
import { describe, expect, it } from "vitest";
import type { GuestSettings } from "../src/guest.ts";
import { BUILT_IN_GUESTS } from "../src/guest-catalogue.ts";

describe.each(BUILT_IN_GUESTS)("$name under shadow paging", (guest) => {
  it("does and counts what it does under nested paging, at other costs", { timeout: 60_000 }, () => {
    const settings: GuestSettings = {
      abi: "linear",
      vendor: "amd",
      iterations: 64,
      guestPage: "4k",
      operation: "get_runstate_info",
      cmdline: "",
    };
    const boot = (paging: "hap" | "shadow") => {
      const system = createXenSystem({
        profile: epyc9124,
        domain: {
          image: guest.image(settings),
          memoryBytes: 32 * 2 ** 20,
          abi: "linear",
          cmdline: guest.cmdline(settings),
          paging,
        },
      });
      const outcome = system.run({ maxInstructions: 2e6 });
      const { window } = system;
      if (window === undefined) throw new Error(`no window: ${JSON.stringify(outcome)}`);
      return { system, outcome, window, calls: system.counters().hypercalls };
    };
    const [hap, shadow] = [boot("hap"), boot("shadow")];
    expect(shadow.outcome).toMatchObject({ reason: hap.outcome.reason, shutdown: hap.outcome.shutdown });
    expect([shadow.calls, shadow.window.hypercalls]).toEqual([hap.calls, hap.window.hypercalls]);
    // In the loop the struct's page is in the virtual TLB: one look-up where there were six.
    expect(hap.window.counters.p2mLookups).toBe(6 * hap.window.hypercalls);
    expect(shadow.window.counters.p2mLookups).toBe(shadow.window.hypercalls);
    expect(shadow.window.counters.guestPteReads).toBe(0);
    expect(shadow.window.cycles).toBeLessThan(hap.window.cycles);
    const { ledger } = shadow.system;
    expect(ledger.rows().reduce((sum, row) => sum + row.ticks, 0)).toBe(ledger.clock[0]);
  });
});
