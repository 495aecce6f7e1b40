import { REGISTER_BUFFER } from "../src/abi/registered.ts";
import { isKept } from "../src/abi/scatter-gather.ts";
import { DESCRIPTORS } from "../src/operations/descriptors.gen.ts";
import type { OperationDescriptor, OperationField } from "../src/operations/operation.ts";
import { HYPERCALL_ABIS, type HypercallAbiName } from "../src/xen-config.ts";
import type { CallRegisters } from "./hypercall-driver.ts";

/** Memory for a call's struct and for lists, 256 bytes each, at linear and physical addresses alike. */
export const STRUCTS = 0x400000;
const LISTS = 0x480000;
const PAGE_END = 0x500000 - 20;
/** Descriptions of a call's struct and of each of the lists, for scatter/gather. */
const DESCRIPTIONS = 0x4c0000;
const LIST_DESCRIPTIONS = 0x4e0000;
const DESCRIPTION_BYTES = 64;
const GRANT_TABLE_OP = 20;
const LIST_COUNT = 8;
const LIST_BYTES = 512;
/** Guest frames that calls may name: RAM without code, tables or calls, and what is beyond it. */
const FIRST_GFN = 0x800;
const GFNS = 64;
const SELF = 0x7ff0;
const FLAVOUR_BIT = 0x40000000;
/** rdi, rsi, rdx, r10, r8 and FastABI's reg1 to reg7. */
const ARGUMENTS = [7, 6, 2, 10, 8];
const FAST = [0, 7, 6, 8, 9, 10, 11, 12];

/** Numbers from a seed (mulberry32). */
export class Random {
  private state: number;
  constructor(seed: number) {
    this.state = seed | 0;
  }
  word(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) | 0;
  }
  below(end: number): number {
    return (this.word() >>> 0) % end;
  }
  one<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)];
  }
}

/** One call: registers, and what is in memory before. */
export interface RandomCall {
  readonly registers: CallRegisters;
  readonly memory: readonly (readonly [address: number, bytes: Uint8Array])[];
  readonly name: string;
}

export interface RandomCallOptions {
  /** What most calls are made for; one in eight is made for another. Default `linear`. */
  readonly abi?: HypercallAbiName;
  /** Only calls whose values are all in registers, and that give Xen no page to write to. */
  readonly registerOnly?: boolean;
}

/** Operations that a domain does not outlive, or sleeps through: they come seldom. */
const FINAL = [
  "sched.shutdown",
  "sched.poll",
  "sched.block",
  "sched.watchdog",
  "sched.shutdown_code",
  "vcpu.down",
  "vcpu.send_nmi",
  "vcpu.initialise",
];
/** Xen writes to memory that their values name. */
const WRITES = [
  "memory.memory_map",
  "memory.add_to_physmap",
  "memory.remove_from_physmap",
  "event_channel.init_control",
  "event_channel.expand_array",
  "vcpu.register_vcpu_info",
  "vcpu.register_runstate_phys_area",
  "vcpu.register_vcpu_time_phys_area",
  "grant_table.map_grant_ref",
  "grant_table.unmap_grant_ref",
];

/** A call of an operation with values that make sense, or hostile ones; or of none at all. */
export function randomCall(random: Random, index: number, options: RandomCallOptions = {}): RandomCall {
  const { registerOnly = false, abi: own = "linear" } = options;
  const abi = registerOnly ? "fastabi" : random.below(8) === 0 ? random.one(HYPERCALL_ABIS) : own;
  const registers: [number, number][] = Array.from({ length: 16 }, () => [random.word(), random.word()]);
  const set = (register: number, lo: number, hi = 0) => {
    registers[register] = [lo, hi];
  };
  if (abi === "registered" && (index === 0 || random.below(16) === 0)) {
    registerBuffer(random, index).forEach((value, i) => {
      set([0, ...ARGUMENTS][i], value);
    });
    return { registers, memory: [], name: "register_buffer" };
  }
  const operation = chosen(random, options);
  const hostile = random.below(4) === 0;
  const memory: (readonly [number, Uint8Array])[] = [];
  if (registerOnly || (abi === "fastabi" && !operation.traditionalOnly && random.below(4) !== 0)) {
    set(0, operation.hypercall | FLAVOUR_BIT, hostile && random.below(4) === 0 ? random.word() : 0);
    set(7, operation.subop);
    for (const field of operation.inputs) {
      if (field.register === 0) continue;
      const [lo, hi] = inputOf(random, field, hostile);
      set(FAST[field.register], lo, hi);
    }
  } else {
    // Marked calls have pointers of another kind than linear ones.
    const isMarked = (abi === "percall" || abi.startsWith("sg-")) && random.below(3) !== 0;
    const form = isMarked ? FORMS[abi] : undefined;
    const mark = isMarked ? FLAVOUR_BIT : random.below(20) === 0 ? random.one([FLAVOUR_BIT, -0x80000000]) : 0;
    set(0, hostile && random.below(8) === 0 ? random.word() : operation.hypercall | mark);
    if (random.below(20) === 0) registers[0] = [registers[0][0], 1];
    const describe = (at: number, description: number): number => {
      if (form === undefined) return at;
      const [pointer, list] = describeBuffer(form, at, description);
      memory.push([description, list]);
      return pointer;
    };
    const { args, struct } = traditional(random, operation, hostile, (lo) => {
      const which = (lo - LISTS) / LIST_BYTES;
      return describe(lo, LIST_DESCRIPTIONS + DESCRIPTION_BYTES * which);
    });
    const at = random.below(10) === 0 ? PAGE_END : STRUCTS + 256 * (index & 1023);
    if (operation.struct !== undefined) {
      const pointer = describe(at, DESCRIPTIONS + DESCRIPTION_BYTES * (index & 1023));
      args.push(hostile ? [random.one([random.word(), pointer]), random.one([0, 0, 1])] : [pointer, 0]);
      if (operation.array) args.push([hostile ? random.one([0, 1, 2, 33, -1]) : 1, 0]);
      memory.push([at, struct]);
    }
    args.forEach(([lo, hi], i) => {
      if (i < ARGUMENTS.length) set(ARGUMENTS[i], lo, hi);
    });
    // How far into its buffer a call goes on, under scatter/gather.
    if (!hostile) set(9, 0);
  }
  if (random.below(4) === 0) memory.push([LISTS + LIST_BYTES * (index & 7), list(random)]);
  return { registers, memory, name: operation.name };
}

/** rax, rdi, ... of a call that registers a buffer, in which the structs are, or forgets one. */
function registerBuffer(random: Random, index: number): readonly number[] {
  const whole = [REGISTER_BUFFER, 0, STRUCTS, STRUCTS, 0x100000];
  if (index === 0) return whole;
  const at = LISTS + LIST_BYTES * random.below(LIST_COUNT);
  const some = [REGISTER_BUFFER, 0, at, at + random.one([0, 0, 4096, 8]), random.below(8192)];
  return random.one([whole, some, [REGISTER_BUFFER, 1, at], [REGISTER_BUFFER, 2], [REGISTER_BUFFER, 3]]);
}

const FORMS: Readonly<Partial<Record<HypercallAbiName, "frames" | "tuples" | "descriptor">>> = {
  "sg-frames": "frames",
  "sg-tuples": "tuples",
  "sg-descriptor": "descriptor",
};

/** The pointer to a buffer's description, and the description, which lies there. */
function describeBuffer(
  form: "frames" | "tuples" | "descriptor",
  at: number,
  description: number,
): readonly [number, Uint8Array] {
  const frame = Math.floor(at / 4096);
  const frames = [at % 4096, frame, frame + 1, frame + 2];
  const pieces = [at, 8, at + 8, 8192];
  if (form === "frames") return [description, words64(frames)];
  if (form === "tuples") return [description, words64(pieces)];
  const kind = (at / 4) % 3;
  if (kind === 0) return [at, words64(frames)];
  return kind === 1 ? [description + 1, words64(frames)] : [description + 2, words64(pieces)];
}

function words64(values: readonly number[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values, BigInt).buffer);
}

function chosen(random: Random, { registerOnly = false }: RandomCallOptions): OperationDescriptor {
  for (;;) {
    const operation = random.one(DESCRIPTORS);
    if (FINAL.includes(operation.name) && (registerOnly || random.below(200) !== 0)) continue;
    if (registerOnly && (operation.traditionalOnly || WRITES.includes(operation.name))) continue;
    return operation;
  }
}

/** Register arguments, and the struct's bytes. */
function traditional(
  random: Random,
  operation: OperationDescriptor,
  hostile: boolean,
  pointerTo: (list: number) => number,
) {
  const args: [number, number][] = operation.plain ? [] : [[operation.subop, 0]];
  const struct = Uint8Array.from({ length: operation.struct?.bytes ?? 0 }, () =>
    hostile ? random.below(256) : 0,
  );
  const view = new DataView(struct.buffer);
  for (const field of operation.inputs) {
    const [value, hi] = inputOf(random, field, hostile);
    // The address of an area that Xen keeps is always linear.
    const isList = field.pointer === true && !isKept(field) && isListAddress(value);
    const lo = isList ? pointerTo(value) : value;
    if (field.offset === -1) args.push([lo, hi]);
    if (field.offset < 0) continue;
    if (field.bytes === 8) {
      view.setInt32(field.offset, lo, true);
      view.setInt32(field.offset + 4, hi, true);
    } else if (field.bytes === 4) view.setInt32(field.offset, lo, true);
    else if (field.bytes === 2) view.setInt16(field.offset, lo, true);
    else view.setInt8(field.offset, lo);
  }
  return { args, struct };
}

/** What may be meant by a field of that name, or anything. */
function inputOf(
  random: Random,
  { name, bytes, pointer, implied }: OperationField,
  hostile: boolean,
): [number, number] {
  // A list as long as memory is done to its end, which takes seconds of ours.
  if (name === "nr_calls" || name === "nr_extents") return [random.below(16), 0];
  if (hostile && random.below(2) === 0)
    return [random.one([random.word(), -1, 0, 1 << 31]), random.one([0, 0, random.word()])];
  if (implied !== undefined) return [implied, 0];
  if (pointer === true) return [LISTS + LIST_BYTES * random.below(LIST_COUNT), 0];
  if (/gfn|gpfn|pfn|mfn/.test(name)) return [FIRST_GFN + random.below(GFNS), 0];
  if (name === "addr.p" || name === "host_addr")
    return [(FIRST_GFN + random.below(GFNS)) * 4096 + 8 * random.below(512), 0];
  if (/dom/.test(name)) return [random.one([SELF, SELF, SELF, 0, 1, 7]), 0];
  if (/port|handle|ref/.test(name)) return [random.below(24), 0];
  if (/timeout|period/.test(name)) return [random.below(1 << 30), random.below(4)];
  if (/nr_|count/.test(name)) return [random.below(6), 0];
  if (/vcpu/.test(name)) return [random.one([0, 0, 0, 1]), 0];
  return [random.below(bytes === 1 ? 256 : 48), 0];
}

function isListAddress(value: number): boolean {
  return value >= LISTS && value < LISTS + LIST_BYTES * LIST_COUNT && (value - LISTS) % LIST_BYTES === 0;
}

/** Eight entries of 64 bytes that are lists of frames, of ports, of entries of a multicall, or nothing. */
function list(random: Random): Uint8Array {
  const words = new Int32Array(LIST_BYTES / 4);
  const kind = random.below(3);
  for (let i = 0; i < words.length; i += 2) {
    if (kind === 0) words[i] = FIRST_GFN + random.below(GFNS);
    else if (kind === 1) words[i] = random.below(64);
    else if (i % 16 === 0) words[i] = random.one([17, 24, 32, 34, 12, GRANT_TABLE_OP, 13]);
    else words[i] = random.one([0, 3, 4, 10, STRUCTS + 256 * random.below(64)]);
    // Nor are there a million grants to be looked at.
    if (kind === 2 && i % 16 === 8 && words[i - 8] === GRANT_TABLE_OP) words[i] = random.below(6);
  }
  return new Uint8Array(words.buffer);
}
