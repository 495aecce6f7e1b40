import { State } from "../../cpu-state.js";
import { HostOperation, hostLane, hostRounds } from "../../floating-point/host-arithmetic.js";
import {
  addLane,
  compareLane,
  divideLane,
  extremeLane,
  multiplyLane,
  Order,
  squareRootLane,
} from "../../floating-point/sse-arithmetic.js";
import type { SseUnit } from "../../floating-point/sse-unit.js";
import { setArithmeticFlags } from "../../registers/flags.js";
import type { ExecutionCore } from "../core.js";
import { Entry, Status } from "../entry.js";
import type { Family } from "../handler.js";
import { vectorSource } from "../vector-operands.js";
import { finish, Layout, layoutSource, settle, wordsIn } from "./sse-results.js";

/** The first five as the host knows them; in variants above the {@link Layout}. */
const Operation = { ...HostOperation, Minimum: 5, Maximum: 6 } as const;

function lane(
  unit: SseUnit,
  operation: number,
  wide: boolean,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
): void {
  switch (operation) {
    case Operation.Add:
    case Operation.Subtract:
      addLane(unit, wide, operation === Operation.Subtract, aLo, aHi, bLo, bHi);
      break;
    case Operation.Multiply:
      multiplyLane(unit, wide, aLo, aHi, bLo, bHi);
      break;
    case Operation.Divide:
      divideLane(unit, wide, aLo, aHi, bLo, bHi);
      break;
    case Operation.SquareRoot:
      squareRootLane(unit, wide, bLo, bHi);
      break;
    default:
      extremeLane(unit, wide, operation === Operation.Maximum, aLo, aHi, bLo, bHi);
  }
}

/** ADD, SUB, MUL, DIV, SQRT, MIN and MAX. */
function arithmetic(core: ExecutionCore, pc: number): number {
  const variant = core.variantOf(pc);
  const layout = variant & 3;
  const from = layoutSource(core, pc, layout);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const operation = variant >> 2;
  const wide = (layout & 1) !== 0;
  const count = wordsIn(layout);
  const control = words[State.Mxcsr];
  const host = operation < Operation.Minimum && hostRounds(control);
  const first = operation === Operation.SquareRoot ? from : to;
  const { sse: unit } = core;
  const { results } = unit;
  unit.begin(control);
  for (let i = 0; i < count; ) {
    const aLo = words[first + i];
    const bLo = words[from + i];
    const aHi = wide ? words[first + i + 1] : 0;
    const bHi = wide ? words[from + i + 1] : 0;
    if (!host || !hostLane(unit, operation, wide, aLo, aHi, bLo, bHi))
      lane(unit, operation, wide, aLo, aHi, bLo, bHi);
    results[i++] = unit.lo;
    if (wide) results[i++] = unit.hi;
  }
  return finish(core, to, count);
}

/** Whether a CMPPS predicate (immediate bits 2:0) holds; bit 2 negates. */
function predicateHolds(predicate: number, order: number): boolean {
  let holds: boolean;
  switch (predicate & 3) {
    case 0:
      holds = order === Order.Equal;
      break;
    case 1:
      holds = order === Order.Less;
      break;
    case 2:
      holds = order <= Order.Equal;
      break;
    default:
      holds = order === Order.Unordered;
  }
  return holds !== ((predicate & 4) !== 0);
}

/** CMPPS, CMPPD, CMPSS, CMPSD: all ones or zeros; only LT and LE, and their opposites, mind QNaNs. */
function compareToMask(core: ExecutionCore, pc: number): number {
  const layout = core.variantOf(pc);
  const from = layoutSource(core, pc, layout);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const predicate = core.code[pc + Entry.Immediate] & 7;
  const quiet = (predicate & 3) === 0 || (predicate & 3) === 3;
  const wide = (layout & 1) !== 0;
  const count = wordsIn(layout);
  const { sse: unit } = core;
  const { results } = unit;
  unit.begin(words[State.Mxcsr]);
  for (let i = 0; i < count; ) {
    const aHi = wide ? words[to + i + 1] : 0;
    const bHi = wide ? words[from + i + 1] : 0;
    const order = compareLane(unit, wide, quiet, words[to + i], aHi, words[from + i], bHi);
    const mask = predicateHolds(predicate, order) ? -1 : 0;
    results[i++] = mask;
    if (wide) results[i++] = mask;
  }
  return finish(core, to, count);
}

/** ZF, PF and CF by order: less, equal, greater, unordered. */
const ORDER_FLAGS: readonly number[] = [0x01, 0x40, 0, 0x45];

/** COMISS, COMISD, UCOMISS, UCOMISD. */
function compareToFlags(core: ExecutionCore, pc: number): number {
  const variant = core.variantOf(pc);
  const wide = (variant & 1) !== 0;
  const from = vectorSource(core, pc, wide ? 8 : 4, 0);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const { sse: unit } = core;
  unit.begin(words[State.Mxcsr]);
  const aHi = wide ? words[to + 1] : 0;
  const bHi = wide ? words[from + 1] : 0;
  const order = compareLane(unit, wide, (variant & 2) !== 0, words[to], aHi, words[from], bHi);
  if (!settle(core)) return Status.Fault;
  setArithmeticFlags(words, ORDER_FLAGS[order]);
  return Status.Next;
}

const Horizontal = { Add: 0, Subtract: 2, Alternate: 4 } as const;

/** HADDPS, HSUBPS: neighbours of the first operand, then of the second. ADDSUBPS: even lanes subtract. */
function horizontal(core: ExecutionCore, pc: number): number {
  const variant = core.variantOf(pc);
  const from = vectorSource(core, pc, 16, 15);
  if (from < 0) return Status.Fault;
  const { words } = core;
  const to = core.code[pc + Entry.A];
  const wide = (variant & 1) !== 0;
  const kind = variant & 6;
  const step = wide ? 2 : 1;
  const { sse: unit } = core;
  const { results } = unit;
  unit.begin(words[State.Mxcsr]);
  for (let i = 0; i < 4; i += step) {
    const source = i < 2 ? to : from;
    const a = kind === Horizontal.Alternate ? to + i : source + ((2 * i) & 3);
    const b = kind === Horizontal.Alternate ? from + i : a + step;
    const subtract = kind === Horizontal.Alternate ? (i & step) === 0 : kind === Horizontal.Subtract;
    addLane(unit, wide, subtract, words[a], wide ? words[a + 1] : 0, words[b], wide ? words[b + 1] : 0);
    results[i] = unit.lo;
    if (wide) results[i + 1] = unit.hi;
  }
  return finish(core, to, 4);
}

function inLayouts(name: string, operation: number): Family {
  return {
    [`${name}ps`]: [arithmetic, (operation << 2) | Layout.Ps],
    [`${name}pd`]: [arithmetic, (operation << 2) | Layout.Pd],
    [`${name}ss`]: [arithmetic, (operation << 2) | Layout.Ss],
    [`${name}sd`]: [arithmetic, (operation << 2) | Layout.Sd],
  };
}

export const SSE_ARITHMETIC: Family = {
  ...inLayouts("add", Operation.Add),
  ...inLayouts("mul", Operation.Multiply),
  ...inLayouts("sub", Operation.Subtract),
  ...inLayouts("div", Operation.Divide),
  ...inLayouts("sqrt", Operation.SquareRoot),
  ...inLayouts("min", Operation.Minimum),
  ...inLayouts("max", Operation.Maximum),
  cmpps: [compareToMask, Layout.Ps],
  cmppd: [compareToMask, Layout.Pd],
  cmpss: [compareToMask, Layout.Ss],
  cmpsd: [compareToMask, Layout.Sd],
  comiss: [compareToFlags, 0],
  comisd: [compareToFlags, 1],
  ucomiss: [compareToFlags, 2],
  ucomisd: [compareToFlags, 3],
  haddps: [horizontal, Horizontal.Add],
  haddpd: [horizontal, Horizontal.Add | 1],
  hsubps: [horizontal, Horizontal.Subtract],
  hsubpd: [horizontal, Horizontal.Subtract | 1],
  addsubps: [horizontal, Horizontal.Alternate],
  addsubpd: [horizontal, Horizontal.Alternate | 1],
};
