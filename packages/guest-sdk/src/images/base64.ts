const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Decodes base64 text (RFC 4648, padded) given as lines of any length, with nothing but the language. */
export function decodeBase64(lines: readonly string[]): Uint8Array {
  const text = lines.join("").replace(/=+$/, "");
  const values = new Uint8Array(128);
  for (let i = 0; i < 64; i++) values[ALPHABET.charCodeAt(i)] = i;
  const codes = new TextEncoder().encode(text);
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  // Four letters are three bytes; what a short last group lacks counts as zero and falls outside `bytes`.
  for (let i = 0, at = 0; i < codes.length; i += 4) {
    const high = (values[codes[i]] << 18) | (values[codes[i + 1]] << 12);
    const bits = high | (values[codes[i + 2]] << 6) | values[codes[i + 3]];
    bytes[at++] = bits >> 16;
    bytes[at++] = bits >> 8;
    bytes[at++] = bits;
  }
  return bytes;
}
