import {
  type ConfidentialKind,
  type FastForwardTarget,
  ImageError,
  type KvmConfig,
  type MonitorName,
} from "@hyperwalk/xen";
import { type CompareRequest, compare, comparedPlaces } from "../compare.js";
import { CompareError } from "../compare-error.js";
import type { GuestOperation } from "../guest.js";
import { describeExit } from "../report/exits.js";
import { runName } from "../report/run-name.js";
import {
  ABIS,
  type AbiName,
  COMPARED_ABIS,
  type CompareDocument,
  type GuestPage,
  type HostName,
  KVM_ABIS,
  type P2mPage,
} from "../result.js";
import { guestFromArgument } from "./guest-argument.js";
import { machineById } from "./machine.js";
import type { Output } from "./output.js";
import { UsageError } from "./usage-error.js";
import { type XenOptions, xenConfig } from "./xen-options.js";

/** What the command line of `compare` says, parsed. */
export interface CompareOptions extends XenOptions {
  readonly machine: string;
  readonly abi: readonly AbiName[];
  readonly host: readonly HostName[];
  readonly iterations: number;
  readonly op: GuestOperation;
  readonly guestPage: GuestPage;
  readonly p2mPage: P2mPage;
  readonly ibpb?: "on" | "off";
  readonly monitor?: MonitorName;
  readonly mmioHandlers: number;
  readonly memory: number;
  readonly maxInstructions: number;
  readonly fastForward?: FastForwardTarget;
  readonly confidential?: ConfidentialKind;
  readonly cmdline: string;
  readonly json?: boolean;
}

/** `hyperwalk compare`: one guest through several interfaces. @returns the exit code */
export async function compareCommand(
  guest: string,
  options: CompareOptions,
  output: Output,
): Promise<number> {
  const request = await compareRequest(guest, options);
  const document = explained(guest, () => compare(request));
  if (options.json) output.out(`${JSON.stringify(document, null, 2)}\n`);
  else {
    const { compareReport } = await import("../report/compare-report.js");
    output.out(compareReport(document, output.paint));
  }
  return exitCode([document], output);
}

/** What the command line asks for. @throws UsageError for what cannot be */
export async function compareRequest(guest: string, options: CompareOptions): Promise<CompareRequest> {
  const chosen = guestFromArgument(guest);
  const machine = await machineById("option --machine", options.machine);
  // "All" are those that the guest can be run through.
  const asked = options.abi === ABIS ? (chosen.abis ?? ABIS) : options.abi;
  checkHosts(options, asked);
  const abis = options.host.includes("xen") ? asked : asked.filter((abi) => KVM_ABIS.includes(abi));
  return possible({
    guest: chosen,
    machine,
    abis,
    hosts: options.host,
    kvm: kvmConfig(options),
    iterations: options.iterations,
    operation: options.op,
    cmdline: options.cmdline,
    guestPage: options.guestPage,
    p2mPage: options.p2mPage,
    mmioHandlers: options.mmioHandlers,
    memoryMiB: options.memory,
    maxInstructions: options.maxInstructions,
    fastForward: options.fastForward,
    confidential: options.confidential,
    mitigations: {
      ...xenConfig(options, machine),
      ...(options.ibpb === undefined ? {} : { ibpbEntry: options.ibpb === "on" }),
    },
  });
}

/** The command line's words for the parts of a request. */
const OPTION_OF: Readonly<Record<CompareError["key"], string>> = {
  operation: "option --op",
  abis: "option --abi",
  hosts: "option --host",
  monitor: "option --monitor",
  confidential: "option --confidential",
};

/** @throws UsageError for a comparison that cannot be made */
function possible(request: CompareRequest): CompareRequest {
  try {
    comparedPlaces(request);
    return request;
  } catch (error) {
    if (!(error instanceof CompareError)) throw error;
    throw new UsageError(OPTION_OF[error.key], error.problem, error.allowed);
  }
}

/** Linux's switches and the monitor's, as far as they were asked for. */
export function kvmConfig({ ibpb, monitor }: Pick<CompareOptions, "ibpb" | "monitor">): KvmConfig {
  return {
    ...(ibpb === undefined ? {} : { vmscape: ibpb === "on" }),
    ...(monitor === undefined ? {} : { monitor }),
  };
}

/** What KVM does not have is refused where it was asked for by name and there is no Xen to run it. */
export function checkHosts(
  { abi, host, confidential, specCtrl, ept, monitor }: Omit<CompareOptions, "op">,
  asked: readonly AbiName[],
): void {
  if (!host.includes("kvm")) {
    if (monitor !== undefined)
      throw new UsageError("option --monitor", "only KVM has one", "with --host kvm or xen,kvm");
    return;
  }
  const isNamed = abi !== ABIS && abi !== COMPARED_ABIS;
  const stray = asked.find((each) => !KVM_ABIS.includes(each));
  const isAlone = !host.includes("xen");
  const carriesNone = !asked.some((each) => KVM_ABIS.includes(each));
  if (isNamed && stray !== undefined && (isAlone || carriesNone))
    throw new UsageError(
      "option --abi",
      `KVM does not have ${stray}`,
      `with --host kvm: ${KVM_ABIS.join(", ")}`,
    );
  if (confidential !== undefined)
    throw new UsageError("option --confidential", "KVM's guests are not encrypted here", "with --host xen");
  const words = specCtrl !== undefined ? "--spec-ctrl" : ept !== undefined ? "--ept" : undefined;
  if (words !== undefined && isAlone)
    throw new UsageError(`option ${words}`, "these are words of Xen's", "with --host xen");
}

/** Runs a guest that the command line named. @throws UsageError when its image cannot be booted */
export function explained<T>(argument: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw imageProblem(argument, error);
  }
}

/** What stopped a guest, as the command line is told it: of an image that cannot be booted a UsageError. */
export function imageProblem(argument: string, error: unknown): unknown {
  if (!(error instanceof ImageError)) return error;
  return new UsageError(
    "argument <guest>",
    `"${argument}" cannot be booted (${error.message})`,
    "a PVH ELF file that fits into --memory",
  );
}

/** 1 when a guest ended badly, after saying so on standard error. */
export function exitCode(documents: readonly CompareDocument[], output: Output): number {
  const bad = documents.flatMap((document) => document.runs).filter((run) => !run.exit.ok);
  for (const run of bad) output.err(`error: guest under ${runName(run)}: ${describeExit(run.exit)}\n`);
  return bad.length === 0 ? 0 : 1;
}
