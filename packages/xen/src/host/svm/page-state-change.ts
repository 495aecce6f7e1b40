import type { P2m } from "../../p2m.js";
import { P2mType } from "../../p2m-type.js";
import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import { PAGE_STATE_CHANGE } from "../../path-cost/stages/ghcb.js";
import type { FrameTable } from "../frame-table.js";
import { PageOperation, PageStateEntry, PageStateError, PageStateList } from "./ghcb-layout.js";
import type { SecurePages } from "./secure-pages.js";

/** References on a page that nobody but its p2m and the present look-up uses. */
const UNUSED = 2;
const LARGE = 512;
/** Pages after which Xen returns to the guest, whose business it is to ask for the rest. */
const PAGES_AT_ONCE = 512;

/** How a request for one page ended. */
export const PageChange = { Done: 0, Invalid: 1 } as const;

/**
 * Page state changes that an SNP guest asks for (GHCB specification, 2.3.1 and 4.1.6): a page of its RAM becomes private or
 * shared. What Xen or another domain holds a reference on stays what it is.
 */
export class PageStateChange {
  private readonly pages: SecurePages;
  private readonly p2m: P2m;
  private readonly cost: StagePathCost;
  private readonly frameTable: FrameTable;
  private readonly stage: number;

  constructor(pages: SecurePages, p2m: P2m, cost: StagePathCost, frameTable: FrameTable) {
    this.pages = pages;
    this.p2m = p2m;
    this.cost = cost;
    this.frameTable = frameTable;
    this.stage = cost.compile(PAGE_STATE_CHANGE);
  }

  /** One page of 4 KiB. @param operation a {@link PageOperation} number @returns a {@link PageChange} number */
  change(gfn: number, operation: number): number {
    const { cost, p2m, pages } = this;
    cost.run(this.stage);
    if (operation !== PageOperation.Private && operation !== PageOperation.Shared) return PageChange.Invalid;
    const mfn = p2m.lookup(gfn);
    if (mfn < 0) return PageChange.Invalid;
    const isRam = p2m.type === P2mType.RamRw || p2m.type === P2mType.RamLogdirty;
    const isFree = isRam && p2m.isRam(mfn) && this.frameTable.references(mfn) === UNUSED;
    const isPrivate = pages.isPrivate(mfn);
    const isWanted = operation === PageOperation.Private;
    if (isFree && isPrivate !== isWanted) {
      if (isWanted) pages.assign(gfn, mfn);
      else pages.share(gfn, mfn);
    }
    p2m.putPage(mfn);
    return isFree || isPrivate === isWanted ? PageChange.Done : PageChange.Invalid;
  }

  /**
   * A list of entries in shared memory, from the current one to the last; each is noted as done before the next.
   * @param bytes that it may have @param read, write words of it @returns 0 or a {@link PageStateError} number
   */
  changeList(
    bytes: number,
    read: (offset: number) => number,
    write: (offset: number, value: number) => void,
  ): number {
    const header = read(PageStateList.Current);
    const end = header >>> 16;
    let current = header & 0xffff;
    if (current > end || PageStateList.Entries + 8 * (end + 1) > bytes) return PageStateError.Header;
    for (let left = PAGES_AT_ONCE; current <= end; current++) {
      const at = PageStateList.Entries + 8 * current;
      const lo = read(at);
      const hi = read(at + 4);
      const gfn = (lo >>> 12) + (hi & 0xfffff) * 0x100000;
      const operation = (hi >>> PageStateEntry.OperationShift) & PageStateEntry.OperationMask;
      const isLarge = (hi & PageStateEntry.Large) !== 0;
      const pages = isLarge && operation !== PageOperation.Split ? LARGE : 1;
      if (isLarge && gfn % LARGE !== 0) return PageStateError.Entry;
      let done = lo & 0xfff;
      // As KVM does (PSC_ERROR_INVALID_ENTRY): the guest says that more is done than there is.
      if (done > (isLarge ? LARGE : 1)) return PageStateError.Entry;
      for (; done < pages; done++, left--) {
        if (left === 0) {
          write(at, (lo & ~0xfff) | done);
          write(PageStateList.Current, (end << 16) | current);
          return 0;
        }
        const ended =
          operation === PageOperation.Split ? this.splitOnRequest(gfn) : this.change(gfn + done, operation);
        if (ended !== PageChange.Done) return PageStateError.Entry;
      }
      write(at, (lo & ~0xfff) | (pages & 0xfff));
      write(PageStateList.Current, (end << 16) | (current + 1));
    }
    return 0;
  }

  /** {@link split} of a page of RAM, for the price of a request. */
  private splitOnRequest(gfn: number): number {
    this.cost.run(this.stage);
    const type = this.p2m.typeAt(gfn);
    const isRam = type === P2mType.RamRw || type === P2mType.RamLogdirty;
    return isRam ? this.split(gfn) : PageChange.Invalid;
  }

  /** The 2 MiB page of a guest frame becomes 512 small ones. @returns a {@link PageChange} number */
  split(gfn: number): number {
    const { p2m, pages } = this;
    const mfn = p2m.lookup(gfn);
    if (mfn < 0) return PageChange.Invalid;
    if (p2m.isRam(mfn)) pages.split(gfn, mfn);
    p2m.putPage(mfn);
    return PageChange.Done;
  }
}
