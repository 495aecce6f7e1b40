import type { CompareDocument } from "hyperwalk";
import { loadScript } from "./dom.js";
import type { SimulationAnswer, SimulationFailure, SimulationRequest } from "./simulation.js";
import type { PlaygroundState } from "./state.js";

/** Hypercalls of the first look at a state. */
export const QUICK_ITERATIONS = 128;
/** A change within this time makes the full run unnecessary. */
const SETTLED_MS = 150;
/** A first look that takes longer than this has gone astray. */
const STUCK_MS = 30_000;

/** Who wants to know what came out. */
export interface SimulationListener {
  /** A worker began with the last state asked for. */
  started(isQuick: boolean): void;
  /** Figures of the last state asked for; those of a quick run are followed by the full run's. */
  finished(state: PlaygroundState, document: CompareDocument, isQuick: boolean): void;
  failed(state: PlaygroundState, failure: SimulationFailure): void;
}

/**
 * Simulates the last state that it was asked for. One worker takes first looks of few calls and stays warm: while it is busy,
 * only the last state waits. A second one does full runs, and is terminated as soon as its result is out of date.
 */
export class Simulator {
  private readonly listener: SimulationListener;
  private quick: Worker | undefined;
  private full: Worker | undefined;
  private state: PlaygroundState | undefined;
  private id = 0;
  private quickBusy = false;
  private timer = 0;

  constructor(listener: SimulationListener) {
    this.listener = listener;
    this.startQuick();
  }

  /** Simulates this state and drops whatever was asked before. */
  run(state: PlaygroundState): void {
    this.cancel();
    this.state = state;
    this.id++;
    this.look();
  }

  /** Stops the full run, if there is one; the figures of the first look remain. */
  cancel(): void {
    clearTimeout(this.timer);
    this.full?.terminate();
    this.full = undefined;
  }

  private look(): void {
    const { quick, state, id } = this;
    if (quick === undefined || state === undefined || this.quickBusy) return;
    const iterations = Math.min(state.iterations, QUICK_ITERATIONS);
    this.quickBusy = true;
    this.listener.started(iterations < state.iterations);
    const stuck = setTimeout(() => this.restart("the first look took too long"), STUCK_MS);
    this.ask(quick, { id, state, iterations }, (answer) => {
      clearTimeout(stuck);
      this.quickBusy = false;
      if (answer.id !== this.id) this.look();
      else if (this.report(state, answer, iterations < state.iterations) && iterations < state.iterations)
        this.timer = setTimeout(() => void this.refine(state, id), SETTLED_MS) as unknown as number;
    });
  }

  private async refine(state: PlaygroundState, id: number): Promise<void> {
    const worker = await this.start();
    if (id !== this.id) {
      worker.terminate();
      return;
    }
    this.full = worker;
    this.listener.started(false);
    this.ask(worker, { id, state, iterations: state.iterations }, (answer) => {
      worker.terminate();
      if (this.full === worker) this.full = undefined;
      if (id === this.id) this.report(state, answer, false);
    });
  }

  /** @returns whether there are figures */
  private report(state: PlaygroundState, answer: SimulationAnswer, isQuick: boolean): boolean {
    if ("document" in answer) this.listener.finished(state, answer.document, isQuick);
    else this.listener.failed(state, answer.error);
    return "document" in answer;
  }

  private ask(worker: Worker, request: SimulationRequest, take: (answer: SimulationAnswer) => void): void {
    worker.onmessage = ({ data }: MessageEvent<SimulationAnswer>) => take(data);
    worker.onerror = (event) => {
      event.preventDefault();
      take({
        id: request.id,
        error: { name: "WorkerError", message: event.message || "the worker stopped" },
      });
    };
    worker.postMessage(request);
  }

  private restart(message: string): void {
    this.quick?.terminate();
    this.quick = undefined;
    this.quickBusy = false;
    if (this.state !== undefined) this.listener.failed(this.state, { name: "Timeout", message });
    this.startQuick();
  }

  /** At once where the script's address is enough: it is read while the page is still being made. */
  private startQuick(): void {
    this.quick = workerByAddress();
    if (this.quick !== undefined) return;
    void this.start().then((worker) => {
      this.quick = worker;
      this.look();
    });
  }

  private async start(): Promise<Worker> {
    try {
      return workerByAddress() ?? (await workerByText());
    } catch (error) {
      const message = `no worker could be started: ${String(error)}`;
      if (this.state !== undefined) this.listener.failed(this.state, { name: "WorkerError", message });
      throw error;
    }
  }
}

/** The script that is the worker; as a script of the page it leaves the function below. */
const SCRIPT = "simulator.js";

declare global {
  var hyperwalkSimulator: (() => void) | undefined;
}

function workerByAddress(): Worker | undefined {
  try {
    return new Worker(SCRIPT);
  } catch {
    // Pages that are files may have no such worker.
    return undefined;
  }
}

async function workerByText(): Promise<Worker> {
  if (globalThis.hyperwalkSimulator === undefined) await loadScript(SCRIPT);
  const text = `(${String(globalThis.hyperwalkSimulator)})()`;
  return new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
}
