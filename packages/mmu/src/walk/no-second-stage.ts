import { ALL_STAGE_RIGHTS } from "../tlb/rights.js";
import { Kind } from "../tlb/tlb-array.js";
import type { SecondStageWalker } from "./second-stage-walker.js";

/** Native translation: guest frames are machine frames, nothing is referenced and nothing forbidden. */
export class NoSecondStage implements SecondStageWalker {
  readonly rights: number = ALL_STAGE_RIGHTS;
  readonly kind: number = Kind.Page1G;

  translate(gfn: number, _offset: number, _access: number): number {
    return gfn;
  }

  refuseTableUpdate(): void {
    throw new Error("without a second stage every page is writable");
  }
}
