import { State } from "@hyperwalk/cpu";

/**
 * A vCPU's registers as software sees them, whatever control structure they were in: `struct hvm_hw_cpu` of Xen's save
 * records. Words as the processor's state has them, by `State`, and what the control structure keeps of its own.
 */
export interface VcpuRegisters {
  /** The words of the state that the architecture knows, one range after the other. */
  readonly words: Int32Array;
  readonly rip: readonly [number, number];
  readonly rflags: number;
  /** Low and high word of RAX and RSP, which are the control structure's on SVM. */
  readonly rax: readonly [number, number];
  readonly rsp: readonly [number, number];
  /** SVM's one bit: STI or MOV SS has just been executed. */
  readonly interruptShadow: boolean;
}

/** First word and number of words: general registers, control registers to system MSRs and CPL, XCR0, extended state. */
export const REGISTER_WORDS: readonly (readonly [number, number])[] = [
  [State.Gpr, 32],
  [State.Cr0, State.InterruptShadow - State.Cr0],
  [State.XcrLo, 1],
  [State.Fpr, State.VectorSource - State.Fpr],
];

/** Copies a vCPU's registers out of the processor that it has just left. */
export function registersIn(words: Int32Array): Int32Array {
  const out = new Int32Array(REGISTER_WORDS.reduce((sum, [, count]) => sum + count, 0));
  let at = 0;
  for (const [first, count] of REGISTER_WORDS) {
    out.set(words.subarray(first, first + count), at);
    at += count;
  }
  return out;
}

/** Puts them into another one. */
export function putRegisters(registers: Int32Array, words: Int32Array): void {
  let at = 0;
  for (const [first, count] of REGISTER_WORDS) {
    words.set(registers.subarray(at, at + count), first);
    at += count;
  }
}

/** Place of a state word among those of {@link REGISTER_WORDS}. */
export function placeOf(word: number): number {
  let at = 0;
  for (const [first, count] of REGISTER_WORDS) {
    if (word >= first && word < first + count) return at + word - first;
    at += count;
  }
  throw new RangeError(`state word ${word} is no register`);
}
