import type { Domain } from "./domain.js";
import { ActiveEntry, PINNED_FOR_WRITING, Pin } from "./grant-entries.js";
import type { GrantTable } from "./grant-table.js";
import {
  GNTST_BAD_PAGE,
  GNTST_GENERAL_ERROR,
  GNTST_OKAY,
  GTF_PERMIT_ACCESS,
  GTF_READING,
  GTF_READONLY,
  GTF_SUB_PAGE,
  GTF_TRANSITIVE,
  GTF_TYPE_MASK,
  GTF_WRITING,
} from "./operations/descriptors.gen.js";
import { P2mType } from "./p2m-type.js";
import type { PathCost } from "./path-cost/path-cost.js";

/** The highest bit of each count: no more uses then. */
const NEAR_OVERFLOW = 0x80;

/** Xen's record of an entry, by its arena offset: records lie in frames, which stay where they are when others are made. */
export class EntryRecord {
  private readonly memory: { readonly arena: { readonly u8: Uint8Array; readonly i32: Int32Array } };
  private readonly at: number;

  constructor(domain: Domain, reference: number, cost: PathCost | undefined) {
    this.memory = domain.memory;
    this.at = domain.grantTable.active.at(reference, cost);
  }

  get pin(): number {
    return this.word(ActiveEntry.Pin);
  }

  set pin(value: number) {
    this.memory.arena.i32[(this.at + ActiveEntry.Pin) >> 2] = value;
  }

  /** Machine frame. */
  get frame(): number {
    return this.word(ActiveEntry.Frame) >>> 0;
  }

  get domid(): number {
    return this.word(ActiveEntry.Domid) & 0xffff;
  }

  /** Whose frame it is, and by which of that domain's grants. */
  get source(): { readonly domid: number; readonly ref: number } {
    return { domid: this.word(ActiveEntry.Domid) >>> 16, ref: this.word(ActiveEntry.SourceRef) >>> 0 };
  }

  get start(): number {
    return this.word(ActiveEntry.Start) & 0xffff;
  }

  get length(): number {
    return this.word(ActiveEntry.Start) >>> 16;
  }

  get isSubPage(): boolean {
    return this.memory.arena.u8[this.at + ActiveEntry.IsSubPage] !== 0;
  }

  /** Notes what an entry that nobody used stands for. */
  set(domid: number, frame: number, part: GrantPart, source: { domid: number; ref: number }): void {
    const { i32, u8 } = this.memory.arena;
    i32[(this.at + ActiveEntry.Domid) >> 2] = domid | (source.domid << 16);
    i32[(this.at + ActiveEntry.Start) >> 2] = part.start | (part.length << 16);
    u8[this.at + ActiveEntry.IsSubPage] = part.isSubPage ? 1 : 0;
    i32[(this.at + ActiveEntry.SourceRef) >> 2] = source.ref;
    i32[(this.at + ActiveEntry.Frame) >> 2] = frame;
  }

  /** May `domid` use it as well, and are there few enough uses (GNTPIN_incr2oflow_mask)? */
  admits(domid: number, increment: number): boolean {
    const { pin } = this;
    return pin === 0 || (this.domid === domid && (pin & (increment * NEAR_OVERFLOW)) === 0);
  }

  /** Does one more use of that kind change what the owner is shown? */
  needsStatus(readonly: boolean): boolean {
    const { pin } = this;
    return pin === 0 || (!readonly && (pin & PINNED_FOR_WRITING) === 0);
  }

  private word(offset: number): number {
    return this.memory.arena.i32[(this.at + offset) >> 2];
  }
}

/** Bytes of a frame that a grant is about. */
export interface GrantPart {
  readonly start: number;
  readonly length: number;
  readonly isSubPage: boolean;
}

/** What one use of a grant adds to its pin. */
export function pinIncrement(readonly: boolean): number {
  return readonly ? Pin.HostRead : Pin.HostWrite;
}

/**
 * `_set_status`: checks that an entry grants this to that domain, and shows its owner that it is used. Nobody changes the
 * entry meanwhile.
 * @param mapping a frame is to be mapped: not a part of one, nor through another domain @returns a GNTST code
 */
export function setStatus(
  table: GrantTable,
  reference: number,
  pinned: boolean,
  domid: number,
  readonly: boolean,
  mapping: boolean,
  cost: PathCost | undefined,
): number {
  const header = table.header(reference, cost);
  const type = header.flags & (mapping ? GTF_TYPE_MASK | GTF_SUB_PAGE : GTF_TYPE_MASK);
  const isGrant = type === GTF_PERMIT_ACCESS || (table.version === 2 && !mapping && type === GTF_TRANSITIVE);
  if (!pinned && (!isGrant || header.domid !== domid)) return GNTST_GENERAL_ERROR;
  if (!readonly && (header.flags & GTF_READONLY) !== 0) return GNTST_GENERAL_ERROR;
  table.changeInUse(reference, readonly ? GTF_READING : GTF_READING | GTF_WRITING, 0, cost);
  return GNTST_OKAY;
}

/** `reduce_status_for_pin`: shows the owner of an entry no more uses than there are. */
export function reduceStatus(
  table: GrantTable,
  reference: number,
  pin: number,
  readonly: boolean,
  cost: PathCost | undefined,
): void {
  const reading = pin === 0 ? GTF_READING : 0;
  const writing = !readonly && (pin & PINNED_FOR_WRITING) === 0 ? GTF_WRITING : 0;
  if ((reading | writing) !== 0) table.changeInUse(reference, 0, reading | writing, cost);
}

/** `get_paged_frame`: a frame of a domain's own, with a reference. @returns the machine frame, or a GNTST code */
export function getGrantedFrame(owner: Domain, gfn: number, cost: PathCost | undefined): number {
  const { p2m } = owner;
  const frame = p2m.getPage(gfn, cost);
  if (frame < 0) return GNTST_BAD_PAGE;
  const isPrivate = p2m.ownership?.isPrivate(frame) === true;
  if (p2m.type !== P2mType.MapForeign && p2m.type !== P2mType.MmioDirect && !isPrivate) return frame;
  p2m.dropPage(frame, cost);
  return GNTST_BAD_PAGE;
}
