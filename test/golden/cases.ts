import { CAUSES } from "@hyperwalk/mmu";
import { BUILT_IN_GUESTS, type CompareDocument, compare, type LedgerCell, PROFILES } from "hyperwalk";

type GoldenDocument = Omit<CompareDocument, "tool" | "estimates"> & {
  readonly estimates: Readonly<Record<string, number>>;
};

/** One comparison whose every figure is kept in expected.json. */
export interface GoldenCase {
  readonly name: string;
  /** The document without the tool's version, which changes no figure, and with the estimates' values only. */
  run(): GoldenDocument;
}

/** Both guests on every machine, IBPB on exit off and on, all interfaces. */
export const CASES: readonly GoldenCase[] = PROFILES.flatMap((machine) =>
  BUILT_IN_GUESTS.flatMap((guest) =>
    [false, true].map((ibpbEntry) => ({
      name: `${guest.name} on ${machine.id}, IBPB on exit ${ibpbEntry ? "on" : "off"}`,
      run: () => {
        const {
          tool: _,
          estimates,
          ...document
        } = compare({
          guest,
          machine,
          iterations: 1024,
          mitigations: { ibpbEntry },
        });
        return {
          ...document,
          runs: document.runs.map((each) => ({ ...each, ledger: coarse(each.ledger) })),
          estimates: Object.fromEntries(estimates.map(({ key, value }) => [key, value])),
        };
      },
    })),
  ),
);

/** Lines that were one when the file was written: how a sum is divided among them is for tests of their own. */
function coarse(cells: readonly LedgerCell[]): LedgerCell[] {
  const sums = new Map<string, LedgerCell>();
  for (const cell of cells) {
    const [phase] = cell.phase.split(":");
    const isFence = cell.cause === "lock-harden" || cell.cause === "l1d-flush";
    const cause =
      isFence || (phase === "vm-entry" && cell.cause === "predictor-barrier") ? "serialise" : cell.cause;
    const key = `${phase} ${cause}`;
    const cyclesPerCall = (sums.get(key)?.cyclesPerCall ?? 0) + cell.cyclesPerCall;
    sums.set(key, { phase, cause, cyclesPerCall });
  }
  const phases = [...new Set([...sums.values()].map(({ phase }) => phase))];
  const rank = ({ phase, cause }: LedgerCell) =>
    phases.indexOf(phase) * CAUSES.length + (CAUSES as readonly string[]).indexOf(cause);
  return [...sums.values()].sort((a, b) => rank(a) - rank(b));
}
