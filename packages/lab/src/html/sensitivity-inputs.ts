import { z } from "zod";
import { ABIS, HOSTS } from "../result.js";
import type { SensitivityDocument, SensitivityFigure } from "../sensitivity/sensitivity-document.js";
import { guestSchema, machineSchema, toolSchema } from "./compare-schema.js";

/** What a report reads of a sensitivity analysis. */
export type SensitivityInputs = Omit<SensitivityDocument, "host">;
/** Figures of one of its runs. */
export type RunFigures = SensitivityFigure;

const text = z.string();
const number = z.number();
const figures = z.array(z.looseObject({ cyclesPerCall: number.nullable(), saving: number.nullable() }));
const end = z.looseObject({ value: number, moved: text.exactOptional(), figures });

/** What `sensitivity --json` prints. */
export const sensitivitySchema: z.ZodType<SensitivityInputs> = z.looseObject({
  tool: toolSchema,
  machine: machineSchema,
  guest: guestSchema,
  iterations: number,
  runs: z.array(z.looseObject({ host: z.enum(HOSTS).exactOptional(), abi: z.enum(ABIS) })).min(1),
  baseline: figures,
  inputs: z.array(
    z.looseObject({
      key: text,
      unit: text,
      value: number,
      range: z.tuple([number, number]),
      source: text,
      low: end,
      high: end,
      swing: figures,
    }),
  ),
  notVaried: z.array(z.looseObject({ key: text, value: number, why: text })),
  joint: z.array(
    z.looseObject({
      of: z.enum(["saving", "cyclesPerCall"]),
      low: number.nullable(),
      high: number.nullable(),
      leftOut: z.array(text),
    }),
  ),
  jointNote: text,
});
