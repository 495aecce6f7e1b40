import {
  FaultKind,
  PagingMode,
  type PhysicalMemory,
  type SecondStage,
  type TranslationContext,
} from "@hyperwalk/mmu";

/** What an access comes to, as plain data. */
export interface Outcome {
  readonly kind: number;
  readonly frame?: number;
  readonly errorCode?: number;
  readonly infoHi?: number;
  readonly gfn?: number;
  readonly gfnOffset?: number;
}

export interface Access {
  readonly write: boolean;
  readonly fetch: boolean;
  /** Implicit supervisor access. */
  readonly system: boolean;
}

class Fault extends Error {
  readonly outcome: Outcome;
  constructor(outcome: Outcome) {
    super("fault");
    this.outcome = outcome;
  }
}

const bit = (entry: bigint, n: number): boolean => ((entry >> BigInt(n)) & 1n) === 1n;
const field = (entry: bigint, high: number, low: number): bigint =>
  (entry >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);

interface StagePage {
  readonly frame: number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
}

/**
 * The slow, obvious reading of the manuals: no caches, bigints, every access from the root. Written without a look at
 * the walkers it is compared with.
 */
export class ReferenceWalker {
  private readonly memory: PhysicalMemory;
  constructor(memory: PhysicalMemory) {
    this.memory = memory;
  }

  access(context: TranslationContext, linear: bigint, access: Access): Outcome {
    try {
      return { kind: FaultKind.None, frame: this.translate(context, linear, access) };
    } catch (error) {
      if (error instanceof Fault) return error.outcome;
      throw error;
    }
  }

  private translate(c: TranslationContext, linear: bigint, access: Access): number {
    const offset = Number(linear & 4095n);
    const kind = access.fetch ? "fetch" : access.write ? "write" : "read";
    if (c.paging === PagingMode.None) return this.page(c, Number(linear >> 12n), offset, kind);
    const user = c.user && !access.system;
    const canReportFetch = c.smep || (c.nxe && c.paging !== PagingMode.Legacy);
    const pageFault = (extra: number): never => {
      const code =
        extra | (access.write ? 2 : 0) | (user ? 4 : 0) | (access.fetch && canReportFetch ? 16 : 0);
      throw new Fault({ kind: FaultKind.PageFault, errorCode: code, infoHi: 0 });
    };
    const bits = c.paging === PagingMode.FiveLevel ? 57 : 48;
    if (c.paging >= 4 && BigInt.asIntN(bits, linear) !== BigInt.asIntN(64, linear))
      throw new Fault({ kind: FaultKind.NonCanonical, errorCode: 0, infoHi: 0 });

    // Read entries from the root to the leaf.
    const legacy = c.paging === PagingMode.Legacy;
    const width = legacy ? 4 : 8;
    const indexBits = legacy ? 10 : 9;
    let level = c.paging === PagingMode.Pae ? 2 : c.paging;
    let gfn = c.rootFrame;
    if (c.paging === PagingMode.Pae) {
      const pdpte = BigInt(c.pdpte[Number(field(linear, 31, 30))]);
      if (!bit(pdpte, 0)) pageFault(0);
      gfn = Number(field(pdpte, 51, 12));
    }
    const path: { gfn: number; table: StagePage; at: number; leaf: boolean }[] = [];
    let entry = 0n;
    let writable = true;
    let userPage = true;
    let executable = true;
    for (;;) {
      const shift = 12 + indexBits * (level - 1);
      const at = Number(field(linear, shift + indexBits - 1, shift)) * width;
      const table = this.stage(c.secondStage, gfn, at, "table");
      entry = this.readEntry(table.frame, at, width);
      if (!bit(entry, 0)) pageFault(0);
      const large = level > 1 && bit(entry, 7) && (!legacy || c.pse);
      const leaf = level === 1 || large;
      if (this.reservedInGuest(c, entry, level, leaf)) pageFault(9);
      writable &&= bit(entry, 1);
      userPage &&= bit(entry, 2);
      if (!legacy) executable &&= !bit(entry, 63);
      path.push({ gfn, table, at, leaf });
      if (leaf) break;
      gfn = Number(legacy ? field(entry, 31, 12) : field(entry, 51, 12));
      level--;
    }

    // Permissions.
    if (user && !userPage) pageFault(1);
    if (access.write && !writable && (user || c.wp)) pageFault(1);
    if (access.fetch && !executable) pageFault(1);
    if (!user && userPage) {
      if (access.fetch && c.smep) pageFault(1);
      if (!access.fetch && c.smap && (access.system || !c.ac)) pageFault(1);
    }
    if (c.pke && c.paging >= 4 && userPage && !access.fetch) {
      const key = Number(field(entry, 62, 59));
      const disabled = ((c.pkru >>> (2 * key)) & 1) === 1;
      const readOnly = ((c.pkru >>> (2 * key + 1)) & 1) === 1;
      if (disabled || (access.write && readOnly && (user || c.wp))) pageFault(33);
    }

    // Accessed and dirty flags, from the root down.
    for (const step of path) {
      const old = this.readEntry(step.table.frame, step.at, width);
      const flagged = old | 0x20n | (step.leaf && access.write ? 0x40n : 0n);
      if (flagged === old) continue;
      if (!step.table.writable) this.eptViolation(c.secondStage!, step.gfn, step.at, "flag", step.table);
      this.memory.writeU32(step.table.frame * 4096 + step.at, Number(flagged & 0xffffffffn));
    }

    // The page.
    let first: number;
    if (legacy && level === 2) first = Number((field(entry, 20, 13) << 20n) | (field(entry, 31, 22) << 10n));
    else if (legacy) first = Number(field(entry, 31, 12));
    else first = Number(field(entry, 51, 12 + 9 * (level - 1))) * 2 ** (9 * (level - 1));
    const inside = Number((linear >> 12n) & ((1n << BigInt(indexBits * (level - 1))) - 1n));
    return this.page(c, first + inside, offset, kind);
  }

  private page(c: TranslationContext, gfn: number, offset: number, kind: "read" | "write" | "fetch"): number {
    const frame = this.stage(c.secondStage, gfn, offset, kind).frame;
    if (!this.memory.isRam(frame))
      throw new Fault({ kind: FaultKind.NoRam, errorCode: 0, infoHi: 0, gfn: frame, gfnOffset: offset });
    return frame;
  }

  private reservedInGuest(c: TranslationContext, entry: bigint, level: number, leaf: boolean): boolean {
    const width = c.physicalAddressBits;
    if (c.paging === PagingMode.Legacy) {
      if (level !== 2 || !leaf) return false;
      return bit(entry, 21) || field(entry, 20, 13) >> BigInt(Math.min(width, 40) - 32) !== 0n;
    }
    if (width < 52 && field(entry, 51, width) !== 0n) return true;
    if (bit(entry, 63) && !c.nxe) return true;
    if (c.paging === PagingMode.Pae && field(entry, 62, 52) !== 0n) return true;
    if (level >= 4 && bit(entry, 7)) return true;
    if (leaf && level === 3) return field(entry, 29, 13) !== 0n;
    if (leaf && level === 2) return field(entry, 20, 13) !== 0n;
    return false;
  }

  /** Second stage: a guest frame for a read, write or fetch of the guest, or for the processor reading a guest table. */
  private stage(
    s: SecondStage | null,
    gfn: number,
    offset: number,
    kind: "read" | "write" | "fetch" | "table",
  ): StagePage {
    if (s === null) return { frame: gfn, readable: true, writable: true, executable: true };
    return s.format === "npt" ? this.npt(s, gfn, offset, kind) : this.ept(s, gfn, offset, kind);
  }

  private npt(s: SecondStage, gfn: number, offset: number, kind: string): StagePage {
    const write = kind === "write" || kind === "table";
    const fail = (extra: number): never => {
      throw new Fault({
        kind: FaultKind.NestedPageFault,
        errorCode: 4 | extra | (write ? 2 : 0) | (kind === "fetch" ? 16 : 0),
        infoHi: kind === "table" ? 2 : 1,
        gfn,
        gfnOffset: offset,
      });
    };
    if (s.levels === 4 && gfn >= 2 ** 36) fail(0);
    let table = s.rootFrame;
    const path: [number, number][] = [];
    let user = true;
    let writable = true;
    let executable = true;
    for (let level: number = s.levels; ; level--) {
      const at = (Math.floor(gfn / 512 ** (level - 1)) % 512) * 8;
      const entry = this.readEntry(table, at, 8);
      if (!bit(entry, 0)) fail(0);
      const leaf = level === 1 || bit(entry, 7);
      const reserved =
        (HOST_WIDTH < 52 && field(entry, 51, HOST_WIDTH) !== 0n) ||
        (level >= 4 && bit(entry, 7)) ||
        (level === 3 && leaf && field(entry, 29, 13) !== 0n) ||
        (level === 2 && leaf && field(entry, 20, 13) !== 0n);
      if (reserved) fail(9);
      user &&= bit(entry, 2);
      writable &&= bit(entry, 1);
      executable &&= !bit(entry, 63);
      path.push([table, at]);
      table = Number(field(entry, 51, 12));
      if (!leaf) continue;
      if (!user || (write && !writable) || (kind === "fetch" && !executable)) fail(1);
      path.forEach(([frame, where], i) => {
        this.setBits(frame, where, i === path.length - 1 && write ? 0x60 : 0x20);
      });
      const span = 512 ** (level - 1);
      return { frame: table - (table % span) + (gfn % span), readable: true, writable, executable };
    }
  }

  private ept(
    s: SecondStage,
    gfn: number,
    offset: number,
    kind: "read" | "write" | "fetch" | "table",
  ): StagePage {
    const none: StagePage = { frame: 0, readable: false, writable: false, executable: false };
    if (s.levels === 4 && gfn >= 2 ** 36) this.eptViolation(s, gfn, offset, kind, none);
    let table = s.rootFrame;
    const path: [number, number][] = [];
    let page: StagePage = { frame: 0, readable: true, writable: true, executable: true };
    for (let level: number = s.levels; ; level--) {
      const at = (Math.floor(gfn / 512 ** (level - 1)) % 512) * 8;
      const entry = this.readEntry(table, at, 8);
      if (field(entry, 2, 0) === 0n) this.eptViolation(s, gfn, offset, kind, none);
      const leaf = level === 1 || bit(entry, 7);
      const type = Number(field(entry, 5, 3));
      const bad =
        (!bit(entry, 0) && bit(entry, 1)) ||
        (HOST_WIDTH < 52 && field(entry, 51, HOST_WIDTH) !== 0n) ||
        (level >= 4 && field(entry, 7, 3) !== 0n) ||
        (!leaf && field(entry, 6, 3) !== 0n) ||
        (leaf && (type === 2 || type === 3 || type === 7)) ||
        (level === 3 && leaf && field(entry, 29, 12) !== 0n) ||
        (level === 2 && leaf && field(entry, 20, 12) !== 0n);
      if (bad)
        throw new Fault({ kind: FaultKind.EptMisconfig, errorCode: 0, infoHi: 0, gfn, gfnOffset: offset });
      page = {
        frame: 0,
        readable: page.readable && bit(entry, 0),
        writable: page.writable && bit(entry, 1),
        executable: page.executable && bit(entry, 2),
      };
      path.push([table, at]);
      table = Number(field(entry, 51, 12));
      if (!leaf) continue;
      const write = kind === "write" || (kind === "table" && s.accessDirty);
      const read = kind === "read" || kind === "table";
      if ((read && !page.readable) || (write && !page.writable) || (kind === "fetch" && !page.executable))
        this.eptViolation(s, gfn, offset, kind, page);
      if (s.accessDirty)
        path.forEach(([frame, where], i) => {
          this.setBits(frame, where, i === path.length - 1 && write ? 0x300 : 0x100);
        });
      const span = 512 ** (level - 1);
      return { ...page, frame: table - (table % span) + (gfn % span) };
    }
  }

  private eptViolation(
    s: SecondStage,
    gfn: number,
    offset: number,
    kind: "read" | "write" | "fetch" | "table" | "flag",
    page: StagePage,
  ): never {
    const access = { read: 1, write: 2, fetch: 4, table: s.accessDirty ? 3 : 1, flag: 2 }[kind];
    const rights = (page.readable ? 8 : 0) | (page.writable ? 16 : 0) | (page.executable ? 32 : 0);
    const final = kind === "table" || kind === "flag" ? 0 : 0x100;
    throw new Fault({
      kind: FaultKind.EptViolation,
      errorCode: access | rights | 0x80 | final,
      infoHi: 0,
      gfn,
      gfnOffset: offset,
    });
  }

  private readEntry(frame: number, at: number, width: number): bigint {
    if (!this.memory.isRam(frame))
      throw new Fault({ kind: FaultKind.NoRam, errorCode: 0, infoHi: 0, gfn: frame, gfnOffset: at });
    return width === 8
      ? this.memory.readU64(frame * 4096 + at)
      : BigInt(this.memory.readU32(frame * 4096 + at));
  }

  private setBits(frame: number, at: number, bits: number): void {
    const address = frame * 4096 + at;
    this.memory.writeU32(address, (this.memory.readU32(address) | bits) >>> 0);
  }
}

/** MAXPHYADDR of the test profile's processor. */
const HOST_WIDTH = 48;
