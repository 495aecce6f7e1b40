import { DeadlockError } from "../deadlock-error.js";

/**
 * What a thread of the kernel does between two points at which another one may come in, by its name. A thread that yields
 * {@link WAIT} cannot go on until another one has done something.
 */
export type KernelSteps<T> = Generator<string, T>;

/** Yielded by a thread that sleeps on a {@link KernelMutex}. */
export const WAIT = "wait";

/** Runs a thread to its end without a pause. @throws DeadlockError when it would sleep */
export function finish<T>(steps: KernelSteps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (step.value === WAIT) throw new DeadlockError("a mutex of the kernel's");
  }
}

/** `struct mutex`: one holder; others sleep. */
export class KernelMutex {
  private held = false;

  /** Taken when it returns. */
  *lock(): KernelSteps<void> {
    while (this.held) yield WAIT;
    this.held = true;
  }

  unlock(): void {
    this.held = false;
  }
}
