import type { ConfidentialKind } from "@hyperwalk/xen";
import type { AbiName, GuestPage } from "./result.js";

/** What a benchmark guest can be asked to call; the words of its command line's `op=`. */
export const GUEST_OPERATIONS = ["get_runstate_info", "evtchn_send", "get_time", "version"] as const;
export type GuestOperation = (typeof GUEST_OPERATIONS)[number];

/** Everything that a guest may be built or started with. */
export interface GuestSettings {
  readonly abi: AbiName;
  readonly vendor: "amd" | "intel";
  readonly iterations: number;
  readonly guestPage: GuestPage;
  readonly operation: GuestOperation;
  /** Appended to the command line as it is. */
  readonly cmdline: string;
  /** How the domain is encrypted; default not at all. */
  readonly confidential?: ConfidentialKind | undefined;
}

/** A guest to run: built in, or an ELF image of one's own. */
export interface Guest {
  readonly name: string;
  /** What it can be asked to call. */
  readonly operations: readonly GuestOperation[];
  /** Interfaces that it can be built for, or finds out about by itself; default any. */
  readonly abis?: readonly AbiName[];
  /** Whether it can be built for an encrypted domain, or finds out by itself; default true. */
  readonly encryptable?: boolean;
  /** A PVH ELF image. */
  image(settings: GuestSettings): Uint8Array;
  /** The command line that it finds in `hvm_start_info`. */
  cmdline(settings: GuestSettings): string;
}

/** The command line that benchmark guests understand. */
export function guestCmdline(settings: GuestSettings): string {
  const { iterations, operation, guestPage, cmdline } = settings;
  return `iterations=${iterations} op=${operation} leaf=${guestPage}${cmdline === "" ? "" : ` ${cmdline}`}`;
}

/** A guest from the bytes of a PVH ELF file; whether it reads its command line is its own business. */
export function elfGuest(name: string, bytes: Uint8Array): Guest {
  return { name, operations: GUEST_OPERATIONS, image: () => bytes, cmdline: guestCmdline };
}

/** The same guest, which builds an image once for each of its settings; keeps the latest of them. */
export function imagesKept(guest: Guest, most = 16): Guest {
  const kept = new Map<string, Uint8Array>();
  return {
    ...guest,
    image: (settings) => {
      const key = JSON.stringify(settings);
      const image = kept.get(key) ?? guest.image(settings);
      kept.delete(key);
      kept.set(key, image);
      const [oldest] = kept.keys();
      if (kept.size > most && oldest !== undefined) kept.delete(oldest);
      return image;
    },
  };
}
