/** Bit `n` of a table entry. */
export const bit = (entry: bigint, n: number): boolean => ((entry >> BigInt(n)) & 1n) === 1n;

/** Bits `high:low` of a table entry. */
export const field = (entry: bigint, high: number, low: number): bigint =>
  (entry >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);

/** What a second stage permits on a page. */
export interface StageRights {
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  /** Fetches from user-mode linear addresses, under mode-based execute control; equal to `execute` without. */
  readonly userExecute: boolean;
  /** The dirty flag is set, or this second stage keeps none. */
  readonly dirty: boolean;
}

export const OPEN_STAGE: StageRights = {
  read: true,
  write: true,
  execute: true,
  userExecute: true,
  dirty: true,
};

/** What the guest's tables permit, all levels together. */
export interface GuestRights {
  readonly write: boolean;
  readonly user: boolean;
  readonly execute: boolean;
}

/** What an access comes to, as plain data: a frame, or the fault report. */
export interface Outcome {
  readonly kind: number;
  readonly frame?: number;
  readonly errorCode?: number;
  readonly infoHi?: number;
  readonly gfn?: number;
  readonly gfnOffset?: number;
}

export interface Access {
  readonly linear: bigint;
  readonly write: boolean;
  readonly fetch: boolean;
  /** Implicit supervisor access. */
  readonly system: boolean;
}

/** An accessed or dirty flag in an entry. */
export interface Flag {
  /** Machine address of the entry. */
  readonly address: number;
  readonly bits: number;
  /** A second-stage dirty flag: the guest frame that a page-modification log would name. */
  readonly gfn?: number;
}
