import type { OperationDescriptor } from "@hyperwalk/xen";
import { GuestSourceError } from "../guest-source-error.js";

/** A place in the pages that a replay has for what hypercalls point to. */
export interface ReplayPlace {
  /** Bytes from the start of those pages. */
  readonly offset: number;
  readonly bytes: number;
}

/** A value of a call: 64 bits, a place whose address is passed, or nothing, for what the stub takes for granted. */
export type ReplayInput = bigint | ReplayPlace | undefined;

/** What a call, or an entry of a multicall, is made from. */
export interface ReplayCall {
  readonly operation: OperationDescriptor;
  /** In the order of the operation's inputs. */
  readonly inputs: readonly ReplayInput[];
  /** Where its struct lies; default where the stubs have one. */
  readonly struct?: ReplayPlace | undefined;
}

/** One step of a replay. */
export interface ReplayStep extends ReplayCall {
  /** Guest instructions that come before it, the replay's own among them. */
  readonly before: number;
  /** What its buffers hold when it is made. */
  readonly fills: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
  /** Of a multicall; its first input is then the place of the list. */
  readonly entries?: readonly ReplayCall[] | undefined;
}

/** Steps that one piece of code makes, which takes from a table what differs. */
export interface ReplaySite {
  readonly step: ReplayStep;
  /** Inputs that come from the table. */
  readonly varying: readonly number[];
}

/** Registers that values from the table can be in. */
const MOST_VARYING = 4;
/** Pieces of code in one replay. */
export const MAX_REPLAY_SITES = 8192;

/**
 * Finds the pieces of code that make all steps: one for each operation, places and size of buffers. Constants that differ come
 * from the table, up to four of a call; those beyond that have code of their own.
 * @returns the sites, and the site of each step
 * @throws GuestSourceError for more than {@link MAX_REPLAY_SITES}
 */
export function findSites(steps: readonly ReplayStep[]): {
  readonly sites: readonly ReplaySite[];
  readonly siteOf: readonly number[];
} {
  const groups = new Map<string, number[]>();
  steps.forEach((step, i) => {
    const key = siteKey(step);
    const group = groups.get(key) ?? [];
    group.push(i);
    groups.set(key, group);
  });
  const sites: ReplaySite[] = [];
  const siteOf: number[] = Array(steps.length).fill(0);
  for (const group of groups.values()) {
    const [first] = group;
    const varying = steps[first].inputs
      .map((_, input) => input)
      .filter((input) => group.some((i) => steps[i].inputs[input] !== steps[first].inputs[input]))
      .filter((input) => typeof steps[first].inputs[input] === "bigint")
      .slice(0, MOST_VARYING);
    const apart = new Map<string, number>();
    for (const i of group) {
      const key = keyOf(steps[i], (input) => varying.includes(input));
      let site = apart.get(key);
      if (site === undefined) {
        site = sites.push({ step: steps[i], varying }) - 1;
        apart.set(key, site);
      }
      siteOf[i] = site;
    }
  }
  if (sites.length > MAX_REPLAY_SITES)
    throw new GuestSourceError("VALUE", `${sites.length} different calls: at most ${MAX_REPLAY_SITES}`);
  return { sites, siteOf };
}

/** Steps with the same key can share code, but for constants beyond those that the table has room for. */
export function siteKey(step: ReplayStep): string {
  return keyOf(step, () => true);
}

/** What the code of a step depends on. @param isVarying does an input come from the table? */
function keyOf(step: ReplayStep, isVarying: (input: number) => boolean): string {
  const ofCall = ({ operation, inputs, struct }: ReplayCall, varies: (input: number) => boolean): string =>
    `${operation.name}@${struct?.offset ?? ""}(${inputs.map((input, i) => keyOfInput(input, varies(i))).join()})`;
  const fills = step.fills.map(({ offset, bytes }) => `${offset}+${bytes.length}`).join();
  return `${ofCall(step, isVarying)}[${fills}]{${(step.entries ?? []).map((each) => ofCall(each, () => false)).join(";")}}`;
}

function keyOfInput(input: ReplayInput, isVarying: boolean): string {
  if (input === undefined) return "";
  if (typeof input === "bigint") return isVarying ? "*" : String(input);
  return `@${input.offset}+${input.bytes}`;
}
