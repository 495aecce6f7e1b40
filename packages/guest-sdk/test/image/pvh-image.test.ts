import {
  hypercallBenchImage,
  IMAGE_LINEAR,
  IMAGE_PHYSICAL,
  PHYS32_ENTRY,
  runstateLoop,
} from "@hyperwalk/guest-sdk";
import { loadPvhImage } from "@hyperwalk/xen";
import { Decoder, DecoderOptions, Mnemonic } from "iced-x86";
import { describe, expect, it } from "vitest";
import { readElf } from "./elf-reader.js";

const images: [string, () => Uint8Array][] = [
  ["the C guest", hypercallBenchImage],
  ["runstate-loop, 4k", () => runstateLoop.build({ abi: "linear", vendor: "amd" })],
  ["runstate-loop, 2m", () => runstateLoop.build({ abi: "fastabi", vendor: "intel", leaf: "2m" })],
];

describe.each(images)("%s", (_, build) => {
  const elf = readElf(build());

  it("is a PVH image: one Xen note that names a 32-bit entry inside the image", () => {
    expect(elf.notes).toEqual([{ owner: "Xen", type: PHYS32_ENTRY, value: IMAGE_PHYSICAL }]);
    expect(elf.entry).toBe(IMAGE_PHYSICAL);
  });

  it("loads at its physical address and is linked high; offsets and addresses agree modulo the page", () => {
    expect(elf.loads).toHaveLength(1);
    const [load] = elf.loads;
    expect(load.physical).toBe(IMAGE_PHYSICAL);
    expect(load.linear).toBe(IMAGE_LINEAR);
    expect(load.offset % load.align).toBe(load.physical % load.align);
    expect(load.memoryBytes).toBeGreaterThanOrEqual(load.bytes.length);
    expect(load.memoryBytes).toBeLessThanOrEqual(0x200000);
  });

  it("is taken by Xen's domain builder", () => {
    expect(loadPvhImage(build())).toMatchObject({ entry: IMAGE_PHYSICAL });
  });

  it("enters in 32-bit code that turns on paging in the documented order", () => {
    const seen: string[] = [];
    const decoder = new Decoder(32, elf.loads[0].bytes, DecoderOptions.None);
    for (let i = 0; i < 100; i++) {
      const instruction = decoder.decode();
      const name = Mnemonic[instruction.mnemonic];
      if (
        name === "Mov" &&
        instruction.op0Register >= 0 &&
        /^0f22/.test(hex(elf.loads[0].bytes, Number(instruction.ip)))
      )
        seen.push(`cr${(elf.loads[0].bytes[Number(instruction.ip) + 2] >> 3) & 7}`);
      else if (name === "Wrmsr" || name === "Lgdt") seen.push(name.toLowerCase());
      if (name === "Jmp" && instruction.length === 7) break;
    }
    expect(seen).toEqual(["cr4", "cr3", "wrmsr", "cr0", "lgdt"]);
  });
});

function hex(bytes: Uint8Array, at: number): string {
  return [...bytes.slice(at, at + 2)].map((b) => b.toString(16).padStart(2, "0")).join("");
}

describe("an image built from source", () => {
  it("holds page tables that map it where it is linked, with the leaf asked for", () => {
    for (const [leaf, reads] of [
      ["4k", 4],
      ["2m", 3],
    ] as const) {
      const { loads } = readElf(runstateLoop.build({ abi: "linear", vendor: "amd", leaf }));
      const [{ physical, memoryBytes }] = loads;
      const bytes = new Uint8Array(memoryBytes);
      bytes.set(loads[0].bytes);
      const view = new DataView(bytes.buffer);
      // mov eax, <root>; mov cr3, eax
      const cr3 = bytes.findIndex((b, i) => b === 0x0f && bytes[i + 1] === 0x22 && bytes[i + 2] === 0xd8);
      const root = view.getUint32(cr3 - 4, true);
      const at = (address: number): bigint => view.getBigUint64(address - physical, true);
      for (const linear of [IMAGE_LINEAR, IMAGE_LINEAR + 0x3000n]) {
        let table = root;
        let entry = 0n;
        let count = 0;
        for (let level = 3; level >= 0; level--) {
          entry = at(table + Number((linear >> BigInt(12 + 9 * level)) & 511n) * 8);
          count++;
          expect(entry & 1n).toBe(1n);
          if (entry & 0x80n) break;
          table = Number(entry & 0xffffffffff000n);
        }
        expect(count).toBe(reads);
        expect(Number(entry & 0xffffffffff000n)).toBe(
          leaf === "4k" ? physical + Number(linear - IMAGE_LINEAR) : physical,
        );
      }
    }
  });

  it("is the same bytes for the same options", () => {
    const options = { abi: "physaddr", vendor: "intel", leaf: "2m", iterations: 7 } as const;
    expect(runstateLoop.build(options)).toEqual(runstateLoop.build(options));
  });
});
