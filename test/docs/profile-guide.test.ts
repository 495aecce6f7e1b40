import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runProgram } from "../../packages/lab/src/cli/program.ts";
import { plain } from "../../packages/lab/src/report/paint.ts";

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

async function hyperwalk(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const written = { out: "", err: "" };
  const inFolder = args.map((arg) => (arg.endsWith(".yml") ? join(directory, arg) : arg));
  const code = await runProgram(inFolder, {
    paint: plain,
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
  });
  return { code, ...written };
}

describe("docs/adding-a-profile.md", { timeout: 60_000 }, () => {
  it("has a profile that passes the check it describes", async () => {
    expect(await hyperwalk("profiles", "check", "our-epyc.yml")).toEqual({
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
      expect(await hyperwalk(...words, ...less, ...few)).toMatchObject({ code: 0, err: "" });
    },
  );

  it("has its numbers in the results of that machine", async () => {
    const args = ["compare", "runstate-loop", "--abi", "physaddr", "--iterations", "2", "--json"];
    const { machine, host, estimates } = JSON.parse(
      (await hyperwalk(...args, "--machine", "our-epyc.yml")).out,
    );
    expect(machine.id).toBe("our-epyc");
    expect(host.mitigations.ibpbEntry).toBe(false);
    const keys = estimates.map(({ key }: { key: string }) => key);
    expect(keys).not.toContain("timing.ibpb");
    expect(keys).toContain("timing.serialise");
  });
});
