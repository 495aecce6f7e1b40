import { type CompareRequest, compare } from "../compare.js";
import { profileHash } from "../profile-hash.js";
import type { CompareDocument } from "../result.js";
import { TOOL } from "../tool.js";
import { checkExpectations, type ExpectationResult } from "./expectations.js";
import type { Scenario } from "./scenario.js";

/** Everything that one run of a scenario found: plain data, the same bytes for the same inputs. */
export interface RunDocument {
  readonly tool: { readonly name: string; readonly version: string };
  /** With every default written out: as a file of its own it gives the same run. */
  readonly scenario: Scenario;
  /** The machine's numbers, overrides included: their SHA-256, of their JSON. */
  readonly profile: { readonly id: string; readonly sha256: string };
  readonly comparison: CompareDocument;
  readonly expectations: readonly ExpectationResult[];
}

/** Runs what a scenario asks for. @param request of `scenarioRequest` @throws ImageError, XenConfigError, GuestSourceError */
export function runScenario(scenario: Scenario, request: CompareRequest): RunDocument {
  const comparison = compare(request);
  return {
    tool: TOOL,
    scenario: { ...scenario, interfaces: request.abis ?? scenario.interfaces },
    profile: { id: request.machine.id, sha256: profileHash(request.machine) },
    comparison,
    expectations: checkExpectations(scenario, comparison.runs),
  };
}
