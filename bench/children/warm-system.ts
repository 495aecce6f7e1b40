import { createXenSystem, type XenSystem } from "@hyperwalk/xen";
import { type AbiName, findProfile, hypercallBench } from "hyperwalk";

/** Pieces before anything is measured, so that the way in and out of `run` is warm too, and of what instructions. */
const WARM_UPS = 24;
export const PIECE = 250_000;

/** hypercall-bench within a loop that outlasts every measurement, once V8 has compiled what it runs. */
export function warmSystem(abi: AbiName): XenSystem {
  const profile = findProfile("epyc-9124");
  if (!profile) throw new Error("no profile epyc-9124");
  const settings = {
    abi,
    vendor: profile.vendor,
    iterations: 2 ** 24,
    guestPage: "4k",
    operation: "get_runstate_info",
    cmdline: "",
  } as const;
  const image = hypercallBench.image(settings);
  const domain = { image, cmdline: hypercallBench.cmdline(settings), memoryBytes: 64 * 2 ** 20, abi };
  const system = createXenSystem({ profile, xen: {}, domain });
  for (let piece = 0; piece < WARM_UPS; piece++) system.run({ maxInstructions: PIECE });
  return system;
}
