import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const EXAMPLES = readdirSync(`${ROOT}/examples`).filter((name) => name.endsWith(".ts"));

/** What each is to print, besides running to its end. */
const PRINTS: Readonly<Record<string, RegExp>> = {
  "01-first-hypercall.ts": /hello from a guest of Xen 0x40017/,
  "02-linear-vs-physaddr.ts": /saved +\d+\.\d %/,
  "03-your-own-guest.ts": /^notify: abi=fastabi .* failed=0$/m,
  "05-two-domains.ts": /^sector 7 starts with 0x17171717, .*\nshutdown poweroff - unmapped: 0$/m,
  "04-your-own-operation.ts": /^linear: sum=(0x[0-9a-f]+) EINVAL .*\nfastabi: sum=\1 EINVAL /m,
};

describe("the examples run as their first lines say", () => {
  it.each(EXAMPLES)(
    "%s",
    (name) => {
      const tsx = `${ROOT}/node_modules/tsx/dist/cli.mjs`;
      const run = spawnSync(process.execPath, [tsx, "--conditions=@hyperwalk/source", `examples/${name}`], {
        cwd: ROOT,
        encoding: "utf8",
      });
      expect([run.stderr, run.status]).toEqual(["", 0]);
      expect(run.stdout).toMatch(PRINTS[name] ?? /./);
    },
    120_000,
  );
});
