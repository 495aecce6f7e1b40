export {
  type AllowedSettings,
  adjustControls,
  CAPABILITIES,
  EntryControl,
  ExitControl,
  PinControl,
  PrimaryControl,
  SecondaryControl,
} from "./controls.js";
export {
  ActivityState,
  ENTRY_FAILURE,
  EntryFailureQualification,
  Interruptibility,
  InterruptionInfo,
  VmxExitReason,
} from "./exit-reason.js";
export { ExtendedPageTableTags } from "./extended-page-tables.js";
export { InstructionError } from "./instruction-error.js";
export type { MsrLoad, MsrStore } from "./msr-lists.js";
export { Vmcs } from "./vmcs.js";
export { FieldKind, FieldWidth, VMCS_FIELDS, VmcsField, type VmcsFieldInfo } from "./vmcs-fields.js";
export { Vmx, type VmxOptions, type VmxSnapshot } from "./vmx.js";
