import { Code, Decoder, DecoderOptions, Mnemonic } from "iced-x86";
import { describe, expect, it } from "vitest";
import { Disassembler } from "../src/disassembler/disassembler.js";
import { randomInstruction, randomSource } from "./iced-random.js";

const ROUNDS = 30_000;

/** Ours and iced-x86's name where both are in use. */
const ALIASES = new Set([
  "shl/sal",
  "prefetch/prefetchw",
  "getsec/getsecq",
  "sysret/sysretq",
  "sysexit/sysexitq",
  // Reserved for hints: NOPs on processors that do not have them.
  "nop/reservednop",
  "nop/cldemote",
  "nop/prefetchit0",
  "nop/prefetchit1",
]);

describe.each([64, 32])("disassembler against iced-x86 in %i-bit mode", (mode) => {
  it("agrees on length and mnemonic", () => {
    const below = randomSource(100 + mode);
    const disassembler = new Disassembler();
    const differences: string[] = [];
    const names = new Set<string>();
    let compared = 0;
    for (let i = 0; i < ROUNDS; i++) {
      const bytes = randomInstruction(below, mode);
      const text = disassembler.disassemble(bytes, 0, mode);
      const decoder = new Decoder(mode, bytes, DecoderOptions.None);
      const theirs = decoder.decode();
      if (!text.startsWith("(") && theirs.code !== Code.INVALID) {
        compared++;
        const name = text.replace(/^((lock|rep|repe|repne) )+/, "").split(" ")[0];
        const expected = Mnemonic[theirs.mnemonic].toLowerCase();
        names.add(name);
        const same = name === expected || ALIASES.has(`${name}/${expected}`);
        if (!same || disassembler.length !== theirs.length)
          differences.push(
            `${Buffer.from(bytes.subarray(0, theirs.length)).toString("hex")}: ${text}, iced ${expected}`,
          );
      }
      theirs.free();
      decoder.free();
    }
    expect(differences).toEqual([]);
    expect(compared).toBeGreaterThan(15_000);
    expect(names.size).toBeGreaterThan(400);
  }, 30_000);
});
