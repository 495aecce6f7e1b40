/** Words of an operation seen as the host's own floating-point numbers, which share their memory. */
export class HostNumbers {
  /** Two binary64 numbers or four binary32 ones, low word first. */
  readonly words: Int32Array = new Int32Array(4);
  readonly doubles: Float64Array = new Float64Array(this.words.buffer);
  readonly singles: Float32Array = new Float32Array(this.words.buffer);
}
