import { findProfile, PROFILES, ProfileError } from "@hyperwalk/cpu";
import { checkStagePrices, isStagePrice } from "@hyperwalk/xen";
import { ABIS, type AbiName, BUILT_IN_GUESTS, GUEST_OPERATIONS, GUEST_PAGES, P2M_PAGES } from "hyperwalk";
import { mitigationsFrom, SPEC_CTRL_ITEMS, specCtrlText } from "./mitigations.js";
import { numberInputs } from "./numbers.js";
import {
  CHART_PARTS,
  DEFAULT_STATE,
  HOST_KINDS,
  ITERATIONS,
  type PlaygroundState,
  SWITCHES,
} from "./state.js";

/** Something in a URL or a field that was not taken, beside the control of `key`. */
export interface StateProblem {
  /** Key of the URL; what is no key belongs to no control. */
  readonly key: string;
  readonly problem: string;
  readonly allowed: string;
}

/** The state that a URL says, and what in it was not understood: that keeps its default. */
export interface DecodedState {
  readonly state: PlaygroundState;
  readonly problems: readonly StateProblem[];
}

/** Before the dotted path of a profile's number. */
export const SET_KEY = "machine.set.";
/** Longer addresses are read up to here. */
const MAX_CHARACTERS = 8192;
/** Of what a URL said, so much is repeated in a message. */
const MAX_SHOWN = 60;
const MAX_PROBLEMS = 20;
const MMIO_HANDLERS = Array.from({ length: 17 }, (_, count) => String(count));

/** How one key other than `machine.set.…` is written and read. */
interface StateKey {
  readonly key: string;
  readonly write: (state: PlaygroundState) => string;
  /** @returns the state with that value, or what would have been accepted */
  readonly read: (text: string, state: PlaygroundState) => PlaygroundState | string;
}

function choice<K extends keyof PlaygroundState>(
  key: string,
  field: K,
  allowed: readonly PlaygroundState[K][],
): StateKey {
  return {
    key,
    write: (state) => String(state[field]),
    read: (text, state) => {
      const found = allowed.find((each) => String(each) === text);
      return found === undefined ? allowed.join(", ") : { ...state, [field]: found };
    },
  };
}

const EPT_WORDS = { default: "", on: "exec-sp", off: "no-exec-sp" } as const;

const KEYS: readonly StateKey[] = [
  choice(
    "machine.profile",
    "machine",
    PROFILES.map(({ id }) => id),
  ),
  choice("host.kind", "host", HOST_KINDS),
  choice("host.ibpb", "ibpb", SWITCHES),
  {
    key: "host.spec-ctrl",
    write: ({ mitigations }) => specCtrlText(mitigations),
    read: (text, state) => {
      const { choices, unknown } = mitigationsFrom(text);
      return unknown.length > 0
        ? `a list of ${SPEC_CTRL_ITEMS.join(", ")}`
        : { ...state, mitigations: choices };
    },
  },
  {
    key: "host.ept",
    write: ({ execSp }) => EPT_WORDS[execSp],
    read: (text, state) => {
      const found = SWITCHES.find((each) => EPT_WORDS[each] === text);
      return found === undefined ? "exec-sp, no-exec-sp" : { ...state, execSp: found };
    },
  },
  choice("domain.p2m-page", "p2mPage", P2M_PAGES),
  {
    key: "domain.mmio-handlers",
    write: ({ mmioHandlers }) => String(mmioHandlers),
    read: (text, state) =>
      MMIO_HANDLERS.includes(text)
        ? { ...state, mmioHandlers: Number(text) }
        : `a whole number from 0 to ${MMIO_HANDLERS.length - 1}`,
  },
  choice(
    "guest.name",
    "guest",
    BUILT_IN_GUESTS.map(({ name }) => name),
  ),
  choice("guest.operation", "operation", GUEST_OPERATIONS),
  choice("guest.page", "guestPage", GUEST_PAGES),
  choice("guest.iterations", "iterations", ITERATIONS),
  {
    key: "interfaces",
    write: ({ interfaces }) => interfaces.join(","),
    read: (text, state) => {
      const words = text.split(",");
      const isList =
        new Set(words).size === words.length && words.every((word) => ABIS.includes(word as AbiName));
      return isList ? { ...state, interfaces: words as AbiName[] } : `each at most once: ${ABIS.join(", ")}`;
    },
  },
  choice("chart", "chart", CHART_PARTS),
];

/** Every key but those of replaced numbers. */
export const STATE_KEYS: readonly string[] = KEYS.map(({ key }) => key);

/** The part of a URL after `#`: what differs from the defaults, always in one order. */
export function encodeState(state: PlaygroundState): string {
  const pairs = KEYS.flatMap(({ key, write }): [string, string][] => {
    const text = write(state);
    return text === write(DEFAULT_STATE) ? [] : [[key, text]];
  });
  const numbers = Object.keys(state.set)
    .sort()
    .map((key): [string, string] => [SET_KEY + key, String(state.set[key])]);
  return [...pairs, ...numbers].map(([key, text]) => `${escaped(key)}=${escaped(text)}`).join("&");
}

/** Commas stay readable. */
function escaped(text: string): string {
  return encodeURIComponent(text).replaceAll("%2C", ",");
}

/** Reads the part of a URL after `#`. Nothing that it can say throws. */
export function decodeState(hash: string): DecodedState {
  const problems: StateProblem[] = [];
  const complain = (key: string, found: string, allowed: string): void => {
    if (problems.length < MAX_PROBLEMS) problems.push({ key: shown(key), problem: found, allowed });
  };
  if (hash.length > MAX_CHARACTERS)
    complain("", `${hash.length} characters of address`, `at most ${MAX_CHARACTERS}`);
  const given = new Map<string, string>();
  for (const [key, text] of new URLSearchParams(hash.slice(0, MAX_CHARACTERS)))
    if (given.has(key)) complain(key, "given twice", "once");
    else given.set(key, text);
  let state = DEFAULT_STATE;
  for (const { key, read } of KEYS) {
    const text = given.get(key);
    if (text === undefined) continue;
    const next = read(text, state);
    if (typeof next === "string") complain(key, `"${shown(text)}"`, next);
    else state = next;
    given.delete(key);
  }
  const set: Record<string, number> = {};
  for (const [key, text] of given) {
    if (!key.startsWith(SET_KEY)) {
      complain(key, "there is no such key", [...STATE_KEYS, `${SET_KEY}<number>`].join(", "));
      continue;
    }
    const value = readNumber(state.machine, key.slice(SET_KEY.length), text);
    if (typeof value === "string") complain(key, `"${shown(text)}"`, value);
    else set[key.slice(SET_KEY.length)] = value;
  }
  return { state: { ...state, set }, problems };
}

/** A number of a profile from text, or what would have been accepted. */
export function readNumber(machine: string, key: string, text: string): number | string {
  if (isStagePrice(key)) return readStagePrice(key, text);
  const profile = findProfile(machine);
  const input = profile && numberInputs(profile).find((each) => each.key === key);
  if (input === undefined) return `a number that ${machine} has, by its key in its profile`;
  const value = plainNumber(text);
  const { least, most, quantity } = input;
  const isWhole = ["bytes", "entries", "ways"].includes(quantity.unit);
  if (value >= least && value <= most && (!isWhole || Number.isInteger(value))) return value;
  return `${isWhole ? "a whole number" : "a number"} from ${least} to ${most} ${quantity.unit}`;
}

/** The same for a number of the hypervisor's code. */
function readStagePrice(key: string, text: string): number | string {
  const value = plainNumber(text);
  try {
    checkStagePrices({ [key]: value });
    return value;
  } catch (error) {
    if (error instanceof ProfileError) return error.allowed;
    throw error;
  }
}

function plainNumber(text: string): number {
  return /^[0-9]{1,12}(\.[0-9]{1,12})?(e-?[0-9]{1,2})?$/.test(text.trim()) ? Number(text) : Number.NaN;
}

function shown(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
