import { BUILT_IN_GUESTS, type CompareDocument, compare, PROFILES } from "hyperwalk";

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
          estimates: Object.fromEntries(estimates.map(({ key, value }) => [key, value])),
        };
      },
    })),
  ),
);
