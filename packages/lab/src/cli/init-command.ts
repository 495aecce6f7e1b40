import { existsSync, mkdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { scenarioJsonSchema } from "../scenario/scenario-schema.js";
import { unwritable, writeFile } from "./files.js";
import { invocation } from "./invocation.js";
import type { Output } from "./output.js";
import { UsageError } from "./usage-error.js";

const GUEST = `// A guest of your own: JavaScript that emits the machine code that the simulated processor runs.
// \`g\` is a GuestProgram of @hyperwalk/guest-sdk: g.hypercall has a stub for every operation (docs/abi-reference.md),
// and the interface that it uses is chosen by the scenario, not here.
export default ({ defineGuest }) =>
  defineGuest("my-guest", (g) => {
    const call = () => g.hypercall.vcpu.getRunstateInfo({ vcpuid: 0 });
    // Caches, TLBs and branch predictor settle first.
    g.repeat(64, call);
    // Figures are of the calls between these two time stamps.
    const cycles = g.measure(() => g.repeat(g.iterations, call));
    g.print("my-guest: cycles=");
    g.printDecimal(cycles);
    g.print(\` iterations=\${g.iterations}\\n\`);
  });
`;

function scenario(name: string): string {
  return `# yaml-language-server: $schema=./scenario.schema.json
name: ${name}
description: What does my guest's hypercall cost through each interface?

machine: epyc-9124 # hyperwalk profiles
host: xen # or kvm, or [xen, kvm]
domain:
  memory: 64M
  p2m-page: 4k

guest:
  module: ./guest.mjs
  iterations: 4096

interfaces: [linear, physaddr, fastabi]

# What you expect; \`hyperwalk run\` ends with 1 when it is not so.
expect:
  - figure: saving
    interface: physaddr
    against: linear
    at-least: 0.1
`;
}

function sweep(name: string): string {
  return `# yaml-language-server: $schema=./scenario.schema.json
name: ${name}-sweep
description: The same over page sizes and the price of a VM exit

guest:
  module: ./guest.mjs
  iterations: 1024

interfaces: [linear, physaddr, fastabi]

sweep:
  axes:
    domain.p2m-page: [4k, 2m, 1g]
    guest.page: [4k, 2m]
    machine.set.timing.vmexit: { from: 350, to: 650, step: 100 }
`;
}

/** `hyperwalk init`: a folder with a guest and scenarios to begin from. Overwrites nothing. @returns the exit code */
export function initCommand(directory: string, output: Output): number {
  const name =
    basename(resolve(directory))
      .replace(/[^A-Za-z0-9._-]+/g, "-")
      .replace(/^[^A-Za-z0-9]+/, "") || "experiment";
  const files: readonly (readonly [string, string])[] = [
    ["guest.mjs", GUEST],
    ["scenario.yml", scenario(name)],
    ["sweep.yml", sweep(name)],
    ["scenario.schema.json", `${JSON.stringify(scenarioJsonSchema(), null, 2)}\n`],
  ];
  const there = files.find(([file]) => existsSync(join(directory, file)));
  if (there !== undefined)
    throw new UsageError(
      "argument [folder]",
      `${join(directory, there[0])} exists`,
      "a folder without these files",
    );
  try {
    mkdirSync(directory, { recursive: true });
  } catch (error) {
    throw unwritable("argument [folder]", directory, error, "the path of a folder");
  }
  for (const [file, text] of files) writeFile("argument [folder]", join(directory, file), text);
  const own = (file: string) => join(directory, file);
  const command = invocation();
  output.out(`Wrote ${files.map(([file]) => own(file)).join(", ")}.

Next:
  ${command} run ${own("scenario.yml")}
  ${command} report ${own("scenario.yml")} -o ${own("report.html")}
  ${command} sweep ${own("sweep.yml")} -o ${own("results")}
  ${command} report ${own("results")} -o ${own("sweep.html")}
`);
  return 0;
}
