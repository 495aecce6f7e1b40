import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** The first executable file of that name in PATH. */
export function onPath(name: string): string | undefined {
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    const file = join(directory, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not here.
    }
  }
  return undefined;
}
