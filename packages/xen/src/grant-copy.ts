import type { Domain } from "./domain.js";
import { DOMID_SELF } from "./event-channel.js";
import {
  EntryRecord,
  type GrantPart,
  getGrantedFrame,
  pinIncrement,
  reduceStatus,
  setStatus,
} from "./grant-pin.js";
import {
  GNTCOPY_DEST_GREF,
  GNTCOPY_SOURCE_GREF,
  GNTST_BAD_COPY_ARG,
  GNTST_BAD_DOMAIN,
  GNTST_BAD_GNTREF,
  GNTST_GENERAL_ERROR,
  GNTST_OKAY,
  GNTST_PERMISSION_DENIED,
  GTF_SUB_PAGE,
  GTF_TRANSITIVE,
  GTF_TYPE_MASK,
} from "./operations/descriptors.gen.js";
import type { PathCost } from "./path-cost/path-cost.js";

const PAGE = 4096;
const LINE = 64;

/** One end of a copy. */
export interface GrantCopyEnd {
  /** A grant reference of `domid`'s, or a guest frame of the caller's, as the flags say. */
  readonly from: number;
  readonly domid: number;
  readonly offset: number;
}

/** What is to be copied. */
export interface GrantCopyRequest {
  readonly source: GrantCopyEnd;
  readonly dest: GrantCopyEnd;
  /** Bytes. */
  readonly length: number;
  /** GNTCOPY_*. */
  readonly flags: number;
}

/** A frame that is ready to be copied from or to. */
interface Claim extends GrantPart {
  readonly domain: Domain;
  readonly domid: number;
  readonly from: number;
  readonly isGrant: boolean;
  readonly frame: number;
}

/** What {@link acquire} found. */
interface Acquired extends GrantPart {
  readonly frame: number;
}

/**
 * GNTTABOP_copy: frame to frame, either of them granted. Consecutive copies of one call that name the same frame keep hold
 * of it, as in `gnttab_copy`; {@link release} ends that.
 */
export class GrantCopier {
  private source: Claim | undefined;
  private dest: Claim | undefined;

  /** @param cost who pays; undefined: nobody @returns a GNTST code */
  copy(caller: Domain, request: GrantCopyRequest, cost?: PathCost): number {
    if (request.length === 0) return GNTST_OKAY;
    const status = this.carryOut(caller, request, cost);
    if (status !== GNTST_OKAY) this.release(cost);
    return status;
  }

  /** Lets go of what the latest copies were about. */
  release(cost?: PathCost): void {
    for (const claim of [this.source, this.dest])
      if (claim !== undefined) letGo(claim, claim === this.source, cost);
    this.source = undefined;
    this.dest = undefined;
  }

  private carryOut(caller: Domain, request: GrantCopyRequest, cost: PathCost | undefined): number {
    const { source, dest, length, flags } = request;
    const byRef = [(flags & GNTCOPY_SOURCE_GREF) !== 0, (flags & GNTCOPY_DEST_GREF) !== 0];
    // Domains are looked up anew only when one of them changes, and what was held is let go of then.
    if (source.domid !== this.source?.domid || dest.domid !== this.dest?.domid) {
      this.release(cost);
      for (const [i, end] of [source, dest].entries()) {
        if (end.domid !== DOMID_SELF && !byRef[i]) return GNTST_PERMISSION_DENIED;
        if (caller.findDomain(end.domid) === undefined)
          return end.domid === 0 ? GNTST_GENERAL_ERROR : GNTST_BAD_DOMAIN;
      }
    }
    if (!isSame(this.source, source, byRef[0])) {
      if (this.source !== undefined) letGo(this.source, true, cost);
      this.source = undefined;
      const claim = claimEnd(caller, source, byRef[0], true, cost);
      if (typeof claim === "number") return claim;
      this.source = claim;
    }
    if (!isSame(this.dest, dest, byRef[1])) {
      if (this.dest !== undefined) letGo(this.dest, false, cost);
      this.dest = undefined;
      const claim = claimEnd(caller, dest, byRef[1], false, cost);
      if (typeof claim === "number") return claim;
      this.dest = claim;
    }
    if (this.source === undefined || this.dest === undefined) return GNTST_GENERAL_ERROR;
    if (source.offset + length > PAGE || dest.offset + length > PAGE) return GNTST_BAD_COPY_ARG;
    if (!holds(this.source, source.offset, length) || !holds(this.dest, dest.offset, length))
      return GNTST_GENERAL_ERROR;
    move(caller, this.source.frame, source.offset, this.dest.frame, dest.offset, length, cost);
    return GNTST_OKAY;
  }
}

function isSame(claim: Claim | undefined, end: GrantCopyEnd, isGrant: boolean): boolean {
  return claim !== undefined && claim.isGrant === isGrant && claim.from === end.from;
}

function holds({ start, length }: GrantPart, offset: number, bytes: number): boolean {
  return offset >= start && offset + bytes <= start + length;
}

/** `gnttab_copy_claim_buf`. @returns a GNTST code where it cannot be had */
function claimEnd(
  caller: Domain,
  end: GrantCopyEnd,
  isGrant: boolean,
  readonly: boolean,
  cost: PathCost | undefined,
): Claim | number {
  const { domid, from } = end;
  const domain = caller.findDomain(domid);
  if (domain === undefined) return GNTST_BAD_DOMAIN;
  if (!isGrant) {
    const frame = getGrantedFrame(domain, from, cost);
    if (frame < 0) return frame;
    return { domain, domid, from, isGrant, frame, start: 0, length: PAGE, isSubPage: false };
  }
  const acquired = acquire(domain, from, caller.id, readonly, true, cost);
  return typeof acquired === "number" ? acquired : { domain, domid, from, isGrant, ...acquired };
}

function letGo(claim: Claim, readonly: boolean, cost: PathCost | undefined): void {
  if (claim.isGrant) releaseGrant(claim.domain, claim.from, readonly, cost);
  claim.domain.p2m.dropPage(claim.frame, cost);
}

/**
 * `acquire_grant_for_copy`: pins a grant, and takes a reference on its frame.
 * @param domid whom it has to be for @param transitive may it be another domain's grant that is passed on?
 * @returns a GNTST code where it cannot be had
 */
function acquire(
  owner: Domain,
  ref: number,
  domid: number,
  readonly: boolean,
  transitive: boolean,
  cost: PathCost | undefined,
): Acquired | number {
  const table = owner.grantTable;
  if (ref >= table.entries) return GNTST_BAD_GNTREF;
  const increment = pinIncrement(readonly);
  const record = new EntryRecord(owner, ref, cost);
  if (!record.admits(domid, increment)) return GNTST_GENERAL_ERROR;
  const { flags } = table.header(ref, undefined);
  const isTransitive = table.version === 2 && (flags & GTF_TYPE_MASK) === GTF_TRANSITIVE;
  const pinned = record.pin !== 0;
  const needsStatus = record.needsStatus(readonly);
  if (isTransitive || needsStatus) {
    if (needsStatus) {
      const status = setStatus(table, ref, pinned, domid, readonly, false, cost);
      if (status !== GNTST_OKAY) return status;
    }
    const found = isTransitive
      ? transitiveSource(owner, ref, readonly, transitive, cost)
      : ownSource(owner, ref, flags, cost);
    if (typeof found === "number") {
      reduceStatus(table, ref, record.pin, readonly, cost);
      return found;
    }
    if (!pinned) record.set(domid, found.frame, found, found.source);
    else if (!matches(record, found)) {
      const other = owner.findDomain(found.source.domid);
      if (isTransitive && other !== undefined) releaseGrant(other, found.source.ref, readonly, cost);
      owner.p2m.dropPage(found.frame, cost);
      reduceStatus(table, ref, record.pin, readonly, cost);
      return GNTST_GENERAL_ERROR;
    }
  } else {
    if (record.source.domid !== owner.id) return GNTST_BAD_DOMAIN;
    owner.p2m.takePage(record.frame, cost);
  }
  record.pin += increment;
  const { frame, start, length, isSubPage } = record;
  return { frame, start, length, isSubPage };
}

interface Source extends Acquired {
  readonly source: { readonly domid: number; readonly ref: number };
}

/** The frame that an entry names, whole or in part. */
function ownSource(owner: Domain, ref: number, flags: number, cost: PathCost | undefined): Source | number {
  const table = owner.grantTable;
  const frame = getGrantedFrame(owner, table.frameOf(ref), cost);
  if (frame < 0) return frame;
  const source = { domid: owner.id, ref };
  if (table.version === 1 || (flags & GTF_SUB_PAGE) === 0)
    return { frame, start: 0, length: PAGE, isSubPage: false, source };
  const { offset, length } = table.partOf(ref);
  return { frame, start: offset, length, isSubPage: true, source };
}

/** The frame that the owner of an entry has been granted by another domain, of which it grants the use. */
function transitiveSource(
  owner: Domain,
  ref: number,
  readonly: boolean,
  allowed: boolean,
  cost: PathCost | undefined,
): Source | number {
  const source = owner.grantTable.transitiveOf(ref);
  // One step and no more, and not to oneself.
  if (!allowed || source.domid === owner.id) return GNTST_GENERAL_ERROR;
  const other = owner.domains.find(source.domid);
  if (other === undefined) return GNTST_GENERAL_ERROR;
  const found = acquire(other, source.ref, owner.id, readonly, false, cost);
  if (typeof found === "number") return found;
  const { frame, start, length } = found;
  // Always as a part, so that it cannot be mapped.
  return { frame, start, length, isSubPage: true, source };
}

function matches(record: EntryRecord, found: Source): boolean {
  const { source, start, length, frame } = found;
  const { domid, ref } = record.source;
  if (record.frame !== frame || domid !== source.domid || ref !== source.ref) return false;
  return !record.isSubPage || (found.isSubPage && record.start === start && record.length === length);
}

/** `release_grant_for_copy`: the reference on the frame is the caller's to drop. */
function releaseGrant(owner: Domain, ref: number, readonly: boolean, cost: PathCost | undefined): void {
  const record = new EntryRecord(owner, ref, cost);
  const { source } = record;
  record.pin -= pinIncrement(readonly);
  reduceStatus(owner.grantTable, ref, record.pin, readonly, cost);
  if (source.domid === owner.id) return;
  const other = owner.domains.find(source.domid);
  if (other !== undefined) releaseGrant(other, source.ref, readonly, cost);
}

/** The copy itself, line by line through the caches. */
function move(
  { memory }: Domain,
  from: number,
  fromOffset: number,
  to: number,
  toOffset: number,
  length: number,
  cost: PathCost | undefined,
): void {
  if (cost !== undefined)
    for (let done = 0; done < length; ) {
      const part = Math.min(LINE - ((toOffset + done) % LINE), length - done);
      const first = Math.min(LINE - ((fromOffset + done) % LINE), part);
      cost.access(from, fromOffset + done, first, false);
      if (first < part) cost.access(from, fromOffset + done + first, part - first, false);
      cost.access(to, toOffset + done, part, true);
      done += part;
    }
  memory.writeBytes(to * PAGE + toOffset, memory.readBytes(from * PAGE + fromOffset, length));
}
