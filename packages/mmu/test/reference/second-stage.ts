import { FaultKind, type PhysicalMemory, type SecondStage } from "@hyperwalk/mmu";
import type { Cached, StageItem } from "./cached.js";
import { bit, type Flag, field, OPEN_STAGE, type Outcome, type StageRights } from "./entry.js";

/** Who asks: the guest for itself, or the processor for one of the guest's tables. */
export type StageKind = "read" | "write" | "fetch" | "table";

/** One way in which a guest frame may be translated. */
export interface StageResult {
  readonly fault?: Outcome;
  readonly frame: number;
  readonly rights: StageRights;
  /** 4 KiB pages that the mapping spans. */
  readonly pages: number;
  /** Flags that are set afterwards, whichever of the equal ways was taken … */
  readonly must: readonly Flag[];
  /** … and flags that any of them may set. */
  readonly may: readonly Flag[];
  readonly items: readonly StageItem[];
}

/**
 * Guest frame to machine frame as the manuals tell it: EPT (SDM vol. 3, 29.3), nested paging (APM vol. 2, 15.25), or
 * none. With something cached there may be several answers.
 */
export class SecondStageModel {
  private readonly memory: PhysicalMemory;
  private readonly stage: SecondStage | null;
  private readonly owner: number;
  private readonly hostWidth: number;
  private readonly cached: Cached | undefined;
  private readonly known = new Map<string, StageResult[]>();

  /** @param cached undefined: every walk is from the root */
  constructor(
    memory: PhysicalMemory,
    stage: SecondStage | null,
    owner: number,
    hostWidth: number,
    cached?: Cached,
  ) {
    this.memory = memory;
    this.stage = stage;
    this.owner = owner;
    this.hostWidth = hostWidth;
    this.cached = cached;
  }

  /** @param user the page is reached through a user-mode linear address */
  translate(gfn: number, offset: number, kind: StageKind, user: boolean): StageResult[] {
    if (this.stage === null)
      return [{ frame: gfn, rights: OPEN_STAGE, pages: 2 ** 18, must: [], may: [], items: [] }];
    const key = `${gfn} ${offset} ${kind} ${user}`;
    let results = this.known.get(key);
    if (results === undefined) {
      results = merge(this.everyWay(this.stage, gfn, offset, kind, user));
      this.known.set(key, results);
    }
    return results;
  }

  /** The fault of setting a flag in a guest table on a page that the second stage does not let be written. */
  refusedFlag(gfn: number, offset: number, rights: StageRights): Outcome {
    return eptViolation(this.stage!, gfn, offset, "flag", rights);
  }

  private everyWay(
    s: SecondStage,
    gfn: number,
    offset: number,
    kind: StageKind,
    user: boolean,
  ): StageResult[] {
    const items = this.cached?.stageItems(this.owner, gfn) ?? [];
    const ways: StageResult[] = [];
    for (const { level, rights, first, pages, frame } of items)
      if (level === 0 && sufficient(s, kind, user, rights))
        ways.push({ frame: frame + gfn - first, rights, pages, must: [], may: [], items: [] });
    const root: StageRights = { ...OPEN_STAGE, dirty: false };
    const starts = [{ level: s.levels as number, frame: s.rootFrame, rights: root }];
    for (const item of items) if (item.level > 0 && item.level < s.levels) starts.push(item);
    for (const start of starts)
      ways.push(this.walk(s, gfn, offset, kind, user, start.level, start.frame, start.rights));
    return ways;
  }

  private walk(
    s: SecondStage,
    gfn: number,
    offset: number,
    kind: StageKind,
    user: boolean,
    from: number,
    root: number,
    above: StageRights,
  ): StageResult {
    const ept = s.format === "ept";
    const write = kind === "write" || (kind === "table" && (!ept || s.accessDirty));
    const flags: Flag[] = [];
    const items: StageItem[] = [];
    const fail = (fault: Outcome): StageResult => ({
      fault,
      frame: -1,
      rights: NOTHING,
      pages: 1,
      must: [],
      may: flags,
      items: [],
    });
    const refuse = (rights: StageRights, present: number): StageResult =>
      fail(ept ? eptViolation(s, gfn, offset, kind, rights) : nestedPageFault(gfn, offset, kind, present));
    // An address that the format cannot hold is not mapped.
    if (s.levels === 4 && gfn >= 2 ** 36) return refuse(NOTHING, 0);
    let rights = above;
    let table = root;
    const path: number[] = [];
    for (let level = from; ; level--) {
      const span = 512 ** (level - 1);
      const at = (Math.floor(gfn / span) % 512) * 8;
      if (!this.memory.isRam(table)) return fail(noRam(table, at));
      const address = table * 4096 + at;
      const entry = this.memory.readU64(address);
      const present = ept
        ? field(entry, 2, 0) !== 0n || (s.modeBasedExecute === true && bit(entry, 10))
        : bit(entry, 0);
      if (!present) return refuse(NOTHING, 0);
      const leaf = level === 1 || bit(entry, 7);
      if (ept) {
        if (this.misconfigured(entry, level, leaf))
          return fail({
            kind: FaultKind.EptMisconfig,
            errorCode: 0,
            infoHi: 0,
            gfn,
            gfnOffset: offset,
          });
      } else if (this.reserved(entry, level, leaf)) return refuse(NOTHING, 9);
      rights = ept ? eptRights(s, rights, entry) : nptRights(rights, entry);
      path.push(address);
      table = Number(field(entry, 51, 12));
      if (!leaf) {
        items.push({
          what: "stage",
          owner: this.owner,
          first: gfn - (gfn % span),
          pages: span,
          level: level - 1,
          frame: table,
          rights,
        });
        continue;
      }
      if (!permitted(kind, user, write, rights)) return refuse(rights, 1);
      const frame = table - (table % span);
      const keepsFlags = !ept || s.accessDirty;
      const [accessed, dirty] = ept ? [0x100, 0x200] : [0x20, 0x40];
      if (keepsFlags)
        path.forEach((where, i) => {
          flags.push({ address: where, bits: accessed });
          if (i === path.length - 1 && write) flags.push({ address: where, bits: dirty, gfn });
        });
      const missing = flags.some((f) => (this.memory.readU32(f.address) & f.bits) !== f.bits);
      if (ept && s.accessDirty && missing && s.modificationLog != null && s.modificationLog.index > 511) {
        flags.length = 0;
        return fail({
          kind: FaultKind.ModificationLogFull,
          errorCode: 0,
          infoHi: 0,
          gfn,
          gfnOffset: offset,
        });
      }
      const settled = !keepsFlags || write || bit(entry, ept ? 9 : 6);
      const found = { ...rights, dirty: settled };
      items.push({
        what: "stage",
        owner: this.owner,
        first: gfn - (gfn % span),
        pages: span,
        level: 0,
        frame,
        rights: found,
      });
      return { frame: frame + (gfn % span), rights: found, pages: span, must: flags, may: flags, items };
    }
  }

  /** SDM vol. 3, 29.3.3.1. */
  private misconfigured(entry: bigint, level: number, leaf: boolean): boolean {
    if (!bit(entry, 0) && bit(entry, 1)) return true;
    if (this.hostWidth < 52 && field(entry, 51, this.hostWidth) !== 0n) return true;
    if (level >= 4) return field(entry, 7, 3) !== 0n;
    if (!leaf) return field(entry, 6, 3) !== 0n;
    const type = Number(field(entry, 5, 3));
    if (type === 2 || type === 3 || type === 7) return true;
    return level > 1 && field(entry, 3 + 9 * (level - 1) + 8, 12) !== 0n;
  }

  private reserved(entry: bigint, level: number, leaf: boolean): boolean {
    if (this.hostWidth < 52 && field(entry, 51, this.hostWidth) !== 0n) return true;
    if (level >= 4) return bit(entry, 7);
    return leaf && level > 1 && field(entry, 3 + 9 * (level - 1) + 8, 13) !== 0n;
  }
}

const NOTHING: StageRights = { read: false, write: false, execute: false, userExecute: false, dirty: false };

/** Ways that come to the same; flags that one of them leaves alone need not be set. */
function merge(ways: StageResult[]): StageResult[] {
  if (ways.length === 1) return ways;
  const merged = new Map<string, StageResult>();
  for (const way of ways) {
    const key = JSON.stringify([way.frame, way.rights, way.pages, way.fault]);
    const other = merged.get(key);
    if (other === undefined) merged.set(key, way);
    else
      merged.set(key, {
        ...way,
        must: way.must.length < other.must.length ? way.must : other.must,
        may: [...way.may, ...other.may],
        items: [...way.items, ...other.items],
      });
  }
  return [...merged.values()];
}

function eptRights(s: SecondStage, above: StageRights, entry: bigint): StageRights {
  const execute = above.execute && bit(entry, 2);
  return {
    read: above.read && bit(entry, 0),
    write: above.write && bit(entry, 1),
    execute,
    userExecute: s.modeBasedExecute ? above.userExecute && bit(entry, 10) : execute,
    dirty: false,
  };
}

/** A supervisor entry is out of reach for every guest access. */
function nptRights(above: StageRights, entry: bigint): StageRights {
  const user = bit(entry, 2);
  const execute = user && above.execute && !bit(entry, 63);
  return {
    read: user && above.read,
    write: user && above.write && bit(entry, 1),
    execute,
    userExecute: execute,
    dirty: false,
  };
}

function permitted(kind: StageKind, user: boolean, write: boolean, rights: StageRights): boolean {
  if (kind === "fetch") return user ? rights.userExecute : rights.execute;
  if (write && !rights.write) return false;
  return kind === "write" || rights.read;
}

/** Whether a cached translation answers: flags must be settled too. */
function sufficient(s: SecondStage, kind: StageKind, user: boolean, rights: StageRights): boolean {
  const write = kind === "write" || (kind === "table" && (s.format === "npt" || s.accessDirty));
  return permitted(kind, user, write, rights) && (!write || rights.dirty);
}

function noRam(frame: number, offset: number): Outcome {
  return { kind: FaultKind.NoRam, errorCode: 0, infoHi: 0, gfn: frame, gfnOffset: offset };
}

/** SDM vol. 3, table 28-7. */
function eptViolation(
  s: SecondStage,
  gfn: number,
  offset: number,
  kind: StageKind | "flag",
  rights: StageRights,
): Outcome {
  const access = { read: 1, write: 2, fetch: 4, table: s.accessDirty ? 3 : 1, flag: 2 }[kind];
  const page =
    (rights.read ? 8 : 0) |
    (rights.write ? 16 : 0) |
    (rights.execute ? 32 : 0) |
    (s.modeBasedExecute && rights.userExecute ? 64 : 0);
  const final = kind === "table" || kind === "flag" ? 0 : 0x100;
  return {
    kind: FaultKind.EptViolation,
    errorCode: access | page | 0x80 | final,
    infoHi: 0,
    gfn,
    gfnOffset: offset,
  };
}

/** APM vol. 2, 15.25.6. @param present its Present and Reserved bits */
function nestedPageFault(gfn: number, offset: number, kind: StageKind, present: number): Outcome {
  const write = kind === "write" || kind === "table";
  return {
    kind: FaultKind.NestedPageFault,
    errorCode: 4 | present | (write ? 2 : 0) | (kind === "fetch" ? 16 : 0),
    infoHi: kind === "table" ? 2 : 1,
    gfn,
    gfnOffset: offset,
  };
}
