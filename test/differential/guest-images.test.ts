// The committed guest images against gcc and binutils of this machine.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { hypercallBenchImage, runstateLoop } from "@hyperwalk/guest-sdk";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

function readelf(image: Uint8Array): string {
  const directory = mkdtempSync(join(tmpdir(), "hyperwalk-elf-"));
  try {
    writeFileSync(join(directory, "guest.elf"), image);
    return execFileSync("readelf", ["-W", "-h", "-l", "-n", "guest.elf"], {
      cwd: directory,
      encoding: "utf8",
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("readelf", () => {
  it.each([
    ["hypercall-bench", hypercallBenchImage()],
    ["runstate-loop", runstateLoop.build({ abi: "linear", vendor: "amd" })],
  ])("takes %s for an x86-64 executable with a Xen note of type 18", (_, image) => {
    const text = readelf(image);
    expect(text).not.toMatch(/[Ww]arning|[Ee]rror/);
    expect(text).toMatch(/Machine:\s+Advanced Micro Devices X86-64/);
    expect(text).toMatch(/Entry point address:\s+0x200000/);
    expect(text).toMatch(/LOAD\s+0x001000 0xffffffff80200000 0x0000000000200000/);
    expect(text).toMatch(
      /Xen\s+0x00000004\s+Unknown note type: \(0x00000012\)\s+description data: 00 00 20 00/,
    );
  });
});

describe("the committed images", () => {
  it("are what their source gives, where the same compiler is present", () => {
    const output = execFileSync(process.execPath, ["scripts/build-guests.mjs", "--check"], {
      cwd: root,
      encoding: "utf8",
    });
    expect(output).toMatch(/compared|skipped/);
  });
});
