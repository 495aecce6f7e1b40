import type { ProcessorProfile } from "@hyperwalk/cpu";
import {
  type BootModule,
  type BootProtocolName,
  ConsoleStream,
  createXenSystem,
  type DomainConfig,
  type FastForwardTarget,
  type RunBudget,
  type RunOutcome,
  type XenConfig,
} from "@hyperwalk/xen";
import { exitCodeOf } from "../boot-exit-code.js";
import { DEFAULT_BOOT_INSTRUCTIONS } from "../defaults.js";
import { comparePhases } from "../phase-order.js";
import { profileHash } from "../profile-hash.js";
import type { AbiName, P2mPage } from "../result.js";
import { cellsPerCall } from "../run-guest.js";
import { TOOL } from "../tool.js";
import { HypercallRecorder } from "./hypercall-recorder.js";
import {
  RECORDING_FORMAT,
  RECORDING_VERSION,
  type RecordedCall,
  type RecordingEnd,
  type RecordingHeader,
} from "./recording.js";
import { RECORDED_ABIS } from "./recording-names.js";

/** One guest whose hypercalls are recorded. */
export interface RecordRequest {
  /** For the record's first line. */
  readonly name: string;
  readonly image: Uint8Array;
  readonly machine: ProcessorProfile;
  /** How the image starts; default what it is marked for. */
  readonly protocol?: BootProtocolName | undefined;
  readonly cmdline?: string | undefined;
  readonly modules?: readonly BootModule[] | undefined;
  readonly memoryBytes: number;
  /** Default 1. */
  readonly vcpus?: number | undefined;
  /** One of {@link RECORDED_ABIS}; default linear. */
  readonly abi?: AbiName | undefined;
  /** Default: what Xen chooses on this machine. */
  readonly xen?: XenConfig | undefined;
  /** What else the domain is created with. */
  readonly domain?: Partial<Pick<DomainConfig, "p2mPage" | "mmioHandlers" | "paging" | "hardwareDomain">>;
  /** Default {@link DEFAULT_BOOT_INSTRUCTIONS}. */
  readonly maxInstructions?: number | undefined;
  /** Run with timing off up to here first; nothing of it is recorded. Default not. */
  readonly fastForward?: FastForwardTarget | undefined;
  /** Given the lines of the record, each with its line end; the first when the guest is about to run. */
  readonly onLine: (line: string) => void;
  /** Given the guest's text as it comes; the bytes are only valid during the call. */
  readonly onConsole?: ((bytes: Uint8Array) => void) | undefined;
}

/** What came of it, beside the lines. */
export interface RecordDocument {
  readonly tool: { readonly name: string; readonly version: string };
  readonly header: RecordingHeader;
  readonly end: RecordingEnd;
  /** By operation, most cycles first. */
  readonly operations: readonly {
    readonly operation: string;
    readonly count: number;
    readonly cycles: number;
  }[];
  readonly exit: RunOutcome;
  /** The guest's own, see `exitCodeOf`. */
  readonly exitCode: number;
}

/**
 * Runs a guest under the modelled Xen and records the hypercalls that it makes.
 * @throws ImageError when the image cannot be booted @throws XenConfigError for a setting that makes no sense
 * @throws RangeError for an interface that cannot be recorded
 */
export function recordGuest(request: RecordRequest): RecordDocument {
  const { name, machine, memoryBytes, abi = "linear", cmdline = "", vcpus = 1, onLine, onConsole } = request;
  if (!RECORDED_ABIS.includes(abi))
    throw new RangeError(`abi: ${abi} cannot be recorded; allowed: ${RECORDED_ABIS.join(", ")}`);
  const system = createXenSystem({
    profile: machine,
    xen: request.xen,
    domain: {
      image: request.image,
      boot: request.protocol,
      modules: request.modules ?? [],
      memoryBytes,
      vcpus,
      cmdline,
      abi,
      ...request.domain,
    },
    measureWindow: false,
  });
  const stream = onConsole === undefined ? undefined : new ConsoleStream(onConsole);
  if (stream !== undefined) system.on("console", (source, bytes) => stream.take(source, bytes));
  const { ibpbEntry, rsbOverwrite, specCtrlWrite, verw, bhbClear, bhbSeq, l1dFlush, lockHarden } =
    system.config.xen;
  const { p2mPage, mmioHandlers, paging } = system.config.domain;
  const header: RecordingHeader = {
    format: RECORDING_FORMAT,
    version: RECORDING_VERSION,
    source: "simulator",
    tool: TOOL,
    machine: {
      id: machine.id,
      name: machine.name,
      hash: profileHash(machine),
      ghz: machine.frequency.value,
    },
    host: {
      kind: "xen",
      mitigations: { ibpbEntry, rsbOverwrite, specCtrlWrite, verw, bhbClear, bhbSeq, l1dFlush, lockHarden },
      p2mPage: p2mPage as P2mPage,
      mmioHandlers,
      paging,
    },
    interface: abi,
    guest: { name, cmdline, memoryBytes, vcpus },
  };
  const put = (line: object) => onLine(`${JSON.stringify(line)}\n`);
  put(header);
  const operations = new Map<string, { operation: string; count: number; cycles: number }>();
  const totals = { calls: 0, cycles: 0, idle: 0 };
  const recorder = new HypercallRecorder(system, (call) => {
    totals.calls++;
    totals.cycles += call.cycles;
    totals.idle += call.idle ?? 0;
    add(operations, call);
    put(call);
  });
  const { fastForward, maxInstructions = DEFAULT_BOOT_INSTRUCTIONS } = request;
  const budget = (instructions: number): RunBudget => ({
    maxInstructions: instructions,
    maxCycles: Number.MAX_SAFE_INTEGER / 1024,
  });
  const forwarded =
    fastForward === undefined ? undefined : system.fastForward(fastForward, budget(maxInstructions));
  const outcome = forwarded?.outcome ?? system.run(budget(maxInstructions - (forwarded?.instructions ?? 0)));
  stream?.flush();
  recorder.meter.finish();
  const end: RecordingEnd = {
    kind: "end",
    ...totals,
    runCycles: system.cycles - (forwarded?.cycles ?? 0),
    instructions: system.counters().guestInstructions - (forwarded?.instructions ?? 0),
    outcome: outcome.shutdown ?? outcome.reason,
    ledger: cellsPerCall(recorder.meter.rows(), 1)
      .sort(comparePhases)
      .map(({ phase, cause, cyclesPerCall }) => ({ phase, cause, cycles: cyclesPerCall })),
  };
  put(end);
  return {
    tool: TOOL,
    header,
    end,
    operations: [...operations.values()].sort(
      (a, b) => b.cycles - a.cycles || (a.operation < b.operation ? -1 : 1),
    ),
    exit: outcome,
    exitCode: exitCodeOf(outcome),
  };
}

function add(
  operations: Map<string, { operation: string; count: number; cycles: number }>,
  call: RecordedCall,
): void {
  const operation = callName(call);
  const sum = operations.get(operation) ?? { operation, count: 0, cycles: 0 };
  sum.count++;
  sum.cycles += call.cycles;
  operations.set(operation, sum);
}

/** How tables name a call: by its operation, or by its number where nobody handles that. */
export function callName({ operation, number }: Pick<RecordedCall, "operation" | "number">): string {
  return operation ?? `hypercall 0x${number.toString(16)}`;
}
