import { PUBLISHED, saving } from "../../published.js";
import type { AbiName } from "../../result.js";
import type { ValidationFigure } from "../figure.js";

/** The published saving, with IBPB on each exit and without: the publication does not say which it was. */
export const SAVING_FIGURES: readonly ValidationFigure[] = PUBLISHED.flatMap((figure) =>
  (["off", "on"] as const).map((ibpb): ValidationFigure => {
    const abis = [figure.against, figure.abi] as AbiName[];
    return {
      id: `saving/${figure.machine}/${figure.abi}/ibpb-${ibpb}`,
      what: `${figure.abi} against ${figure.against}, ${figure.operation}; IBPB on exit ${ibpb}`,
      where: figure.machine,
      asked: `${figure.machine}, hypercall-bench`,
      published: figure.saving,
      unit: "share",
      mark: "M",
      source: `${figure.statement}: ${figure.source}`,
      unknown: figure.unknown,
      likeness: "same",
      calibrated: [],
      predict: (experiments) => {
        const { runs, estimates } = experiments.compare({
          machine: figure.machine,
          mitigations: { ibpbEntry: ibpb === "on" },
        });
        const [against, run] = abis.map((abi) => runs.find((each) => each.abi === abi));
        return { value: (run && saving(run, against)) ?? Number.NaN, estimates };
      },
    };
  }),
);
