import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hyperwalk } from "../../packages/lab/test/hyperwalk.js";

const GUIDE = readFileSync(new URL("../../docs/adding-a-profile.md", import.meta.url), "utf8");
const [, PROFILE = ""] = /<!-- profile -->\n```yaml\n([\s\S]*?)```/.exec(GUIDE) ?? [];
/** Every command of the guide, as it is there. */
const COMMANDS = [...GUIDE.matchAll(/^hyperwalk (.*)$/gm)].map(([, words]) => words.split(" "));

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "hyperwalk-guide-"));
  writeFileSync(join(directory, "our-epyc.yml"), PROFILE);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Runs the command line in the folder of the guide's profile. */
const inFolder = (...args: readonly string[]) =>
  hyperwalk(...args.map((arg) => (arg.endsWith(".yml") ? join(directory, arg) : arg)));

describe("docs/adding-a-profile.md", { timeout: 60_000 }, () => {
  it("has a profile that passes the check it describes", async () => {
    expect(await inFolder("profiles", "check", "our-epyc.yml")).toEqual({
      code: 0,
      out: "our-epyc: the profile holds together\n",
      err: "",
    });
  });

  it.each(COMMANDS.map((words) => [words.join(" "), words] as const))(
    "runs: hyperwalk %s",
    async (_, words) => {
      // The analysis as it stands takes half a minute: here a corner of it.
      const less =
        words[0] === "sensitivity" ? ["--abi", "fastabi", "--iterations", "2", "--key", "timing.ibpb"] : [];
      const few = words[0] === "compare" ? ["--iterations", "16"] : [];
      expect(await inFolder(...words, ...less, ...few)).toMatchObject({ code: 0, err: "" });
    },
  );

  it("has its numbers in the results of that machine", async () => {
    const args = ["compare", "runstate-loop", "--abi", "physaddr", "--iterations", "2", "--json"];
    const { machine, host, estimates } = JSON.parse(
      (await inFolder(...args, "--machine", "our-epyc.yml")).out,
    );
    expect(machine.id).toBe("our-epyc");
    expect(host.mitigations.ibpbEntry).toBe(false);
    const keys = estimates.map(({ key }: { key: string }) => key);
    expect(keys).not.toContain("timing.ibpb");
    expect(keys).toContain("timing.serialise");
  });
});
