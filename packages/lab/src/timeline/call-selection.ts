import type { TimelineStretch } from "@hyperwalk/xen";

/** Hypercalls that follow each other, with what was between them. */
export interface SelectedCalls {
  /** From the exit of the first call to the entry after the last one, all exits and the guest's code between. */
  readonly stretches: readonly TimelineStretch[];
  /** The guest's code that led to the first of them: from its latest entry before; undefined if there is none. */
  readonly before: TimelineStretch | undefined;
  /** Number of the first among the hypercalls of the window, from 1. */
  readonly number: number;
}

/** Some calls of one interval of the run: the ones after `skip` others, at most `count`; of fewer calls the last. */
class CallWindow {
  calls = 0;
  private readonly skip: number;
  private readonly count: number;
  private kept: TimelineStretch[] = [];
  private before: TimelineStretch | undefined;
  private previous: TimelineStretch | undefined;
  private number = 0;

  constructor(skip: number, count: number) {
    this.skip = skip;
    this.count = count;
  }

  take(stretch: TimelineStretch): void {
    const isCall = stretch.hypercall !== undefined;
    if (isCall) this.calls++;
    if (this.calls <= this.skip + this.count) {
      // Up to the one that was asked for, the latest so far stands in for it.
      if (isCall && this.calls <= this.skip + 1) {
        this.kept = [];
        this.before = this.previous?.kind === "guest" ? this.previous : undefined;
        this.number = this.calls;
      }
      if (this.calls > 0) this.kept.push(stretch);
    }
    this.previous = stretch;
  }

  get selected(): SelectedCalls | undefined {
    const { kept, before, number } = this;
    if (kept.length === 0) return undefined;
    let end = kept.length;
    while (kept[end - 1].hypercall === undefined) end--;
    return { stretches: kept.slice(0, end), before, number };
  }
}

/**
 * Picks hypercalls of vCPU 0 out of a run as it goes: the first one of each operation, and some of the measured window, which is the interval
 * between two consecutive RDTSCs that held most of them, as `XenSystem.window` has it.
 */
export class CallSelection {
  private readonly skip: number;
  private readonly count: number;
  private readonly firstCalls = new Map<string | undefined, SelectedCalls>();
  private readonly run: CallWindow;
  private present: CallWindow | undefined;
  private best: CallWindow | undefined;
  private previous: TimelineStretch | undefined;
  private calls = 0;

  /** @param skip hypercalls of the window before those that are picked @param count how many, at most */
  constructor(skip: number, count: number) {
    this.skip = skip;
    this.count = count;
    this.run = new CallWindow(skip, count);
  }

  take(stretch: TimelineStretch): void {
    if (stretch.vcpu !== 0) return;
    if (stretch.kind === "fast-forward") {
      this.present = undefined;
      return;
    }
    this.takeFirst(stretch);
    this.run.take(stretch);
    for (const _ of stretch.timestamps) {
      const { present, best } = this;
      if (present !== undefined && present.calls > (best?.calls ?? 0)) this.best = present;
      this.present = new CallWindow(this.skip, this.count);
    }
    this.present?.take(stretch);
  }

  /** The first hypercall of the run; undefined if there is none. */
  get first(): SelectedCalls | undefined {
    return this.firstCalls.values().next().value;
  }

  /** The first that was this operation. */
  firstOf(operation: string | undefined): SelectedCalls | undefined {
    return this.firstCalls.get(operation);
  }

  private takeFirst(stretch: TimelineStretch): void {
    const { hypercall } = stretch;
    if (hypercall !== undefined) {
      this.calls++;
      const { operation } = hypercall;
      const before = this.previous?.kind === "guest" ? this.previous : undefined;
      if (!this.firstCalls.has(operation))
        this.firstCalls.set(operation, { stretches: [stretch], before, number: this.calls });
    }
    this.previous = stretch;
  }

  /** Those of the measured window. */
  get measured(): SelectedCalls | undefined {
    return this.best?.selected;
  }

  /** The same of the whole run, for guests that do not measure. */
  get ofRun(): SelectedCalls | undefined {
    return this.run.selected;
  }
}
