import { AccessMode, type AccessRights } from "../access-modes.js";
import { plainFrame } from "../memory-encryption.js";
import type { PhysicalMemory } from "../physical-memory.js";
import { LARGE_PAGE_FRAMES, type ReverseMap, RmpHigh } from "../reverse-map.js";
import { GUEST_PAGE_SHIFT } from "../tlb/rights.js";
import { Kind } from "../tlb/tlb-array.js";
import {
  FaultKind,
  NPF_ENCRYPTED,
  NPF_FINAL,
  NPF_SIZE_MISMATCH,
  PageFaultCode,
  type TranslationFault,
} from "../translation-fault.js";
import type { EncryptedSecondStage } from "./encrypted-second-stage.js";
import type { PageWalker } from "./page-walker.js";
import type { SecureNestedPageTableWalker } from "./secure-nested-page-tables.js";
import type { TablePort } from "./table-port.js";

/** What comes of PVALIDATE and RMPADJUST; `Fault` has filled in the `Mmu`'s fault. */
export const PageValidation = { Fault: -1, Changed: 0, Unchanged: 1, SizeMismatch: 2 } as const;

export interface PageValidatorParts {
  readonly memory: PhysicalMemory;
  readonly walker: PageWalker;
  readonly encrypted: EncryptedSecondStage;
  readonly secure: SecureNestedPageTableWalker;
  readonly port: TablePort;
  readonly map: ReverseMap;
  readonly fault: TranslationFault;
}

/**
 * The guest's own way to the reverse map: finds the entry of a page by its linear address and changes it, through the caches
 * (APM vol. 3, PVALIDATE and RMPADJUST).
 */
export class PageValidator {
  private readonly parts: PageValidatorParts;
  /** The entry found: frame and offset, index in the arena. */
  private table = 0;
  private offset = 0;
  private at = 0;
  private i32!: Int32Array;

  constructor(parts: PageValidatorParts) {
    this.parts = parts;
    const { arena } = parts.memory;
    arena.adopt(() => {
      this.i32 = arena.i32;
    });
  }

  /** PVALIDATE. @param test rights of the context @returns a {@link PageValidation} number */
  validate(lo: number, hi: number, isLarge: boolean, valid: boolean, test: AccessRights): number {
    const found = this.find(lo, hi, isLarge, test);
    if (found !== PageValidation.Changed) return found;
    const before = this.i32[this.at + 1];
    const after = valid ? before | RmpHigh.Validated : before & ~RmpHigh.Validated;
    if (before === after) return PageValidation.Unchanged;
    this.parts.port.store(this.table, this.offset, this.i32[this.at], after);
    return PageValidation.Changed;
  }

  /**
   * RMPADJUST. @param vmpl 1 to 3 @param permissions of that VMPL @param vmsa the page holds a vCPU's register state
   * @returns a {@link PageValidation} number
   */
  adjust(
    lo: number,
    hi: number,
    isLarge: boolean,
    vmpl: number,
    permissions: number,
    vmsa: boolean,
    test: AccessRights,
  ): number {
    const found = this.find(lo, hi, isLarge, test);
    if (found !== PageValidation.Changed) return found;
    const { i32, at, table, offset } = this;
    const { port } = this.parts;
    const high = vmsa ? i32[at + 1] | RmpHigh.Vmsa : i32[at + 1] & ~RmpHigh.Vmsa;
    port.store(table, offset, i32[at], high);
    const shift = 8 * vmpl;
    port.store(table, offset + 8, (i32[at + 2] & ~(0xff << shift)) | (permissions << shift), i32[at + 3]);
    return PageValidation.Changed;
  }

  /** The page and its entry. @returns `Changed` when it is there, in the size that was asked for */
  private find(lo: number, hi: number, isLarge: boolean, test: AccessRights): number {
    const { walker, encrypted, secure, port, map } = this.parts;
    const { Read } = AccessMode;
    secure.validating = encrypted.validating = true;
    const walked = walker.walk(lo, hi, test.access[Read], test.mask[Read], test.value[Read]);
    secure.validating = encrypted.validating = false;
    if (!walked) return PageValidation.Fault;
    const frame = plainFrame(walker.frame);
    const isLargeEntry = secure.kind !== Kind.Page4K;
    const guestPage = (walker.rights >>> GUEST_PAGE_SHIFT) & 3;
    if (isLarge && (!isLargeEntry || guestPage === Kind.Page4K)) return PageValidation.SizeMismatch;
    const owned = isLargeEntry ? frame - (frame % LARGE_PAGE_FRAMES) : frame;
    this.table = map.frameOf(owned);
    this.offset = map.offsetOf(owned);
    this.at = port.reference(this.table, this.offset);
    if (!isLarge && isLargeEntry) return this.sizeMismatch(lo, map.read(owned).gfn + (frame - owned));
    return PageValidation.Changed;
  }

  /** 4 KiB of a page that the table has as 2 MiB: the hypervisor has to split it. */
  private sizeMismatch(lo: number, gfn: number): number {
    const { fault } = this.parts;
    fault.kind = FaultKind.NestedPageFault;
    fault.errorCode = PageFaultCode.Rmp | PageFaultCode.Present | PageFaultCode.User;
    fault.infoHi = NPF_FINAL | NPF_ENCRYPTED | NPF_SIZE_MISMATCH;
    fault.gfn = gfn;
    fault.gfnOffset = lo & 4095;
    return PageValidation.Fault;
  }
}
