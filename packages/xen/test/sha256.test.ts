import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { sha256Hex } from "../src/attestation/sha256.ts";

describe("SHA-256", () => {
  it.each([
    // FIPS 180-4's own examples.
    ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
    ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
  ])("of %j", (text, digest) => {
    expect(sha256Hex(new TextEncoder().encode(text))).toBe(digest);
  });

  it("is what another implementation gives, at every length around the blocks' ends", () => {
    for (let length = 0; length < 200; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + length) & 0xff);
      expect(sha256Hex(bytes)).toBe(createHash("sha256").update(bytes).digest("hex"));
    }
  });
});
