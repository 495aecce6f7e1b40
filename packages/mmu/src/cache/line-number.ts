/** Lines of frames below this one (256 GiB) have numbers below 2^32. */
const WIDE_FRAME = 0x4000000;

/**
 * Low 32 bits, as an integer with a sign, of the number of a cache line: its physical address divided by 64. Caches know
 * lines by such a pair, because frame numbers beyond 2^31 would make every comparison one of floating-point numbers.
 * @param line in its frame, 0 to 63
 */
export function lineLow(frame: number, line: number): number {
  return (frame << 6) | line;
}

/** Bits 45:32 of the numbers of all lines of a frame. */
export function lineHigh(frame: number): number {
  return frame < WIDE_FRAME ? 0 : Math.floor(frame / WIDE_FRAME);
}
