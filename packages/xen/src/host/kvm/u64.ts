/** An unsigned 64-bit number in plain data: its low and its high word, unsigned. */
export type Words64 = readonly [number, number];

/** A number modulo 2^64. */
export function u64(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}

export function wordsOf(value: bigint): Words64 {
  return [Number(value & 0xffffffffn), Number(u64(value) >> 32n)];
}

/** @throws RangeError for words that are none */
export function fromWords(words: Words64): bigint {
  if (words.length !== 2 || !words.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32))
    throw new RangeError(`words ${words.join(", ")}`);
  return BigInt(words[0]) | (BigInt(words[1]) << 32n);
}
