import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { elfGuest, type Guest } from "../guest.js";
import { BUILT_IN_GUESTS } from "../guest-catalogue.js";
import { UsageError } from "./usage-error.js";

/** A built-in guest by name, or the ELF file at a path. @throws UsageError when it is neither */
export function guestFromArgument(text: string): Guest {
  const builtIn = BUILT_IN_GUESTS.find((each) => each.name === text);
  if (builtIn) return builtIn;
  const allowed = `${BUILT_IN_GUESTS.map((each) => each.name).join(", ")}, or the path of a PVH ELF file`;
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(text);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === "ENOENT" ? "no built-in guest and no file has this name" : `the file cannot be read (${code})`;
    throw new UsageError("argument <guest>", `"${text}": ${why}`, allowed);
  }
  return elfGuest(basename(text), bytes);
}

/** Whether an argument names a built-in guest, and not a file. */
export function isBuiltIn(text: string): boolean {
  return BUILT_IN_GUESTS.some((each) => each.name === text);
}
