import type { GuestRights, StageRights } from "./entry.js";

/** What a processor tags cached translations of linear addresses with. */
export interface Tags {
  readonly asid: number;
  readonly pcid: number;
  /** EP4TA number + 1, or 0 without EPT. */
  readonly tag: number;
}

/** A TLB entry: linear pages to machine frames. */
export interface Translation extends Tags {
  readonly what: "translation";
  readonly first: number;
  readonly pages: number;
  /** The whole page of the guest's tables, of which the entry may be a piece. */
  readonly guestFirst: number;
  readonly guestPages: number;
  readonly frame: number;
  readonly rights: GuestRights;
  readonly stage: StageRights;
  readonly dirty: boolean;
  readonly global: boolean;
  readonly key: number;
}

/** A paging-structure-cache entry: linear pages to the table at `level`. */
export interface Pointer extends Tags {
  readonly what: "pointer";
  readonly first: number;
  readonly pages: number;
  readonly level: number;
  readonly gfn: number;
  readonly frame: number;
  readonly rights: GuestRights;
  readonly stage: StageRights;
}

/** Guest frames to machine frames (`level` 0), or to the second-stage table at `level`. */
export interface StageItem {
  readonly what: "stage";
  /** Owner: the EP4TA number + 1, or minus the ASID under nested paging. */
  readonly owner: number;
  readonly first: number;
  readonly pages: number;
  readonly level: number;
  readonly frame: number;
  readonly rights: StageRights;
}

export type Item = Translation | Pointer | StageItem;

const covers = (item: { first: number; pages: number }, page: number): boolean =>
  page >= item.first && page < item.first + item.pages;

/**
 * Everything that a processor with unlimited caches might still remember: translations in all their versions, until an
 * operation that the manuals say removes them. Real caches hold some subset of it.
 */
export class Cached {
  private items = new Map<string, Item>();
  /** Pages for which an otherwise good translation was dropped by a fault. */
  private holes = new Map<Translation, Set<number>>();

  add(items: readonly Item[]): void {
    for (const item of items) {
      const key = JSON.stringify(item);
      // Remembered anew: the holes are closed.
      this.items.delete(key);
      this.items.set(key, item);
    }
  }

  get size(): number {
    return this.items.size;
  }

  translations({ asid, pcid, tag }: Tags, page: number): Translation[] {
    return this.all("translation").filter(
      (t) =>
        t.asid === asid &&
        t.tag === tag &&
        (t.pcid === pcid || t.global) &&
        covers(t, page) &&
        !this.holes.get(t)?.has(page),
    );
  }

  pointers({ asid, pcid, tag }: Tags, page: number): Pointer[] {
    return this.all("pointer").filter(
      (p) => p.asid === asid && p.tag === tag && p.pcid === pcid && covers(p, page),
    );
  }

  stageItems(owner: number, gfn: number): StageItem[] {
    return this.all("stage").filter((s) => s.owner === owner && covers(s, gfn));
  }

  /** INVLPG: one PCID and global ones; paging-structure entries of the PCID whatever the address (SDM vol. 3, 4.10.4.1). */
  invlpg(asid: number, pcid: number, page: number): void {
    this.remove((i) => {
      if (i.what === "stage" || i.asid !== asid) return false;
      if (i.what === "pointer") return i.pcid === pcid;
      return (i.pcid === pcid || i.global) && this.concerns(i, page);
    });
  }

  /** INVPCID type 0: global translations excepted. */
  invpcidPage(asid: number, pcid: number, page: number): void {
    this.remove((i) => {
      if (i.what === "stage" || i.asid !== asid || i.pcid !== pcid) return false;
      return i.what === "pointer" || (!i.global && this.concerns(i, page));
    });
  }

  /** INVPCID type 1 and MOV CR3: one PCID without its global translations. */
  pcid(asid: number, pcid: number): void {
    this.remove(
      (i) => i.what !== "stage" && i.asid === asid && i.pcid === pcid && (i.what === "pointer" || !i.global),
    );
  }

  /** INVVPID types 1 and 3, TLB_CONTROL 3 and 7: every PCID; nested translations of an ASID, but not of an EP4TA. */
  asid(asid: number, keepGlobal: boolean): void {
    this.remove((i) => {
      if (i.what === "stage") return i.owner === -asid;
      return i.asid === asid && !(keepGlobal && i.what === "translation" && i.global);
    });
  }

  everything(): void {
    this.remove(() => true);
  }

  /** INVVPID type 2. */
  guests(): void {
    this.remove((i) => i.what !== "stage" && i.asid !== 0);
  }

  /** INVEPT: combined and guest-physical mappings of one EP4TA (tag), or with 0 of all. */
  invept(tag: number): void {
    this.remove((i) => {
      const own = i.what === "stage" ? i.owner : i.tag;
      return own > 0 && (tag === 0 || own === tag);
    });
  }

  /** INVVPID type 0 and INVLPGA: one page of an ASID, whatever its PCID, global or not. */
  asidPage(asid: number, page: number): void {
    this.remove((i) => {
      if (i.what === "stage" || i.asid !== asid) return false;
      return i.what === "pointer" ? covers(i, page) : this.concerns(i, page);
    });
  }

  /** A page fault, or a second-stage fault of that linear address: what would translate it (4.10.4.1; 29.4.3.1). */
  fault({ asid, pcid, tag }: Tags, page: number): void {
    for (const t of this.translations({ asid, pcid, tag }, page)) this.pierce(t, page);
    this.remove(
      (i) => i.what === "pointer" && i.asid === asid && i.pcid === pcid && i.tag === tag && covers(i, page),
    );
  }

  /** A second-stage fault: what would translate that guest frame. */
  stageFault(owner: number, gfn: number): void {
    this.remove((i) => i.what === "stage" && i.owner === owner && covers(i, gfn));
  }

  /** Whether invalidating a page takes the whole translation: it is of the same page of the guest. */
  private concerns(t: Translation, page: number): boolean {
    if (t.pages <= t.guestPages) return page >= t.guestFirst && page < t.guestFirst + t.guestPages;
    // Without paging a translation may span more than a page of the guest; the rest of it may stay, in pieces.
    if (covers(t, page)) this.pierce(t, page);
    return false;
  }

  private pierce(t: Translation, page: number): void {
    const pages = this.holes.get(t) ?? new Set();
    this.holes.set(t, pages.add(page));
  }

  private all<W extends Item["what"]>(what: W): Extract<Item, { what: W }>[] {
    return [...this.items.values()].filter((i): i is Extract<Item, { what: W }> => i.what === what);
  }

  private remove(gone: (item: Item) => boolean): void {
    for (const [key, item] of this.items) if (gone(item)) this.items.delete(key);
  }
}
