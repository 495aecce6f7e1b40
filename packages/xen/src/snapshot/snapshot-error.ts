/** What is wrong with a snapshot. */
export type SnapshotProblem =
  /** Not a snapshot at all. */
  | "FOREIGN"
  /** Of a format that this version does not read. */
  | "VERSION"
  /** It ends too early. */
  | "TRUNCATED"
  /** Bytes were changed, or what they say makes no sense. */
  | "CORRUPT"
  /** Whole, but of a system that was made with other options. */
  | "MISMATCH";

/** A snapshot that cannot be restored. After `CORRUPT` out of `XenSystem.restore` the system is of no more use. */
export class SnapshotError extends Error {
  readonly code: SnapshotProblem;

  constructor(code: SnapshotProblem, message: string) {
    super(message);
    this.name = "SnapshotError";
    this.code = code;
  }
}
