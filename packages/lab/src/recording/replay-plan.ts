import {
  MAX_REPLAY_SITES,
  type ReplayCall,
  type ReplayInput,
  type ReplayPlace,
  type ReplayStep,
  siteKey,
} from "@hyperwalk/guest-sdk";
import type { OperationField } from "@hyperwalk/xen";
import type { AbiName } from "../result.js";
import { type DecodedCall, type DecodedInput, decodeCall } from "./decode-call.js";
import type { RecordedCall, Recording } from "./recording.js";
import type { Between } from "./recording-names.js";

/** A step of a replay with the recorded call that it repeats. */
export interface PlannedStep {
  /** Among the record's calls. */
  readonly call: number;
  /** What the recorded call, or this entry of it, returned. */
  readonly result: number;
  readonly step: ReplayStep;
}

/** Recorded calls that are not repeated. */
export interface LeftOut {
  readonly call: number;
  readonly reason: string;
}

/** What is repeated through one interface, and what is not. */
export interface ReplayPlan {
  readonly steps: readonly PlannedStep[];
  readonly left: readonly LeftOut[];
  /** Bytes of the pages that the steps' places are in. */
  readonly bytes: number;
}

const PAGE = 4096n;
/** Pages for buffers: as many as a registered image has room for. */
const MOST_PAGES = 3000;
/** Pages that one buffer may touch. */
const MOST_PAGES_EACH = 64n;
/** Where nothing is mapped, and no RAM lies. */
const UNREACHABLE = 0x7ff0_0000_0000n;

/** Calls that cannot be made by a guest that nobody wakes, and that has one vCPU. */
const NOT_REPEATED: Readonly<Record<string, string>> = {
  "sched.shutdown": "ends the domain",
  "sched.block": "waits for events, which nobody sends to the replay",
  "sched.poll": "waits for events, which nobody sends to the replay",
  "vcpu.initialise": "starts a vCPU, and the replay has code for one",
  "vcpu.up": "starts a vCPU, and the replay has code for one",
  "vcpu.down": "ends the replay's only vCPU",
  "vcpu.send_nmi": "the replay has no handler for it",
};

/** A recorded call that an interface carries. */
interface Decoded {
  readonly call: number;
  readonly recorded: RecordedCall;
  /** Guest instructions between it and the call of these before. */
  readonly since: number;
  readonly is: DecodedCall;
}

/** Plans the replay of a record through an interface. */
export function planReplay(recording: Recording, abi: AbiName, between: Between): ReplayPlan {
  const left: LeftOut[] = [];
  const decoded: Decoded[] = [];
  // What a guest did before a call that is left out it does before the next one.
  let since = 0;
  recording.calls.forEach((recorded, call) => {
    since += recorded.sinceInstructions;
    const is = decodable(recorded);
    const reason = typeof is === "string" ? is : refusal(is, abi);
    if (reason !== undefined) left.push({ call, reason });
    else {
      decoded.push({ call, recorded, since, is: is as DecodedCall });
      since = 0;
    }
  });
  const pages = new Pages(decoded.map(({ is }) => is));
  const steps: PlannedStep[] = [];
  const seen = new Set<string>();
  let waiting = 0;
  for (const { call, recorded, since, is } of decoded) {
    waiting += since;
    if (!pages.hold(is)) {
      left.push({ call, reason: `its buffers lie beyond the ${MOST_PAGES} pages that a replay has` });
      continue;
    }
    const before = between === "instructions" ? waiting : 0;
    const made = stepsOf(is, recorded, abi, pages, before);
    const keys = made.map(({ step }) => siteKey(step));
    if (seen.size + keys.length > MAX_REPLAY_SITES / 2 && keys.some((key) => !seen.has(key))) {
      left.push({ call, reason: "more different calls than a replay has code for" });
      continue;
    }
    for (const key of keys) seen.add(key);
    waiting = 0;
    steps.push(...made.map((each) => ({ ...each, call })));
  }
  left.sort((a, b) => a.call - b.call);
  return { steps, left, bytes: pages.bytes };
}

/** What a recorded call was, or why it is not repeated whatever the interface. */
function decodable(call: RecordedCall): DecodedCall | string {
  const { operation } = call;
  if (operation !== null && Object.hasOwn(NOT_REPEATED, operation)) return NOT_REPEATED[operation];
  if (call.unfinished) return "the guest never finished it";
  if ((call.idle ?? 0) > 0) return "the vCPU slept in it";
  if (operation === null) return "no operation of that number";
  const decoded = decodeCall(call);
  if (typeof decoded === "string") return decoded;
  if (decoded.operation.name !== operation) return "no stubs for it";
  const inside = decoded.entries?.find((entry) => Object.hasOwn(NOT_REPEATED, entry.operation.name));
  return inside === undefined ? decoded : `an entry: ${NOT_REPEATED[inside.operation.name]}`;
}

/** Why an interface cannot carry a call. FastABI makes the entries of a multicall one by one. */
function refusal({ operation, inputs, entries = [] }: DecodedCall, abi: AbiName): string | undefined {
  for (const entry of entries) {
    const reason = refusal(entry, abi);
    if (reason !== undefined) return `an entry, ${entry.operation.name}: ${reason}`;
  }
  if (entries.length > 0 && abi === "fastabi") return undefined;
  if (abi === "fastabi" ? operation.traditionalOnly : operation.fastabiOnly)
    return `${abi} does not dispatch it`;
  const lost = operation.inputs.find((field, i) => {
    const input = inputs[i];
    return !isCarried(field, abi) && !(input.kind === "value" && input.value === BigInt(field.implied ?? 0));
  });
  return lost === undefined ? undefined : `${abi} does not carry ${lost.name}`;
}

function isCarried({ register, offset }: OperationField, abi: AbiName): boolean {
  return abi === "fastabi" ? register !== 0 : offset !== -2;
}

/** The step that repeats a call; of a multicall under FastABI one for each entry. */
function stepsOf(
  is: DecodedCall,
  recorded: RecordedCall,
  abi: AbiName,
  pages: Pages,
  before: number,
): readonly Omit<PlannedStep, "call">[] {
  const own = (of: DecodedCall) => ownVcpu(of, recorded.vcpu);
  if (is.entries !== undefined && abi === "fastabi")
    return is.entries.map((entry, i) => ({
      result: recorded.entries?.[i].result ?? 0,
      step: { ...callOf(own(entry), abi, pages), before: i === 0 ? before : 0, fills: pages.fills(entry) },
    }));
  const entries = is.entries?.map((entry) => callOf(own(entry), abi, pages));
  const fills = [is, ...(is.entries ?? [])].flatMap((each) => pages.fills(each));
  return [
    {
      result: recorded.result,
      step: { ...callOf(own(is), abi, pages), before, fills, ...(entries && { entries }) },
    },
  ];
}

/** Calls of other vCPUs about themselves are made by the only one. */
function ownVcpu(call: DecodedCall, vcpu: number): DecodedCall {
  const { operation } = call;
  if (vcpu === 0) return call;
  const inputs = call.inputs.map((input, i): DecodedInput => {
    const isOwn =
      operation.inputs[i].name === "vcpuid" && input.kind === "value" && input.value === BigInt(vcpu);
    return isOwn ? { kind: "value", value: 0n } : input;
  });
  return { ...call, inputs };
}

function callOf({ operation, inputs, struct }: DecodedCall, abi: AbiName, pages: Pages): ReplayCall {
  return {
    operation,
    inputs: operation.inputs.map((field, i): ReplayInput => {
      if (!isCarried(field, abi)) return undefined;
      const input = inputs[i];
      if (input.kind === "value") return input.value;
      return input.kind === "unreachable" ? UNREACHABLE : pages.place(input.address, input.bytes);
    }),
    ...(struct !== undefined && abi !== "fastabi" && { struct: pages.place(struct.address, struct.bytes) }),
  };
}

/** The recorded pages that buffers lay in, one after the other in the replay: neighbours stay neighbours. */
class Pages {
  private readonly indices = new Map<bigint, number>();

  constructor(calls: readonly DecodedCall[]) {
    const touched = new Set<bigint>();
    for (const call of calls)
      for (const { address, bytes } of buffersOf(call))
        for (const page of pagesOf(address, bytes)) touched.add(page);
    const inOrder = [...touched].sort((a, b) => (a < b ? -1 : 1));
    inOrder.slice(0, MOST_PAGES).forEach((page, i) => {
      this.indices.set(page, i);
    });
  }

  get bytes(): number {
    return this.indices.size * Number(PAGE);
  }

  /** Are all pages of a call's buffers there? */
  hold(call: DecodedCall): boolean {
    return buffersOf(call).every(({ address, bytes }) => {
      const pages = pagesOf(address, bytes);
      return pages.length <= MOST_PAGES_EACH && pages.every((page) => this.indices.has(page));
    });
  }

  place(address: bigint, bytes: number): ReplayPlace {
    const index = this.indices.get(address / PAGE) ?? 0;
    return { offset: index * Number(PAGE) + Number(address % PAGE), bytes };
  }

  fills({ reads }: DecodedCall): ReplayStep["fills"] {
    return reads.map(({ address, bytes }) => ({ offset: this.place(address, bytes.length).offset, bytes }));
  }
}

/** All memory that a call names. */
function buffersOf(call: DecodedCall): readonly { readonly address: bigint; readonly bytes: number }[] {
  const own = call.inputs.flatMap((input) => (input.kind === "pointer" ? [input] : []));
  const entries = (call.entries ?? []).flatMap(buffersOf);
  return [...own, ...(call.struct === undefined ? [] : [call.struct]), ...entries];
}

function pagesOf(address: bigint, bytes: number): readonly bigint[] {
  const first = address / PAGE;
  const last = (address + BigInt(Math.max(bytes, 1)) - 1n) / PAGE;
  const count = last - first + 1n > MOST_PAGES_EACH ? MOST_PAGES_EACH + 1n : last - first + 1n;
  return Array.from({ length: Number(count) }, (_, i) => first + BigInt(i));
}
