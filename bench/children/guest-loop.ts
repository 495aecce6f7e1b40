// guest-loop <image> <command line> <which> <timing>: prints { mips, host, instructions, checksum }. Which systems of the
// process are measured: `first`, the only one, and one figure; `later`, five that run after others have warmed the process
// up; or `boot`, the same from their first instruction. Timing is full or functional (a fast-forward). `host` is what the
// calibration loop said around each. Seconds are processor time of this process: a busy machine changes them less.
import { readFileSync } from "node:fs";
import { createXenSystem, type RunOutcome, type XenSystem } from "@hyperwalk/xen";
import { findProfile } from "hyperwalk";
import { Calibration } from "../calibration.js";

// V8 compiles the engine's loop in its first long call, throws that away at paths first taken later (the way out among
// them), interprets it in the next system and compiles it again: two whole systems were not enough where it was traced.
const WARM_UPS = 3;
const RUNS = 5;
/** Pieces in which warm-ups run, so that the way in and out of `run` is warm too. */
const PIECE = 500_000;
const ENOUGH = 2 ** 31;

/** Instructions after which V8 has compiled what a first system runs. */
const COMPILED = 15_000_000;
/** Instructions of a later system before the clock starts: its boot, and most blocks decoded. */
const BOOTED = 2_000_000;

const [file, cmdline, which, timing] = process.argv.slice(2);
const profile = findProfile("epyc-9124");
if (!profile) throw new Error("no profile epyc-9124");
const image = readFileSync(file);

function boot(): XenSystem {
  return createXenSystem({
    profile: profile as NonNullable<typeof profile>,
    xen: {},
    domain: { image, memoryBytes: 64 * 2 ** 20, cmdline, abi: "linear" },
  });
}

/** Up to so many more instructions, or the end. @returns how it ended; undefined when it goes on */
function run(system: XenSystem, instructions: number): RunOutcome | undefined {
  if (timing === "functional") return system.fastForward({ instructions }).outcome;
  const outcome = system.run({ maxInstructions: instructions });
  return outcome.reason === "budget" ? undefined : outcome;
}

function checksumOf(system: XenSystem): string {
  const checksum = /checksum=(\S+)/.exec(system.console)?.[1];
  if (checksum === undefined) throw new Error(`the guest ended badly:\n${system.console}`);
  return checksum;
}

const first = which === "first";
for (let warmUp = 0; warmUp < (first ? 0 : WARM_UPS); warmUp++) {
  const system = boot();
  while (run(system, PIECE) === undefined);
  checksumOf(system);
}
const calibration = new Calibration();
const mips: number[] = [];
const host: number[] = [];
let checksum = "";
let instructions = 0;
for (let measured = 0; measured < (first ? 1 : RUNS); measured++) {
  const system = boot();
  if (first) for (let done = 0; done < COMPILED; done += PIECE) run(system, PIECE);
  else if (which === "later") run(system, BOOTED);
  const skipped = system.counters().guestInstructions;
  const speed = calibration.measure();
  const start = process.cpuUsage();
  const outcome = run(system, ENOUGH);
  const { user, system: kernel } = process.cpuUsage(start);
  host.push((speed + calibration.measure()) / 2);
  if (outcome?.reason !== "shutdown") throw new Error(`the guest ended badly: ${JSON.stringify(outcome)}`);
  checksum = checksumOf(system);
  instructions = system.counters().guestInstructions;
  mips.push((instructions - skipped) / (user + kernel));
}
console.log(JSON.stringify({ mips, host, instructions, checksum }));
