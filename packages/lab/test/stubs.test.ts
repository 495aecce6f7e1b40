import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { hyperwalk, type Said } from "./hyperwalk.js";
import { MEMORY_SUM } from "./memory-sum.js";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "hyperwalk-stubs-"));
  writeFileSync(join(directory, "own.yml"), MEMORY_SUM);
});
afterAll(() => rmSync(directory, { recursive: true }));

const stubs = (...args: string[]): Promise<Said> => hyperwalk("stubs", ...args);

it("an own operation has a stub for each interface, beside those of Xen's", async () => {
  const { code, out } = await stubs(join(directory, "own.yml"));
  expect(code).toBe(0);
  for (const suffix of ["_linear", "_physaddr", "_fastabi", ""])
    expect(out).toContain(`static inline int64_t hw_memory_sum_add_up${suffix}(`);
  expect(out).toContain('_Static_assert(sizeof(struct memory_sum) == 24, "layout of memory_sum");');
  // The second and third FastABI registers come in, the fourth goes out.
  expect(out).toContain('register uint64_t r9 __asm__("r9");');
  expect(out.match(/#include/g)).toHaveLength(1);
});

it("Xen's own descriptions give what the SDK's header has", async () => {
  const path = (file: string) => fileURLToPath(new URL(`../../${file}`, import.meta.url));
  const { out } = await stubs(path("xen/abi/vcpu.yml"));
  const header = readFileSync(path("guest-sdk/include/xen-hypercalls.h"), "utf8");
  const body = out.slice(out.indexOf("/* ----"), out.lastIndexOf("#endif"));
  expect(body.length).toBeGreaterThan(1000);
  expect(header).toContain(body.trimEnd());
});

it("a description that cannot be used is one message with file, line and what is allowed", async () => {
  const lines = MEMORY_SUM.split("\n");
  for (const line of ["    index: 256", "    input: { address: 1 }", "    colour: red", "  : :"]) {
    const at = lines.findIndex((each) => each.startsWith("    index:"));
    writeFileSync(join(directory, "bad.yml"), lines.map((each, n) => (n === at ? line : each)).join("\n"));
    const { code, out, err } = await stubs(join(directory, "bad.yml"));
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(/^error: argument <file>: .*bad\.yml:\d+: .*; allowed: .+\n$/);
  }
  expect((await stubs(join(directory, "absent.yml"))).code).toBe(2);
});
