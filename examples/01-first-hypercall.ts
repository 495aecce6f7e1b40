// A guest of four lines, one hypercall, and what it cost. Run with:
//   npx tsx --conditions=@hyperwalk/source examples/01-first-hypercall.ts
import { epyc9124 } from "@hyperwalk/cpu";
import { defineGuest } from "@hyperwalk/guest-sdk";
import { createXenSystem } from "@hyperwalk/xen";

const guest = defineGuest("first-hypercall", (g) => {
  const version = g.hypercall.version.version().result();
  g.print("hello from a guest of Xen ");
  g.printHex(version);
  g.print("\n");
});
const image = guest.build({ abi: "linear", vendor: epyc9124.vendor });
const system = createXenSystem({
  profile: epyc9124,
  xen: {},
  domain: { image, memoryBytes: 64 * 2 ** 20, abi: "linear" },
});
const outcome = system.run({ maxInstructions: 1_000_000 });
console.log(system.console);
console.log(outcome.reason, outcome.shutdown, "after", system.counters().hypercalls, "hypercalls");
