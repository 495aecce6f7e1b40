// What guest-physical addresses save, and where: VCPUOP_get_runstate_info, the loop of the published figure. Run with:
//   npx tsx --conditions=@hyperwalk/source examples/02-linear-vs-physaddr.ts
import { epyc9124 } from "@hyperwalk/cpu";
import { compare, hypercallBench } from "hyperwalk";

const { runs } = compare({
  guest: hypercallBench,
  machine: epyc9124,
  abis: ["linear", "physaddr"],
  iterations: 4096,
});
const [linear, physaddr] = runs;
for (const run of runs) {
  const { abi, cyclesPerCall, counters } = run;
  console.log(
    `${abi.padEnd(9)} ${cyclesPerCall?.toFixed(0).padStart(6)} cycles a call, ` +
      `${counters?.p2mLookupsPerCall} p2m look-ups, ${counters?.guestPteReadsPerCall} guest page-table reads`,
  );
}
console.log(
  `saved     ${(100 * (1 - physaddr.cyclesPerCall! / linear.cyclesPerCall!)).toFixed(1)} %, by phase:`,
);

const byPhase = (run: typeof linear): Map<string, number> => {
  const sums = new Map<string, number>();
  for (const { phase, cyclesPerCall } of run.ledger) sums.set(phase, (sums.get(phase) ?? 0) + cyclesPerCall);
  return sums;
};
const after = byPhase(physaddr);
for (const [phase, cycles] of byPhase(linear)) {
  const saved = cycles - (after.get(phase) ?? 0);
  if (Math.abs(saved) >= 0.5) console.log(`  ${phase.padEnd(24)} ${saved.toFixed(0).padStart(6)}`);
}
