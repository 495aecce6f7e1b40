import { FlavouredAccess } from "../guest-access/flavoured.js";
import type { GuestAccess } from "../guest-access/guest-access.js";
import { ScatterGatherAccess, type ScatterGatherForm } from "../guest-access/scatter-gather.js";
import type { Operation, OperationCall, OperationField } from "../operations/operation.js";
import type { AbiParts, DomainAbi } from "./domain-abi.js";
import type { HypercallArguments } from "./hypercall-arguments.js";
import { FlavourAbi, PHYSICAL_FLAVOUR } from "./percall.js";

/** Argument that says how far into its buffer a call goes on: r9, ebp, or the last one of a multicall's entry. */
const OFFSET_ARGUMENT = 5;
/** Bits of EAX in the HVM leaf, ours: nobody has proposed any. */
const CPUID_FEATURES: Readonly<Record<ScatterGatherForm, number>> = {
  frames: 1 << 8,
  tuples: 1 << 9,
  descriptor: 1 << 10,
};

/** Does a value name an area that Xen goes on writing to? Such an address is a linear one under scatter/gather, too. */
export function isKept(field: OperationField): boolean {
  return field.name === "addr.h";
}

/** Where a call has its pointers. */
interface PointerPlaces {
  /** The register argument that is one, or -1. */
  readonly argument: number;
  /** Offsets in its struct. */
  readonly offsets: readonly number[];
  readonly structBytes: number;
}

/** Arguments of which one is a handle in the pointer's place. */
class HandleArguments implements HypercallArguments {
  readonly compat: boolean;
  /** Slot of the handle, and the argument that it stands for; -1: none. */
  slot = -1;
  argument = -1;
  readonly given: HypercallArguments;
  private readonly access: ScatterGatherAccess;

  constructor(given: HypercallArguments, access: ScatterGatherAccess) {
    this.given = given;
    this.compat = given.compat;
    this.access = access;
  }

  lo(argument: number): number {
    return argument === this.argument && this.slot >= 0
      ? this.access.handleLo(this.slot)
      : this.given.lo(argument);
  }

  hi(argument: number): number {
    return argument === this.argument && this.slot >= 0
      ? this.access.handleHi(this.slot)
      : this.given.hi(argument);
  }
}

/** {@link ScatterGatherAccess} that makes handles of the pointers in the struct that a call names, and takes them back. */
class StructAccess implements GuestAccess {
  readonly id = "physical";
  readonly buffer: DataView;
  /** Slot of the struct, or -1. */
  struct = -1;
  places: PointerPlaces | undefined;
  private readonly access: ScatterGatherAccess;

  constructor(access: ScatterGatherAccess) {
    this.access = access;
    this.buffer = access.buffer;
  }

  copyFromGuest(lo: number, hi: number, bytes: number): number {
    const { access } = this;
    const result = access.copyFromGuest(lo, hi, bytes);
    if (result === 0 && this.isStruct(lo, hi, bytes)) this.eachPointer((at) => this.open(at));
    return result;
  }

  copyToGuest(lo: number, hi: number, bytes: number): number {
    if (this.isStruct(lo, hi, bytes)) this.eachPointer((at) => this.putBack(at));
    return this.access.copyToGuest(lo, hi, bytes);
  }

  private isStruct(lo: number, hi: number, bytes: number): boolean {
    return (
      this.struct >= 0 && bytes === this.places?.structBytes && this.access.slotOf(lo, hi) === this.struct
    );
  }

  private eachPointer(change: (at: number) => void): void {
    for (const at of this.places?.offsets ?? []) change(at);
  }

  private open(at: number): void {
    const { access } = this;
    const slot = access.open(this.lo(at), this.hi(at), 0);
    if (slot >= 0) this.put(at, access.handleLo(slot), access.handleHi(slot));
  }

  private putBack(at: number): void {
    const { access } = this;
    const slot = access.slotOf(this.lo(at), this.hi(at));
    if (slot >= 0) this.put(at, access.pointerLo(slot), access.pointerHi(slot));
  }

  private lo(at: number): number {
    return this.buffer.getInt32(at, true);
  }

  private hi(at: number): number {
    return this.access.compat ? 0 : this.buffer.getInt32(at + 4, true);
  }

  private put(at: number, lo: number, hi: number): void {
    this.buffer.setInt32(at, lo, true);
    if (!this.access.compat) this.buffer.setInt32(at + 4, hi, true);
  }
}

/** Calls with {@link PHYSICAL_FLAVOUR} in their number, whose pointers name descriptions of buffers. */
export class ScatterGatherAbi extends FlavourAbi {
  private readonly lists: ScatterGatherAccess;
  private readonly structs: StructAccess;
  private readonly places = new Map<
    Operation,
    { readonly long: PointerPlaces; readonly compat: PointerPlaces }
  >();
  private call: HandleArguments | undefined;
  private readonly areaAccess: GuestAccess;

  constructor(parts: AbiParts, id: string, lists: ScatterGatherAccess) {
    const structs = new StructAccess(lists);
    super(parts, id, PHYSICAL_FLAVOUR, new FlavouredAccess(structs, parts.cost));
    this.lists = lists;
    this.structs = structs;
    this.areaAccess = new FlavouredAccess(parts.linear, parts.cost);
    for (const operation of parts.operations)
      this.places.set(operation, { long: placesOf(operation, false), compat: placesOf(operation, true) });
  }

  override decodeFrom(number: number, from: HypercallArguments): Operation | undefined {
    const given = new HandleArguments(from, this.lists);
    const operation = super.decodeFrom(number, given);
    this.call = given;
    return operation;
  }

  override invoke(operation: Operation, call: OperationCall): number {
    const { call: given, lists, structs } = this;
    const places = this.places.get(operation);
    if (given === undefined || places === undefined) return super.invoke(operation, call);
    const before = { used: lists.used, compat: lists.compat, struct: structs.struct, places: structs.places };
    if (!call.inMulticall) lists.used = 0;
    lists.compat = given.compat;
    structs.places = given.compat ? places.compat : places.long;
    const { argument } = structs.places;
    if (argument >= 0) {
      const { given: raw } = given;
      given.slot = lists.open(raw.lo(argument), raw.hi(argument), raw.lo(OFFSET_ARGUMENT) >>> 0);
      given.argument = argument;
    }
    structs.struct = operation.descriptor.struct === undefined ? -1 : given.slot;
    const { areaAccess } = call;
    call.areaAccess = this.areaAccess;
    const result = super.invoke(operation, call);
    call.areaAccess = areaAccess;
    if (call.continuation.pending) this.continueWith(call, given.given);
    ({ used: lists.used, compat: lists.compat } = before);
    ({ struct: structs.struct, places: structs.places } = before);
    return result;
  }

  /** A handle goes back as the guest's own pointer, and how far it has come as the last argument. */
  private continueWith({ continuation }: OperationCall, given: HypercallArguments): void {
    const { lists } = this;
    const { lo, hi, count } = continuation;
    for (let i = 0; i < count; i++) {
      const slot = lists.slotOf(lo[i], hi[i]);
      if (slot < 0) continue;
      const offset = lists.offsetOf(slot, lo[i]);
      lo[i] = lists.pointerLo(slot);
      hi[i] = lists.pointerHi(slot);
      while (continuation.count < OFFSET_ARGUMENT)
        continuation.add(given.lo(continuation.count), given.hi(continuation.count));
      continuation.add(offset | 0, 0);
      return;
    }
  }
}

function placesOf({ descriptor }: Operation, compat: boolean): PointerPlaces {
  const { inputs, struct, plain } = descriptor;
  const isPointer = (field: OperationField) => field.pointer === true && !isKept(field);
  let next = plain ? 0 : 1;
  let argument = -1;
  for (const field of inputs) {
    if (field.offset !== -1) continue;
    if (isPointer(field)) argument = next;
    next += compat && field.compatPair ? 2 : 1;
  }
  const bytes = (compat ? struct?.compatBytes : undefined) ?? struct?.bytes ?? 0;
  return {
    argument: struct === undefined ? argument : next,
    offsets: inputs
      .filter((field) => field.offset >= 0 && isPointer(field))
      .map((field) => (compat ? field.compatOffset : undefined) ?? field.offset),
    structBytes: bytes,
  };
}

/**
 * Physical buffers above one page (the thread of September 2022): calls with {@link PHYSICAL_FLAVOUR} in their number have
 * pointers to descriptions of their buffers, others have linear ones.
 *
 * - `frames`: a pointer names a list of words: offset in the first page, then the frame of each page.
 * - `tuples`: a pointer names a list of pairs: address and length of each piece.
 * - `descriptor`: the low two bits of a pointer say what it is: 0 the buffer itself, which ends with its page; 1 a list of
 *   frames; 2 a list of pairs; 3 nothing yet.
 */
export function scatterGather(form: ScatterGatherForm): DomainAbi {
  const name = `sg-${form}`;
  return {
    name,
    pointers: "linear",
    cpuidFeatures: CPUID_FEATURES[form],
    hypercallPages: [0, PHYSICAL_FLAVOUR],
    make: (parts) => [
      new FlavourAbi(parts, "linear", 0, new FlavouredAccess(parts.linear, parts.cost)),
      new ScatterGatherAbi(parts, name, new ScatterGatherAccess(form, parts.physical, parts.cost)),
    ],
  };
}
