import { type ArmStage1Context, frameOf, frameOfPar, levelSpan, stage1StartLevel } from "@hyperwalk/mmu";
import { directmap, pageInfo } from "./arm-layout.js";
import { type ArmP2m, ArmP2mType } from "./arm-p2m.js";
import type { ArmPathCost } from "./arm-path-cost.js";
import { ArmPhase } from "./arm-stage.js";
import {
  AT_S12E1,
  COPY_PAGE,
  GET_PAGE,
  GET_PAGE_FROM_GFN,
  GET_PAGE_FROM_GVA,
  GUEST_WALK,
  GUEST_WALK_LEVEL,
  PUT_PAGE,
} from "./arm-stages.js";
import type { CopyPath } from "./copy-step.js";

const PAGE = 4096;
const LINE = 64;

/** How a page of a copy was found, or that it was not. */
export interface ArmPageFound {
  /** Machine frame, or -1. */
  readonly frame: number;
  /** `at`: the instruction; `second attempt`: software walk of stage 1 and stage 2; `p2m`: stage 2 alone. */
  readonly by: "at" | "second attempt" | "p2m";
  /** What PAR_EL1 said; null where the instruction was not used. */
  readonly par: bigint | null;
}

/** One call of `copy_guest`. */
export interface ArmCopyResult {
  /** Bytes not copied, as `raw_copy_to_guest` returns; the caller makes -EFAULT of anything but 0. */
  readonly left: number;
  readonly pages: readonly ArmPageFound[];
}

/** What the copy paths work on: one vCPU, on its processing element. */
export interface ArmCopyContext {
  readonly cost: ArmPathCost;
  readonly p2m: ArmP2m;
  /** The vCPU's EL1 registers. */
  readonly stage1: ArmStage1Context;
}

/** `raw_copy_to_guest` and `raw_copy_from_guest`: the address is the guest's virtual one. */
export function* copyByVa(
  context: ArmCopyContext,
  address: bigint,
  buffer: Uint8Array,
  toGuest: boolean,
): CopyPath<ArmCopyResult> {
  return yield* copyGuest(context, address, buffer, toGuest, (at) => pageByVa(context, at, toGuest));
}

/** `copy_guest` with COPY_ipa: the address is an intermediate physical one. */
export function* copyByIpa(
  context: ArmCopyContext,
  address: bigint,
  buffer: Uint8Array,
  toGuest: boolean,
): CopyPath<ArmCopyResult> {
  return yield* copyGuest(context, address, buffer, toGuest, (at) =>
    pageByIpa(context, Number(at >> 12n), toGuest),
  );
}

function* copyGuest(
  { cost }: ArmCopyContext,
  address: bigint,
  buffer: Uint8Array,
  toGuest: boolean,
  find: (address: bigint) => CopyPath<ArmPageFound>,
): CopyPath<ArmCopyResult> {
  const pages: ArmPageFound[] = [];
  let done = 0;
  while (done < buffer.length) {
    const at = address + BigInt(done);
    const offset = Number(at & 4095n);
    const size = Math.min(buffer.length - done, PAGE - offset);
    const page = yield* find(at);
    pages.push(page);
    if (page.frame < 0) break;
    cost.run(COPY_PAGE);
    cost.enter(ArmPhase.Copy);
    moveBytes(cost, page.frame, offset, buffer.subarray(done, done + size), toGuest);
    cost.leave();
    cost.run(PUT_PAGE);
    touchPageInfo(cost, page.frame);
    done += size;
  }
  return { left: buffer.length - done, pages };
}

/** `get_page_from_gva`: the instruction under the read lock, then, if it failed, software. */
function* pageByVa(context: ArmCopyContext, address: bigint, write: boolean): CopyPath<ArmPageFound> {
  const { cost, p2m } = context;
  cost.run(GET_PAGE_FROM_GVA);
  yield* p2m.readLock(cost);
  yield { kind: "at" };
  cost.run(AT_S12E1);
  cost.enter(ArmPhase.AddressTranslation);
  const par = cost.mmu.at(address, write);
  cost.leave();
  yield* p2m.readUnlock(cost);
  const frame = frameOfPar(par);
  if (frame >= 0) {
    getPage(cost, frame);
    return { frame, by: "at", par };
  }
  const found = yield* walkGuest(context, address, write);
  if (found < 0) return { frame: -1, by: "second attempt", par };
  yield* p2m.readLock(cost);
  const entry = yield* p2m.getEntry(cost, found);
  yield* p2m.readUnlock(cost);
  if (!permits(entry.type, write)) return { frame: -1, by: "second attempt", par };
  getPage(cost, entry.frame);
  return { frame: entry.frame, by: "second attempt", par };
}

/** `p2m_get_page_from_gfn`. */
function* pageByIpa({ cost, p2m }: ArmCopyContext, gfn: number, write: boolean): CopyPath<ArmPageFound> {
  cost.run(GET_PAGE_FROM_GFN);
  yield* p2m.readLock(cost);
  const entry = yield* p2m.getEntry(cost, gfn);
  yield* p2m.readUnlock(cost);
  if (!permits(entry.type, write)) return { frame: -1, by: "p2m", par: null };
  getPage(cost, entry.frame);
  return { frame: entry.frame, by: "p2m", par: null };
}

/** `guest_walk_ld` for EL1: intermediate physical frame, or -1. Every descriptor is a copy by intermediate address. */
function* walkGuest(context: ArmCopyContext, address: bigint, write: boolean): CopyPath<number> {
  const { cost, stage1 } = context;
  cost.run(GUEST_WALK);
  const page = Number(BigInt.asUintN(64, address) >> 12n);
  if (!stage1.enabled) return page;
  const upper = (address & (1n << 55n)) !== 0n;
  const base = upper ? stage1.upper : stage1.lower;
  if (base === null || base.disabled === true) return -1;
  const inRange = page % 2 ** (base.inputBits - 12);
  const descriptor = new Uint8Array(8);
  const view = new DataView(descriptor.buffer);
  let table = base.rootFrame;
  let readOnly = false;
  for (let level = stage1StartLevel(base.inputBits); ; level++) {
    yield { kind: "stage1", level };
    cost.run(GUEST_WALK_LEVEL);
    const span = levelSpan(level);
    const offset = (Math.floor(inRange / span) % 512) * 8;
    const { left } = yield* copyByIpa(
      context,
      BigInt(table) * BigInt(PAGE) + BigInt(offset),
      descriptor,
      false,
    );
    if (left !== 0) return -1;
    const lo = view.getInt32(0, true);
    const hi = view.getInt32(4, true);
    if ((lo & 1) === 0) return -1;
    const output = frameOf(lo, hi & 0xffff);
    if (level === 3 || (lo & 2) === 0) {
      // A block at level 0 and a "block" at level 3 do not exist.
      if (level === 0 || (level === 3 && (lo & 2) === 0)) return -1;
      if (write && (readOnly || (lo & 0x80) !== 0)) return -1;
      return output - (output % span) + (inRange % span);
    }
    readOnly ||= (hi & 0x40000000) !== 0;
    table = output;
  }
}

function permits(type: number, write: boolean): boolean {
  return type === ArmP2mType.RamRw || (!write && type === ArmP2mType.RamRo);
}

function getPage(cost: ArmPathCost, frame: number): void {
  cost.run(GET_PAGE);
  touchPageInfo(cost, frame);
}

function touchPageInfo(cost: ArmPathCost, frame: number): void {
  cost.enter(ArmPhase.PageReference);
  cost.touch(pageInfo(frame), true);
  cost.leave();
}

/** memcpy through the direct map, line by line. */
function moveBytes(
  cost: ArmPathCost,
  frame: number,
  offset: number,
  bytes: Uint8Array,
  toGuest: boolean,
): void {
  const { u8 } = cost.mmu.memory.arena;
  for (let done = 0; done < bytes.length; ) {
    const from = offset + done;
    const size = Math.min(bytes.length - done, LINE - (from % LINE));
    const at = cost.touch(directmap(frame, from), toGuest);
    const part = bytes.subarray(done, done + size);
    if (toGuest) u8.set(part, at);
    else part.set(u8.subarray(at, at + size));
    done += size;
  }
}
