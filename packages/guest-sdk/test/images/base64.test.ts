import { readFileSync } from "node:fs";
import { hypercallBenchImage } from "@hyperwalk/guest-sdk";
import { expect, it } from "vitest";

it("the exported image is the committed file", () => {
  const file = readFileSync(
    new URL("../../../../examples/guests/hypercall-bench/hypercall-bench.elf", import.meta.url),
  );
  expect(Buffer.from(hypercallBenchImage()).equals(file)).toBe(true);
});
