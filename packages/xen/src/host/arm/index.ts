export type { ArmCopyContext, ArmCopyResult, ArmPageFound } from "./arm-guest-copy.js";
export { copyByIpa, copyByVa } from "./arm-guest-copy.js";
export { ArmP2m, type ArmP2mEntry, ArmP2mType } from "./arm-p2m.js";
export { ArmHostAccessError, ArmPathCost, type Bound, type FormBounds } from "./arm-path-cost.js";
export { ARM_PHASES, type ArmHostObject, ArmPhase, type ArmStage, type ArmTouch } from "./arm-stage.js";
export { ARM_STAGES } from "./arm-stages.js";
export { type ArmElement, type ArmForm, ArmSystem, type ArmSystemOptions } from "./arm-system.js";
export {
  type Change,
  type ChangeStep,
  type ChosenSteps,
  everyMeeting,
  type Meeting,
  meet,
  type PreparedChange,
  primeCaller,
  stage1Change,
  stage2Change,
} from "./break-before-make.js";
export { type CopyPath, type CopyStep, uninterrupted } from "./copy-step.js";
