import type { CompareDocument } from "hyperwalk";
import type { PlaygroundState } from "./state.js";

/** What the page asks its worker. */
export interface SimulationRequest {
  readonly id: number;
  readonly state: PlaygroundState;
  /** In place of the state's own. */
  readonly iterations: number;
}

/** What the worker answers: always one answer to a request. */
export type SimulationAnswer = { readonly id: number } & (
  | { readonly document: CompareDocument }
  | { readonly error: SimulationFailure }
);

/** Why nothing came out: an error's name and message, never its stack. */
export interface SimulationFailure {
  readonly name: string;
  readonly message: string;
}
