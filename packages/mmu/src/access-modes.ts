import { Rights } from "./tlb/rights.js";
import { PagingMode, type TranslationContext } from "./translation-context.js";
import { PageFaultCode } from "./translation-fault.js";

/** Kinds of access; bit 0 tells writes among the data accesses. */
export const AccessMode = { Read: 0, Write: 1, SystemRead: 2, SystemWrite: 3, Fetch: 4 } as const;

/**
 * The rights test of each access mode under one context (SDM vol. 3, 4.6): an entry with `rights` permits mode `m` when
 * `(rights & mask[m]) === value[m]`. Protection keys come on top.
 */
export class AccessRights {
  readonly mask: Int32Array = new Int32Array(5);
  readonly value: Int32Array = new Int32Array(5);
  /** {@link PageFaultCode} bits of each mode: Write, User, Fetch. */
  readonly access: Int32Array = new Int32Array(5);

  configure(c: TranslationContext): void {
    const paged = c.paging !== PagingMode.None;
    const smap = paged && c.smap ? Rights.User : 0;
    const smep = paged && c.smep ? Rights.User : 0;
    const supervisorWrite = c.wp ? Rights.Write : 0;
    const written = Rights.Dirty | Rights.StageWrite | Rights.StageDirty;
    const executed = Rights.Execute | Rights.StageExecute;
    if (c.user) {
      this.set(AccessMode.Read, Rights.StageRead | Rights.User, 0, PageFaultCode.User);
      this.set(
        AccessMode.Write,
        written | Rights.Write | Rights.User,
        0,
        PageFaultCode.User | PageFaultCode.Write,
      );
      this.set(AccessMode.Fetch, executed | Rights.User, 0, PageFaultCode.User | PageFaultCode.Fetch);
    } else {
      const suspended = c.ac ? 0 : smap;
      this.set(AccessMode.Read, Rights.StageRead, suspended, 0);
      this.set(AccessMode.Write, written | supervisorWrite, suspended, PageFaultCode.Write);
      this.set(AccessMode.Fetch, executed, smep, PageFaultCode.Fetch);
    }
    // EFLAGS.AC does not suspend SMAP for implicit accesses.
    this.set(AccessMode.SystemRead, Rights.StageRead, smap, 0);
    this.set(AccessMode.SystemWrite, written | supervisorWrite, smap, PageFaultCode.Write);
  }

  private set(mode: number, required: number, forbidden: number, access: number): void {
    this.mask[mode] = required | forbidden;
    this.value[mode] = required;
    this.access[mode] = access;
  }
}
