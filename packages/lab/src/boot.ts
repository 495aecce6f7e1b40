import type { ProcessorProfile } from "@hyperwalk/cpu";
import {
  type BootModule,
  type BootProtocolName,
  ConsoleStream,
  createKvmSystem,
  createXenSystem,
  type DomainConfig,
  decodeSnapshot,
  type ExitAccount,
  encodeSnapshot,
  type FastForwardTarget,
  type GuestSystem,
  type KvmConfig,
  type KvmSystem,
  type RunBudget,
  type RunOutcome,
  type XenConfig,
  type XenSystem,
} from "@hyperwalk/xen";
import { exitCodeOf } from "./boot-exit-code.js";
import { DEFAULT_BOOT_INSTRUCTIONS, DEFAULT_BOOT_MEMORY } from "./defaults.js";
import { estimatesUsed, mergeEstimates } from "./estimates.js";
import { type FastForwardResult, fastForwardResult } from "./fast-forward.js";
import type { AbiName, EstimateUsed, HostName } from "./result.js";
import { TOOL } from "./tool.js";
import { traceLines } from "./trace.js";

/** One boot of an image: everything but the image and the machine has a default. */
export interface BootRequest {
  readonly image: Uint8Array;
  readonly machine: ProcessorProfile;
  /** How the image starts; default what it is marked for. */
  readonly protocol?: BootProtocolName | undefined;
  readonly cmdline?: string;
  readonly modules?: readonly BootModule[];
  /** Bytes, a multiple of 4096; default {@link DEFAULT_BOOT_MEMORY}. */
  readonly memoryBytes?: number;
  /** 1 to 32; default 1. */
  readonly vcpus?: number;
  /** Default linear. */
  readonly abi?: AbiName;
  /** Default: what Xen chooses on this machine, and lock hardening. `parseSpecCtrl` and `parseEpt` make one of text. */
  readonly xen?: XenConfig;
  /** The hypervisor; default Xen. KVM has the linear interface alone, and refuses what it does not have of a domain. */
  readonly host?: HostName;
  /** Default: as Linux chooses on this machine. */
  readonly kvm?: KvmConfig;
  /** What else the domain is created with, over what this request says; see `xlDomainConfig`. */
  readonly domain?: Partial<
    Pick<
      DomainConfig,
      "abi" | "viridian" | "maxEventChannels" | "createFlags" | "fixedMemoryLayout" | "paging"
    >
  >;
  /** Is the guest the one that may write to Xen's own console? Default no. */
  readonly hardwareDomain?: boolean;
  /** Default {@link DEFAULT_BOOT_INSTRUCTIONS}. */
  readonly maxInstructions?: number;
  /** Run with timing off up to here first; default not. */
  readonly fastForward?: FastForwardTarget | undefined;
  /** What {@link onSnapshot} was given by a boot of the same image with the same settings: go on from there. */
  readonly restore?: Uint8Array;
  /**
   * Take a snapshot after so many instructions since the guest's start, at the end of the block that they end in; at once
   * when {@link restore} or {@link fastForward} went past them.
   */
  readonly snapshotAt?: number;
  /** Given that snapshot, encoded; the run then goes on as if nothing had been. */
  readonly onSnapshot?: (snapshot: Uint8Array) => void;
  /** Called once, when image, settings and snapshot have been accepted and the guest is about to run. */
  readonly onStart?: () => void;
  /** Given the guest's text as it comes; the bytes are only valid during the call. */
  readonly onConsole?: (bytes: Uint8Array) => void;
  /** Given one line of JSON, with its line end, for each hypercall and VM exit. */
  readonly onTrace?: (line: string) => void;
}

/** What came out of one boot: plain data, the same bytes for the same inputs. */
export interface BootDocument {
  readonly tool: { readonly name: string; readonly version: string };
  readonly machine: { readonly id: string; readonly name: string; readonly ghz: number };
  readonly guest: {
    /** The hypervisor; only where it is not Xen. */
    readonly host?: HostName;
    readonly protocol: BootProtocolName;
    readonly cmdline: string;
    readonly memoryBytes: number;
    readonly vcpus: number;
    readonly abi: AbiName;
  };
  readonly exit: RunOutcome;
  /** What the command line ends with: see `exitCodeOf`. */
  readonly exitCode: number;
  readonly console: string;
  /**
   * Guest instructions of all vCPUs, and simulated cycles, of the timed part, which is everything without a fast-forward.
   */
  readonly instructions: number;
  readonly cycles: number;
  /** Only where one was asked for. */
  readonly fastForward?: FastForwardResult;
  /** Hypercalls by name, and all VM exits by reason, of the timed part and all vCPUs; the former are among the latter. */
  readonly hypercalls: readonly ExitAccount[];
  readonly exits: readonly ExitAccount[];
  /** What the cycles rest on that nobody measured, by key. */
  readonly estimates: readonly EstimateUsed[];
}

/**
 * Boots one image under the modelled Xen or KVM and runs it to its end or its budget.
 * @throws ImageError when the image cannot be booted @throws XenConfigError for a setting that makes no sense
 * @throws SnapshotError when `restore` is not a snapshot of such a boot
 */
export function bootGuest(request: BootRequest): BootDocument {
  const { machine, abi = "linear", cmdline = "", vcpus = 1 } = request;
  const memoryBytes = request.memoryBytes ?? DEFAULT_BOOT_MEMORY;
  const { host = "xen" } = request;
  const parts = {
    profile: machine,
    domain: {
      image: request.image,
      boot: request.protocol,
      modules: request.modules ?? [],
      memoryBytes,
      vcpus,
      cmdline,
      abi,
      hardwareDomain: request.hardwareDomain ?? false,
      ...request.domain,
    },
    accounting: true,
    measureWindow: false,
  };
  const system: XenSystem | KvmSystem =
    host === "kvm"
      ? createKvmSystem({ ...parts, kvm: request.kvm })
      : createXenSystem({ ...parts, xen: request.xen });
  const stream = printing(system, request.onConsole);
  if (request.onTrace !== undefined) traceLines(system, request.onTrace);
  if (request.restore !== undefined) system.restore(decodeSnapshot(request.restore));
  request.onStart?.();
  const { fastForward, snapshotAt } = request;
  const most = request.maxInstructions ?? DEFAULT_BOOT_INSTRUCTIONS;
  const forwarded =
    fastForward === undefined ? undefined : system.fastForward(fastForward, budgetTo(system, most));
  let exit = forwarded?.outcome ?? system.run(budgetTo(system, Math.min(most, snapshotAt ?? most)));
  if (
    snapshotAt !== undefined &&
    exit.reason === "budget" &&
    system.counters().guestInstructions >= snapshotAt
  ) {
    request.onSnapshot?.(encodeSnapshot(system.snapshot()));
    exit = system.run(budgetTo(system, most));
  }
  stream?.flush();
  return {
    tool: TOOL,
    machine: { id: machine.id, name: machine.name, ghz: machine.frequency.value },
    guest: {
      ...(host === "xen" ? {} : { host }),
      ...{ protocol: system.domain.boot, cmdline, memoryBytes, vcpus, abi },
    },
    exit,
    exitCode: exitCodeOf(exit),
    console: system.console,
    instructions: system.counters().guestInstructions - (forwarded?.instructions ?? 0),
    cycles: system.cycles - (forwarded?.cycles ?? 0),
    ...(fastForward === undefined || forwarded === undefined
      ? {}
      : { fastForward: fastForwardResult(fastForward, forwarded) }),
    hypercalls: system.hypercallAccounts(),
    exits: system.exitAccounts(),
    estimates: mergeEstimates([estimatesUsed(system)]),
  };
}

/** What is left of a number of instructions since the guest's start. */
function budgetTo(system: GuestSystem, instructions: number): RunBudget {
  return {
    maxInstructions: instructions - system.counters().guestInstructions,
    maxCycles: Number.MAX_SAFE_INTEGER / 1024,
  };
}

function printing(system: GuestSystem, print: BootRequest["onConsole"]): ConsoleStream | undefined {
  if (print === undefined) return undefined;
  const stream = new ConsoleStream(print);
  system.on("console", (source, bytes) => stream.take(source, bytes));
  return stream;
}
