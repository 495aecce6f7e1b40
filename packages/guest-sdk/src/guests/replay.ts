import { linearAddress } from "../assembler/label.js";
import { at, atLabel, indexed } from "../assembler/memory.js";
import { rax, rcx, rdx, resized, rsi } from "../assembler/register.js";
import { defineGuest } from "../guest.js";
import type { GuestBuffer, GuestProgram, Value } from "../guest-program.js";
import type { AbiName, Vendor } from "../stubs/stub-emitter.js";
import type { Variable } from "../variable.js";
import {
  findSites,
  type ReplayInput,
  type ReplayPlace,
  type ReplaySite,
  type ReplayStep,
} from "./replay-sites.js";

/** What a replay is built for. */
export interface ReplayOptions {
  readonly abi: AbiName;
  readonly vendor: Vendor;
  /** Leaf size of the page tables that map the guest's image. Default `4k`. */
  readonly leaf?: "4k" | "2m";
  /** Where the image is loaded, see `GuestBuildOptions`. */
  readonly physical?: number | undefined;
  readonly steps: readonly ReplayStep[];
  /** Bytes of the pages that the steps' places are in. */
  readonly bytes: number;
  /** Bytes of memory that the instructions between two calls go through: a power of two from 64 on. */
  readonly footprint: number;
}

/** Instructions of the filler for each line that it reads. */
export const FILLER_INSTRUCTIONS = 5;
/** That the replay itself executes for each call, about. */
const OWN_INSTRUCTIONS = 16;
const LINE = 64;
/** How often the filler goes through its footprint at most: more often changes nothing. */
const ROUNDS = 2;
/** Bytes of a step in the table before its values. */
const STEP_BYTES = 16;
/** Of the table, beside the bytes that fill buffers. */
const VALUE_BYTES = 8;

/**
 * Builds a guest that makes calls one after the other, between two CPUIDs. A table says which code makes the next call, how often
 * the filler runs before it, what differs from that code's other calls, and the bytes that its buffers hold.
 * @throws GuestSourceError for a call that the interface cannot carry
 */
export function replayGuest(options: ReplayOptions): Uint8Array {
  const { abi, vendor, leaf = "4k", physical, steps, footprint } = options;
  const { sites, siteOf } = findSites(steps);
  return defineGuest("replay", (g) => {
    const { asm } = g;
    const memory = g.buffer(Math.max(options.bytes, LINE), 4096);
    const places = new Places(g, memory);
    const lines = g.buffer(footprint, 4096);
    const position = g.buffer(8);
    const labels = sites.map((_, i) => asm.label(`site ${i}`));
    const table = g.table((a) => {
      steps.forEach((step, i) => {
        const { varying } = sites[siteOf[i]];
        a.reference("linear64", labels[siteOf[i]]);
        a.integer(fillerRounds(step.before, footprint), VALUE_BYTES);
        for (const input of varying) a.integer(BigInt.asUintN(64, step.inputs[input] as bigint), VALUE_BYTES);
        for (const { bytes } of step.fills) {
          a.data(bytes);
          a.align(VALUE_BYTES);
        }
      });
      a.integer(0, VALUE_BYTES);
    });
    const start = asm.label("start");
    const end = asm.label("end");
    const pointer = g.variable(0);
    asm.jmp(start);
    sites.forEach((site, i) => {
      asm.align(16, 0x90);
      asm.bind(labels[i]);
      emitSite(g, site, pointer, places, memory);
      asm.plain("ret");
    });
    asm.bind(start);
    asm.mov(rax, 0);
    asm.plain("cpuid");
    asm.mov(pointer.register, linearAddress(table));
    asm.align(16, 0x90);
    const next = asm.here("next call");
    asm.mov(rcx, at(pointer.register, VALUE_BYTES));
    asm.test(rcx, rcx);
    const call = asm.label("call");
    asm.jcc("e", call);
    emitFiller(g, lines, position);
    asm.bind(call);
    asm.mov(rax, at(pointer.register));
    asm.call(rax);
    asm.alu("cmp", at(pointer.register), 0, 64);
    asm.jcc("ne", next);
    asm.bind(end);
    asm.mov(rax, 0);
    asm.plain("cpuid");
    pointer.release();
  }).build({ abi, vendor, leaf, physical });
}

/** Bytes that a step takes in the table. */
export function stepBytes({ inputs, fills }: ReplayStep): number {
  const filled = fills.reduce((sum, { bytes }) => sum + Math.ceil(bytes.length / VALUE_BYTES), 0);
  return STEP_BYTES + VALUE_BYTES * (inputs.length + filled);
}

function fillerRounds(instructions: number, footprint: number): number {
  const wanted = Math.floor(Math.max(0, instructions - OWN_INSTRUCTIONS) / FILLER_INSTRUCTIONS);
  return Math.min(wanted, (ROUNDS * footprint) / LINE);
}

/** Reads a line of its memory, RCX times; goes on where it left off. */
function emitFiller(g: GuestProgram, lines: GuestBuffer, position: GuestBuffer): void {
  const { asm } = g;
  asm.mov(rdx, atLabel(position.label));
  asm.mov(rsi, linearAddress(lines.label));
  const again = asm.here("filler");
  asm.alu("add", rax, indexed(rsi, rdx));
  asm.alu("add", rdx, LINE);
  asm.alu("and", rdx, lines.bytes - 1);
  asm.alu("sub", rcx, 1);
  asm.jcc("ne", again);
  asm.mov(atLabel(position.label), rdx);
}

/** Code of one site: takes its values, fills its buffers, moves on in the table, and makes the call. */
function emitSite(
  g: GuestProgram,
  { step, varying }: ReplaySite,
  pointer: Variable,
  places: Places,
  memory: GuestBuffer,
): void {
  const { asm } = g;
  let taken = STEP_BYTES;
  const variables = new Map<number, Variable>();
  for (const input of varying) {
    const variable = g.variable(0);
    asm.mov(variable.register, at(pointer.register, taken));
    variables.set(input, variable);
    taken += VALUE_BYTES;
  }
  for (const { offset, bytes } of step.fills) {
    emitFill(g, memory, offset, pointer, taken, bytes.length);
    taken += Math.ceil(bytes.length / VALUE_BYTES) * VALUE_BYTES;
  }
  asm.alu("add", pointer.register, taken);
  const value = (input: ReplayInput, i: number): Value | undefined =>
    variables.get(i) ?? (typeof input === "object" ? places.at(input) : input);
  const { operation, inputs, struct, entries = [] } = step;
  entries.forEach((entry, i) => {
    g.useStruct(entry.operation, entry.struct && places.at(entry.struct));
    g.entry(
      places.at(inputs[0] as ReplayPlace),
      i,
      entry.operation,
      entry.inputs.map((input) => (typeof input === "object" ? places.at(input) : input)),
    );
    g.useStruct(entry.operation, undefined);
  });
  g.useStruct(operation, struct && places.at(struct));
  g.call(operation, inputs.map(value));
  g.useStruct(operation, undefined);
  for (const variable of variables.values()) variable.release();
}

/** Copies from the table to a buffer. */
function emitFill(
  g: GuestProgram,
  memory: GuestBuffer,
  offset: number,
  pointer: Variable,
  from: number,
  bytes: number,
): void {
  const { asm } = g;
  const words = Math.floor(bytes / VALUE_BYTES);
  if (words > 16) {
    const again = asm.label("fill");
    asm.mov(rcx, 0);
    asm.mov(rsi, linearAddress(memory.label, offset));
    asm.bind(again);
    asm.mov(rax, indexed(pointer.register, rcx, 8, from));
    asm.mov(indexed(rsi, rcx, 8), rax);
    asm.alu("add", rcx, 1);
    asm.alu("cmp", rcx, words);
    asm.jcc("ne", again);
  } else
    for (let i = 0; i < words; i++) {
      asm.mov(rax, at(pointer.register, from + VALUE_BYTES * i));
      asm.mov(atLabel(memory.label, offset + VALUE_BYTES * i), rax);
    }
  const al = resized(rax, 8);
  for (let i = VALUE_BYTES * words; i < bytes; i++) {
    asm.mov(al, at(pointer.register, from + i));
    asm.mov(atLabel(memory.label, offset + i), al);
  }
}

/** Buffers at places, each made once. */
class Places {
  private readonly g: GuestProgram;
  private readonly memory: GuestBuffer;
  private readonly buffers = new Map<string, GuestBuffer>();

  constructor(g: GuestProgram, memory: GuestBuffer) {
    this.g = g;
    this.memory = memory;
  }

  at({ offset, bytes }: ReplayPlace): GuestBuffer {
    const key = `${offset}+${bytes}`;
    const buffer = this.buffers.get(key) ?? this.g.part(this.memory, offset, bytes);
    this.buffers.set(key, buffer);
    return buffer;
  }
}
