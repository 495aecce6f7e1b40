/** Repeatable random numbers of one case (xorshift32 over a mixed seed). */
export class Random {
  private state: number;

  constructor(seed: number, number: number) {
    let mixed = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(number + 1, 0xc2b2ae35);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
    this.state = mixed ^ (mixed >>> 13) || 1;
    for (let i = 0; i < 4; i++) this.word();
  }

  /** 32 bits, signed. */
  word(): number {
    let { state } = this;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.state = state;
    return state;
  }

  /** 0 to `count` - 1. */
  below(count: number): number {
    return (this.word() >>> 1) % count;
  }

  /** True once in `count` times. */
  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }

  byte(): number {
    return (this.word() >>> 11) & 0xff;
  }

  bytes(count: number): number[] {
    return Array.from({ length: count }, () => this.byte());
  }

  /** 32 bits that are often small, a single bit, or all of them but a few. */
  value(): number {
    switch (this.below(6)) {
      case 0:
        return this.below(64);
      case 1:
        return 1 << this.below(32);
      case 2:
        return -this.below(64);
      case 3:
        return this.below(0x1000) << 12;
      case 4:
        return this.pick([0x7fffffff, 0x80000000 | 0, 0xffff, 0x10000, 0xfee00000 | 0, 0x7ff0, -4096]);
      default:
        return this.word();
    }
  }
}
