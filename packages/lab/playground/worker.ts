import { compare } from "hyperwalk";
import { requestOf } from "./comparison.js";
import type { SimulationAnswer, SimulationRequest } from "./simulation.js";

// The simulator in its Web Worker: one comparison at a time; whoever wants to cancel one terminates the worker.

function answer({ id, state, iterations }: SimulationRequest): SimulationAnswer {
  try {
    return { id, document: compare(requestOf(state, iterations)) };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return { id, error: { name, message } };
  }
}

self.onmessage = ({ data }: MessageEvent<SimulationRequest>) => {
  self.postMessage(answer(data));
};
