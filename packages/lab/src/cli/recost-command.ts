import { findProfile, PROFILES, type ProcessorProfile } from "@hyperwalk/cpu";
import { XenConfigError } from "@hyperwalk/xen";
import { parseRecording } from "../recording/parse-recording.js";
import type { Recording } from "../recording/recording.js";
import { RecordingError } from "../recording/recording-error.js";
import type { Between } from "../recording/recording-names.js";
import { type RecostDocument, type RecostRequest, recost } from "../recording/recost.js";
import { describeExit } from "../report/exits.js";
import { runName } from "../report/run-name.js";
import { type AbiName, type GuestPage, type HostName, KVM_ABIS, type P2mPage } from "../result.js";
import { readText } from "./files.js";
import { machineById } from "./machine.js";
import type { Output } from "./output.js";
import { UsageError } from "./usage-error.js";
import { type XenOptions, xenConfig } from "./xen-options.js";

/** What the command line of `recost` says, parsed. */
export interface RecostOptions extends XenOptions {
  readonly machine?: string;
  readonly abi: readonly AbiName[];
  readonly host: readonly HostName[];
  readonly p2mPage?: P2mPage;
  readonly mmioHandlers?: number;
  readonly guestPage?: GuestPage;
  readonly between: Between;
  /** KiB. */
  readonly footprint: number;
  readonly json?: boolean;
}

/** `hyperwalk recost`: a record through other interfaces. @returns the exit code */
export async function recostCommand(
  path: string,
  options: RecostOptions,
  given: (option: keyof RecostOptions) => boolean,
  output: Output,
): Promise<number> {
  const { abi, host, between, footprint, p2mPage, mmioHandlers, guestPage } = options;
  if (host.includes("kvm") && !abi.some((each) => KVM_ABIS.includes(each)))
    throw new UsageError("option --abi", `"${abi.join(",")}" under kvm`, KVM_ABIS.join(", "));
  if (between === "nothing" && given("footprint"))
    throw new UsageError(
      "option --footprint",
      "it says nothing with --between nothing",
      "--between instructions",
    );
  const recording = readRecording("argument <file>", path);
  if (recording.mixes.length > 0) return mixCommand(path, recording, options, given, output);
  const machine =
    options.machine === undefined
      ? recordedMachine(path, recording)
      : await machineById("option --machine", options.machine);
  const hasSwitches = options.specCtrl !== undefined || options.ept !== undefined;
  const request: RecostRequest = {
    recording,
    abis: abi,
    hosts: host,
    machine,
    ...(hasSwitches && { xen: xenConfig(options, machine) }),
    p2mPage,
    mmioHandlers,
    guestPage,
    between,
    footprint: 1024 * footprint,
  };
  const document = replayed(path, request);
  if (options.json) output.out(`${JSON.stringify(document, null, 2)}\n`);
  else {
    const { recostReport } = await import("../report/recost-report.js");
    output.out(recostReport(document, output.paint));
  }
  const bad = document.runs.filter(({ exit }) => !exit.ok);
  for (const run of bad) output.err(`error: replay through ${runName(run)}: ${describeExit(run.exit)}\n`);
  return bad.length === 0 ? 0 : 1;
}

/** The machine of a record, which is one that comes with the package: a record names no files. */
function recordedMachine(path: string, { header: { machine } }: Recording): ProcessorProfile {
  const allowed = `with --machine, ${PROFILES.map(({ id }) => id).join(", ")}`;
  if (machine === null)
    throw new UsageError(
      "option --machine",
      `nothing is given, and the record does not say where it was made`,
      allowed,
    );
  const found = findProfile(machine.id);
  if (found !== undefined) return found;
  throw new UsageError(
    "argument <file>",
    `${path}: line 1: machine.id: there is no machine "${machine.id}"`,
    allowed,
  );
}

/** @throws UsageError for a record whose domain or hypervisor there cannot be */
function replayed(path: string, request: RecostRequest): RecostDocument {
  try {
    return recost(request);
  } catch (error) {
    if (!(error instanceof XenConfigError)) throw error;
    throw new UsageError("argument <file>", `${path}: line 1: ${error.key}: ${error.value}`, error.allowed);
  }
}

/** Options that say nothing where there are only numbers of calls. */
const OF_CALLS: readonly (keyof RecostOptions)[] = ["between", "footprint"];

/** `recost` of a mix that was made of a trace. */
async function mixCommand(
  path: string,
  recording: Recording,
  options: RecostOptions,
  given: (option: keyof RecostOptions) => boolean,
  output: Output,
): Promise<number> {
  const idle = OF_CALLS.find(given);
  if (idle !== undefined)
    throw new UsageError(`option --${idle}`, "it says nothing to a trace's mix", "with a record of calls");
  if (options.host.some((host) => host !== "xen"))
    throw new UsageError("option --host", "a trace's mix is priced under Xen", "xen");
  const machine =
    options.machine === undefined
      ? recordedMachine(path, recording)
      : await machineById("option --machine", options.machine);
  const { priceMix } = await import("../recording/price-mix.js");
  const { abi, p2mPage, mmioHandlers, guestPage } = options;
  const xen = xenConfig(options, machine);
  const document = priceMix({ recording, machine, abis: abi, xen, p2mPage, mmioHandlers, guestPage });
  if (options.json) output.out(`${JSON.stringify(document, null, 2)}\n`);
  else {
    const { mixReport } = await import("../report/mix-report.js");
    output.out(mixReport(document, output.paint));
  }
  return 0;
}

/** A record from a file. @throws UsageError that names file, line and key */
function readRecording(argument: string, path: string): Recording {
  const text = readText(argument, path);
  try {
    return parseRecording(text);
  } catch (error) {
    if (!(error instanceof RecordingError)) throw error;
    throw new UsageError(argument, `${path}: ${error.place}: ${error.found}`, error.allowed);
  }
}
