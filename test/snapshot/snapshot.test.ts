import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeSnapshot, encodeSnapshot } from "@hyperwalk/xen";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { finish, SUITE, type SuiteGuest } from "./guests.js";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 300_000 }); // simulated work, however slow the host

/** Numbers from 1 to `most` that differ from guest to guest and seed to seed (multiply and add, the upper bits). */
function instants(seed: number, most: number, count: number): number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return 1 + ((state >>> 8) % most);
  });
}

const runs = new Map<SuiteGuest, { readonly json: string; readonly instructions: number }>();

/** What a guest comes to that nobody interrupts. */
function whole(guest: SuiteGuest): { readonly json: string; readonly instructions: number } {
  const known = runs.get(guest);
  if (known !== undefined) return known;
  const system = guest.make();
  const run = { json: finish(system), instructions: system.counters().guestInstructions };
  runs.set(guest, run);
  return run;
}

/** Some of the suite: one of a kind. */
const SOME = SUITE.filter((_, n) => n % 6 === 1);

describe("a system that is restored in a new process", () => {
  let directory = "";

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "hyperwalk-snapshot-"));
    SUITE.forEach((guest, n) => {
      const { instructions } = whole(guest);
      const system = guest.make();
      system.run({ maxInstructions: instants(n + 1, instructions - 1, 1)[0] });
      writeFileSync(join(directory, `${n}.snapshot`), encodeSnapshot(system.snapshot()));
    });
    const resume = fileURLToPath(new URL("./resume.ts", import.meta.url));
    const { status, stderr } = spawnSync(
      process.execPath,
      ["--conditions=@hyperwalk/source", "--import", "tsx", resume, directory],
      { encoding: "utf8", cwd: fileURLToPath(new URL("../..", import.meta.url)) },
    );
    expect(status, stderr).toBe(0);
  });

  afterAll(() => rmSync(directory, { recursive: true }));

  it.each(SUITE.map((guest, n) => [guest.name, guest, n] as const))(
    "%s ends with the same JSON",
    (_, guest, n) => {
      expect(readFileSync(join(directory, `${n}.json`), "utf8")).toBe(whole(guest).json);
    },
  );
});

describe("a system that is interrupted again and again", () => {
  it.each(SOME.map((guest) => [guest.name, guest] as const))("%s ends with the same JSON", (_name, guest) => {
    const { json, instructions } = whole(guest);
    let system = guest.make();
    for (const at of instants(instructions, instructions - 1, 4).sort((a, b) => a - b)) {
      const { guestInstructions } = system.counters();
      if (at > guestInstructions) system.run({ maxInstructions: at - guestInstructions });
      const next = guest.make();
      next.restore(decodeSnapshot(encodeSnapshot(system.snapshot())));
      system = next;
    }
    expect(finish(system)).toBe(json);
  });

  it("is not changed by a snapshot, nor the snapshot by it", () => {
    const [guest] = SOME;
    const { json, instructions } = whole(guest);
    const system = guest.make();
    system.run({ maxInstructions: instructions >> 1 });
    const snapshot = system.snapshot();
    const encoded = encodeSnapshot(snapshot);
    expect(finish(system)).toBe(json);
    expect(Buffer.compare(encodeSnapshot(snapshot), encoded)).toBe(0);
    expect(() => system.restore(snapshot)).toThrow("has run");
    const other = guest.make();
    other.restore(snapshot);
    expect(Buffer.compare(encodeSnapshot(other.snapshot()), encoded)).toBe(0);
    expect(finish(other)).toBe(json);
  });

  it("is one that has ended, too", () => {
    const [guest] = SOME;
    const system = guest.make();
    const json = finish(system);
    const other = guest.make();
    other.restore(decodeSnapshot(encodeSnapshot(system.snapshot())));
    expect(finish(other)).toBe(json);
  });
});
