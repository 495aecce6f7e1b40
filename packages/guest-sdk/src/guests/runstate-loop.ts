import { defineGuest, type Guest } from "../guest.js";
import type { GuestProgram } from "../guest-program.js";

const WARM_UP = 64;

/**
 * The loop of the published comparison: `iterations` × VCPUOP_get_runstate_info between two time stamps, after a
 * warm-up of 64. Prints `runstate-loop: abi=… op=get_runstate_info iterations=… cycles=… per-call=…`.
 */
export const runstateLoop: Guest = defineGuest("runstate-loop", (g: GuestProgram) => {
  const call = (): void => {
    g.hypercall.vcpu.getRunstateInfo({ vcpuid: 0 });
  };
  g.repeat(WARM_UP, call);
  const cycles = g.measure(() => g.repeat(g.iterations, call));
  g.print(`runstate-loop: abi=${g.abi} op=get_runstate_info iterations=${g.iterations} cycles=`);
  g.printDecimal(cycles);
  g.print(" per-call=");
  g.printRatio(cycles, g.iterations);
  g.print("\n");
});
