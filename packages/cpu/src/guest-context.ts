import type { TranslationContext } from "@hyperwalk/mmu";

const FIELDS = [
  "paging",
  "rootFrame",
  "pcid",
  "asid",
  "wp",
  "pse",
  "smep",
  "smap",
  "nxe",
  "globalPages",
  "pke",
  "pkru",
  "pks",
  "pkrs",
  "user",
  "ac",
  "physicalAddressBits",
] as const;

/** A guest's translation context as plain data. */
export interface GuestContextSnapshot {
  readonly fields: readonly (number | boolean)[];
  readonly pdpte: readonly number[];
  /** Machine frame of the second stage's root; -1 when there is no second stage. */
  readonly rootFrame: number;
}

export function snapshotContext(context: TranslationContext): GuestContextSnapshot {
  return {
    fields: FIELDS.map((name) => context[name]),
    pdpte: [...context.pdpte],
    rootFrame: context.secondStage?.rootFrame ?? -1,
  };
}

/** Puts the fields back; the caller decides which second stage `rootFrame` belongs to. */
export function restoreContext(context: TranslationContext, snapshot: GuestContextSnapshot): void {
  for (const [i, name] of FIELDS.entries()) Object.assign(context, { [name]: snapshot.fields[i] });
  context.pdpte.set(snapshot.pdpte);
}
