import type { AbiGroup } from "@hyperwalk/xen/abi-loader";

/** One description file, loaded. */
export interface Source {
  /** Path from the repository's root. */
  readonly file: string;
  readonly group: AbiGroup;
}

/** First lines of every generated file, without comment signs. */
export const BANNER: readonly string[] = [
  "Generated from the descriptions in packages/xen/abi; do not edit.",
  "Regenerate with: npm run generate",
];

/** `get_runstate_info` → `getRunstateInfo`; `time[0]` → `time0`; `addr.p` → `addrP`. */
export function camel(name: string): string {
  return name
    .replaceAll(/\[(\d)\]/g, "$1")
    .replaceAll(/[._]+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

export function pascal(name: string): string {
  const text = camel(name);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `event_channel`, `send` → `EVENT_CHANNEL_SEND`. */
export function constantName(group: string, operation: string): string {
  return `${group}_${operation}`.toUpperCase();
}
