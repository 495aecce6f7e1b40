import type { StagePathCost } from "../../path-cost/stage-path-cost.js";
import {
  BHB_CLEAR,
  IBPB_ENTRY,
  RSB_NOPS,
  RSB_OVERWRITE,
  SPEC_CTRL_WRITE,
  VERW,
} from "../../path-cost/stages/mitigations.js";
import type { ResolvedXenConfig } from "../../xen-config.js";

/** What a mitigation does to prediction state. */
export interface PredictorControl {
  /** IBPB. */
  flush(): void;
  overwriteReturnStack(): void;
}

/** Speculation controls around a guest's run, in the order of `svm/entry.S` and `vmx/entry.S`. */
export class Mitigations {
  private readonly cost: StagePathCost;
  private readonly predictor: PredictorControl;
  private readonly isIntel: boolean;
  private readonly switches: ResolvedXenConfig;
  private readonly ibpb: number;
  private readonly rsb: number;
  private readonly rsbNops: number;
  private readonly specCtrl: number;
  private readonly bhb: number;
  private readonly verw: number;

  constructor(
    cost: StagePathCost,
    predictor: PredictorControl,
    vendor: "amd" | "intel",
    switches: ResolvedXenConfig,
  ) {
    this.cost = cost;
    this.predictor = predictor;
    this.isIntel = vendor === "intel";
    this.switches = switches;
    this.ibpb = cost.compile(IBPB_ENTRY);
    this.rsb = cost.compile(RSB_OVERWRITE);
    this.rsbNops = cost.compile(RSB_NOPS);
    this.specCtrl = cost.compile(SPEC_CTRL_WRITE);
    this.bhb = cost.compile(BHB_CLEAR);
    this.verw = cost.compile(VERW);
  }

  /** After the registers are saved. */
  onExit(): void {
    const { cost, switches, predictor } = this;
    if (switches.ibpbEntry) {
      cost.run(this.ibpb);
      predictor.flush();
    }
    if (switches.rsbOverwrite) {
      cost.run(this.rsb);
      predictor.overwriteReturnStack();
    } else cost.run(this.rsbNops);
    if (switches.specCtrlWrite) cost.run(this.specCtrl);
    if (switches.bhbClear) cost.run(this.bhb);
  }

  /** Just before the guest runs. */
  onEntry(): void {
    const { cost, switches } = this;
    // VMX's own lists load the guest's SPEC_CTRL, and FLUSH_CMD.
    if (switches.specCtrlWrite && !this.isIntel) cost.run(this.specCtrl);
    if (switches.verw) cost.run(this.verw);
  }
}
