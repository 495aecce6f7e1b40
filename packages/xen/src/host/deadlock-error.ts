/**
 * Somebody who runs without a pause would wait for a lock whose holder is stopped between two of its steps: a mistake of
 * whoever schedules them, not of the guest's.
 */
export class DeadlockError extends Error {
  readonly code = "DEADLOCK";
  /** What is held. */
  readonly lock: string;

  constructor(lock: string) {
    super(`the caller would wait for ${lock}, whose holder stands between two of its steps`);
    this.name = "DeadlockError";
    this.lock = lock;
  }
}
