import { FaultKind, PagingMode, type PhysicalMemory, type TranslationContext } from "@hyperwalk/mmu";
import type { Cached, Item, Tags, Translation } from "./cached.js";
import {
  type Access,
  bit,
  type Flag,
  field,
  type GuestRights,
  type Outcome,
  type StageRights,
} from "./entry.js";
import { SecondStageModel, type StageKind, type StageResult } from "./second-stage.js";

/** One way in which an access may go. */
export interface Way {
  readonly outcome: Outcome;
  /** The translation was cached as a whole: no table is read. */
  readonly cached: boolean;
  /** Flags that are set after a success. */
  readonly must: readonly Flag[];
  /** Flags that may have been set, also when it fails. */
  readonly may: readonly Flag[];
  /** What a success may leave in the caches. */
  readonly items: readonly Item[];
}

/** A table on the way down, not yet located in machine memory unless a cached entry did that. */
interface State {
  readonly level: number;
  readonly gfn: number;
  readonly pinned?: { readonly frame: number; readonly rights: StageRights };
  readonly rights: GuestRights;
  readonly must: readonly Flag[];
  readonly may: readonly Flag[];
  readonly items: readonly Item[];
  /** Entries read so far. */
  readonly entries: readonly PathEntry[];
}

interface PathEntry {
  readonly address: number;
  readonly offset: number;
  readonly gfn: number;
  readonly stage: StageRights;
}

/** EP4TA number + 1, as the Mmu tags combined mappings; 0 without EPT. */
export function tagsOf(c: TranslationContext): Tags {
  const tag = c.secondStage?.format === "ept" ? c.secondStage.tag + 1 : 0;
  return { asid: c.asid, pcid: c.pcid, tag };
}

/** Whom second-stage translations belong to. */
export function ownerOf(c: TranslationContext): number {
  return c.secondStage?.format === "ept" ? c.secondStage.tag + 1 : -c.asid;
}

/** Linear page number, of the zero-extended address. */
export function pageOf(linear: bigint): number {
  return Number(linear >> 12n);
}

/**
 * The slow, obvious reading of the manuals: a function from tables, control bits and an access to everything that the
 * access may come to. Without something {@link Cached} that is one thing.
 */
export class ReferenceMmu {
  private readonly memory: PhysicalMemory;
  private readonly c: TranslationContext;
  private readonly stage: SecondStageModel;
  private readonly cached: Cached | undefined;

  /** @param hostWidth MAXPHYADDR of the processor */
  constructor(memory: PhysicalMemory, context: TranslationContext, hostWidth: number, cached?: Cached) {
    this.memory = memory;
    this.c = context;
    this.cached = cached;
    this.stage = new SecondStageModel(memory, context.secondStage, ownerOf(context), hostWidth, cached);
  }

  ways(access: Access): Way[] {
    const { c } = this;
    const ways: Way[] = [];
    const page = pageOf(access.linear);
    for (const t of this.cached?.translations(tagsOf(c), page) ?? [])
      if (this.answers(t, access)) ways.push(success(t.frame + page - t.first, [], [], [], true));
    const bits = c.paging === PagingMode.FiveLevel ? 57 : 48;
    if (c.paging >= 4 && BigInt.asIntN(bits, access.linear) !== BigInt.asIntN(64, access.linear))
      return [...ways, failure({ kind: FaultKind.NonCanonical, errorCode: 0, infoHi: 0 }, [])];
    if (c.paging === PagingMode.None) return [...ways, ...this.unpaged(access)];
    for (const start of this.starts(access)) this.descend(start, access, ways);
    return ways;
  }

  private unpaged(access: Access): Way[] {
    const page = pageOf(access.linear) % 2 ** 40;
    const all: GuestRights = { write: true, user: true, execute: true };
    const state: State = { level: 0, gfn: page, rights: all, must: [], may: [], items: [], entries: [] };
    const ways: Way[] = [];
    this.reach(state, access, page, 2 ** 18, 1, true, false, 0, ways);
    return ways;
  }

  /** The root, and every cached shortcut past it. */
  private starts(access: Access): State[] {
    const { c } = this;
    const nothing = { must: [], may: [], items: [], entries: [] };
    const all: GuestRights = { write: true, user: true, execute: true };
    const levels = c.paging === PagingMode.Pae ? 2 : c.paging;
    let gfn = c.rootFrame;
    const starts: State[] = [];
    if (c.paging === PagingMode.Pae) {
      const pdpte = BigInt(c.pdpte[Number(field(access.linear, 31, 30))]);
      gfn = bit(pdpte, 0) ? Number(field(pdpte, 51, 12)) : -1;
    }
    starts.push({ level: levels, gfn, rights: all, ...nothing });
    for (const p of this.cached?.pointers(tagsOf(c), pageOf(access.linear)) ?? [])
      starts.push({
        level: p.level,
        gfn: p.gfn,
        pinned: { frame: p.frame, rights: p.stage },
        rights: p.rights,
        ...nothing,
      });
    return starts;
  }

  /** Reads the entry at `state`'s level and follows it. */
  private descend(state: State, access: Access, ways: Way[]): void {
    const { c, memory } = this;
    const { level } = state;
    if (state.gfn < 0) {
      ways.push(failure(this.pageFault(access, 0), []));
      return;
    }
    const legacy = c.paging === PagingMode.Legacy;
    const width = legacy ? 4 : 8;
    const indexBits = legacy ? 10 : 9;
    const shift = 12 + indexBits * (level - 1);
    const offset = Number(field(access.linear, shift + indexBits - 1, shift)) * width;
    for (const table of this.locate(state, offset)) {
      const may = [...state.may, ...table.may];
      if (table.fault !== undefined) {
        ways.push(failure(table.fault, may));
        continue;
      }
      const must = [...state.must, ...table.must];
      const items = [...state.items, ...table.items];
      if (!memory.isRam(table.frame)) {
        ways.push(
          failure(
            { kind: FaultKind.NoRam, errorCode: 0, infoHi: 0, gfn: table.frame, gfnOffset: offset },
            may,
          ),
        );
        continue;
      }
      // Cached once it is known where the table lies; the root is known anyway.
      const root = c.paging === PagingMode.Pae ? 2 : c.paging;
      if (state.pinned === undefined && level < root) {
        const pages = 2 ** (indexBits * level);
        const page = pageOf(access.linear);
        items.push({
          what: "pointer",
          ...tagsOf(c),
          first: page - (page % pages),
          pages,
          level,
          gfn: state.gfn,
          frame: table.frame,
          rights: state.rights,
          stage: table.rights,
        });
      }
      const address = table.frame * 4096 + offset;
      const entry = legacy ? BigInt(memory.readU32(address)) : memory.readU64(address);
      if (!bit(entry, 0)) {
        ways.push(failure(this.pageFault(access, 0), may));
        continue;
      }
      const leaf = level === 1 || (bit(entry, 7) && (!legacy || c.pse));
      if (this.reserved(entry, level, leaf)) {
        ways.push(failure(this.pageFault(access, 9), may));
        continue;
      }
      const rights: GuestRights = {
        write: state.rights.write && bit(entry, 1),
        user: state.rights.user && bit(entry, 2),
        execute: state.rights.execute && (legacy || !bit(entry, 63)),
      };
      const entries = [...state.entries, { address, offset, gfn: state.gfn, stage: table.rights }];
      const next: State = { level: level - 1, gfn: 0, rights, must, may, items, entries };
      if (leaf) this.leaf(next, entry, level, access, ways);
      else {
        const gfn = Number(legacy ? field(entry, 31, 12) : field(entry, 51, 12));
        this.descend({ ...next, gfn }, access, ways);
      }
    }
  }

  private locate(state: State, offset: number): readonly StageResult[] {
    const { pinned } = state;
    if (pinned === undefined) return this.stage.translate(state.gfn, offset, "table", false);
    return [{ frame: pinned.frame, rights: pinned.rights, pages: 1, must: [], may: [], items: [] }];
  }

  /** Rights, flags, and the page itself. */
  private leaf(state: State, entry: bigint, level: number, access: Access, ways: Way[]): void {
    const { c, memory } = this;
    const legacy = c.paging === PagingMode.Legacy;
    const key = c.paging >= 4 ? Number(field(entry, 62, 59)) : 0;
    const refused = this.refusal(access, state.rights, key);
    if (refused >= 0) {
      ways.push(failure(this.pageFault(access, refused), state.may));
      return;
    }
    const must = [...state.must];
    const may = [...state.may];
    const last = state.entries.length - 1;
    for (const [i, e] of state.entries.entries()) {
      const bits = i === last && access.write ? 0x60 : 0x20;
      // An entry may be on the way twice, as it is in tables that contain themselves.
      const set = must.reduce((had, f) => (f.address === e.address ? had | f.bits : had), 0);
      const missing = bits & ~(memory.readU32(e.address) | set);
      if (missing !== 0 && !e.stage.write) {
        ways.push(failure(this.stage.refusedFlag(e.gfn, e.offset, e.stage), may));
        return;
      }
      must.push({ address: e.address, bits });
      may.push({ address: e.address, bits });
    }
    const indexBits = legacy ? 10 : 9;
    const pages = 2 ** (indexBits * (level - 1));
    let first: number;
    if (legacy && level === 2) first = Number((field(entry, 20, 13) << 20n) | (field(entry, 31, 22) << 10n));
    else if (legacy) first = Number(field(entry, 31, 12));
    else first = Number(field(entry, 51, 12 + 9 * (level - 1))) * pages;
    const gfn = first + (pageOf(access.linear) % pages);
    const address = state.entries[last].address;
    const flagged = must.reduce(
      (had, f) => (f.address === address ? had | f.bits : had),
      memory.readU32(address),
    );
    const dirty = (flagged & 0x40) !== 0;
    // The TLB keeps a 4 MiB page as 2 MiB halves.
    const kept = Math.min(pages, legacy ? 512 : pages);
    const global = c.globalPages && bit(entry, 8);
    this.reach({ ...state, must, may }, access, gfn, kept, pages, dirty, global, key, ways);
  }

  /** The last translation of the second dimension: the page itself. */
  private reach(
    state: State,
    access: Access,
    gfn: number,
    kept: number,
    guestPages: number,
    dirty: boolean,
    global: boolean,
    key: number,
    ways: Way[],
  ): void {
    const { c } = this;
    const kind: StageKind = access.fetch ? "fetch" : access.write ? "write" : "read";
    const page = pageOf(access.linear);
    const { rights } = state;
    const offset = Number(access.linear & 4095n);
    for (const result of this.stage.translate(gfn, offset, kind, rights.user)) {
      const may = [...state.may, ...result.may];
      if (result.fault !== undefined) {
        ways.push(failure(result.fault, may));
        continue;
      }
      const pages = Math.min(kept, result.pages);
      const translation: Translation = {
        what: "translation",
        ...tagsOf(c),
        first: page - (page % pages),
        pages,
        guestFirst: page - (page % guestPages),
        guestPages,
        frame: result.frame - (page % pages),
        rights,
        stage: result.rights,
        dirty,
        global,
        key,
      };
      const items = [...state.items, ...result.items, translation];
      ways.push(success(result.frame, [...state.must, ...result.must], may, items, false));
    }
  }

  /** Whether a cached translation permits an access; a write needs both dirty flags settled. */
  private answers(t: Translation, access: Access): boolean {
    if (this.c.paging !== PagingMode.None && this.refusal(access, t.rights, t.key) >= 0) return false;
    if (access.fetch) return t.rights.user ? t.stage.userExecute : t.stage.execute;
    if (access.write) return t.stage.write && t.stage.dirty && t.dirty;
    return t.stage.read;
  }

  /** SDM vol. 3, 4.6. @returns -1 when the guest's tables permit the access, else bits of the error code */
  private refusal(access: Access, rights: GuestRights, key: number): number {
    const { c } = this;
    const user = c.user && !access.system;
    if (user && !rights.user) return 1;
    if (access.write && !rights.write && (user || c.wp)) return 1;
    if (access.fetch && !rights.execute) return 1;
    if (!user && rights.user) {
      if (access.fetch && c.smep) return 1;
      if (!access.fetch && c.smap && (access.system || !c.ac)) return 1;
    }
    const keyed = c.paging >= 4 && !access.fetch && (rights.user ? c.pke : c.pks);
    if (!keyed) return -1;
    const register = rights.user ? c.pkru : c.pkrs;
    const disabled = ((register >>> (2 * key)) & 1) === 1;
    const readOnly = ((register >>> (2 * key + 1)) & 1) === 1;
    return disabled || (access.write && readOnly && (user || c.wp)) ? 33 : -1;
  }

  private reserved(entry: bigint, level: number, leaf: boolean): boolean {
    const { c } = this;
    const width = c.physicalAddressBits;
    if (c.paging === PagingMode.Legacy) {
      if (level !== 2 || !leaf) return false;
      return bit(entry, 21) || field(entry, 20, 13) >> BigInt(Math.min(width, 40) - 32) !== 0n;
    }
    if (width < 52 && field(entry, 51, width) !== 0n) return true;
    if (bit(entry, 63) && !c.nxe) return true;
    if (c.paging === PagingMode.Pae && field(entry, 62, 52) !== 0n) return true;
    if (level >= 4) return bit(entry, 7);
    return leaf && level > 1 && field(entry, 3 + 9 * (level - 1) + 8, 13) !== 0n;
  }

  /** SDM vol. 3, 4.7. */
  private pageFault(access: Access, code: number): Outcome {
    const { c } = this;
    const reportsFetch = c.smep || (c.nxe && c.paging !== PagingMode.Legacy);
    const user = c.user && !access.system;
    return {
      kind: FaultKind.PageFault,
      errorCode: code | (access.write ? 2 : 0) | (user ? 4 : 0) | (access.fetch && reportsFetch ? 16 : 0),
      infoHi: 0,
    };
  }
}

function success(
  frame: number,
  must: readonly Flag[],
  may: readonly Flag[],
  items: readonly Item[],
  cached: boolean,
): Way {
  return { outcome: { kind: FaultKind.None, frame }, cached, must, may, items };
}

function failure(outcome: Outcome, may: readonly Flag[]): Way {
  return { outcome, cached: false, must: [], may, items: [] };
}
