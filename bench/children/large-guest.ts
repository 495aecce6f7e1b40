// large-guest: runs a 4 GiB guest that writes to 10 MiB of it, page by page, and prints { hwmMiB, touchedMiB }.
import { readFileSync } from "node:fs";
import { at, defineGuest } from "@hyperwalk/guest-sdk";
import { createXenSystem } from "@hyperwalk/xen";
import { findProfile } from "hyperwalk";

const PAGES = 2560;
const profile = findProfile("epyc-9124");
if (!profile) throw new Error("no profile epyc-9124");

const touch = defineGuest("touch", (g) => {
  // Guests of the SDK map low memory one to one.
  const page = g.variable(2 ** 30);
  g.repeat(PAGES, () => {
    g.asm.mov(at(page.register), page.register);
    g.add(page, 4096);
  });
  g.print("touched\n");
});
const system = createXenSystem({
  profile,
  xen: {},
  domain: {
    image: touch.build({ abi: "linear", vendor: profile.vendor }),
    memoryBytes: 2 ** 32,
    cmdline: "",
    abi: "linear",
  },
});
const outcome = system.run({ maxInstructions: 10_000_000 });
if (outcome.reason !== "shutdown" || !system.console.includes("touched"))
  throw new Error(`the guest ended badly: ${JSON.stringify(outcome)}\n${system.console}`);
const status = readFileSync("/proc/self/status", "utf8");
const hwmMiB = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
console.log(JSON.stringify({ hwmMiB, touchedMiB: (system.processor.memory.touchedFrames * 4096) / 2 ** 20 }));
