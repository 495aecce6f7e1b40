import { readFileSync } from "node:fs";
import { epyc9124 } from "@hyperwalk/cpu";
import { describe, expect, it, vi } from "vitest";
import { boot } from "./boot.js";

vi.setConfig({ testTimeout: 60_000 }); // simulated work, however slow the host

describe("a 32-bit guest's start", () => {
  it.each(["unpaged", "pse", "pae"])(
    "%s: ring 3 and back, a double fault's task, the grant table, xenstore",
    (paging) => {
      const image = readFileSync(new URL(`self-check-${paging}.elf`, import.meta.url));
      const { system, outcome } = boot(epyc9124, "linear", image, "", 1_000_000);
      expect(system.console).toBe("paging\nring 3\ndouble fault\ngrant table\ndomid 1\n");
      expect(outcome).toMatchObject({ reason: "shutdown", shutdown: "poweroff" });
    },
  );
});
